// SPDX-License-Identifier: GPL-2.0-or-later
// Timers of protocols, see timer.h. An armed timer is on an hrtimer tree or on the list of due ones of a processor.
// Who exchanges `expires` for 0 owns the expiry: either the softirq, which then calls the function, or del_timer.
#include "kernel/net/timer.h"

#include "kernel/sched/clock.h"
#include "kernel/sched/softirq.h"

namespace xm::os {
namespace {

struct TimerBase {
  spinlock_t lock{LockRank::SoftTimer};
  list_head due;
  timer_list* running = nullptr;
};
TimerBase bases[kMaxCpus];

u64 timer_fires(hrtimer* hr) {  // interrupts are off
  timer_list* t = container_of(hr, timer_list, hr);
  const u64 expires = t->expires.load();
  if (expires == 0) return 0;
  if (expires > ktime_get()) return expires;
  const u32 cpu = smp_processor_id();
  TimerBase& base = bases[cpu];
  {
    IrqGuard guard(base.lock);
    if (t->due.empty()) {
      t->due_cpu = cpu;
      list_add_tail(&t->due, &base.due);
    }
  }
  raise_softirq(TIMER_SOFTIRQ);
  return 0;
}

void start(timer_list* t, u64 expires) {
  IrqGuard guard(t->lock);
  const bool covered = t->hr.queued && t->hr.expires <= expires;
  if (!covered) hrtimer_start(&t->hr, expires);
}
void cancel(timer_list* t) {
  IrqGuard guard(t->lock);
  hrtimer_cancel(&t->hr);
}

// The next timer whose time has come, with its expiry taken. Others on the list go back to the hrtimers.
timer_list* take_due(TimerBase& base) {
  IrqGuard guard(base.lock);
  base.running = nullptr;
  while (!base.due.empty()) {
    timer_list* t = list_first<&timer_list::due>(&base.due);
    list_del(&t->due);
    const u64 expires = t->expires.load();
    if (expires == 0) continue;
    if (expires > ktime_get()) {
      start(t, expires);
      continue;
    }
    if (!t->expires.compare_exchange(expires, 0)) {
      list_add_tail(&t->due, &base.due);  // changed meanwhile: look again
      continue;
    }
    base.running = t;
    return t;
  }
  return nullptr;
}

}  // namespace

void run_timer_softirq() {
  TimerBase& base = bases[smp_processor_id()];
  while (timer_list* t = take_due(base)) t->function(t);
}

void timer_setup(timer_list* t, void (*function)(timer_list*)) {
  t->function = function;
  t->hr.function = timer_fires;
}

bool mod_timer(timer_list* t, u64 expires) {
  if (expires == 0) expires = 1;
  const bool armed = t->expires.exchange(expires) != 0;
  start(t, expires);
  return armed;
}

bool del_timer(timer_list* t) { return t->expires.load() != 0 && t->expires.exchange(0) != 0; }

void timer_shutdown(timer_list* t) {
  t->expires.store(0);
  if (t->function == nullptr) return;
  cancel(t);
  {
    IrqGuard guard(bases[t->due_cpu].lock);
    if (!t->due.empty()) list_del(&t->due);
  }
  cancel(t);  // the softirq may have put it back
}

bool del_timer_sync(timer_list* t) {
  const bool armed = del_timer(t);
  timer_shutdown(t);
  for (TimerBase& base : bases) {
    while (read_once(base.running) == t) cpu_relax();
  }
  return armed;
}

void net_timer_init() {
  for (TimerBase& base : bases) base.due.init();
  open_softirq(TIMER_SOFTIRQ, run_timer_softirq);
}

}  // namespace xm::os
