// SPDX-License-Identifier: GPL-2.0-or-later
// Guest time fed by the host's monotonic clock. It stands still while the machine is stopped, so that a paused guest
// finds no time gone. now() may be called from any thread.
#pragma once

#include <atomic>

#include "emu/bus/virtual_clock.h"

namespace xm::machine {

class HostClock final : public bus::ClockSource {
 public:
  Nanos now() const override;
  void pause();
  void resume();
  void set(Nanos now) { frozen_.store(now.value); }  // while paused

 private:
  // While running, guest time = host time + offset; while paused, frozen_ is the guest time.
  std::atomic<bool> running_{false};
  std::atomic<i64> offset_{0};
  std::atomic<i64> frozen_{0};
};

}  // namespace xm::machine
