// SPDX-License-Identifier: GPL-2.0-or-later
// POSIX timers of a process.
#pragma once

#include "kernel/lib/list.h"
#include "kernel/lib/result.h"
#include "kernel/time/timer.h"

namespace xm::os {

struct task_struct;
constexpr int SIGEV_SIGNAL = 0, SIGEV_NONE = 1, SIGEV_THREAD = 2, SIGEV_THREAD_ID = 4;
struct posix_timer {
  list_head link;  // signal_struct::posix_timers
  hrtimer timer;
  int id = 0, clock = 0, notify = 0, signo = 0;
  u64 value = 0, interval = 0;
  u64 overruns = 0, last_overrun = 0;
  bool queued_signal = false;
  u64 fired_at = 0;  // the expiry whose signal waits
  task_struct* target = nullptr;
};
posix_timer* find_posix_timer(int id);
u64 posix_timer_remaining(const posix_timer* t);
Result<posix_timer*> posix_timer_create(int clock, int notify, int signo, u64 value, task_struct* target);
void posix_timer_delete(posix_timer* t);

}  // namespace xm::os
