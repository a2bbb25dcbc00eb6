// SPDX-License-Identifier: GPL-2.0-or-later
// Time values between user space's structs and nanoseconds, and the parts that 64- and 32-bit entries share.
#pragma once

#include "kernel/lib/result.h"
#include "kernel/sched/clock.h"
#include "kernel/syscall/calls.h"
#include "kernel/task/wait.h"

namespace xm::os {

// -EINVAL for negative seconds or nanoseconds out of range; huge values saturate.
inline s64 timespec_to_ns(const timespec_abi& t) {
  if (t.tv_sec < 0 || t.tv_nsec < 0 || t.tv_nsec >= 1000000000) return -EINVAL;
  if (t.tv_sec > 9000000000) return 9000000000l * 1000000000;
  return t.tv_sec * 1000000000 + t.tv_nsec;
}
inline timespec_abi ns_to_timespec(u64 ns) {
  return {static_cast<s64>(ns / kNsPerSec), static_cast<s64>(ns % kNsPerSec)};
}
inline timeval_abi ns_to_timeval(u64 ns) {
  return {static_cast<s64>(ns / kNsPerSec), static_cast<s64>(ns % kNsPerSec / 1000)};
}
inline u64 realtime_to_monotonic(u64 real) {
  const u64 offset = ktime_get_real() - ktime_get();
  return real > offset ? real - offset : 1;
}

rusage_abi rusage_from(const rusage_times& u);
long wait4_common(int pid, int options, WaitRequest& r);
long waitid_common(int type, int id, int options, WaitRequest& r, siginfo& info);
long futex_deadline(int op, const timespec_abi& ts, u64& expires);
long clock_now(int clock, u64& ns);
// Sleeps; *remaining gets what is left when a signal came first.
long sleep_common(int clock, int flags, u64 ns, u64* remaining);
long setitimer_common(int which, const u64* value, const u64* interval, u64* old_value, u64* old_interval);

}  // namespace xm::os
