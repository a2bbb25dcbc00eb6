// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/intc/ioapic.h"

#include <gtest/gtest.h>

#include "tests/unit/devices/intc/apic_bench.h"

namespace xm::devices {
namespace {

constexpr u64 kLevel = 1u << 15;
constexpr u64 kMasked = 1u << 16;
constexpr u32 kRemoteIrr = 1u << 14;

struct IoApicTest : ::testing::Test, ApicBench {
  IoApicTest() : ApicBench(2) {}
  void pulse(unsigned pin) {
    ioapic.set_input(pin, true);
    ioapic.set_input(pin, false);
  }
  void eoi(unsigned cpu) { write(cpu, lapic::kEoi, 0); }
};

TEST_F(IoApicTest, IdentifiesItself) {
  ioapic.mmio_write(0, 1, 1);
  EXPECT_EQ(ioapic.mmio_read(0x10, 4), 0x00170020u);
  EXPECT_EQ(redirection_low(23), kMasked);
}

TEST_F(IoApicTest, EdgeOncePerRise) {
  redirect(14, 0x77);
  ioapic.set_input(14, true);
  ioapic.set_input(14, true);
  EXPECT_EQ(apics[0]->acknowledge(), 0x77);
  eoi(0);
  EXPECT_FALSE(pins[0]->intr);
  pulse(14);
  EXPECT_FALSE(pins[0]->intr);  // it never fell
  pulse(14);
  EXPECT_TRUE(pins[0]->intr);
}

TEST_F(IoApicTest, MaskedEdgeIsLost) {
  redirect(14, kMasked | 0x77);
  pulse(14);
  redirect(14, 0x77);
  EXPECT_FALSE(pins[0]->intr);
  pulse(14);
  EXPECT_TRUE(pins[0]->intr);
}

TEST_F(IoApicTest, LevelWaitsForEoiAndRepeats) {
  redirect(10, kLevel | 0x78);
  ioapic.set_input(10, true);
  EXPECT_EQ(redirection_low(10) & kRemoteIrr, kRemoteIrr);
  EXPECT_EQ(apics[0]->acknowledge(), 0x78);
  EXPECT_EQ(read(0, lapic::kTriggerMode + 0x30), 1u << 24);
  eoi(0);
  EXPECT_EQ(apics[0]->acknowledge(), 0x78);
  ioapic.set_input(10, false);
  eoi(0);
  EXPECT_EQ(redirection_low(10) & kRemoteIrr, 0u);
  EXPECT_FALSE(pins[0]->intr);
}

TEST_F(IoApicTest, MaskedLevelIsTakenUpOnUnmask) {
  redirect(10, kMasked | kLevel | 0x78);
  ioapic.set_input(10, true);
  EXPECT_FALSE(pins[0]->intr);
  redirect(10, kLevel | 0x78);
  EXPECT_TRUE(pins[0]->intr);
}

TEST_F(IoApicTest, SwitchToEdgeClearsRemoteIrr) {
  redirect(10, kLevel | 0x78);
  ioapic.set_input(10, true);
  redirect(10, kMasked | 0x78);
  EXPECT_EQ(redirection_low(10) & kRemoteIrr, 0u);
}

TEST_F(IoApicTest, DirectedEoi) {
  write(0, lapic::kSpuriousVector, 0x11FF);  // suppress the broadcast
  redirect(10, kLevel | 0x78);
  ioapic.set_input(10, true);
  apics[0]->acknowledge();
  eoi(0);
  EXPECT_FALSE(pins[0]->intr);
  ioapic.mmio_write(0x40, 0x78, 4);
  EXPECT_TRUE(pins[0]->intr);
}

TEST_F(IoApicTest, Destinations) {
  redirect(5, u64{1} << 56 | 0x44);
  pulse(5);
  EXPECT_EQ(apics[1]->acknowledge(), 0x44);
  EXPECT_FALSE(pins[0]->intr);
  write(0, lapic::kLogicalDestination, 0x80u << 24);
  redirect(5, u64{0x80} << 56 | 0x800 | 0x45);
  pulse(5);
  EXPECT_EQ(apics[0]->acknowledge(), 0x45);
  redirect(5, 0x400);
  pulse(5);
  EXPECT_EQ(pins[0]->nmis, 1);
}

TEST_F(IoApicTest, NobodyThereLeavesNoRemoteIrr) {
  redirect(5, u64{0x33} << 56 | kLevel | 0x44);
  ioapic.set_input(5, true);
  EXPECT_EQ(redirection_low(5) & kRemoteIrr, 0u);
}

}  // namespace
}  // namespace xm::devices
