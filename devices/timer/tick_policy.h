// SPDX-License-Identifier: GPL-2.0-or-later
// The lost-tick policy shared by the periodic timers (PIT, RTC, HPET, local APIC): docs/time.md. Edges stay on the grid
// that the guest programmed, but an edge is left out if it would follow the last one too closely, so that an engine
// that needs longer than a period for the tick handler still makes progress.
#pragma once

#include <algorithm>
#include <atomic>

#include "emu/base/types.h"

namespace xm::devices {

class TickPolicy {
 public:
  // Least distance between two edges of one periodic timer. The machine sets it from the measured speed of its engine
  // (the time of some tens of thousands of guest instructions); any thread.
  i64 minimum_spacing_ns() const { return minimum_spacing_ns_.load(std::memory_order_relaxed); }
  void set_minimum_spacing_ns(i64 ns) { minimum_spacing_ns_.store(std::max<i64>(ns, 0), std::memory_order_relaxed); }

  // The earliest time at which the edge after one delivered at now_ns may follow.
  i64 earliest_next_ns(i64 now_ns) const { return now_ns + std::max<i64>(minimum_spacing_ns(), 1); }

  // First edge of the grid origin + k * period that the policy allows after one delivered at now_ns. period_ns > 0.
  i64 next_edge_ns(i64 origin_ns, i64 period_ns, i64 now_ns) const {
    const i64 earliest = earliest_next_ns(now_ns);
    if (earliest <= origin_ns) return origin_ns;
    const i64 periods = (earliest - origin_ns + period_ns - 1) / period_ns;
    return origin_ns + periods * period_ns;
  }

 private:
  std::atomic<i64> minimum_spacing_ns_{50'000};
};

}  // namespace xm::devices
