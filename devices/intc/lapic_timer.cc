// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/intc/lapic_timer.h"

#include <algorithm>

namespace xm::devices {

// Divide configuration: bits 3, 1, 0 give 2, 4, ... 128, and 111 gives 1 [SDM3 Fig. 11-10].
i64 LapicTimer::tick_ns() const {
  const unsigned code = (divide_ & 3) | ((divide_ >> 1) & 4);
  return i64{1} << ((code + 1) & 7);
}

void LapicTimer::settle(i64 now_ns) {
  if (!running_) return;
  const i64 elapsed = now_ns - start_ns_;
  if (elapsed < period_ns()) return;
  if (mode_ == Mode::Periodic) {
    start_ns_ += elapsed / period_ns() * period_ns();
  } else {
    running_ = false;
  }
}

void LapicTimer::set_mode(Mode mode, i64 now_ns) {
  if (mode == mode_) return;
  settle(now_ns);
  if ((mode == Mode::TscDeadline) != (mode_ == Mode::TscDeadline)) {
    running_ = false;
    deadline_ns_ = kNever;
  }
  mode_ = mode;
  expired_through_ns_ = now_ns;
}

void LapicTimer::set_divide(u32 divide_register, i64 now_ns) {
  settle(now_ns);
  const u32 remaining = current_count(now_ns);
  divide_ = divide_register & 0xB;
  if (running_) start_ns_ = now_ns - (i64{initial_} - remaining) * tick_ns();
}

void LapicTimer::set_initial_count(u32 count, i64 now_ns) {
  if (mode_ == Mode::TscDeadline) return;
  initial_ = count;
  running_ = count != 0;
  start_ns_ = expired_through_ns_ = now_ns;
}

u32 LapicTimer::current_count(i64 now_ns) {
  if (mode_ == Mode::TscDeadline) return 0;
  const i64 elapsed = now_ns - start_ns_;
  if (!running_ || (mode_ == Mode::OneShot && elapsed >= period_ns())) return 0;
  return static_cast<u32>(initial_ - std::max<i64>(elapsed, 0) % period_ns() / tick_ns());
}

bool LapicTimer::take_expiry(i64 now_ns) {
  if (next_expiry() > now_ns) return false;
  expired_through_ns_ = now_ns;
  deadline_ns_ = kNever;
  settle(now_ns);
  return true;
}

i64 LapicTimer::next_expiry() const {
  if (mode_ == Mode::TscDeadline) return deadline_ns_;
  if (!running_) return kNever;
  if (mode_ == Mode::OneShot) return start_ns_ + period_ns();
  const i64 since = std::max(expired_through_ns_, start_ns_);
  return start_ns_ + ((since - start_ns_) / period_ns() + 1) * period_ns();
}

i64 LapicTimer::next_expiry_after_tick(const TickPolicy& policy, i64 now_ns) const {
  if (mode_ != Mode::Periodic || !running_) return next_expiry();
  return policy.next_edge_ns(start_ns_ + period_ns(), period_ns(), now_ns);
}

void LapicTimer::exchange(bus::Archive& archive) {
  archive.field("mode", mode_);
  archive.field("running", running_);
  archive.field("initial", initial_);
  archive.field("divide", divide_);
  archive.field("start_ns", start_ns_);
  archive.field("expired_through_ns", expired_through_ns_);
  archive.field("deadline_ns", deadline_ns_);
  if (mode_ > Mode::TscDeadline) mode_ = Mode::OneShot;
  if (initial_ == 0) running_ = false;
}

}  // namespace xm::devices
