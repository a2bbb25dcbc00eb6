// SPDX-License-Identifier: GPL-2.0-or-later
// Clocks, sleeping, interval timers.
#include "kernel/mm/uaccess.h"
#include "kernel/sched/clock.h"
#include "kernel/sched/sched.h"
#include "kernel/signal/itimer.h"
#include "kernel/signal/signal.h"
#include "kernel/syscall/calls.h"
#include "kernel/syscall/convert.h"

namespace xm::os {
namespace {

enum Clock : int {
  CLOCK_REALTIME = 0,
  CLOCK_MONOTONIC = 1,
  CLOCK_PROCESS_CPUTIME_ID = 2,
  CLOCK_THREAD_CPUTIME_ID = 3,
  CLOCK_MONOTONIC_RAW = 4,
  CLOCK_REALTIME_COARSE = 5,
  CLOCK_MONOTONIC_COARSE = 6,
  CLOCK_BOOTTIME = 7,
  CLOCK_REALTIME_ALARM = 8,
  CLOCK_BOOTTIME_ALARM = 9,
  CLOCK_TAI = 11,
};
constexpr int kTimerAbstime = 1;

u64 process_cpu_ns(task_struct* t) {
  u64 ns = t->signal->sum_sched_runtime;
  IrqGuard guard(tasklist_lock);
  for (task_struct* th : entries<&task_struct::thread_node>(t->signal->thread_head)) ns += task_sched_runtime(th);
  return ns;
}

// Negative clock ids name the CPU time of a process or thread. [man 2 clock_getres]
long dynamic_clock(int clock, u64& ns) {
  const bool per_thread = (clock & 4) != 0;
  if ((clock & 3) == 3) return -EINVAL;
  const pid_t pid = ~(clock >> 3);
  task_struct* t = pid == 0 ? current : get_task_by_pid(pid);
  if (t == nullptr) return -EINVAL;
  ns = per_thread ? task_sched_runtime(t) : process_cpu_ns(t);
  if (pid != 0) put_task(t);
  return 0;
}

bool is_real(int clock) { return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_ALARM || clock == CLOCK_TAI; }
bool known_sleep_clock(int clock) {
  return is_real(clock) || clock == CLOCK_MONOTONIC || clock == CLOCK_BOOTTIME || clock == CLOCK_BOOTTIME_ALARM ||
         clock == CLOCK_PROCESS_CPUTIME_ID;
}

}  // namespace

long clock_now(int clock, u64& ns) {
  if (clock < 0) return dynamic_clock(clock, ns);
  switch (clock) {
    case CLOCK_REALTIME:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_REALTIME_ALARM:
    case CLOCK_TAI: ns = ktime_get_real(); return 0;
    case CLOCK_MONOTONIC:
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_MONOTONIC_COARSE:
    case CLOCK_BOOTTIME:
    case CLOCK_BOOTTIME_ALARM: ns = ktime_get(); return 0;
    case CLOCK_PROCESS_CPUTIME_ID: ns = process_cpu_ns(current); return 0;
    case CLOCK_THREAD_CPUTIME_ID: ns = task_sched_runtime(current); return 0;
    default: return -EINVAL;
  }
}

long sys_clock_gettime(int clock, timespec_abi* out) {
  u64 ns;
  TRY_INT(clock_now(clock, ns));
  return put_user(ns_to_timespec(ns), out);
}
long sys_clock_getres(int clock, timespec_abi* out) {
  u64 ns;
  TRY_INT(clock_now(clock, ns));
  const bool coarse = clock == CLOCK_REALTIME_COARSE || clock == CLOCK_MONOTONIC_COARSE;
  return out == nullptr ? 0 : put_user(timespec_abi{0, coarse ? static_cast<s64>(kTickNs) : 1}, out);
}
long sys_clock_settime(int clock, const timespec_abi* user) {
  timespec_abi ts;
  if (clock != CLOCK_REALTIME) return -EINVAL;
  TRY_INT(get_user(ts, user));
  const s64 ns = TRY_INT(timespec_to_ns(ts));
  if (!capable(CAP_SYS_TIME)) return -EPERM;
  set_real_time(static_cast<u64>(ns));
  return 0;
}
long sys_time(s64* out) {
  const s64 seconds = static_cast<s64>(ktime_get_real() / kNsPerSec);
  if (out != nullptr) TRY_INT(put_user(seconds, out));
  return seconds;
}
long sys_gettimeofday(timeval_abi* tv, u32* tz) {
  if (tv != nullptr) TRY_INT(put_user(ns_to_timeval(ktime_get_real()), tv));
  return tz != nullptr ? put_user(u64{0}, reinterpret_cast<u64*>(tz)) : 0;
}
long sys_settimeofday(const timeval_abi* tv, const u32* tz) {
  timeval_abi v;
  if (tv != nullptr) {
    TRY_INT(get_user(v, tv));
    if (v.tv_usec < 0 || v.tv_usec >= 1000000 || v.tv_sec < 0) return -EINVAL;
  }
  u64 zone;
  if (tz != nullptr) TRY_INT(get_user(zone, reinterpret_cast<const u64*>(tz)));
  if (!capable(CAP_SYS_TIME)) return -EPERM;
  if (tv != nullptr) set_real_time(static_cast<u64>(v.tv_sec) * kNsPerSec + static_cast<u64>(v.tv_usec) * 1000);
  return 0;
}

namespace {
// Sleeps until `expires`; false: a signal came first.
bool sleep_until(u64 expires) {
  while (ktime_get() < expires) {
    if (signal_pending(current)) return false;
    set_current_state(TASK_INTERRUPTIBLE);
    if (!signal_pending(current)) schedule_hrtimeout(expires);
    current->state.store(TASK_RUNNING);
  }
  return true;
}
long nanosleep_restart(task_struct* t) {
  const u64 expires = t->restart_args[0];
  if (sleep_until(expires)) return 0;
  const u64 remaining_at = t->restart_args[1];
  if (remaining_at != 0) {
    const u64 now = ktime_get();
    TRY_INT(put_user_at(ns_to_timespec(expires > now ? expires - now : 0), remaining_at));
  }
  return -ERESTART_RESTARTBLOCK;
}
}  // namespace

long sleep_common(int clock, int flags, u64 ns, u64* remaining) {
  u64 expires = ktime_get() + ns;
  if ((flags & kTimerAbstime) != 0) expires = is_real(clock) ? realtime_to_monotonic(ns) : ns;
  if (clock == CLOCK_PROCESS_CPUTIME_ID) {  // sleeps in small steps until the process has used that much
    const u64 target = (flags & kTimerAbstime) != 0 ? ns : process_cpu_ns(current) + ns;
    while (process_cpu_ns(current) < target) {
      if (!sleep_until(ktime_get() + kTickNs)) return -EINTR;
    }
    return 0;
  }
  if (sleep_until(expires)) return 0;
  if ((flags & kTimerAbstime) != 0) return -ERESTARTNOHAND;
  const u64 now = ktime_get();
  *remaining = expires > now ? expires - now : 0;
  current->restart_fn = nanosleep_restart;
  current->restart_args[0] = expires;
  current->restart_args[1] = 0;
  return -ERESTART_RESTARTBLOCK;
}

long sys_clock_nanosleep(int clock, int flags, const timespec_abi* request, timespec_abi* remain) {
  if (!known_sleep_clock(clock)) {
    u64 ns;
    return clock_now(clock, ns) == 0 ? -EOPNOTSUPP : -EINVAL;
  }
  timespec_abi ts;
  TRY_INT(get_user(ts, request));
  const s64 ns = TRY_INT(timespec_to_ns(ts));
  u64 left = 0;
  const long r = sleep_common(clock, flags, static_cast<u64>(ns), &left);
  if (r == -ERESTART_RESTARTBLOCK && remain != nullptr) {
    TRY_INT(put_user(ns_to_timespec(left), remain));
    current->restart_args[1] = reinterpret_cast<u64>(remain);
  }
  return r;
}
long sys_nanosleep(const timespec_abi* request, timespec_abi* remain) {
  return sys_clock_nanosleep(CLOCK_MONOTONIC, 0, request, remain);
}

long setitimer_common(int which, const u64* value, const u64* interval, u64* old_value, u64* old_interval) {
  if (which < 0 || which > 2) return -EINVAL;
  signal_struct* s = current->signal;
  if (which == 0) {
    *old_value = hrtimer_remaining(&s->real_timer);
    *old_interval = s->it_real_interval;
    if (value == nullptr) return 0;
    hrtimer_cancel(&s->real_timer);
    s->it_real_interval = *interval;
    if (*value != 0) hrtimer_start(&s->real_timer, ktime_get() + *value);
    return 0;
  }
  IrqGuard guard(current->sighand->siglock);
  *old_value = s->it_value[which - 1];
  *old_interval = s->it_interval[which - 1];
  if (value == nullptr) return 0;
  s->it_value[which - 1] = *value;
  s->it_interval[which - 1] = *interval;
  return 0;
}

long sys_alarm(u32 seconds) {
  const u64 value = seconds * kNsPerSec, interval = 0;
  u64 old_value, old_interval;
  setitimer_common(0, &value, &interval, &old_value, &old_interval);
  return static_cast<long>(old_value == 0 ? 0 : max<u64>((old_value + kNsPerSec / 2) / kNsPerSec, 1));
}
long sys_getitimer(int which, itimerval_abi* out) {
  u64 value, interval;
  TRY_INT(setitimer_common(which, nullptr, nullptr, &value, &interval));
  return put_user(itimerval_abi{ns_to_timeval(interval), ns_to_timeval(value)}, out);
}
long sys_setitimer(int which, const itimerval_abi* user, itimerval_abi* old) {
  itimerval_abi v{};
  if (user != nullptr) TRY_INT(get_user(v, user));
  const auto bad = [](const timeval_abi& t) { return t.tv_sec < 0 || t.tv_usec < 0 || t.tv_usec >= 1000000; };
  if (bad(v.value) || bad(v.interval)) return -EINVAL;
  const auto ns = [](const timeval_abi& t) {
    return static_cast<u64>(min<s64>(t.tv_sec, 9000000000)) * kNsPerSec + static_cast<u64>(t.tv_usec) * 1000;
  };
  const u64 value = ns(v.value), interval = ns(v.interval);
  u64 old_value, old_interval;
  TRY_INT(setitimer_common(which, &value, &interval, &old_value, &old_interval));
  return old != nullptr ? put_user(itimerval_abi{ns_to_timeval(old_interval), ns_to_timeval(old_value)}, old) : 0;
}

long sys_timer_create(int clock, u64 event, int* id) {
  struct {
    u64 value;
    int signo, notify, tid;
  } e{~0ul, SIGALRM, SIGEV_SIGNAL, 0};
  if (event != 0) TRY_INT(get_user_at(e, event));
  if (!is_real(clock) && clock != CLOCK_MONOTONIC && clock != CLOCK_BOOTTIME) {
    u64 ns;
    return clock_now(clock, ns) == 0 ? -EOPNOTSUPP : -EINVAL;
  }
  const int kind = e.notify & ~SIGEV_THREAD_ID;
  if (kind != SIGEV_SIGNAL && kind != SIGEV_NONE && kind != SIGEV_THREAD) return -EINVAL;
  if (kind != SIGEV_NONE && (e.signo < 1 || e.signo > kNsig)) return -EINVAL;
  task_struct* target = current->group_leader;
  task_struct* referenced = nullptr;
  if ((e.notify & SIGEV_THREAD_ID) != 0) {
    referenced = target = get_task_by_pid(e.tid);
    if (target == nullptr || target->tgid != current->tgid) {
      if (referenced != nullptr) put_task(referenced);
      return -EINVAL;
    }
  }
  auto made = posix_timer_create(clock, e.notify, e.signo, e.value, target);
  if (referenced != nullptr) put_task(referenced);
  posix_timer* t = TRY(made);
  if (put_user(t->id, id) != 0) {
    posix_timer_delete(t);
    return -EFAULT;
  }
  return 0;
}

namespace {
itimerspec_abi timer_state(const posix_timer* t) {
  return {ns_to_timespec(t->interval), ns_to_timespec(posix_timer_remaining(t))};
}
}  // namespace

long sys_timer_settime(int id, int flags, const itimerspec_abi* user, itimerspec_abi* old) {
  itimerspec_abi v;
  if (user == nullptr) return -EINVAL;
  TRY_INT(get_user(v, user));
  const s64 value = TRY_INT(timespec_to_ns(v.value)), interval = TRY_INT(timespec_to_ns(v.interval));
  posix_timer* t = find_posix_timer(id);
  if (t == nullptr) return -EINVAL;
  const itimerspec_abi before = timer_state(t);
  hrtimer_cancel(&t->timer);
  t->interval = static_cast<u64>(interval);
  t->overruns = t->last_overrun = 0;
  t->queued_signal = false;
  if (value != 0) {
    u64 expires = ktime_get() + static_cast<u64>(value);
    if ((flags & kTimerAbstime) != 0)
      expires = is_real(t->clock) ? realtime_to_monotonic(static_cast<u64>(value)) : static_cast<u64>(value);
    hrtimer_start(&t->timer, expires);
  }
  return old != nullptr ? put_user(before, old) : 0;
}
long sys_timer_gettime(int id, itimerspec_abi* out) {
  const posix_timer* t = find_posix_timer(id);
  return t == nullptr ? -EINVAL : put_user(timer_state(t), out);
}
long sys_timer_getoverrun(int id) {
  const posix_timer* t = find_posix_timer(id);
  return t == nullptr ? -EINVAL : static_cast<long>(min<u64>(t->last_overrun, 0x7fffffff));
}
long sys_timer_delete(int id) {
  posix_timer* t = find_posix_timer(id);
  if (t == nullptr) return -EINVAL;
  posix_timer_delete(t);
  return 0;
}

long sys_times(s64* out) {
  if (out != nullptr) {
    u64 utime, stime;
    thread_group_times(current, utime, stime);
    const u64 tick = kNsPerSec / kUserHz;
    const s64 words[4] = {static_cast<s64>(utime / tick), static_cast<s64>(stime / tick),
                          static_cast<s64>(current->signal->cutime / tick),
                          static_cast<s64>(current->signal->cstime / tick)};
    TRY_INT(copy_to_user(out, words, sizeof words));
  }
  return static_cast<long>(ktime_get() / (kNsPerSec / kUserHz));
}

}  // namespace xm::os
