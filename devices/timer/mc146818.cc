// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/timer/mc146818.h"

#include <algorithm>

#include "emu/base/bits.h"

namespace xm::devices {
namespace {

constexpr i64 kSecond = 1'000'000'000;
constexpr i64 kUpdateWindowNs = 244'000 + 1'984'000;
constexpr i64 kSecondsOfDay = 86'400;

// Register map [MC146818 Fig. 11].
constexpr u8 kSeconds = 0x00;
constexpr u8 kSecondsAlarm = 0x01;
constexpr u8 kMinutes = 0x02;
constexpr u8 kMinutesAlarm = 0x03;
constexpr u8 kHours = 0x04;
constexpr u8 kHoursAlarm = 0x05;
constexpr u8 kWeekday = 0x06;
constexpr u8 kDay = 0x07;
constexpr u8 kMonth = 0x08;
constexpr u8 kYear = 0x09;
constexpr u8 kA = 0x0A;
constexpr u8 kB = 0x0B;
constexpr u8 kC = 0x0C;
constexpr u8 kD = 0x0D;
constexpr u8 kCentury = 0x32;

constexpr u8 kAUip = 0x80;
constexpr u8 kBSet = 0x80;
constexpr u8 kBPeriodic = 0x40;
constexpr u8 kBAlarm = 0x20;
constexpr u8 kBUpdate = 0x10;
constexpr u8 kBBinary = 0x04;
constexpr u8 kB24Hour = 0x02;
constexpr u8 kCInterrupt = 0x80;
constexpr u8 kCFlags = 0x70;  // PF, AF, UF: the same bits as their enables
constexpr u8 kDValid = 0x80;

i64 floor_div(i64 a, i64 b) { return a / b - (a % b < 0 ? 1 : 0); }

struct Date {
  i64 year;
  unsigned month;  // 1..12
  unsigned day;    // 1..31
};

// Days since 1970-01-01 of the proleptic Gregorian calendar, and back; years are counted from March so that the leap
// day is the last one.
i64 days_of(Date date) {
  const i64 year = date.month <= 2 ? date.year - 1 : date.year;
  const i64 era = floor_div(year, 400);
  const i64 year_of_era = year - era * 400;
  const i64 day_of_year = (153 * ((date.month + 9) % 12) + 2) / 5 + date.day - 1;
  return era * 146'097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719'468;
}

Date date_of(i64 days) {
  days += 719'468;
  const i64 era = floor_div(days, 146'097);
  const i64 day_of_era = days - era * 146'097;
  const i64 year_of_era = (day_of_era - day_of_era / 1'460 + day_of_era / 36'524 - day_of_era / 146'096) / 365;
  const i64 day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const auto march_month = static_cast<unsigned>((5 * day_of_year + 2) / 153);
  const auto day = static_cast<unsigned>(day_of_year - (153 * march_month + 2) / 5 + 1);
  const unsigned month = march_month < 10 ? march_month + 3 : march_month - 9;
  return {era * 400 + year_of_era + (month <= 2 ? 1 : 0), month, day};
}

}  // namespace

Mc146818::Mc146818(bus::IrqLine& irq, bus::VirtualClock& clock, const TickPolicy& policy, i64 base_unix_ns)
    : irq_(irq), clock_(clock), policy_(policy), timer_(clock, [this] { settle(); }), offset_ns_(base_unix_ns) {
  cmos_[kA] = 0x26;  // 32768 Hz, 1024 Hz periodic rate
  cmos_[kB] = kB24Hour;
  cmos_[kD] = kDValid;
  settled_ns_ = calendar_ns();
  load_registers();
}

// The RAM and the calendar are battery-backed: RESET only turns the interrupts off [MC146818 p.12].
void Mc146818::reset() {
  settle();
  cmos_[kB] &= static_cast<u8>(~(kBPeriodic | kBAlarm | kBUpdate | 0x08));
  cmos_[kC] = 0;
  index_ = extended_index_ = 0;
  connected_ = true;
  timer_.disarm();
  irq_.lower();
}

void Mc146818::set_interrupts_connected(bool connected) {
  connected_ = connected;
  update_interrupt();
}

u32 Mc146818::port_read(Port port, unsigned) {
  switch (port.value & 3) {
    case 1: return read(index_ & 0x7F);
    case 3: return cmos_[0x80 | extended_index_];
    default: return 0xFF;  // the index registers are write-only
  }
}

void Mc146818::port_write(Port port, u32 raw, unsigned) {
  const auto value = static_cast<u8>(raw);
  switch (port.value & 3) {
    case 0: index_ = value; break;
    case 1: write(index_ & 0x7F, value); break;
    case 2: extended_index_ = value & 0x7F; break;
    default: cmos_[0x80 | extended_index_] = value; break;
  }
}

bool Mc146818::is_time(u8 index) const {
  return index <= kYear ? index != kSecondsAlarm && index != kMinutesAlarm && index != kHoursAlarm : index == kCentury;
}

u8 Mc146818::read(u8 index) {
  settle();
  switch (index) {
    case kA: return static_cast<u8>(cmos_[kA] | (update_in_progress() ? kAUip : 0));
    case kC: {
      const u8 value = cmos_[kC];
      cmos_[kC] = 0;
      update_interrupt();
      arm();
      return value;
    }
    case kD: return kDValid;
    default:
      if (is_time(index) && running()) load_registers();
      return cmos_[index];
  }
}

void Mc146818::write(u8 index, u8 value) {
  settle();
  const bool was_running = running();
  switch (index) {
    case kA:
      if (was_running) load_registers();
      cmos_[kA] = value & 0x7F;
      // The first update comes half a second after the divider is released [MC146818 p.16].
      if (!was_running && running()) store_registers(kSecond / 2);
      break;
    case kB: {
      if (was_running) load_registers();
      const i64 fraction = calendar_ns() - floor_div(calendar_ns(), kSecond) * kSecond;
      cmos_[kB] = (value & kBSet) ? value & static_cast<u8>(~kBUpdate) : value;
      if (was_running && running()) load_registers();  // the number format may have changed
      if (!was_running && running()) store_registers(fraction);
      break;
    }
    case kC:
    case kD: break;  // read-only
    default:
      if (is_time(index) && was_running) {
        const i64 fraction = calendar_ns() - floor_div(calendar_ns(), kSecond) * kSecond;
        load_registers();
        cmos_[index] = value;
        store_registers(fraction);
      } else {
        cmos_[index] = value;
      }
      break;
  }
  update_interrupt();
  arm();
}

bool Mc146818::running() const { return !(cmos_[kB] & kBSet) && bits(cmos_[kA], 6, 4) <= 2; }

i64 Mc146818::calendar_ns() const { return clock_.now().value + offset_ns_; }

i64 Mc146818::period_ns() const {
  unsigned rate = cmos_[kA] & 0x0F;
  if (rate == 0 || bits(cmos_[kA], 6, 4) > 2) return 0;
  if (rate <= 2) rate += 7;  // with the 32768 Hz time base these are 256 and 128 Hz [MC146818 Table 5]
  return kSecond * (i64{1} << (rate - 1)) / 32'768;
}

bool Mc146818::update_in_progress() const {
  if (!running()) return false;
  const i64 now = calendar_ns();
  return now - floor_div(now, kSecond) * kSecond >= kSecond - kUpdateWindowNs;
}

u8 Mc146818::encode(unsigned value) const {
  return static_cast<u8>(cmos_[kB] & kBBinary ? value : (value / 10) << 4 | value % 10);
}

unsigned Mc146818::decode(u8 value) const { return cmos_[kB] & kBBinary ? value : (value >> 4) * 10u + (value & 0xF); }

u8 Mc146818::encode_hour(unsigned hour) const {
  if (cmos_[kB] & kB24Hour) return encode(hour);
  const unsigned twelve = hour % 12 == 0 ? 12 : hour % 12;
  return static_cast<u8>(encode(twelve) | (hour >= 12 ? 0x80 : 0));
}

unsigned Mc146818::decode_hour(u8 value) const {
  if (cmos_[kB] & kB24Hour) return decode(value);
  return decode(value & 0x7F) % 12 + (value & 0x80 ? 12 : 0);
}

void Mc146818::load_registers() {
  const i64 second = floor_div(calendar_ns(), kSecond);
  const i64 days = floor_div(second, kSecondsOfDay);
  const auto of_day = static_cast<unsigned>(second - days * kSecondsOfDay);
  const Date date = date_of(days);
  cmos_[kSeconds] = encode(of_day % 60);
  cmos_[kMinutes] = encode(of_day / 60 % 60);
  cmos_[kHours] = encode_hour(of_day / 3600);
  // 1970-01-01 was a Thursday; 1 is Sunday.
  cmos_[kWeekday] = encode(static_cast<unsigned>((days % 7 + 7 + 4 + weekday_shift_) % 7) + 1);
  cmos_[kDay] = encode(date.day);
  cmos_[kMonth] = encode(date.month);
  cmos_[kYear] = encode(static_cast<unsigned>(((date.year % 100) + 100) % 100));
  cmos_[kCentury] = encode(static_cast<unsigned>(std::clamp<i64>(floor_div(date.year, 100), 0, 99)));
}

void Mc146818::store_registers(i64 fraction_ns) {
  const Date date{decode(cmos_[kCentury]) * i64{100} + decode(cmos_[kYear]), std::clamp(decode(cmos_[kMonth]), 1u, 12u),
                  std::max(decode(cmos_[kDay]), 1u)};
  const i64 days = days_of(date);
  const i64 second = days * kSecondsOfDay + decode_hour(cmos_[kHours]) * i64{3600} + decode(cmos_[kMinutes]) * i64{60} +
                     decode(cmos_[kSeconds]);
  const auto weekday = static_cast<unsigned>((days % 7 + 7 + 4) % 7);
  weekday_shift_ = static_cast<u8>((decode(cmos_[kWeekday]) % 7 + 7 - 1 + 7 - weekday) % 7);
  // Years beyond 2261 do not fit nanoseconds since 1970 in 64 bits.
  offset_ns_ = std::clamp<i64>(second, -9'000'000'000, 9'000'000'000) * kSecond + fraction_ns - clock_.now().value;
  settled_ns_ = calendar_ns();
}

// An alarm byte from C0h matches any value [MC146818 p.14].
bool Mc146818::alarm_matches(i64 second) const {
  const auto of_day = static_cast<unsigned>(second - floor_div(second, kSecondsOfDay) * kSecondsOfDay);
  const auto match = [](u8 alarm, u8 value) { return (alarm & 0xC0) == 0xC0 || alarm == value; };
  return match(cmos_[kSecondsAlarm], encode(of_day % 60)) && match(cmos_[kMinutesAlarm], encode(of_day / 60 % 60)) &&
         match(cmos_[kHoursAlarm], encode_hour(of_day / 3600));
}

void Mc146818::settle() {
  const i64 now = calendar_ns();
  if (now > settled_ns_) {
    if (const i64 period = period_ns(); period > 0 && floor_div(now, period) != floor_div(settled_ns_, period)) {
      cmos_[kC] |= kBPeriodic;
    }
    const i64 last = floor_div(now, kSecond);
    i64 second = floor_div(settled_ns_, kSecond);
    if (running() && last != second) {
      cmos_[kC] |= kBUpdate;
      second = std::max(second, last - kSecondsOfDay);
      while (!(cmos_[kC] & kBAlarm) && ++second <= last) {
        if (alarm_matches(second)) cmos_[kC] |= kBAlarm;
      }
    }
    settled_ns_ = now;
  }
  update_interrupt();
  arm();
}

void Mc146818::update_interrupt() {
  const bool active = cmos_[kC] & cmos_[kB] & kCFlags;
  cmos_[kC] = static_cast<u8>(active ? cmos_[kC] | kCInterrupt : cmos_[kC] & ~kCInterrupt);
  if (active && !irq_.level()) last_raise_ns_ = clock_.now().value;
  irq_.set(active && connected_);
}

// While the interrupt is unacknowledged nothing more can happen on the wire, so the timer rests: ticks that the guest
// is too slow for are lost, not queued.
void Mc146818::arm() {
  const u8 enables = cmos_[kB];
  if (cmos_[kC] & kCInterrupt) {
    timer_.disarm();
    return;
  }
  const i64 now = calendar_ns();
  i64 next = INT64_MAX;
  if (const i64 period = period_ns(); (enables & kBPeriodic) && period > 0) {
    const i64 earliest = std::max(now, policy_.earliest_next_ns(last_raise_ns_) - 1 + offset_ns_);
    next = (floor_div(earliest, period) + 1) * period;
  }
  if ((enables & (kBAlarm | kBUpdate)) && running()) next = std::min(next, (floor_div(now, kSecond) + 1) * kSecond);
  if (next == INT64_MAX) {
    timer_.disarm();
  } else {
    timer_.arm(Nanos{next - offset_ns_});
  }
}

void Mc146818::exchange(bus::Archive& archive) {
  if (!archive.loading()) settle();
  archive.field("cmos", cmos_);
  archive.field("index", index_);
  archive.field("extended_index", extended_index_);
  archive.field("offset_ns", offset_ns_);
  archive.field("settled_ns", settled_ns_);
  archive.field("weekday_shift", weekday_shift_);
  archive.field("connected", connected_);
  if (!archive.loading()) return;
  extended_index_ &= 0x7F;
  weekday_shift_ %= 7;
  settle();
}

}  // namespace xm::devices
