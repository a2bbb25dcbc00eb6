// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/timer/hpet.h"

#include <algorithm>

#include "emu/base/bits.h"

namespace xm::devices {
namespace {

constexpr i64 kTickNs = 10;
constexpr u64 kPeriodFemtoseconds = 10'000'000;

// Register offsets [HPET 2.3].
constexpr u64 kCapabilities = 0x000;
constexpr u64 kConfig = 0x010;
constexpr u64 kStatus = 0x020;
constexpr u64 kCounter = 0x0F0;
constexpr u64 kFirstTimer = 0x100;  // 20h bytes each: configuration, comparator, FSB route

constexpr u64 kConfigEnable = 1 << 0;
constexpr u64 kConfigLegacy = 1 << 1;

// Timer configuration.
constexpr unsigned kLevelBit = 1;
constexpr unsigned kInterruptBit = 2;
constexpr unsigned kPeriodicBit = 3;
constexpr u64 kPeriodicCapable = 1 << 4;
constexpr u64 kWideCapable = 1 << 5;
constexpr unsigned kValueSetBit = 6;
constexpr unsigned k32BitBit = 8;
constexpr u64 kTimerWritable = 0x3F4E;  // level, enable, periodic, value set, 32-bit, route

}  // namespace

Hpet::Hpet(Wires wires, bus::VirtualClock& clock, const TickPolicy& policy)
    : wires_(std::move(wires)), clock_(clock), policy_(policy) {
  for (unsigned i = 0; i < kTimers; i++) alarms_[i] = std::make_unique<bus::Timer>(clock, [this, i] { match(i); });
}

void Hpet::reset() {
  for (unsigned i = 0; i < kTimers; i++) {
    set_line(i, false);
    alarms_[i]->disarm();
    timers_[i] =
        Comparator{.config = kPeriodicCapable | kWideCapable | u64{kRoutes} << 32, .value = ~u64{0}, .period = 0};
  }
  config_ = status_ = counter_offset_ = 0;
  if (wires_.on_legacy) wires_.on_legacy(false);
}

bool Hpet::enabled() const { return config_ & kConfigEnable; }
bool Hpet::periodic(unsigned index) const { return has_bit(timers_[index].config, kPeriodicBit); }
u64 Hpet::width_mask(unsigned index) const { return has_bit(timers_[index].config, k32BitBit) ? ~u32{0} : ~u64{0}; }

u64 Hpet::counter() const {
  return enabled() ? counter_offset_ + static_cast<u64>(clock_.now().value / kTickNs) : counter_offset_;
}

// ---- registers
// -------------------------------------------------------------------------------------------------------

u64 Hpet::mmio_read(u64 offset, unsigned size_bytes) {
  if (size_bytes < 4) return 0;
  return read_register(offset & ~u64{7}) >> (8 * (offset & 4)) & mask_of_bytes(size_bytes);
}

void Hpet::mmio_write(u64 offset, u64 value, unsigned size_bytes) {
  if (size_bytes < 4) return;
  const unsigned shift = 8 * (offset & 4);
  const u64 mask = mask_of_bytes(size_bytes) << shift;
  const u64 at = offset & ~u64{7};
  write_register(at, (read_register(at) & ~mask) | (value << shift & mask), mask);
}

u64 Hpet::read_register(u64 offset) const {
  switch (offset) {
    case kCapabilities: return kPeriodFemtoseconds << 32 | kBlockId;
    case kConfig: return config_;
    case kStatus: return status_;
    case kCounter: return counter();
    default: break;
  }
  const u64 index = (offset - kFirstTimer) / 0x20;
  if (offset < kFirstTimer || index >= kTimers) return 0;
  switch (offset & 0x18) {
    case 0x00: return timers_[index].config;
    case 0x08: return timers_[index].value & width_mask(static_cast<unsigned>(index));
    default: return 0;
  }
}

void Hpet::write_register(u64 offset, u64 value, u64 written_mask) {
  switch (offset) {
    case kConfig: write_general_config(value); return;
    case kStatus: write_status(value & written_mask); return;
    case kCounter:
      if (!enabled()) counter_offset_ = value;  // undefined while it runs
      return;
    default: break;
  }
  const u64 index = (offset - kFirstTimer) / 0x20;
  if (offset < kFirstTimer || index >= kTimers) return;
  if ((offset & 0x18) == 0x00) write_timer_config(static_cast<unsigned>(index), value);
  if ((offset & 0x18) == 0x08) write_comparator(static_cast<unsigned>(index), value, written_mask);
}

void Hpet::write_general_config(u64 value) {
  const u64 before = counter();
  const bool legacy_changed = (value ^ config_) & kConfigLegacy;
  if (legacy_changed) {
    for (unsigned i = 0; i < kTimers; i++) set_line(i, false);
  }
  config_ = value & (kConfigEnable | kConfigLegacy);
  counter_offset_ = enabled() ? before - static_cast<u64>(clock_.now().value / kTickNs) : before;
  if (legacy_changed && wires_.on_legacy) wires_.on_legacy(config_ & kConfigLegacy);
  for (unsigned i = 0; i < kTimers; i++) arm(i);
}

void Hpet::write_timer_config(unsigned index, u64 value) {
  Comparator& timer = timers_[index];
  set_line(index, false);
  timer.config = (timer.config & ~kTimerWritable) | (value & kTimerWritable);
  // A route that is not offered reads back as none [HPET 2.3.8].
  const auto route = static_cast<unsigned>(bits(timer.config, 13, 9));
  if (!has_bit(kRoutes, route)) timer.config = with_bits(timer.config, 13, 9, 0);
  if (has_bit(timer.config, kLevelBit) && has_bit(timer.config, kInterruptBit) && has_bit(status_, index)) {
    set_line(index, true);
  }
  arm(index);
}

// Of a periodic timer a write sets the period, and the first match too if "value set" asks for it; that bit falls by
// the write [HPET 2.3.9.2].
void Hpet::write_comparator(unsigned index, u64 value, u64 written_mask) {
  Comparator& timer = timers_[index];
  const u64 mask = width_mask(index);
  if (!periodic(index) || has_bit(timer.config, kValueSetBit)) timer.value = value & mask;
  if (periodic(index)) timer.period = ((timer.period & ~written_mask) | (value & written_mask)) & mask;
  if (mask != ~u64{0} || written_mask >> 32) timer.config &= ~bit(kValueSetBit);
  arm(index);
}

void Hpet::write_status(u64 value) {
  for (unsigned i = 0; i < kTimers; i++) {
    if (has_bit(value, i) && has_bit(status_, i)) {
      status_ &= ~bit(i);
      set_line(i, false);
    }
  }
}

// ---- matches
// ---------------------------------------------------------------------------------------------------------

void Hpet::arm(unsigned index) {
  const Comparator& timer = timers_[index];
  if (!enabled() || !has_bit(timer.config, kInterruptBit)) {
    alarms_[index]->disarm();
    return;
  }
  // The comparison is for equality: a value that lies behind is met after the counter has wrapped.
  const u64 mask = width_mask(index);
  u64 ticks = (timer.value - counter()) & mask;
  if (ticks == 0) ticks = mask;
  const i64 now = clock_.now().value;
  const auto furthest = static_cast<u64>((INT64_MAX - now) / kTickNs - 1);
  if (ticks > furthest) {
    alarms_[index]->disarm();
  } else {
    alarms_[index]->arm(Nanos{(now / kTickNs + static_cast<i64>(ticks)) * kTickNs});
  }
}

void Hpet::match(unsigned index) {
  deliver(index);
  if (periodic(index)) advance(index);
  arm(index);
}

void Hpet::advance(unsigned index) {
  Comparator& timer = timers_[index];
  if (timer.period == 0) return;
  const u64 mask = width_mask(index);
  const i64 now = clock_.now().value;
  const u64 wait = static_cast<u64>((policy_.earliest_next_ns(now) - now) / kTickNs);
  const u64 behind = (counter() + wait - timer.value) & mask;  // at least 0: the match has been reached
  timer.value = (timer.value + (behind / timer.period + 1) * timer.period) & mask;
}

void Hpet::deliver(unsigned index) {
  if (has_bit(timers_[index].config, kLevelBit)) {
    status_ |= bit(index);
    set_line(index, true);
  } else {
    set_line(index, true);
    set_line(index, false);
  }
}

void Hpet::set_line(unsigned index, bool level) {
  if ((config_ & kConfigLegacy) && index < 2) {
    (index == 0 ? wires_.legacy_timer : wires_.legacy_rtc).set(level);
  } else if (const auto route = static_cast<unsigned>(bits(timers_[index].config, 13, 9)); has_bit(kRoutes, route)) {
    wires_.ioapic.set_input(route, level);
  }
}

void Hpet::exchange(bus::Archive& archive) {
  archive.field("config", config_);
  archive.field("status", status_);
  archive.field("counter_offset", counter_offset_);
  archive.field("timers", timers_);
  if (!archive.loading()) return;
  if (wires_.on_legacy) wires_.on_legacy(config_ & kConfigLegacy);
  for (unsigned i = 0; i < kTimers; i++) arm(i);
}

}  // namespace xm::devices
