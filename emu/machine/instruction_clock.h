// SPDX-License-Identifier: GPL-2.0-or-later
// Guest time by retired instructions (-icount): one instruction takes 2^shift nanoseconds, and time that nobody uses is
// skipped. A guest without outside input then executes the same instructions on every run (docs/time.md).
//
// One vCPU; its thread owns the clock and runs the timers. Other threads see the time of the last look.
#pragma once

#include <atomic>
#include <thread>

#include "cpu/engine.h"
#include "emu/bus/virtual_clock.h"

namespace xm::machine {

class InstructionClock final : public bus::ClockSource {
 public:
  explicit InstructionClock(unsigned shift) : shift_(shift) {}

  // On the vCPU's thread, before it runs the engine.
  void own(const cpu::Engine& engine) {
    engine_ = &engine;
    owner_.store(std::this_thread::get_id());
  }
  Nanos now() const override {
    if (std::this_thread::get_id() != owner_.load()) return {last_.load(std::memory_order_relaxed)};
    // A block counts when it is entered, and a fault takes back what it did not do: time does not follow it back.
    const i64 here = base_ + static_cast<i64>(engine_->instructions_here() << shift_);
    const i64 last = std::max(last_.load(std::memory_order_relaxed), here);
    last_.store(last, std::memory_order_relaxed);
    return {last};
  }
  // Moves time forward; the vCPU's thread, or while it stands still.
  void skip_to(Nanos time) {
    const i64 gap = time.value - last_.load();
    if (gap <= 0) return;
    base_ += gap;
    last_.store(time.value);
  }
  // Makes it `time` now, for snapshots; while the vCPU stands still, after its state was set.
  void set(Nanos time, u64 instructions) {
    base_ = time.value - static_cast<i64>(instructions << shift_);
    last_.store(time.value);
  }
  // Instructions until `deadline`, at least one.
  u64 instructions_until(Nanos deadline) const {
    const i64 gap = deadline.value - now().value;
    return gap <= 0 ? 1 : (static_cast<u64>(gap) + (u64{1} << shift_) - 1) >> shift_;
  }

 private:
  const unsigned shift_;
  const cpu::Engine* engine_ = nullptr;
  std::atomic<std::thread::id> owner_{};
  i64 base_ = 0;
  mutable std::atomic<i64> last_{0};
};

}  // namespace xm::machine
