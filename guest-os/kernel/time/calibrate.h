// SPDX-License-Identifier: GPL-2.0-or-later
// How fast does the TSC run? Measured against clocks of known rate. Free of hardware, so that a test can play a host
// that takes the processor away in the middle of a measurement.
#pragma once

#include "kernel/lib/types.h"

namespace xm::os {

// A counter that counts up, of `hz` ticks a second (0: not known, to be measured too), wrapping at mask + 1.
struct reference_clock {
  const char* name = "";
  u64 hz = 0;
  u64 mask = ~0ul;
  virtual void start() {}             // at the beginning of each window
  virtual bool read(u64& value) = 0;  // false: the value means nothing (the counter has run out)

 protected:
  ~reference_clock() = default;
};
struct tsc_reader {
  virtual u64 read() = 0;

 protected:
  ~tsc_reader() = default;
};

constexpr u32 kMaxClocks = 4;
struct calibration {
  u64 tsc_khz = 0;              // 0: no clock moved
  u64 error_ppm = ~0ul;         // bound from the width of the readings
  const char* source = "none";  // the clock it comes from
  bool agreed = false;          // a second clock gives the same within 1 %
  u64 clock_khz[kMaxClocks]{};  // of the clocks, in TSC time; for those without hz
};
calibration calibrate_tsc(tsc_reader& tsc, reference_clock* const* clocks, u32 count);

}  // namespace xm::os
