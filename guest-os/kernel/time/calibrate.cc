// SPDX-License-Identifier: GPL-2.0-or-later
// Each reading of a clock stands between two readings of the TSC; what lies between is the reading's uncertainty. The
// tightest of several is taken at both ends of a window, so that a pause of the host inside the window does no harm
// (all clocks go on) and one inside a reading is seen. Windows grow until the bound is small and two clocks agree.
#include "kernel/time/calibrate.h"

namespace xm::os {
namespace {

constexpr u64 kFirstWindowUs = 5000;
constexpr u32 kAttempts = 5;
constexpr u32 kReadings = 8;
constexpr u64 kGoodPpm = 1000;
constexpr u32 kStuckReadings = 100000;

struct Reading {
  bool valid = false;
  u64 value = 0, tsc = 0, width = ~0ul;  // tsc: the middle
};

Reading read_clock(tsc_reader& tsc, reference_clock& clock) {
  Reading best;
  for (u32 i = 0; i < kReadings; ++i) {
    u64 value;
    const u64 before = tsc.read();
    if (!clock.read(value)) return {};
    const u64 after = tsc.read();
    if (best.valid && after - before >= best.width) continue;
    best = {true, value, before + (after - before) / 2, after - before};
  }
  return best;
}

// Waits until the clock has moved by `ticks`; false: it does not move, or has run out.
bool wait_ticks(reference_clock& clock, u64 start, u64 ticks) {
  u64 last = start;
  for (u32 unchanged = 0; unchanged < kStuckReadings; ++unchanged) {
    u64 now;
    if (!clock.read(now)) return false;
    if (((now - start) & clock.mask) >= ticks) return true;
    if (now != last) unchanged = 0;
    last = now;
  }
  return false;
}

// Fits as long as a window is shorter than half a minute: 2^37 cycles, 2^27 ticks a second.
u64 scaled(u64 a, u64 b, u64 c) { return c == 0 ? 0 : a * b / c; }

struct Window {
  Reading begin[kMaxClocks], end[kMaxClocks];
};

bool measure(tsc_reader& tsc, reference_clock* const* clocks, u32 count, u64 window_us, Window& w) {
  for (u32 i = 0; i < count; ++i) {
    clocks[i]->start();
    w.begin[i] = read_clock(tsc, *clocks[i]);
  }
  bool waited = false;
  for (u32 i = 0; i < count && !waited; ++i) {
    if (clocks[i]->hz == 0 || !w.begin[i].valid) continue;
    waited = wait_ticks(*clocks[i], w.begin[i].value, clocks[i]->hz * window_us / 1000000);
  }
  if (!waited) return false;
  for (u32 i = 0; i < count; ++i) w.end[i] = read_clock(tsc, *clocks[i]);
  return true;
}

void take_window(reference_clock* const* clocks, u32 count, const Window& w, calibration& out) {
  u64 khz[kMaxClocks]{}, ppm[kMaxClocks]{};
  u32 best = kMaxClocks;
  for (u32 i = 0; i < count; ++i) {
    if (clocks[i]->hz == 0 || !w.begin[i].valid || !w.end[i].valid) continue;
    const u64 ticks = (w.end[i].value - w.begin[i].value) & clocks[i]->mask, cycles = w.end[i].tsc - w.begin[i].tsc;
    if (ticks == 0 || cycles == 0) continue;
    khz[i] = scaled(cycles, clocks[i]->hz, ticks * 1000);
    ppm[i] = scaled(w.begin[i].width + w.end[i].width, 500000, cycles) + 1000000 / ticks;
    if (best == kMaxClocks || ppm[i] < ppm[best]) best = i;
  }
  if (best == kMaxClocks) return;
  bool agreed = false;
  for (u32 i = 0; i < count; ++i) {
    const u64 difference = khz[i] > khz[best] ? khz[i] - khz[best] : khz[best] - khz[i];
    agreed |= i != best && khz[i] != 0 && scaled(difference, 1000000, khz[best]) <= 10000 + ppm[i] + ppm[best];
  }
  if (agreed < out.agreed || (agreed == out.agreed && ppm[best] >= out.error_ppm)) return;
  out.tsc_khz = khz[best];
  out.error_ppm = ppm[best];
  out.source = clocks[best]->name;
  out.agreed = agreed;
  for (u32 i = 0; i < count; ++i) {
    const u64 ticks = (w.end[i].value - w.begin[i].value) & clocks[i]->mask;
    if (w.begin[i].valid && w.end[i].valid)
      out.clock_khz[i] = scaled(ticks, out.tsc_khz, w.end[i].tsc - w.begin[i].tsc);
  }
}

}  // namespace

calibration calibrate_tsc(tsc_reader& tsc, reference_clock* const* clocks, u32 count) {
  calibration result;
  u32 with_rate = 0;
  for (u32 i = 0; i < count; ++i) with_rate += clocks[i]->hz != 0 ? 1 : 0;
  u64 window_us = kFirstWindowUs;
  for (u32 attempt = 0; attempt < kAttempts; ++attempt, window_us *= 2) {
    Window w;
    if (!measure(tsc, clocks, count, window_us, w)) continue;
    take_window(clocks, count, w, result);
    if (result.error_ppm <= kGoodPpm && (result.agreed || with_rate < 2)) break;
  }
  return result;
}

}  // namespace xm::os
