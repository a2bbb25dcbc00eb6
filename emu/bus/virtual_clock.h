// SPDX-License-Identifier: GPL-2.0-or-later
// Guest time: nanoseconds since power-on and one ordered queue of timers. Devices never ask the host for the time. What
// feeds the clock (host time while the machine runs, or retired instructions) is the machine's choice.
// now() may be called from any thread; everything else needs the machine lock.
#pragma once

#include <functional>
#include <set>

#include "emu/base/types.h"

namespace xm::bus {

class ClockSource {
 public:
  virtual Nanos now() const = 0;

 protected:
  ~ClockSource() = default;
};

// A source that stands still until told otherwise: tests and instruction-counted time.
class ManualClock final : public ClockSource {
 public:
  Nanos now() const override { return now_; }
  void set(Nanos now) { now_ = now; }
  void advance(i64 nanoseconds) { now_.value += nanoseconds; }

 private:
  Nanos now_{};
};

class Timer;

class VirtualClock {
 public:
  explicit VirtualClock(const ClockSource& source) : source_(source) {}
  VirtualClock(const VirtualClock&) = delete;
  VirtualClock& operator=(const VirtualClock&) = delete;

  Nanos now() const { return source_.now(); }
  // Runs the callbacks of all timers due at now(), in order of deadline and then of arming.
  void run_due();
  // Earliest deadline, or kNever.
  Nanos next_deadline() const;
  // Called (with the machine lock held) whenever the earliest deadline moves nearer: wakes the thread that waits for
  // it.
  void on_earlier_deadline(std::function<void()> callback) { wake_ = std::move(callback); }

  static constexpr Nanos kNever{INT64_MAX};

 private:
  friend class Timer;
  struct Order {
    bool operator()(const Timer* a, const Timer* b) const;
  };
  const ClockSource& source_;
  std::set<Timer*, Order> queue_;
  std::function<void()> wake_;
  u64 next_sequence_ = 0;
};

// A one-shot alarm; the callback may arm it again. Disarms itself when destroyed.
class Timer {
 public:
  Timer(VirtualClock& clock, std::function<void()> callback) : clock_(clock), callback_(std::move(callback)) {}
  ~Timer() { disarm(); }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  void arm(Nanos deadline);
  void disarm();
  bool armed() const { return armed_; }
  Nanos deadline() const { return armed_ ? deadline_ : VirtualClock::kNever; }

 private:
  friend class VirtualClock;
  VirtualClock& clock_;
  std::function<void()> callback_;
  Nanos deadline_{};
  u64 sequence_ = 0;
  bool armed_ = false;
};

}  // namespace xm::bus
