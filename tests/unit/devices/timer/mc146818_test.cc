// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/timer/mc146818.h"

#include <gtest/gtest.h>

namespace xm::devices {
namespace {

constexpr i64 kSecond = 1'000'000'000;
constexpr i64 kBase = 951'827'695;  // 2000-02-29 12:34:55, a Tuesday

class RtcTest : public ::testing::Test {
 protected:
  RtcTest() {
    policy.set_minimum_spacing_ns(0);
    rtc.reset();
  }
  u8 read(u8 index) {
    rtc.port_write(Port{0x70}, index, 1);
    return static_cast<u8>(rtc.port_read(Port{0x71}, 1));
  }
  void write(u8 index, u8 value) {
    rtc.port_write(Port{0x70}, index, 1);
    rtc.port_write(Port{0x71}, value, 1);
  }
  void advance(i64 ns) {
    source.advance(ns);
    clock.run_due();
  }

  bus::ManualClock source;
  bus::VirtualClock clock{source};
  bus::IrqLine irq;
  TickPolicy policy;
  Mc146818 rtc{irq, clock, policy, kBase* kSecond};
};

TEST_F(RtcTest, ShowsTheCalendarInBcd) {
  EXPECT_EQ(read(0x00), 0x55);
  EXPECT_EQ(read(0x02), 0x34);
  EXPECT_EQ(read(0x04), 0x12);
  EXPECT_EQ(read(0x06), 3);
  EXPECT_EQ(read(0x07), 0x29);
  EXPECT_EQ(read(0x08), 0x02);
  EXPECT_EQ(read(0x09), 0x00);
  EXPECT_EQ(read(0x32), 0x20);
  EXPECT_EQ(read(0x0D), 0x80);
  advance(12 * 3600 * kSecond);
  EXPECT_EQ(read(0x07), 0x01);
  EXPECT_EQ(read(0x08), 0x03);
  EXPECT_EQ(read(0x04), 0x00);
}

TEST_F(RtcTest, BinaryTwelveHours) {
  write(0x0B, 0x04);
  EXPECT_EQ(read(0x00), 55);
  EXPECT_EQ(read(0x04), 0x80 | 12);  // noon
  advance(3600 * kSecond);
  EXPECT_EQ(read(0x04), 0x80 | 1);
  advance(11 * 3600 * kSecond);
  EXPECT_EQ(read(0x04), 12);  // midnight
}

TEST_F(RtcTest, SetStopsAndRestartsTheCalendar) {
  write(0x0B, 0x82);
  advance(5 * kSecond);
  EXPECT_EQ(read(0x00), 0x55);
  write(0x00, 0x10);
  write(0x02, 0x00);
  write(0x04, 0x08);
  write(0x07, 0x31);
  write(0x08, 0x12);
  write(0x09, 0x99);
  write(0x32, 0x19);
  write(0x06, 0x06);
  write(0x0B, 0x02);
  EXPECT_EQ(read(0x00), 0x10);
  advance(16 * 3600 * kSecond);
  EXPECT_EQ(read(0x09), 0x00);
  EXPECT_EQ(read(0x32), 0x20);
  EXPECT_EQ(read(0x06), 0x07);
}

TEST_F(RtcTest, UpdateFlagAndUipFrameTheSecond) {
  EXPECT_EQ(read(0x0A), 0x26);
  advance(kSecond - 2'300'000);
  EXPECT_EQ(read(0x0A) & 0x80, 0);
  EXPECT_EQ(read(0x0C), 0x40);  // only the periodic flag so far
  advance(100'000);
  EXPECT_EQ(read(0x0A) & 0x80, 0x80);
  EXPECT_EQ(read(0x00), 0x55);
  advance(2'200'000);
  EXPECT_EQ(read(0x0A) & 0x80, 0);
  EXPECT_EQ(read(0x00), 0x56);
  EXPECT_EQ(read(0x0C) & 0x10, 0x10);
  EXPECT_EQ(read(0x0C), 0);
}

TEST_F(RtcTest, UpdateInterruptOnceASecond) {
  write(0x0B, 0x12);
  EXPECT_EQ(clock.next_deadline().value, kSecond);
  advance(kSecond);
  EXPECT_TRUE(irq.level());
  EXPECT_EQ(read(0x0C) & 0x90, 0x90);
  EXPECT_FALSE(irq.level());
  EXPECT_EQ(clock.next_deadline().value, 2 * kSecond);
}

TEST_F(RtcTest, PeriodicInterruptAt1024Hz) {
  write(0x0B, 0x42);
  int interrupts = 0;
  for (int i = 0; i < 10'000; i++) {
    advance(100'000);
    if (irq.level()) {
      interrupts++;
      EXPECT_EQ(read(0x0C) & 0xC0, 0xC0);
    }
  }
  EXPECT_EQ(interrupts, 1024);
}

TEST_F(RtcTest, UnreadFlagHoldsBackFurtherTicks) {
  write(0x0B, 0x42);
  advance(kSecond);
  EXPECT_TRUE(irq.level());
  EXPECT_EQ(clock.next_deadline(), bus::VirtualClock::kNever);
  read(0x0C);
  EXPECT_FALSE(irq.level());
  EXPECT_GT(clock.next_deadline(), clock.now());
}

TEST_F(RtcTest, AlarmMatchesWithWildcards) {
  write(0x01, 0x10);
  write(0x03, 0xFF);
  write(0x05, 0xC0);
  write(0x0B, 0x22);
  advance(14 * kSecond);
  EXPECT_FALSE(irq.level());
  advance(kSecond);  // :10
  EXPECT_TRUE(irq.level());
  EXPECT_EQ(read(0x0C) & 0xA0, 0xA0);
  advance(60 * kSecond);
  EXPECT_TRUE(irq.level());
}

TEST_F(RtcTest, PolledAlarmFlagNeedsNoInterrupt) {
  write(0x01, 0x00);
  write(0x03, 0x35);
  write(0x05, 0x12);
  EXPECT_EQ(clock.next_deadline(), bus::VirtualClock::kNever);
  advance(4 * kSecond);
  EXPECT_EQ(read(0x0C) & 0x20, 0);
  advance(kSecond);
  EXPECT_EQ(read(0x0C) & 0xA0, 0x20);
}

TEST_F(RtcTest, DividerReleaseUpdatesHalfASecondLater) {
  write(0x0A, 0x76);
  advance(3 * kSecond + 123'456'789);
  EXPECT_EQ(read(0x00), 0x55);
  write(0x0A, 0x26);
  advance(kSecond / 2 - 1);
  EXPECT_EQ(read(0x00), 0x55);
  advance(1);
  EXPECT_EQ(read(0x00), 0x56);
}

TEST_F(RtcTest, BothBanksAreRamThatSurvivesReset) {
  rtc.set_cmos(0x34, 0x12);
  write(0x0F, 0x05);
  rtc.port_write(Port{0x72}, 0x7F, 1);
  rtc.port_write(Port{0x73}, 0xA5, 1);
  rtc.reset();
  EXPECT_EQ(read(0x34), 0x12);
  EXPECT_EQ(read(0x0F), 0x05);
  EXPECT_EQ(rtc.cmos(0xFF), 0xA5);
  rtc.port_write(Port{0x70}, 0x80 | 0x34, 1);
  EXPECT_TRUE(rtc.nmi_masked());
  EXPECT_EQ(rtc.port_read(Port{0x71}, 1), 0x12u);
}

}  // namespace
}  // namespace xm::devices
