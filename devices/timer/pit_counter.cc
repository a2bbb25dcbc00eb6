// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/timer/pit_counter.h"

#include <algorithm>

#include "emu/base/bits.h"

namespace xm::devices {
namespace {

u32 from_bcd(u16 bcd) {
  u32 value = 0;
  for (int digit = 3; digit >= 0; digit--) value = value * 10 + ((bcd >> (4 * digit)) & 0xF);
  return value;
}

u16 to_bcd(u32 value) {
  u16 bcd = 0;
  for (int digit = 0; digit < 4; digit++, value /= 10) bcd |= static_cast<u16>((value % 10) << (4 * digit));
  return bcd;
}

}  // namespace

void PitCounter::reset(bool gate) {
  *this = PitCounter{};
  gate_ = gate;
}

void PitCounter::write_control(u8 control, u64 now) {
  const auto access = static_cast<Access>(bits(control, 5, 4));
  if (access == Access::Latch) {
    latch_count(now);
    return;
  }
  access_ = access;
  const auto mode = static_cast<u8>(bits(control, 3, 1));
  mode_ = static_cast<Mode>(mode >= 6 ? mode - 4 : mode);  // modes 2 and 3 ignore the top bit
  bcd_ = control & 1;
  started_ = waiting_ = false;
  null_count_ = true;
  write_high_next_ = read_high_next_ = count_latched_ = status_latched_ = false;
}

void PitCounter::latch_count(u64 now) {
  if (count_latched_) return;  // a second latch command is ignored until the first is read
  settle(now);
  count_latched_ = true;
  latch_high_next_ = access_ == Access::High;
  latched_count_ = reading(now);
}

void PitCounter::latch_status(u64 now) {
  if (status_latched_) return;
  const bool out = output(now);
  const bool null_count = null_count_ && (!started_ || waiting_ || now < start_);
  status_latched_ = true;
  latched_status_ = static_cast<u8>((out ? 0x80 : 0) | (null_count ? 0x40 : 0) | (static_cast<u8>(access_) << 4) |
                                    (static_cast<u8>(mode_) << 1) | (bcd_ ? 1 : 0));
}

void PitCounter::write(u8 value, u64 now) {
  settle(now);
  switch (access_) {
    case Access::Latch:
    case Access::Low: written_ = value; break;
    case Access::High: written_ = static_cast<u16>(value << 8); break;
    case Access::LowThenHigh:
      write_high_next_ = !write_high_next_;
      if (write_high_next_) {
        written_ = static_cast<u16>((written_ & 0xFF00) | value);
        // The first byte stops the count and forces OUT low [82C54 Mode 0].
        if (mode_ == Mode::InterruptOnTerminalCount) started_ = false;
        return;
      }
      written_ = static_cast<u16>((written_ & 0xFF) | (value << 8));
      break;
  }
  count_written(now);
}

u32 PitCounter::written_count() const {
  const u32 count = bcd_ ? from_bcd(written_) : written_;
  return count == 0 || count > modulus() ? modulus() : count;
}

void PitCounter::count_written(u64 now) {
  const u32 count = written_count();
  null_count_ = true;
  switch (mode_) {
    case Mode::InterruptOnTerminalCount:
    case Mode::SoftwareStrobe: start_at(now + 1, count); break;
    case Mode::OneShot:
    case Mode::HardwareStrobe:
      if (!started_) count_ = count;  // shown until the first trigger
      break;
    case Mode::RateGenerator:
    case Mode::SquareWave:
      if (!started_ || now < start_ || !gate_) {
        start_at(now + 1, count);
        break;
      }
      if (waiting_) break;  // the newer count replaces the one that waits
      waiting_until_ =
          mode_ == Mode::RateGenerator ? start_ + ((now - start_) / count_ + 1) * count_ : next_change(now);
      if (waiting_until_ == kNever) waiting_until_ = now + 1;
      waiting_ = true;
      break;
  }
}

void PitCounter::start_at(u64 tick, u32 count) {
  count_ = count;
  start_ = tick;
  started_ = true;
  waiting_ = false;
  counting_ = gate_;
  stopped_elapsed_ = 0;
}

void PitCounter::settle(u64 now) {
  if (!waiting_ || now < waiting_until_) return;
  const bool low_half_follows =
      mode_ == Mode::SquareWave && (waiting_until_ - start_) % count_ == high_half() && count_ > 1;
  const u32 count = written_count();
  start_at(waiting_until_, count);
  if (low_half_follows) start_ -= std::min<u64>(start_, high_half());
}

u64 PitCounter::elapsed(u64 now) const {
  if (!counting_) return stopped_elapsed_;
  return now > start_ ? now - start_ : 0;
}

u16 PitCounter::encoded(u32 value) const {
  value %= modulus();
  return bcd_ ? to_bcd(value) : static_cast<u16>(value);
}

u16 PitCounter::reading(u64 now) const {
  if (!started_) return encoded(count_);
  const u64 ticks = elapsed(now);
  switch (mode_) {
    case Mode::RateGenerator: return encoded(static_cast<u32>(count_ - ticks % count_));
    case Mode::SquareWave: {
      // Counts down by two, twice a period; an odd count starts from count - 1 [82C54 Mode 3].
      const auto at = static_cast<u32>(ticks % count_);
      const u32 in_half = at < high_half() ? at : at - high_half();
      return encoded((count_ & ~1u) - 2 * in_half);
    }
    default: return encoded(static_cast<u32>(modulus() + count_ - ticks % modulus()));
  }
}

u8 PitCounter::read(u64 now) {
  if (status_latched_) {
    status_latched_ = false;
    return latched_status_;
  }
  if (count_latched_) {
    const bool high = latch_high_next_;
    if (access_ == Access::LowThenHigh && !high) {
      latch_high_next_ = true;
    } else {
      count_latched_ = false;
    }
    return static_cast<u8>(high ? latched_count_ >> 8 : latched_count_);
  }
  settle(now);
  const u16 value = reading(now);
  bool high = access_ == Access::High;
  if (access_ == Access::LowThenHigh) {
    high = read_high_next_;
    read_high_next_ = !read_high_next_;
  }
  return static_cast<u8>(high ? value >> 8 : value);
}

void PitCounter::set_gate(bool gate, u64 now) {
  settle(now);
  if (gate == gate_) return;
  const u64 ticks = elapsed(now);
  gate_ = gate;
  const u32 count = written_count();
  switch (mode_) {
    case Mode::InterruptOnTerminalCount:
    case Mode::SoftwareStrobe:
      counting_ = gate;
      stopped_elapsed_ = ticks;
      if (gate) start_ = now - std::min(now, ticks);
      break;
    case Mode::OneShot:
    case Mode::HardwareStrobe:
      if (gate && !write_high_next_) {
        start_at(now + 1, count);
        counting_ = true;  // the low level has no effect on these
      }
      counting_ = started_;
      break;
    case Mode::RateGenerator:
    case Mode::SquareWave:
      if (!started_) break;
      if (gate) {
        start_at(now + 1, count);
      } else {
        counting_ = waiting_ = false;
        stopped_elapsed_ = ticks;
      }
      break;
  }
}

bool PitCounter::output(u64 now) {
  settle(now);
  if (!started_) return mode_ != Mode::InterruptOnTerminalCount;
  const u64 ticks = elapsed(now);
  const bool loaded = !counting_ || now >= start_;
  switch (mode_) {
    case Mode::InterruptOnTerminalCount: return ticks >= count_;
    case Mode::OneShot: return !loaded || ticks >= count_;
    case Mode::RateGenerator: return !counting_ || ticks % count_ != count_ - 1 || count_ == 1;
    case Mode::SquareWave: return !counting_ || ticks % count_ < high_half();
    case Mode::SoftwareStrobe:
    case Mode::HardwareStrobe: return ticks != count_;
  }
  return true;
}

u64 PitCounter::next_change(u64 now) {
  settle(now);
  if (!started_ || !counting_) return kNever;
  const u64 terminal = start_ + count_;
  switch (mode_) {
    case Mode::InterruptOnTerminalCount: return terminal > now ? terminal : kNever;
    case Mode::OneShot: return start_ > now ? start_ : terminal > now ? terminal : kNever;
    case Mode::SoftwareStrobe:
    case Mode::HardwareStrobe: return terminal > now ? terminal : terminal + 1 > now ? terminal + 1 : kNever;
    case Mode::RateGenerator:
    case Mode::SquareWave: break;
  }
  if (count_ == 1) return kNever;  // not allowed in modes 2 and 3: OUT stays high
  const u64 within = mode_ == Mode::RateGenerator ? count_ - 1 : high_half();
  const u64 period_start = start_ + elapsed(now) / count_ * count_;
  return now < period_start + within ? period_start + within : period_start + count_;
}

u64 PitCounter::next_rise(u64 now) const {
  PitCounter ahead = *this;
  for (int changes = 0; changes < 4; changes++) {
    now = ahead.next_change(now);
    if (now == kNever || ahead.output(now)) return now;
  }
  return kNever;
}

void PitCounter::exchange(bus::Archive& archive) {
  archive.field("mode", mode_);
  archive.field("access", access_);
  archive.field("bcd", bcd_);
  archive.field("gate", gate_);
  archive.field("written", written_);
  archive.field("count", count_);
  archive.field("started", started_);
  archive.field("counting", counting_);
  archive.field("start", start_);
  archive.field("stopped_elapsed", stopped_elapsed_);
  archive.field("waiting", waiting_);
  archive.field("waiting_until", waiting_until_);
  archive.field("null_count", null_count_);
  archive.field("write_high_next", write_high_next_);
  archive.field("read_high_next", read_high_next_);
  archive.field("count_latched", count_latched_);
  archive.field("latch_high_next", latch_high_next_);
  archive.field("latched_count", latched_count_);
  archive.field("status_latched", status_latched_);
  archive.field("latched_status", latched_status_);
  if (count_ == 0 || count_ > modulus()) count_ = modulus();
  if (mode_ > Mode::HardwareStrobe) mode_ = Mode::InterruptOnTerminalCount;
}

}  // namespace xm::devices
