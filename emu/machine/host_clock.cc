// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/machine/host_clock.h"

#include <ctime>

namespace xm::machine {

namespace {

i64 host_now() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return i64{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

}  // namespace

Nanos HostClock::now() const {
  if (!running_.load(std::memory_order_acquire)) return {frozen_.load(std::memory_order_relaxed)};
  return {host_now() + offset_.load(std::memory_order_relaxed)};
}

void HostClock::pause() {
  if (!running_.load()) return;
  frozen_.store(now().value);
  running_.store(false, std::memory_order_release);
}

void HostClock::resume() {
  if (running_.load()) return;
  offset_.store(frozen_.load() - host_now());
  running_.store(true, std::memory_order_release);
}

}  // namespace xm::machine
