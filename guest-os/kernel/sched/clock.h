// SPDX-License-Identifier: GPL-2.0-or-later
// Time: the monotonic clock from the TSC, wall time as an offset to it, and busy waits. Calibration is in
// arch/x86_64/time.cc.
#pragma once

#include "kernel/lib/types.h"

namespace xm::os {

u64 local_clock();     // ns since the TSC was calibrated; 0 before
u64 ktime_get();       // CLOCK_MONOTONIC, ns
u64 ktime_get_real();  // CLOCK_REALTIME, ns since 1970
void set_real_time(u64 ns);
u64 real_time_changes();  // how often it was set
void udelay(u64 microseconds);
void ndelay(u64 nanoseconds);

constexpr u64 kHz = 250;
constexpr u64 kTickNs = kNsPerSec / kHz;
constexpr u64 kUserHz = 100;

}  // namespace xm::os
