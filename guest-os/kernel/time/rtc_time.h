// SPDX-License-Identifier: GPL-2.0-or-later
// Calendar dates and seconds since 1970. [POSIX 4.16]
#pragma once

#include "kernel/lib/types.h"

namespace xm::os {

struct rtc_time {
  s32 tm_sec, tm_min, tm_hour, tm_mday, tm_mon, tm_year, tm_wday, tm_yday, tm_isdst;
};
bool rtc_valid(const rtc_time& t);
rtc_time rtc_from_seconds(u64 seconds);
u64 days_from_civil(s64 year, u64 month, u64 day);  // month from 1
u64 read_persistent_clock();                        // seconds, from the CMOS clock

}  // namespace xm::os
