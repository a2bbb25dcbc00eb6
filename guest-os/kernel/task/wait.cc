// SPDX-License-Identifier: GPL-2.0-or-later
// do_wait: looks through the children (of all threads of the process) for one that ended, stopped or continued, and
// sleeps until there is one.
#include "kernel/task/wait.h"

#include "kernel/sched/sched.h"
#include "kernel/signal/signal.h"
#include "kernel/task/ptrace.h"

namespace xm::os {
namespace {

bool eligible(const WaitRequest& r, const task_struct* child, bool tracing) {
  if (r.type == PidType::Pid && child->pid != r.number) return false;
  if (r.type == PidType::Pgrp && child->signal->pgrp != r.number) return false;
  const bool is_clone = child->exit_signal != SIGCHLD;
  return tracing || (r.options & WALL) != 0 || is_clone == ((r.options & WCLONE) != 0);
}

void collect_usage(const task_struct* t, rusage_times& u) {
  const signal_struct* s = t->signal;
  u64 utime, stime;
  task_cputime(t, utime, stime);
  u.utime = utime + s->utime + s->cutime;
  u.stime = stime + s->stime + s->cstime;
  u.min_flt = t->min_flt + s->min_flt + s->cmin_flt;
  u.maj_flt = t->maj_flt + s->maj_flt + s->cmaj_flt;
  u.nvcsw = t->nvcsw + s->nvcsw + s->cnvcsw;
  u.nivcsw = t->nivcsw + s->nivcsw + s->cnivcsw;
  u.maxrss = max(s->maxrss, s->cmaxrss);
}

void charge_parent(signal_struct* p, const rusage_times& u) {
  p->cutime += u.utime;
  p->cstime += u.stime;
  p->cmin_flt += u.min_flt;
  p->cmaj_flt += u.maj_flt;
  p->cnvcsw += u.nvcsw;
  p->cnivcsw += u.nivcsw;
  p->cmaxrss = max(p->cmaxrss, u.maxrss);
}

void fill(WaitRequest& r, const task_struct* t, int status, int code) {
  r.pid = t->pid;
  r.uid = t->real_cred->uid;
  r.status = status;
  r.code = code;
  collect_usage(t, r.usage);
}

// A zombie that its tracer has seen goes on to its real parent.
bool hand_to_real_parent(task_struct* child) {
  const bool mine_alone = !ptrace_reparented(child) || !thread_group_leader(child);
  ptrace_unlink(child);
  if (mine_alone) return false;
  child->exit_state = EXIT_ZOMBIE;
  if (!notify_parent(child, child->exit_signal)) return true;
  child->exit_state = EXIT_DEAD;
  return false;
}

bool check_zombie(WaitRequest& r, task_struct* child, task_struct** reaped) {
  const signal_struct* s = child->signal;
  if ((r.options & WEXITED) == 0) return false;
  const int status = (s->flags & SIGNAL_GROUP_EXIT) != 0 ? s->group_exit_code : child->exit_code;
  fill(r, child, status, (status & 0x7f) == 0 ? CLD_EXITED : ((status & 0x80) != 0 ? CLD_DUMPED : CLD_KILLED));
  if ((r.options & WNOWAIT) != 0) return true;
  child->exit_state = EXIT_DEAD;
  const bool somebody_elses = ptrace_reparented(child);
  if (child->ptrace != 0 && hand_to_real_parent(child)) return true;
  if (!somebody_elses) charge_parent(current->signal, r.usage);
  *reaped = child;
  return true;
}

// One child, or tracee; true if it satisfies the request. `reaped` gets a task to release.
bool check_child(WaitRequest& r, task_struct* child, bool tracing, task_struct** reaped) {
  signal_struct* s = child->signal;
  if (!tracing && child->ptrace != 0 && !ptrace_reparented(child)) tracing = true;
  const bool whole_group_gone = !thread_group_leader(child) || s->nr_threads == 1;
  if (child->exit_state == EXIT_ZOMBIE && whole_group_gone) {
    if (!tracing && ptrace_reparented(child)) return false;  // its tracer comes first
    return check_zombie(r, child, reaped);
  }
  if (child->exit_state != 0) return false;
  SpinGuard guard(child->sighand->siglock);
  if (tracing) {
    const bool stopped = (child->state.load() & TASK_TRACED) != 0 && (child->jobctl & JOBCTL_LISTENING) == 0;
    if (stopped && child->exit_code != 0) {
      fill(r, child, child->exit_code << 8 | 0x7f, CLD_TRAPPED);
      if ((r.options & WNOWAIT) == 0) child->exit_code = 0;
      return true;
    }
  } else if ((s->flags & SIGNAL_STOP_STOPPED) != 0 && s->group_exit_code != 0) {
    if ((r.options & WUNTRACED) == 0) return false;
    fill(r, child, s->group_exit_code << 8 | 0x7f, CLD_STOPPED);
    if ((r.options & WNOWAIT) == 0) s->group_exit_code = 0;
    return true;
  }
  if ((s->flags & SIGNAL_STOP_CONTINUED) != 0) {
    if ((r.options & WCONTINUED) == 0) return false;
    fill(r, child, 0xffff, CLD_CONTINUED);
    if ((r.options & WNOWAIT) == 0) s->flags &= ~SIGNAL_STOP_CONTINUED;
    return true;
  }
  return false;
}

enum class Scan { Found, Wait, NoChild };
Scan scan_children(WaitRequest& r, task_struct** reaped) {
  IrqGuard guard(tasklist_lock);
  bool any = false;
  const auto look = [&](task_struct* child, bool tracing) {
    if (!eligible(r, child, tracing) || child->exit_state == EXIT_DEAD) return false;
    any = true;
    return check_child(r, child, tracing, reaped);
  };
  for (task_struct* thread : entries<&task_struct::thread_node>(current->signal->thread_head)) {
    if ((r.options & WNOTHREAD) != 0 && thread != current) continue;
    for (task_struct* child : entries<&task_struct::sibling>(thread->children)) {
      if (look(child, false)) return Scan::Found;
    }
    for (task_struct* child : entries<&task_struct::ptrace_entry>(thread->ptraced)) {
      if (look(child, true)) return Scan::Found;
    }
  }
  return any ? Scan::Wait : Scan::NoChild;
}

}  // namespace

void thread_group_times(task_struct* t, u64& utime, u64& stime) {
  utime = t->signal->utime;
  stime = t->signal->stime;
  IrqGuard guard(tasklist_lock);
  for (task_struct* thread : entries<&task_struct::thread_node>(t->signal->thread_head)) {
    u64 u, s;
    task_cputime(thread, u, s);
    utime += u;
    stime += s;
  }
}

void fill_rusage_self(task_struct* t, rusage_times& u) {
  thread_group_times(t, u.utime, u.stime);
  const signal_struct* s = t->signal;
  u.min_flt = s->min_flt, u.maj_flt = s->maj_flt, u.nvcsw = s->nvcsw, u.nivcsw = s->nivcsw;
  IrqGuard guard(tasklist_lock);
  for (task_struct* thread : entries<&task_struct::thread_node>(t->signal->thread_head)) {
    u.min_flt += thread->min_flt;
    u.maj_flt += thread->maj_flt;
    u.nvcsw += thread->nvcsw;
    u.nivcsw += thread->nivcsw;
  }
  u.maxrss = s->maxrss;
  if (t->mm != nullptr) u.maxrss = max(u.maxrss, max(t->mm->hiwater_rss, static_cast<u64>(mm_rss(t->mm))));
}

long do_wait(WaitRequest& r) {
  wait_queue_head& q = current->group_leader->wait_chldexit;
  wait_queue_entry entry;
  entry.task = current;
  entry.wake = default_wake;
  long result = 0;
  task_struct* reaped = nullptr;
  for (;;) {
    prepare_to_wait(q, &entry, TASK_INTERRUPTIBLE);
    const Scan scan = scan_children(r, &reaped);
    if (scan == Scan::Found) {
      result = r.pid;
      break;
    }
    if (scan == Scan::NoChild) {
      result = -ECHILD;
      break;
    }
    if ((r.options & WNOHANG) != 0) break;
    if (r.nohang) {
      result = -EAGAIN;
      break;
    }
    if (signal_pending(current)) {
      result = -ERESTARTSYS;
      break;
    }
    schedule();
  }
  finish_wait(q, &entry);
  if (reaped != nullptr) release_task(reaped);
  return result;
}

}  // namespace xm::os
