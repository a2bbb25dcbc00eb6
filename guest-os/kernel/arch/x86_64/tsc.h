// SPDX-License-Identifier: GPL-2.0-or-later
// The rates of the TSC and of the local APIC's timer, found once at start.
#pragma once

#include "kernel/lib/types.h"

namespace xm::os {

struct ClockRates {
  u64 tsc_khz;
  u64 lapic_khz;  // timer ticks (after the divider) per ms; 0 without a local APIC
};
ClockRates calibrate_clocks();

}  // namespace xm::os
