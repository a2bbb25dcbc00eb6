// SPDX-License-Identifier: GPL-2.0-or-later
// Waiting for children, as wait4 and waitid share it.
#pragma once

#include "kernel/task/task_struct.h"

namespace xm::os {

constexpr int WNOHANG = 1, WUNTRACED = 2, WSTOPPED = 2, WEXITED = 4, WCONTINUED = 8, WNOWAIT = 0x1000000,
              WNOTHREAD = 0x20000000, WALL = 0x40000000;
constexpr u32 WCLONE = 0x80000000;
enum class PidType { All, Pid, Pgrp };

struct rusage_times {
  u64 utime = 0, stime = 0, maxrss = 0, min_flt = 0, maj_flt = 0, nvcsw = 0, nivcsw = 0;
};
struct WaitRequest {
  PidType type = PidType::All;
  pid_t number = 0;
  u32 options = 0;
  bool nohang = false;  // from a non-blocking pidfd: -EAGAIN instead of 0
  // Results.
  int status = 0;  // as wait4 gives it
  int code = 0;    // CLD_*
  pid_t pid = 0;
  uid_t uid = 0;
  rusage_times usage;
};
long do_wait(WaitRequest& request);                               // pid, 0 (WNOHANG and nothing), or negative errno
void thread_group_times(task_struct* t, u64& utime, u64& stime);  // ns, all threads
void fill_rusage_self(task_struct* t, rusage_times& u);
bool notify_parent(task_struct* t, int sig);  // tasklist_lock held; true if nobody will wait
void mm_release_vfork(task_struct* t);

}  // namespace xm::os
