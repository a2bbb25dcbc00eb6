// SPDX-License-Identifier: GPL-2.0-or-later
// Timers that send signals: alarm and setitimer, POSIX timers (timer_create), and RLIMIT_CPU. [man 2 setitimer], [man 2
// timer_create] GAP: POSIX timers of CPU-time clocks are refused.
#include "kernel/signal/itimer.h"

#include "kernel/mm/slab.h"
#include "kernel/sched/clock.h"
#include "kernel/signal/signal.h"
#include "kernel/task/wait.h"

namespace xm::os {
namespace {

u64 real_timer_fired(hrtimer* t) {
  signal_struct* s = container_of(t, signal_struct, real_timer);
  task_struct* leader = s->group_leader_task;
  send_sig(SIGALRM, leader);
  if (s->it_real_interval == 0) return 0;
  u64 next = t->expires + s->it_real_interval;
  const u64 now = ktime_get();
  if (next <= now) next = now + s->it_real_interval;
  return next;
}

// Is the signal of this expiry in the queue? Not when it is ignored, or when the same classic signal was there already.
bool is_queued(const posix_timer* p) {
  IrqGuard guard(tasklist_lock);
  SpinGuard signals(p->target->sighand->siglock);
  sigpending* const both[] = {&p->target->pending, &p->target->signal->shared_pending};
  for (sigpending* list : both) {
    for (const sigqueue* q : entries<&sigqueue::list>(list->list)) {
      if (q->info.si_code == SI_TIMER && q->info.timer.si_tid == p->id) return true;
    }
  }
  return false;
}

// The first expiry after now; those that are over already are overruns.
u64 forward(posix_timer* p, u64 from) {
  const u64 now = ktime_get();
  u64 next = from + p->interval;
  if (next <= now) {
    const u64 missed = (now - next) / p->interval + 1;
    p->overruns += missed;
    next += missed * p->interval;
  }
  return next;
}

// A periodic timer starts again when its signal is taken: however short the interval, it costs no more than the program
// that handles it.
u64 posix_timer_fired(hrtimer* t) {
  posix_timer* p = container_of(t, posix_timer, timer);
  if (p->notify == SIGEV_NONE) return 0;
  siginfo info{};
  info.si_signo = p->signo;
  info.si_code = SI_TIMER;
  info.timer.si_tid = p->id;
  info.timer.si_overrun = 0;
  info.timer.si_value = p->value;
  p->fired_at = t->expires;
  p->queued_signal = true;
  send_signal(p->signo, &info, p->target, p->notify != SIGEV_THREAD_ID);
  if (p->interval == 0 || is_queued(p)) return 0;
  constexpr u64 kLeastIgnored = 10000000;
  p->queued_signal = false;
  return max(forward(p, t->expires), ktime_get() + min(kLeastIgnored, p->interval * 1000));
}

}  // namespace

void init_itimers(signal_struct* s) { s->real_timer.function = real_timer_fired; }

posix_timer* find_posix_timer(int id) {
  for (posix_timer* t : entries<&posix_timer::link>(current->signal->posix_timers)) {
    if (t->id == id) return t;
  }
  return nullptr;
}

Result<posix_timer*> posix_timer_create(int clock, int notify, int signo, u64 value, task_struct* target) {
  posix_timer* t = knew<posix_timer>();
  if (t == nullptr) return Error{EAGAIN};
  t->clock = clock;
  t->notify = notify;
  t->signo = signo;
  t->value = value;
  t->target = target;
  get_task(target);
  t->timer.function = posix_timer_fired;
  IrqGuard guard(current->sighand->siglock);
  t->id = current->signal->next_timer_id++;
  if (value == ~0ul) t->value = static_cast<u64>(t->id);
  list_add_tail(&t->link, &current->signal->posix_timers);
  return t;
}

void posix_timer_delete(posix_timer* t) {
  hrtimer_cancel(&t->timer);
  {
    IrqGuard guard(current->sighand->siglock);
    list_del(&t->link);
  }
  put_task(t->target);
  kdelete(t);
}

void exit_posix_timers(signal_struct* s) {
  while (posix_timer* t = list_first<&posix_timer::link>(&s->posix_timers)) posix_timer_delete(t);
}

// The signal of a timer was taken: its overruns since then are what timer_getoverrun says.
void posix_timer_requeue(const siginfo& info) {  // siglock is held
  for (posix_timer* t : entries<&posix_timer::link>(current->signal->posix_timers)) {
    if (t->id != info.timer.si_tid || !t->queued_signal) continue;
    t->queued_signal = false;
    t->overruns = 0;
    if (t->interval != 0) hrtimer_start(&t->timer, forward(t, t->fired_at));
    t->last_overrun = t->overruns;
  }
}

u64 posix_timer_remaining(const posix_timer* t) {
  if (!t->queued_signal || t->interval == 0) return hrtimer_remaining(&t->timer);
  return t->interval - (ktime_get() - t->fired_at) % t->interval;
}

void run_cpu_timers(task_struct* t, bool user, u64 ns) {
  signal_struct* s = t->signal;
  for (int kind = 0; kind < 2; ++kind) {  // ITIMER_VIRTUAL counts user time, ITIMER_PROF both
    if (s->it_value[kind] == 0 || (kind == 0 && !user)) continue;
    if (s->it_value[kind] > ns) {
      s->it_value[kind] -= ns;
      continue;
    }
    s->it_value[kind] = s->it_interval[kind];
    send_sig(kind == 0 ? SIGVTALRM : SIGPROF, t);
  }
  const rlimit64& limit = s->rlim[RLIMIT_CPU];
  if (limit.cur == RLIM_INFINITY) return;
  const u64 seconds = (s->utime + s->stime + t->se.sum_exec_runtime) / kNsPerSec;
  if (seconds >= limit.max) {
    send_sig(SIGKILL, t);
  } else if (seconds >= limit.cur) {
    s->rlim[RLIMIT_CPU].cur = seconds + 1;
    send_sig(SIGXCPU, t);
  }
}

}  // namespace xm::os
