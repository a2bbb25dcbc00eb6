// SPDX-License-Identifier: GPL-2.0-or-later
// signal_struct (one for each thread group: shared pending signals, job control, limits, timers, accounting of the dead
// threads) and sighand_struct (the handlers; shared by CLONE_SIGHAND). sighand->siglock protects both.
#pragma once

#include "abi/sched.h"
#include "abi/signal.h"
#include "kernel/lib/list.h"
#include "kernel/lib/spinlock.h"
#include "kernel/sched/wait.h"
#include "kernel/time/timer.h"

namespace xm::os {

struct task_struct;
struct tty_struct;
struct user_struct;
struct posix_timer;

struct sigqueue {
  list_head list;
  siginfo info;
  user_struct* user;
};
struct sigpending {
  list_head list;
  sigset_t signal = 0;
};

struct sighand_struct {
  Atomic<s32> count{1};
  spinlock_t siglock{LockRank::Sighand};
  sigaction action[kNsig]{};
};

constexpr u32 SIGNAL_STOP_STOPPED = 1, SIGNAL_STOP_CONTINUED = 2, SIGNAL_GROUP_EXIT = 4, SIGNAL_CLD_STOPPED = 0x10,
              SIGNAL_CLD_CONTINUED = 0x20, SIGNAL_UNKILLABLE = 0x40;

struct signal_struct {
  Atomic<s32> sigcnt{1};
  Atomic<s32> live{1};
  int nr_threads = 1;
  list_head thread_head;
  sigpending shared_pending;
  u32 flags = 0;
  int group_exit_code = 0;
  int group_stop_count = 0;
  task_struct* group_exit_task = nullptr;  // execve waiting for its siblings to end
  int notify_count = 0;
  pid_t pgrp = 0, session = 0;
  bool leader = false;  // session leader
  tty_struct* tty = nullptr;
  pid_t tty_old_pgrp = 0;
  rlimit64 rlim[RLIM_NLIMITS]{};
  // Of threads that are gone, and of children waited for.
  u64 utime = 0, stime = 0, cutime = 0, cstime = 0;
  u64 nvcsw = 0, nivcsw = 0, cnvcsw = 0, cnivcsw = 0;
  u64 min_flt = 0, maj_flt = 0, cmin_flt = 0, cmaj_flt = 0;
  u64 maxrss = 0, cmaxrss = 0;
  u64 sum_sched_runtime = 0;
  // setitimer: real time by timer, virtual and prof counted by the tick.
  hrtimer real_timer;
  u64 it_real_interval = 0;
  u64 it_value[2]{}, it_interval[2]{};  // ITIMER_VIRTUAL, ITIMER_PROF in ns of cpu time still to go
  task_struct* group_leader_task = nullptr;
  list_head posix_timers;
  int next_timer_id = 0;
  bool is_child_subreaper = false;
  bool has_child_subreaper = false;
  short oom_score_adj = 0;
  wait_queue_head pidfd_wait;
  // A core file is being written: by whom, threads not yet at their exit, whether it is finished. siglock
  task_struct* core_dumper = nullptr;
  int core_running = 0;
  bool core_done = false;
  wait_queue_head core_wait;
};

}  // namespace xm::os
