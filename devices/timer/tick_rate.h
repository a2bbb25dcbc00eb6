// SPDX-License-Identifier: GPL-2.0-or-later
// Frequencies of a PC's timers as exact fractions of guest nanoseconds, so that they never drift against each other:
// all derive from the 14.31818 MHz crystal (315/22 MHz) or from whole megahertz.
#pragma once

#include "emu/base/types.h"

namespace xm::devices {

struct TickRate {
  u64 ticks;            // this many ticks ...
  u64 per_nanoseconds;  // ... in this time

  // Ticks completed at guest time ns (0 before power-on).
  constexpr u64 ticks_at(i64 ns) const {
    return ns <= 0 ? 0 : static_cast<u64>(static_cast<u128>(ns) * ticks / per_nanoseconds);
  }
  // First nanosecond at which `tick` ticks are completed.
  constexpr i64 time_of(u64 tick) const {
    const u128 ns = (static_cast<u128>(tick) * per_nanoseconds + ticks - 1) / ticks;
    return ns > static_cast<u128>(INT64_MAX) ? INT64_MAX : static_cast<i64>(ns);
  }
};

inline constexpr TickRate kPitRate{105, 88'000};      // 1.193182 MHz
inline constexpr TickRate kPmTimerRate{315, 88'000};  // 3.579545 MHz
inline constexpr TickRate kRtcRate{32'768, 1'000'000'000};

}  // namespace xm::devices
