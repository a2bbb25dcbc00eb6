// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/machine/pc_interrupts.h"

#include <gtest/gtest.h>

namespace xm::machine {

struct Bench {
  bus::IrqLine intr;
  devices::PicPair pic{intr};
  devices::ApicBus bus{&pic};
  devices::IoApic ioapic{0, bus};
  PcInterrupts interrupts{pic, ioapic};
};

TEST(PcInterrupts, ALineReachesBothControllersAndTheTimerPinTwo) {
  Bench bench;
  bench.interrupts.isa().set_input(0, true);
  EXPECT_TRUE(bench.ioapic.input_level(2));
  EXPECT_EQ(bench.pic.master().request_register() & 1, 1);
  bench.interrupts.isa().set_input(0, false);
  EXPECT_FALSE(bench.ioapic.input_level(2));
  EXPECT_EQ(bench.interrupts.count(0), 1u);
}

TEST(PcInterrupts, ASharedLineFallsWhenTheLastDriverLetsGo) {
  Bench bench;
  bench.interrupts.isa().set_input(11, true);
  bench.interrupts.pirq().set_input(11, true);
  bench.interrupts.isa().set_input(11, false);
  EXPECT_TRUE(bench.ioapic.input_level(11));
  bench.interrupts.pirq().set_input(11, false);
  EXPECT_FALSE(bench.ioapic.input_level(11));
  EXPECT_EQ(bench.interrupts.count(11), 1u);
}

}  // namespace xm::machine
