// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/bus/virtual_clock.h"

#include <tuple>

namespace xm::bus {

bool VirtualClock::Order::operator()(const Timer* a, const Timer* b) const {
  return std::tie(a->deadline_.value, a->sequence_) < std::tie(b->deadline_.value, b->sequence_);
}

Nanos VirtualClock::next_deadline() const { return queue_.empty() ? kNever : (*queue_.begin())->deadline_; }

void VirtualClock::run_due() {
  // A callback that re-arms itself in the past must not keep us here for ever: only what was due on entry runs.
  const Nanos limit = now();
  const u64 last_sequence = next_sequence_;
  while (!queue_.empty()) {
    Timer* timer = *queue_.begin();
    if (timer->deadline_ > limit || timer->sequence_ >= last_sequence) break;
    timer->disarm();
    timer->callback_();
  }
}

void Timer::arm(Nanos deadline) {
  disarm();
  const bool earlier = deadline < clock_.next_deadline();
  deadline_ = deadline;
  sequence_ = clock_.next_sequence_++;
  armed_ = true;
  clock_.queue_.insert(this);
  if (earlier && clock_.wake_) clock_.wake_();
}

void Timer::disarm() {
  if (!armed_) return;
  clock_.queue_.erase(this);
  armed_ = false;
}

}  // namespace xm::bus
