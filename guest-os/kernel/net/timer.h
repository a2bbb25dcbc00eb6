// SPDX-License-Identifier: GPL-2.0-or-later
// Timers of protocols: their functions run in TIMER_SOFTIRQ, so that they may take locks of sockets. Re-arming is
// cheap: a timer that is put off or disarmed keeps its place among the hrtimers and is looked at again when it fires.
// Whoever arms and disarms a timer keeps others from doing so at the same time; firing may come in between.
#pragma once

#include "kernel/lib/atomic.h"
#include "kernel/lib/list.h"
#include "kernel/lib/spinlock.h"
#include "kernel/time/timer.h"

namespace xm::os {

struct timer_list {
  hrtimer hr;
  Atomic<u64> expires{0};  // CLOCK_MONOTONIC ns, 0: not armed
  void (*function)(timer_list*) = nullptr;
  spinlock_t lock{LockRank::TimerItem};  // starting and cancelling `hr`
  list_head due;
  u32 due_cpu = 0;
};

void timer_setup(timer_list* t, void (*function)(timer_list*));
bool mod_timer(timer_list* t, u64 expires);  // true: was armed
inline bool timer_pending(const timer_list* t) { return t->expires.load() != 0; }
bool del_timer(timer_list* t);       // true: was armed. Its function may be running.
void timer_shutdown(timer_list* t);  // before its memory is freed; does not wait for its function
bool del_timer_sync(timer_list* t);  // waits too: not from its own function, nor with a lock that it takes
void net_timer_init();
void run_timer_softirq();

}  // namespace xm::os
