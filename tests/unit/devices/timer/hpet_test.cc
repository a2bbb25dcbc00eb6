// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/timer/hpet.h"

#include <gtest/gtest.h>

#include <map>

namespace xm::devices {
namespace {

class HpetTest : public ::testing::Test {
 protected:
  struct Rises final : bus::IrqSink {
    void set_input(unsigned input, bool level) override {
      rises[input] += level;
      levels[input] = level;
    }
    std::map<unsigned, int> rises;
    std::map<unsigned, bool> levels;
  };
  HpetTest() {
    policy.set_minimum_spacing_ns(0);
    irq0.connect(legacy_lines, 0);
    irq8.connect(legacy_lines, 8);
    hpet.reset();
  }
  void pass(i64 ns, i64 step = 1000) {
    for (i64 t = 0; t < ns; t += step) {
      source.advance(step);
      clock.run_due();
    }
  }
  u64 read(u64 at, unsigned size = 8) { return hpet.mmio_read(at, size); }
  void write(u64 at, u64 value, unsigned size = 8) { hpet.mmio_write(at, value, size); }

  bus::ManualClock source;
  bus::VirtualClock clock{source};
  TickPolicy policy;
  Rises legacy_lines, ioapic;
  bus::IrqLine irq0, irq8;
  bool legacy = false;
  Hpet hpet{{irq0, irq8, ioapic, [this](bool on) { legacy = on; }}, clock, policy};
};

TEST_F(HpetTest, CapabilitiesAndCounter) {
  EXPECT_EQ(read(0), u64{10'000'000} << 32 | 0x8086A201);
  EXPECT_EQ(read(4, 4), 10'000'000u);
  write(0xF0, 1000);
  pass(10'000);
  EXPECT_EQ(read(0xF0), 1000u);
  write(0x10, 1);
  pass(10'000);
  EXPECT_EQ(read(0xF0), 2000u);
  write(0x10, 0);
  pass(10'000);
  EXPECT_EQ(read(0xF0), 2000u);
}

TEST_F(HpetTest, OneShotOnAnIoApicInput) {
  write(0x10, 1);
  write(0x120, u64{20} << 9 | 4);
  EXPECT_EQ(read(0x120) >> 9 & 0x1F, 20u);
  write(0x128, 500);
  pass(4'000);
  EXPECT_EQ(ioapic.rises[20], 0);
  pass(20'000);
  EXPECT_EQ(ioapic.rises[20], 1);
  write(0x120, u64{5} << 9 | 4);  // not offered
  EXPECT_EQ(read(0x120) >> 9 & 0x1F, 0u);
}

TEST_F(HpetTest, ComparatorBehindTheCounterDoesNotFire) {
  write(0x10, 1);
  pass(10'000);
  write(0x120, u64{20} << 9 | 4);
  write(0x128, 900);
  pass(100'000);
  EXPECT_EQ(ioapic.rises[20], 0);
}

TEST_F(HpetTest, PeriodicAsLinuxProgramsIt) {
  write(0x10, 3);
  EXPECT_TRUE(legacy);
  write(0x100, 0x14C, 4);   // periodic, value set, 32 bits, enabled
  write(0x108, 10'000, 4);  // first match
  write(0x108, 5'000, 4);   // period: 50 us
  pass(1'000'000, 1'000);
  EXPECT_EQ(legacy_lines.rises[0], 19);  // at 100, 150 ... 1000 us
  write(0x10, 1);
  EXPECT_FALSE(legacy);
}

TEST_F(HpetTest, LateEnginesLoseTicks) {
  write(0x10, 3);
  write(0x100, 0x14C, 4);
  write(0x108, 5'000, 4);
  pass(10'000'000, 1'000'000);
  EXPECT_EQ(legacy_lines.rises[0], 10);
}

TEST_F(HpetTest, LevelInterruptStaysUntilStatusIsCleared) {
  write(0x10, 1);
  write(0x140, u64{21} << 9 | 6);
  write(0x148, 100);
  pass(2'000);
  EXPECT_TRUE(ioapic.levels[21]);
  EXPECT_EQ(read(0x20), 4u);
  write(0x20, 4);
  EXPECT_FALSE(ioapic.levels[21]);
  EXPECT_EQ(read(0x20), 0u);
}

TEST_F(HpetTest, DisabledTimersNeedNoAlarm) {
  write(0x10, 1);
  EXPECT_EQ(clock.next_deadline(), bus::VirtualClock::kNever);
}

}  // namespace
}  // namespace xm::devices
