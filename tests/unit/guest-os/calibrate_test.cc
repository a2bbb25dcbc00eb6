// SPDX-License-Identifier: GPL-2.0-or-later
// The TSC's calibration on a host that takes the processor away: time goes on between any two readings.
#include <gtest/gtest.h>

#include <random>

#include "kernel/time/calibrate.h"

namespace xm::os {
namespace {

constexpr double kTscKhz = 2600000;

// One true time in ns; every access costs some, and now and then the host is away for milliseconds.
struct Host {
  double now = 1e9;
  double access_ns = 800;
  double pause_probability = 0;
  double pause_ms = 0;
  std::mt19937 random{1};

  void access() {
    now += access_ns;
    if (std::uniform_real_distribution<>(0, 1)(random) < pause_probability)
      now += std::uniform_real_distribution<>(0.2, pause_ms)(random) * 1e6;
  }
};
struct SimulatedTsc final : tsc_reader {
  explicit SimulatedTsc(Host& h) : host(h) {}
  u64 read() override { return static_cast<u64>(host.now * kTscKhz / 1e6); }
  Host& host;
};
struct SimulatedClock final : reference_clock {
  SimulatedClock(Host& h, const char* n, u64 rate, u64 wrap) : host(h) {
    name = n;
    hz = rate;
    mask = wrap;
  }
  void start() override { started = host.now; }
  bool read(u64& value) override {
    host.access();
    value = stopped ? 77 : static_cast<u64>((host.now - started) * 1e-9 * static_cast<double>(hz) * factor) & mask;
    const bool good = !one_shot || (host.now - started) * 1e-9 * static_cast<double>(hz) < static_cast<double>(mask);
    host.access();
    return good;
  }
  Host& host;
  double started = 0, factor = 1;
  bool one_shot = false, stopped = false;
};

struct Pc {
  Host host;
  SimulatedTsc tsc{host};
  SimulatedClock pm{host, "PM", 3579545, 0xffffff};
  SimulatedClock pit{host, "PIT", 1193182, 0xffff};
  reference_clock* clocks[2] = {&pm, &pit};
  Pc() { pit.one_shot = true; }
  calibration run() { return calibrate_tsc(tsc, clocks, 2); }
};

double error_of(const calibration& c) { return std::abs(static_cast<double>(c.tsc_khz) / kTscKhz - 1); }

TEST(Calibration, QuietHost) {
  Pc pc;
  const calibration c = pc.run();
  EXPECT_TRUE(c.agreed);
  EXPECT_LT(error_of(c), 0.001);
  EXPECT_LE(error_of(c) * 1e6, static_cast<double>(c.error_ppm));
}

TEST(Calibration, HostThatIsAwayOften) {
  for (unsigned seed = 0; seed < 200; ++seed) {
    Pc pc;
    pc.host.random.seed(seed);
    pc.host.pause_probability = 0.1;
    pc.host.pause_ms = 20;
    const calibration c = pc.run();
    ASSERT_NE(c.tsc_khz, 0u) << seed;
    EXPECT_LT(error_of(c), 0.005) << "seed " << seed << " source " << c.source << " ppm " << c.error_ppm;
  }
}

TEST(Calibration, SlowAccessesMakeLongerWindows) {
  Pc pc;
  pc.host.access_ns = 50000;
  const calibration c = pc.run();
  EXPECT_LT(error_of(c), 0.01);
}

TEST(Calibration, AClockThatStandsStillIsLeftOut) {
  Pc pc;
  pc.host.access_ns = 100;
  pc.pm.stopped = true;
  const calibration c = pc.run();
  EXPECT_STREQ(c.source, "PIT");
  EXPECT_FALSE(c.agreed);
  EXPECT_LT(error_of(c), 0.002);
}

TEST(Calibration, ClocksThatDisagreeAreTold) {
  Pc pc;
  pc.pit.factor = 1.3;
  EXPECT_FALSE(pc.run().agreed);
}

TEST(Calibration, NoClockGivesNothing) {
  Pc pc;
  pc.pm.stopped = pc.pit.stopped = true;
  pc.host.access_ns = 100;
  EXPECT_EQ(pc.run().tsc_khz, 0u);
}

}  // namespace
}  // namespace xm::os
