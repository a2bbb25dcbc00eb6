// SPDX-License-Identifier: GPL-2.0-or-later
// Days are counted in years that begin in March, so that the leap day is the last.
#include "kernel/time/rtc_time.h"

namespace xm::os {

u64 days_from_civil(s64 y, u64 m, u64 d) {
  y -= m <= 2 ? 1 : 0;
  const s64 era = y / 400;
  const u64 yoe = static_cast<u64>(y - era * 400);
  const u64 doy = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5 + d - 1;
  const u64 doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
  return static_cast<u64>(era * 146097) + doe - 719468;
}

rtc_time rtc_from_seconds(u64 seconds) {
  rtc_time t{};
  const u64 days = seconds / 86400, rest = seconds % 86400;
  t.tm_hour = static_cast<s32>(rest / 3600);
  t.tm_min = static_cast<s32>(rest / 60 % 60);
  t.tm_sec = static_cast<s32>(rest % 60);
  t.tm_wday = static_cast<s32>((days + 4) % 7);
  s32 year = static_cast<s32>(1970 + days / 366);  // not too late
  while (days_from_civil(year + 1, 1, 1) <= days) ++year;
  const u64 first = days_from_civil(year, 1, 1);
  t.tm_year = year - 1900;
  t.tm_yday = static_cast<s32>(days - first);
  u64 month = 1;
  while (month < 12 && days_from_civil(year, month + 1, 1) <= days) ++month;
  t.tm_mon = static_cast<s32>(month - 1);
  t.tm_mday = static_cast<s32>(days - days_from_civil(year, month, 1) + 1);
  return t;
}

bool rtc_valid(const rtc_time& t) {
  static constexpr u8 kDays[12] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  return t.tm_year >= 70 && t.tm_mon >= 0 && t.tm_mon < 12 && t.tm_mday >= 1 && t.tm_mday <= kDays[t.tm_mon] &&
         t.tm_hour >= 0 && t.tm_hour < 24 && t.tm_min >= 0 && t.tm_min < 60 && t.tm_sec >= 0 && t.tm_sec < 60;
}

}  // namespace xm::os
