// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/timer/pit8254.h"

#include <gtest/gtest.h>

#include <string>

#include "devices/timer/tick_rate.h"

namespace xm::devices {
namespace {

using Mode = PitCounter::Mode;

// OUT after the CLK that loads the count, one letter a tick.
std::string waveform(PitCounter& counter, u64 from, unsigned ticks) {
  std::string wave;
  for (u64 t = from; t < from + ticks; t++) wave += counter.output(t) ? 'H' : 'L';
  return wave;
}

PitCounter programmed(Mode mode, u16 count, u64 at = 99) {
  PitCounter counter;
  counter.reset(true);
  counter.write_control(static_cast<u8>(0x30 | (static_cast<u8>(mode) << 1)), at);
  counter.write(static_cast<u8>(count), at);
  counter.write(static_cast<u8>(count >> 8), at);
  return counter;
}

u16 read16(PitCounter& counter, u64 at) {
  const u16 low = counter.read(at);
  return static_cast<u16>(low | (counter.read(at) << 8));
}

TEST(PitCounter, TerminalCountRaisesOnceAndWrapsOn) {
  auto c = programmed(Mode::InterruptOnTerminalCount, 4);
  EXPECT_EQ(waveform(c, 99, 9), "LLLLLHHHH");
  EXPECT_EQ(c.next_change(99), 104u);
  EXPECT_EQ(read16(c, 104), 0);
  EXPECT_EQ(read16(c, 105), 0xFFFF);
  EXPECT_EQ(c.next_change(104), PitCounter::kNever);
}

TEST(PitCounter, RateGeneratorIsLowForOneTick) {
  auto c = programmed(Mode::RateGenerator, 3);
  EXPECT_EQ(waveform(c, 100, 9), "HHLHHLHHL");
  EXPECT_EQ(c.next_change(100), 102u);
  EXPECT_EQ(c.next_rise(100), 103u);
  EXPECT_EQ(c.next_rise(103), 106u);
}

TEST(PitCounter, SquareWaveWithEvenCount) {
  auto c = programmed(Mode::SquareWave, 4);
  EXPECT_EQ(waveform(c, 100, 10), "HHLLHHLLHH");
  EXPECT_EQ(read16(c, 100), 4);
  EXPECT_EQ(read16(c, 101), 2);
  EXPECT_EQ(read16(c, 102), 4);
}

TEST(PitCounter, SquareWaveWithOddCountIsHighOneTickLonger) {
  auto c = programmed(Mode::SquareWave, 5);
  EXPECT_EQ(waveform(c, 100, 10), "HHHLLHHHLL");  // [82C54 Mode 3]
  EXPECT_EQ(c.next_rise(100), 105u);
}

TEST(PitCounter, SoftwareStrobeIsOneTickAtZero) {
  auto c = programmed(Mode::SoftwareStrobe, 3);
  EXPECT_EQ(waveform(c, 100, 6), "HHHLHH");
  EXPECT_EQ(c.next_rise(100), 104u);
}

TEST(PitCounter, OneShotStartsAtGateAndIsRetriggerable) {
  auto c = programmed(Mode::OneShot, 4);
  EXPECT_EQ(waveform(c, 100, 4), "HHHH");
  c.set_gate(false, 110);
  c.set_gate(true, 119);
  EXPECT_EQ(waveform(c, 119, 3), "HLL");
  c.set_gate(false, 121);
  c.set_gate(true, 121);
  EXPECT_EQ(c.next_change(122), 126u);
  EXPECT_TRUE(c.output(126));
}

TEST(PitCounter, HardwareStrobe) {
  auto c = programmed(Mode::HardwareStrobe, 2);
  c.set_gate(false, 110);
  c.set_gate(true, 119);
  EXPECT_EQ(waveform(c, 120, 5), "HHLHH");
}

TEST(PitCounter, GateStopsTerminalCount) {
  auto c = programmed(Mode::InterruptOnTerminalCount, 4);
  c.set_gate(false, 102);
  EXPECT_EQ(read16(c, 150), 2);
  EXPECT_EQ(c.next_change(150), PitCounter::kNever);
  c.set_gate(true, 200);
  EXPECT_EQ(c.next_change(200), 202u);
}

TEST(PitCounter, GateRestartsRateGenerator) {
  auto c = programmed(Mode::RateGenerator, 10);
  c.set_gate(false, 103);
  EXPECT_TRUE(c.output(150));
  c.set_gate(true, 199);
  EXPECT_EQ(c.next_rise(200), 210u);
}

TEST(PitCounter, NewCountWaitsForEndOfPeriod) {
  auto c = programmed(Mode::RateGenerator, 4);
  c.write(8, 101);
  c.write(0, 101);
  EXPECT_EQ(c.next_rise(101), 104u);
  EXPECT_EQ(c.next_rise(104), 112u);
  EXPECT_EQ(waveform(c, 100, 12), "HHHLHHHHHHHL");
}

TEST(PitCounter, NewCountOfSquareWaveWaitsForEndOfHalf) {
  auto c = programmed(Mode::SquareWave, 8);
  c.write(4, 101);
  c.write(0, 101);
  EXPECT_EQ(waveform(c, 100, 12), "HHHHLLHHLLHH");
}

TEST(PitCounter, BcdCountsInTens) {
  PitCounter c;
  c.reset(true);
  c.write_control(0x31, 0);
  c.write(0x00, 0);
  c.write(0x10, 0);  // 1000
  EXPECT_EQ(read16(c, 2), 0x0999);
  EXPECT_EQ(c.next_change(2), 1001u);
  EXPECT_EQ(read16(c, 1002), 0x9999);
}

TEST(PitCounter, ZeroIsTheLargestCount) {
  auto c = programmed(Mode::RateGenerator, 0, 0);
  EXPECT_EQ(c.next_rise(1), 65537u);
  EXPECT_EQ(read16(c, 1), 0);
  EXPECT_EQ(read16(c, 2), 0xFFFF);
}

TEST(PitCounter, LatchHoldsUntilReadInFull) {
  auto c = programmed(Mode::RateGenerator, 1000, 0);
  c.latch_count(11);
  c.latch_count(500);  // ignored
  EXPECT_EQ(read16(c, 600), 990);
  EXPECT_EQ(read16(c, 601), 400);
}

TEST(PitCounter, StatusShowsNullCountUntilLoaded) {
  PitCounter c;
  c.reset(true);
  c.write_control(0x34, 10);
  c.latch_status(10);
  EXPECT_EQ(c.read(10), 0xF4);
  c.write(10, 20);
  c.write(0, 20);
  c.latch_status(21);
  EXPECT_EQ(c.read(21), 0xB4);
}

class PitTest : public ::testing::Test {
 protected:
  struct Counter final : bus::IrqSink {
    void set_input(unsigned, bool level) override { rises += level; }
    int rises = 0;
  };
  PitTest() {
    irq0.connect(rises, 0);
    policy.set_minimum_spacing_ns(0);
    pit.reset();
  }
  void out(u16 port, u8 value) { (port == 0x61 ? pit.speaker_port() : pit.ports()).port_write(Port{port}, value, 1); }
  u8 in(u16 port) {
    return static_cast<u8>((port == 0x61 ? pit.speaker_port() : pit.ports()).port_read(Port{port}, 1));
  }
  // Lets time pass in steps, running what falls due.
  void run(i64 nanoseconds, i64 step) {
    for (i64 t = 0; t < nanoseconds; t += step) {
      source.advance(step);
      clock.run_due();
    }
  }
  void program_hz(unsigned mode, u16 count) {
    out(0x43, static_cast<u8>(0x30 | mode << 1));
    out(0x40, static_cast<u8>(count));
    out(0x40, static_cast<u8>(count >> 8));
  }

  bus::ManualClock source;
  bus::VirtualClock clock{source};
  bus::IrqLine irq0;
  Counter rises;
  TickPolicy policy;
  Pit8254 pit{irq0, clock, policy};
};

TEST_F(PitTest, HundredHertzForASecondOfGuestTime) {
  program_hz(2, 11932);
  rises.rises = 0;
  run(1'000'000'000, 100'000);
  EXPECT_EQ(rises.rises, 99);  // 1193182 / 11932 = 99.998
}

TEST_F(PitTest, LateEnginesLoseTicksInsteadOfPilingThemUp) {
  program_hz(2, 1193);
  rises.rises = 0;
  run(100'000'000, 10'000'000);  // ten looks at the clock in a hundred periods
  EXPECT_EQ(rises.rises, 10);
}

TEST_F(PitTest, MinimumSpacingThinsTheGrid) {
  policy.set_minimum_spacing_ns(3'500'000);
  program_hz(2, 1193);  // 1 kHz
  rises.rises = 0;
  run(100'000'000, 100'000);
  EXPECT_NEAR(rises.rises, 25, 1);  // every fourth
}

TEST_F(PitTest, OneShotModeZeroLowersAtProgrammingAndRaisesOnce) {
  program_hz(0, 1193);
  EXPECT_FALSE(irq0.level());
  rises.rises = 0;
  run(20'000'000, 50'000);
  EXPECT_EQ(rises.rises, 1);
  EXPECT_TRUE(irq0.level());
}

TEST_F(PitTest, SpeakerPortGatesAndShowsCounterTwo) {
  out(0x43, 0xB0);  // counter 2, mode 0: as Linux calibrates its TSC
  out(0x61, 0x00);
  out(0x42, 0xA9);
  out(0x42, 0x04);  // 1193
  run(5'000'000, 1'000'000);
  EXPECT_EQ(in(0x61) & 0x20, 0);
  out(0x61, 0x01);
  run(900'000, 100'000);
  EXPECT_EQ(in(0x61) & 0x20, 0);
  run(200'000, 100'000);
  EXPECT_EQ(in(0x61) & 0x21, 0x21);
}

TEST_F(PitTest, RefreshBitToggles) {
  const u8 first = in(0x61) & 0x10;
  source.advance(15'085);
  EXPECT_NE(in(0x61) & 0x10, first);
}

TEST_F(PitTest, ReadBackLatchesSeveralCounters) {
  program_hz(2, 1000);
  out(0x43, 0xB4);
  out(0x42, 0x10);
  out(0x42, 0x00);
  source.advance(100'000);
  out(0x43, 0xC0 | 0x02 | 0x08);  // count and status of 0 and 2
  EXPECT_EQ(in(0x40) & 0x3F, 0x34);
  EXPECT_EQ(in(0x40) | in(0x40) << 8, 1000 - 118);
  EXPECT_EQ(in(0x42) & 0x3F, 0x34);
}

TEST_F(PitTest, DisconnectedCounterIsSilent) {
  program_hz(2, 1193);
  pit.set_channel0_connected(false);
  rises.rises = 0;
  run(50'000'000, 1'000'000);
  EXPECT_EQ(rises.rises, 0);
  EXPECT_EQ(clock.next_deadline(), bus::VirtualClock::kNever);
}

}  // namespace
}  // namespace xm::devices
