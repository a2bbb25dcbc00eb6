// SPDX-License-Identifier: GPL-2.0-or-later
// The count-down timer of a local APIC as a pure function of guest time [SDM3 11.5.4]: one-shot, periodic, TSC
// deadline. The input clock is 1 GHz before the divider, so a tick at divide-by-1 is a nanosecond.
#pragma once

#include "devices/timer/tick_policy.h"
#include "emu/bus/archive.h"

namespace xm::devices {

class LapicTimer {
 public:
  enum class Mode : u8 { OneShot = 0, Periodic = 1, TscDeadline = 2 };
  static constexpr i64 kNever = INT64_MAX;
  static constexpr u64 kInputHz = 1'000'000'000;

  void reset() { *this = LapicTimer{}; }
  // The count goes on across one-shot and periodic; changing to or from TSC deadline stops it.
  void set_mode(Mode mode, i64 now_ns);
  void set_divide(u32 divide_register, i64 now_ns);
  void set_initial_count(u32 count, i64 now_ns);
  // Absolute guest time of the TSC deadline, kNever to disarm.
  void set_deadline(i64 deadline_ns) { deadline_ns_ = deadline_ns; }

  Mode mode() const { return mode_; }
  u32 initial_count() const { return initial_; }
  u32 divide_register() const { return divide_; }
  u32 current_count(i64 now_ns);
  // Is the timer's event due? A one-shot or deadline timer stops by that.
  bool take_expiry(i64 now_ns);
  // When to look again; `policy` thins periodic expiries after one was just delivered.
  i64 next_expiry() const;
  i64 next_expiry_after_tick(const TickPolicy& policy, i64 now_ns) const;
  void exchange(bus::Archive& archive);

 private:
  i64 tick_ns() const;
  i64 period_ns() const { return initial_ * tick_ns(); }
  // Moves start_ns_ to the present period, or stops a one-shot that has run out.
  void settle(i64 now_ns);

  Mode mode_ = Mode::OneShot;
  bool running_ = false;
  u32 initial_ = 0;
  u32 divide_ = 0;
  i64 start_ns_ = 0;            // when the count was last at initial_
  i64 expired_through_ns_ = 0;  // periodic: expiries up to here have been taken
  i64 deadline_ns_ = kNever;
};

}  // namespace xm::devices
