// SPDX-License-Identifier: GPL-2.0-or-later
// The end of a task: give everything back, find new parents for the children, become a zombie, and let wait4/waitid
// read the status.
#include "kernel/arch/x86_64/switch.h"
#include "kernel/drivers/tty.h"
#include "kernel/fs/file_table.h"
#include "kernel/init/printk.h"
#include "kernel/ipc/ipc.h"
#include "kernel/mm/mm.h"
#include "kernel/mm/uaccess.h"
#include "kernel/sched/sched.h"
#include "kernel/signal/coredump.h"
#include "kernel/signal/signal.h"
#include "kernel/task/acct.h"
#include "kernel/task/futex.h"
#include "kernel/task/ptrace.h"
#include "kernel/task/seccomp.h"
#include "kernel/task/task_struct.h"
#include "kernel/task/wait.h"

namespace xm::os {
namespace {

void exit_mm(task_struct* t) {
  mm_struct* mm = t->mm;
  if (t->robust_list != 0) exit_robust_list(t);
  if (t->clear_child_tid != 0 && mm->mm_users.load() > 1) {
    put_user_at(0, t->clear_child_tid);
    futex_wake_address(t->clear_child_tid, 1);
  }
  mm_release_vfork(t);
  t->signal->maxrss = max(t->signal->maxrss, mm->hiwater_rss);
  {
    IrqGuard guard(tasklist_lock);
    t->mm = nullptr;
  }
  mmput(mm);
}

task_struct* find_new_reaper(task_struct* father) {
  for (task_struct* t : entries<&task_struct::thread_node>(father->signal->thread_head)) {
    if (t != father && (t->flags & PF_EXITING) == 0) return t;
  }
  if (father->signal->has_child_subreaper) {
    for (task_struct* p = father->group_leader->real_parent; p->pid > 1; p = p->group_leader->real_parent) {
      if (p->signal->is_child_subreaper && (p->group_leader->flags & PF_EXITING) == 0) return p->group_leader;
    }
  }
  return find_task(1);
}

bool group_dead(const task_struct* leader) { return leader->signal->nr_threads == 1; }

// True if some member of the group is stopped and the group has just become orphaned. [POSIX 3.264 orphaned process
// group]
bool is_orphaned(pid_t pgrp, const task_struct* ignore) {
  struct Search {
    const task_struct* ignore;
  } s{ignore};
  return !for_each_in_pgrp(
      pgrp,
      [](task_struct* t, void* p) {
        if (t == static_cast<Search*>(p)->ignore || t->exit_state != 0 || t->real_parent->pid <= 1) return false;
        return t->real_parent->signal->pgrp != t->signal->pgrp && t->real_parent->signal->session == t->signal->session;
      },
      &s);
}
bool has_stopped(pid_t pgrp) {
  return for_each_in_pgrp(
      pgrp, [](task_struct* t, void*) { return (t->signal->flags & SIGNAL_STOP_STOPPED) != 0; }, nullptr);
}
void kill_orphaned(task_struct* t, const task_struct* parent) {
  const task_struct* ignore = t;
  if (parent == nullptr) {
    parent = t->real_parent;
  } else {
    ignore = nullptr;
  }
  const pid_t pgrp = t->signal->pgrp;
  const bool was_link = parent->signal->pgrp != pgrp && parent->signal->session == t->signal->session;
  if (!was_link || !is_orphaned(pgrp, ignore) || !has_stopped(pgrp)) return;
  kill_pgrp_locked(pgrp, SIGHUP);
  kill_pgrp_locked(pgrp, SIGCONT);
}

void reparent_children(task_struct* father, list_head& dead) {
  exit_ptrace(father, dead);
  if (father->children.empty()) return;
  task_struct* reaper = find_new_reaper(father);
  if (reaper == nullptr || reaper == father)
    panic("Attempted to kill init! exitcode=%#x", static_cast<u32>(father->exit_code));
  const bool same_process = reaper->signal == father->signal;
  for (task_struct* child : entries<&task_struct::sibling>(father->children)) {
    for (task_struct* th : entries<&task_struct::thread_node>(child->signal->thread_head)) {
      th->real_parent = reaper;
      if (th->ptrace == 0) th->parent = reaper;
    }
    list_move_tail(&child->sibling, &reaper->children);
    if (child->pdeath_signal != 0) send_signal_locked_tasklist(child->pdeath_signal, nullptr, child);
    if (same_process) continue;
    if (child->exit_signal != -1) child->exit_signal = SIGCHLD;
    if (child->exit_state == EXIT_ZOMBIE && child->ptrace == 0 && group_dead(child) &&
        notify_parent(child, child->exit_signal)) {
      child->exit_state = EXIT_DEAD;
      list_move_tail(&child->tasks, &dead);  // from the list of all processes
    }
    kill_orphaned(child, father);
  }
}

void release_locked(task_struct* t) {
  signal_struct* s = t->signal;
  if (t->ptrace != 0) ptrace_unlink(t);
  detach_pid(t);
  if (!t->sibling.empty()) list_del(&t->sibling);
  list_del(&t->thread_node);
  --s->nr_threads;
  if (t->pids_charge != nullptr) t->pids_charge->sub(1);
  t->pids_charge = nullptr;
  nr_threads.sub(1);
  if (thread_group_leader(t)) return;
  if (s->group_exit_task != nullptr && s->notify_count > 0 && --s->notify_count == 0)
    wake_up_process(s->group_exit_task);
  u64 utime, stime;
  task_cputime(t, utime, stime);
  s->utime += utime;
  s->stime += stime;
  s->nvcsw += t->nvcsw;
  s->nivcsw += t->nivcsw;
  s->min_flt += t->min_flt;
  s->maj_flt += t->maj_flt;
  s->sum_sched_runtime += t->se.sum_exec_runtime;
}

// Threads vanish at once; the last one announces the leader that already is a zombie. The leader, if it goes too.
task_struct* release_thread(task_struct* t) {
  task_struct* leader = t->group_leader;
  release_locked(t);
  if (leader->exit_state != EXIT_ZOMBIE || !group_dead(leader)) return nullptr;
  if (!notify_parent(leader, ptrace_reparented(leader) ? static_cast<int>(SIGCHLD) : leader->exit_signal))
    return nullptr;
  leader->exit_state = EXIT_DEAD;
  return leader;
}

void exit_notify(task_struct* t, bool last) {
  list_head dead;
  bool self_reap = false;
  task_struct* leader_to_release = nullptr;
  {
    IrqGuard guard(tasklist_lock);
    reparent_children(t, dead);
    if (last) kill_orphaned(t->group_leader, nullptr);
    t->exit_state = EXIT_ZOMBIE;
    if (thread_group_leader(t)) {
      self_reap = group_dead(t) && notify_parent(t, ptrace_reparented(t) ? static_cast<int>(SIGCHLD) : t->exit_signal);
    } else if (t->ptrace != 0) {
      self_reap = notify_parent(t, SIGCHLD);
    } else {
      self_reap = true;
    }
    if (self_reap) {
      t->exit_state = EXIT_DEAD;
      if (!thread_group_leader(t)) {
        leader_to_release = release_thread(t);
      } else {
        release_locked(t);
      }
    } else if (t->signal->group_exit_task != nullptr && t->signal->notify_count < 0) {
      wake_up_process(t->signal->group_exit_task);
    }
  }
  if (leader_to_release != nullptr) release_task(leader_to_release);
  while (task_struct* d = list_first<&task_struct::tasks>(&dead)) {
    list_del(&d->tasks);
    release_task(d);
  }
  if (self_reap) put_task(t);  // what release_task does for others; our own reference remains
}

}  // namespace

// Tells the parent; true if nobody will wait, so that the task goes at once.
bool notify_parent(task_struct* t, int sig) {
  siginfo info{};
  info.si_signo = sig;
  info.chld.si_pid = t->pid;
  info.chld.si_uid = t->real_cred->uid;
  u64 utime, stime;
  task_cputime(t, utime, stime);
  info.chld.si_utime = static_cast<s64>((t->signal->utime + utime) / (kNsPerSec / 100));
  info.chld.si_stime = static_cast<s64>((t->signal->stime + stime) / (kNsPerSec / 100));
  const int status = t->exit_code;
  info.chld.si_status = status & 0x7f;
  if ((status & 0x80) != 0) {
    info.si_code = CLD_DUMPED;
  } else if ((status & 0x7f) != 0) {
    info.si_code = CLD_KILLED;
  } else {
    info.si_code = CLD_EXITED;
    info.chld.si_status = status >> 8;
  }
  task_struct* parent = t->parent;
  bool autoreap = false;
  if (sig == SIGCHLD) {
    const sigaction& a = parent->sighand->action[SIGCHLD - 1];
    autoreap = a.handler == SIG_IGN || (a.flags & SA_NOCLDWAIT) != 0;
    if (a.handler == SIG_IGN) sig = 0;
  }
  if (sig > 0) send_signal_locked_tasklist(sig, &info, parent);
  wake_up_all(parent->group_leader->wait_chldexit);
  wake_up_all(t->signal->pidfd_wait, POLLIN);
  return autoreap;
}

void mm_release_vfork(task_struct* t) {
  IrqGuard guard(tasklist_lock);
  if (t->vfork_done == nullptr) return;
  completion* done = t->vfork_done;
  t->vfork_done = nullptr;
  complete(*done);
}

void release_task(task_struct* t) {
  task_struct* leader = nullptr;
  {
    IrqGuard guard(tasklist_lock);
    if (thread_group_leader(t))
      release_locked(t);
    else
      leader = release_thread(t);
  }
  put_task(t);
  if (leader != nullptr) release_task(leader);
}

void do_exit(int code) {
  task_struct* t = current;
  if (in_interrupt()) panic("Aiee, killing interrupt handler!");
  if (t->pid == 0) panic("Attempted to kill the idle task!");
  ptrace_event(PTRACE_EVENT_EXIT, static_cast<u64>(code));
  coredump_begin_exit(t);
  const bool last = t->signal->live.sub(1) == 0;
  if (t->pid == 1 && last)
    panic("Attempted to kill init! exitcode=%#010x",
          static_cast<u32>(t->signal->group_exit_code != 0 ? t->signal->group_exit_code : code));
  if (last) {
    hrtimer_cancel(&t->signal->real_timer);
    exit_posix_timers(t->signal);
    if (t->mm != nullptr) t->signal->maxrss = max(t->signal->maxrss, t->mm->hiwater_rss);
  }
  t->exit_code = code;
  if (last) acct_process(t->signal->group_exit_code != 0 ? t->signal->group_exit_code : code);
  if (t->mm != nullptr) {
    exit_mm(t);
  } else {
    mm_release_vfork(t);
  }
  exit_sem(t);
  if (t->files != nullptr) {
    files_struct* files = t->files;
    {
      IrqGuard guard(tasklist_lock);
      t->files = nullptr;
    }
    put_files(files);
  }
  if (t->fs != nullptr) {
    fs_struct* fs = t->fs;
    {
      IrqGuard guard(tasklist_lock);
      t->fs = nullptr;
    }
    put_fs(fs);
  }
  exit_namespaces(t);
  if (last && t->signal->leader) disassociate_ctty();
  exit_notify(t, last);
  preempt_disable();
  if (this_cpu()->fpu_owner == t) this_cpu()->fpu_owner = nullptr;
  schedule_dead();
}

void do_group_exit(int code) {
  signal_struct* s = current->signal;
  if ((s->flags & SIGNAL_GROUP_EXIT) != 0) {
    code = s->group_exit_code;
  } else if (s->nr_threads > 1) {
    IrqGuard guard(current->sighand->siglock);
    if ((s->flags & SIGNAL_GROUP_EXIT) != 0) {
      code = s->group_exit_code;
    } else {
      s->group_exit_code = code;
      s->flags = (s->flags & SIGNAL_UNKILLABLE) | SIGNAL_GROUP_EXIT;
      zap_other_threads(current);
    }
  } else {
    s->group_exit_code = code;
    s->flags = (s->flags & SIGNAL_UNKILLABLE) | SIGNAL_GROUP_EXIT;
  }
  do_exit(code);
}

}  // namespace xm::os
