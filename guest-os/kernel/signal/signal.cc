// SPDX-License-Identifier: GPL-2.0-or-later
// Signals: queueing, choosing the thread that gets one, job control, default actions, delivery. [man 7 signal],
// [POSIX 2.4]
#include "kernel/signal/signal.h"

#include "abi/fs.h"
#include "kernel/arch/x86_64/cpu.h"
#include "kernel/arch/x86_64/switch.h"
#include "kernel/init/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/slab.h"
#include "kernel/sched/sched.h"
#include "kernel/signal/coredump.h"
#include "kernel/signal/jobctl.h"
#include "kernel/task/ptrace.h"
#include "kernel/task/wait.h"

namespace xm::os {

constinit wait_queue_head signalfd_wait{};

namespace {

constexpr sigset_t kStopSet = sigmask(SIGSTOP) | sigmask(SIGTSTP) | sigmask(SIGTTIN) | sigmask(SIGTTOU);
constexpr sigset_t kIgnoreByDefault = sigmask(SIGCONT) | sigmask(SIGCHLD) | sigmask(SIGWINCH) | sigmask(SIGURG);
constexpr sigset_t kCoreSet = sigmask(SIGQUIT) | sigmask(SIGILL) | sigmask(SIGTRAP) | sigmask(SIGABRT) |
                              sigmask(SIGFPE) | sigmask(SIGSEGV) | sigmask(SIGBUS) | sigmask(SIGSYS) |
                              sigmask(SIGXCPU) | sigmask(SIGXFSZ);
constexpr sigset_t kSynchronous =
    sigmask(SIGSEGV) | sigmask(SIGBUS) | sigmask(SIGILL) | sigmask(SIGTRAP) | sigmask(SIGFPE) | sigmask(SIGSYS);
constexpr sigset_t kUnblockable = sigmask(SIGKILL) | sigmask(SIGSTOP);

bool handler_ignores(const task_struct* t, int sig) {
  const u64 handler = t->sighand->action[sig - 1].handler;
  return handler == SIG_IGN || (handler == SIG_DFL && (kIgnoreByDefault & sigmask(sig)) != 0);
}

bool ignored(const task_struct* t, int sig) {
  if (((t->blocked | t->real_blocked) & sigmask(sig)) != 0) return false;
  if (t->ptrace != 0 && sig != SIGKILL) return false;  // the tracer sees it first
  const u64 handler = t->sighand->action[sig - 1].handler;
  if ((t->signal->flags & SIGNAL_UNKILLABLE) != 0 && handler == SIG_DFL) return true;  // init gets only what it handles
  if ((t->flags & PF_KTHREAD) != 0) return handler == SIG_DFL || handler == SIG_IGN;
  return handler_ignores(t, sig);
}

void remove_queued(sigpending* p, sigset_t mask) {
  if ((p->signal & mask) == 0) return;
  p->signal &= ~mask;
  for (sigqueue* q : entries<&sigqueue::list>(p->list)) {
    if ((sigmask(q->info.si_signo) & mask) == 0) continue;
    list_del(&q->list);
    q->user->sigpending.sub(1);
    kfree(q);
  }
}

// SIGCONT and the stop signals cancel each other for the whole process.
void prepare_signal(int sig, task_struct* t) {
  signal_struct* s = t->signal;
  if ((kStopSet & sigmask(sig)) != 0) {
    remove_queued(&s->shared_pending, sigmask(SIGCONT));
    for (task_struct* th : entries<&task_struct::thread_node>(s->thread_head))
      remove_queued(&th->pending, sigmask(SIGCONT));
  } else if (sig == SIGCONT) {
    remove_queued(&s->shared_pending, kStopSet);
    for (task_struct* th : entries<&task_struct::thread_node>(s->thread_head)) remove_queued(&th->pending, kStopSet);
    continue_threads(s);
    if ((s->flags & SIGNAL_STOP_STOPPED) != 0) {
      s->flags = (s->flags & ~SIGNAL_STOP_STOPPED) | SIGNAL_STOP_CONTINUED | SIGNAL_CLD_CONTINUED;
      s->group_stop_count = 0;
      s->group_exit_code = 0;
    } else if (s->group_stop_count > 0) {
      s->group_stop_count = 0;
      s->flags |= SIGNAL_CLD_STOPPED;
    }
  }
}

bool wants(int sig, const task_struct* t) {
  if ((t->blocked & sigmask(sig)) != 0 || (t->flags & PF_EXITING) != 0) return false;
  if (sig == SIGKILL) return true;
  return (t->state.load() & (TASK_STOPPED | TASK_TRACED)) == 0 && (t == current || !signal_pending(t));
}

void complete_signal(int sig, task_struct* t, bool group) {
  signal_struct* s = t->signal;
  task_struct* target = nullptr;
  if (wants(sig, t)) {
    target = t;
  } else if (group) {
    for (task_struct* th : entries<&task_struct::thread_node>(s->thread_head)) {
      if (wants(sig, th)) {
        target = th;
        break;
      }
    }
  }
  if (target == nullptr) return;
  // A fatal signal without core file ends the whole group at once.
  const bool fatal = target->sighand->action[sig - 1].handler == SIG_DFL && (kIgnoreByDefault & sigmask(sig)) == 0 &&
                     (kStopSet & sigmask(sig)) == 0;
  const bool kills = fatal && (s->flags & (SIGNAL_GROUP_EXIT | SIGNAL_UNKILLABLE)) == 0 &&
                     ((target->blocked | target->real_blocked) & sigmask(sig)) == 0 && target->ptrace == 0;
  if ((kills && (kCoreSet & sigmask(sig)) == 0) || (sig == SIGKILL && (s->flags & SIGNAL_GROUP_EXIT) == 0)) {
    s->flags = (s->flags & SIGNAL_UNKILLABLE) | SIGNAL_GROUP_EXIT;
    s->group_exit_code = sig;
    s->group_stop_count = 0;
    for (task_struct* th : entries<&task_struct::thread_node>(s->thread_head)) {
      th->jobctl &= ~JOBCTL_PENDING_MASK;
      th->pending.signal |= sigmask(SIGKILL);
      signal_wake_up(th, true);
    }
    return;
  }
  signal_wake_up(target, sig == SIGKILL);
}

// siglock of the target is held.
int queue_locked(int sig, siginfo* info, task_struct* t, bool group) {
  if (t->exit_state != 0 && (!group || t->signal->live.load() == 0)) return 0;
  prepare_signal(sig, t);
  if (ignored(t, sig)) return 0;
  sigpending* p = group ? &t->signal->shared_pending : &t->pending;
  if (sig < SIGRTMIN && (p->signal & sigmask(sig)) != 0) return 0;  // already pending: classic signals do not count
  if (sig != SIGKILL) {
    user_struct* user = t->real_cred->user;
    const bool from_kernel = info == nullptr || info->si_code > 0;
    const bool over = static_cast<u64>(user->sigpending.load()) >= t->signal->rlim[RLIMIT_SIGPENDING].cur;
    sigqueue* q = !over || from_kernel ? static_cast<sigqueue*>(kmalloc(sizeof(sigqueue), GFP_ATOMIC)) : nullptr;
    if (q != nullptr) {
      new (&q->list) list_head{};
      q->user = user;
      user->sigpending.inc();
      if (info != nullptr) {
        q->info = *info;
      } else {
        q->info = {};
        q->info.si_code = SI_KERNEL;
      }
      q->info.si_signo = sig;
      list_add_tail(&q->list, &p->list);
    } else if (sig >= SIGRTMIN && info != nullptr && info->si_code != SI_USER) {
      return -EAGAIN;
    }
  }
  p->signal |= sigmask(sig);
  wake_up_all(signalfd_wait, POLLIN);
  complete_signal(sig, t, group);
  return 0;
}

bool orphaned_current_pgrp() {
  IrqGuard guard(tasklist_lock);
  return !for_each_in_pgrp(
      current->signal->pgrp,
      [](task_struct* t, void*) {
        if (t->exit_state != 0 || t->real_parent->pid <= 1) return false;
        return t->real_parent->signal->pgrp != t->signal->pgrp && t->real_parent->signal->session == t->signal->session;
      },
      nullptr);
}

// The next signal to act upon for current: its number with *action and *info, or 0.
int get_signal(siginfo* info, sigaction* action) {
  for (;;) {
    signal_struct* s = current->signal;
    u64 flags = spin_lock_irqsave(current->sighand->siglock);
    if ((s->flags & SIGNAL_CLD_CONTINUED) != 0) {
      s->flags &= ~SIGNAL_CLD_CONTINUED;
      spin_unlock_irqrestore(current->sighand->siglock, flags);
      IrqGuard guard(tasklist_lock);
      notify_parent_stop(current, false, CLD_CONTINUED);
      if (ptrace_reparented(current->group_leader)) notify_parent_stop(current->group_leader, true, CLD_CONTINUED);
      continue;
    }
    if ((s->flags & SIGNAL_GROUP_EXIT) != 0 || s->group_exit_task != nullptr) {
      const bool survivor = s->group_exit_task == current;
      if (!survivor) {
        spin_unlock_irqrestore(current->sighand->siglock, flags);
        do_group_exit(s->group_exit_code);
      }
    }
    if ((current->jobctl & JOBCTL_STOP_PENDING) != 0) {
      do_signal_stop(0, flags);
      continue;
    }
    if ((current->jobctl & JOBCTL_TRAP_MASK) != 0) {
      do_jobctl_trap(flags);
      continue;
    }
    int sig = dequeue_signal(current, current->blocked, info);
    if (sig == 0) {
      recalc_sigpending(current);
      spin_unlock_irqrestore(current->sighand->siglock, flags);
      return 0;
    }
    if (current->ptrace != 0 && sig != SIGKILL) {
      sig = ptrace_signal(sig, info, flags);
      if (sig == 0) {
        spin_unlock_irqrestore(current->sighand->siglock, flags);
        continue;
      }
    }
    sigaction& a = current->sighand->action[sig - 1];
    if (a.handler == SIG_IGN) {
      spin_unlock_irqrestore(current->sighand->siglock, flags);
      continue;
    }
    if (a.handler != SIG_DFL) {
      *action = a;
      if ((a.flags & SA_RESETHAND) != 0) a.handler = SIG_DFL;
      spin_unlock_irqrestore(current->sighand->siglock, flags);
      return sig;
    }
    const bool protected_init = (s->flags & SIGNAL_UNKILLABLE) != 0 && (kSynchronous & sigmask(sig)) == 0;
    if ((kIgnoreByDefault & sigmask(sig)) != 0 || protected_init) {
      spin_unlock_irqrestore(current->sighand->siglock, flags);
      continue;
    }
    if ((kStopSet & sigmask(sig)) != 0) {
      if (sig != SIGSTOP) {
        spin_unlock_irqrestore(current->sighand->siglock, flags);
        if (orphaned_current_pgrp()) continue;
        flags = spin_lock_irqsave(current->sighand->siglock);
      }
      do_signal_stop(sig, flags);
      continue;
    }
    spin_unlock_irqrestore(current->sighand->siglock, flags);
    const bool dumped = (kCoreSet & sigmask(sig)) != 0 && do_coredump(*info);
    do_group_exit(sig | (dumped ? 0x80 : 0));
  }
}

}  // namespace

bool signal_pending_current() { return signal_pending(current); }
bool fatal_signal_pending_current() { return fatal_signal_pending(current); }

void recalc_sigpending(task_struct* t) {
  const signal_struct* s = t->signal;
  const sigset_t set = (t->pending.signal | s->shared_pending.signal) & ~t->blocked;
  if (set != 0 || (t->jobctl & JOBCTL_PENDING_MASK) != 0 || (s->flags & SIGNAL_CLD_CONTINUED) != 0 ||
      (t->pending.signal & sigmask(SIGKILL)) != 0) {
    set_tif(t, TIF_SIGPENDING);
  } else if (t == current) {
    clear_tif(t, TIF_SIGPENDING);
  }
}

void signal_wake_up(task_struct* t, bool fatal) {
  set_tif(t, TIF_SIGPENDING);
  const bool woken = wake_up_state(t, TASK_INTERRUPTIBLE | (fatal ? TASK_WAKEKILL | TASK_STOPPED | TASK_TRACED : 0));
  if (!woken && t != current && t->on_cpu.load() != 0)
    resched_curr(runqueues[t->cpu]);  // running in user mode elsewhere: make it enter the kernel
}

int send_signal(int sig, siginfo* info, task_struct* t, bool group) {
  if (sig == 0 || t->sighand == nullptr) return 0;
  IrqGuard guard(tasklist_lock);
  SpinGuard signals(t->sighand->siglock);
  return queue_locked(sig, info, t, group);
}

int queue_signal_locked(int sig, siginfo* info, task_struct* t, bool group) {
  return queue_locked(sig, info, t, group);
}

void send_signal_locked_tasklist(int sig, siginfo* info, task_struct* t) {
  if (sig == 0) return;
  SpinGuard signals(t->sighand->siglock);
  queue_locked(sig, info, t, true);
}

void send_thread_signal_locked_tasklist(int sig, siginfo* info, task_struct* t) {
  if (sig == 0) return;
  SpinGuard signals(t->sighand->siglock);
  queue_locked(sig, info, t, false);
}

int send_sig(int sig, task_struct* t) { return send_signal(sig, nullptr, t, true); }

int kill_pgrp_locked(pid_t pgrp, int sig) {
  for_each_in_pgrp(
      pgrp,
      [](task_struct* t, void* p) {
        send_signal_locked_tasklist(*static_cast<int*>(p), nullptr, t);
        return false;
      },
      &sig);
  return 0;
}
int kill_pgrp(pid_t pgrp, int sig) {
  IrqGuard guard(tasklist_lock);
  return kill_pgrp_locked(pgrp, sig);
}

int check_kill_permission(int sig, const siginfo* info, task_struct* t) {
  if (sig < 0 || sig > kNsig) return -EINVAL;
  if (info == nullptr || info->si_code > 0) return 0;
  const cred* mine = current->cred_;
  const cred* theirs = t->real_cred;
  if (mine->euid == theirs->suid || mine->euid == theirs->uid || mine->uid == theirs->suid || mine->uid == theirs->uid)
    return 0;
  if (t->group_leader == current->group_leader) return 0;
  if (sig == SIGCONT && t->signal->session == current->signal->session) return 0;
  return capable(CAP_KILL) ? 0 : -EPERM;
}

long kill_something(int pid, int sig, siginfo* info) {
  if (sig < 0 || sig > kNsig) return -EINVAL;
  IrqGuard guard(tasklist_lock);
  const auto kill_one = [&](task_struct* t) -> int {
    TRY_INT(check_kill_permission(sig, info, t));
    if (sig == 0) return 0;
    SpinGuard signals(t->sighand->siglock);
    return queue_locked(sig, info, t, true);
  };
  if (pid > 0) {
    task_struct* t = find_task(pid);
    return t == nullptr ? -ESRCH : kill_one(t);
  }
  if (pid == static_cast<int>(0x80000000)) return -ESRCH;
  int found = 0, permitted = 0, error = 0;
  for (task_struct* t : entries<&task_struct::tasks>(all_processes)) {
    if (pid == -1 ? (t->pid <= 1 || t->group_leader == current->group_leader)
                  : t->signal->pgrp != (pid == 0 ? current->signal->pgrp : -pid))
      continue;
    if (t->exit_state == EXIT_DEAD) continue;
    ++found;
    const int e = kill_one(t);
    if (e == 0)
      ++permitted;
    else if (e != -EPERM || pid != -1)
      error = e;
  }
  if (found == 0) return -ESRCH;
  return permitted > 0 ? 0 : error;
}

void force_sig_fault(int sig, int code, u64 address) {
  siginfo info{};
  info.si_signo = sig;
  info.si_code = code;
  info.fault.si_addr = address;
  force_sig_info(info, false);
}

void force_sig_info(siginfo& info, bool to_default) {
  const int sig = info.si_signo;
  task_struct* t = current;
  IrqGuard guard(tasklist_lock);
  SpinGuard signals(t->sighand->siglock);
  sigaction& a = t->sighand->action[sig - 1];
  const bool blocked = (t->blocked & sigmask(sig)) != 0;
  if (blocked || a.handler == SIG_IGN || to_default) {
    a.handler = SIG_DFL;
    t->blocked &= ~sigmask(sig);
  }
  if (a.handler == SIG_DFL) t->signal->flags &= ~SIGNAL_UNKILLABLE;
  queue_locked(sig, &info, t, false);
  recalc_sigpending(t);
}
void force_sig(int sig) { force_sig_fault(sig, SI_KERNEL, 0); }

void zap_other_threads(task_struct* t) {
  t->signal->group_stop_count = 0;
  for (task_struct* th : entries<&task_struct::thread_node>(t->signal->thread_head)) {
    if (th == t || th->exit_state != 0) continue;
    th->jobctl &= ~JOBCTL_PENDING_MASK;
    th->pending.signal |= sigmask(SIGKILL);
    signal_wake_up(th, true);
  }
}

void flush_sigqueue(sigpending* p) { remove_queued(p, ~0ul); }

namespace {
int take_from(sigpending* p, sigset_t blocked, siginfo* info) {
  const sigset_t set = p->signal & ~blocked;
  if (set == 0) return 0;
  const sigset_t first = (set & kSynchronous) != 0 ? set & kSynchronous : set;
  const int sig = __builtin_ctzl(first) + 1;
  sigqueue* found = nullptr;
  bool more = false;
  for (sigqueue* q : entries<&sigqueue::list>(p->list)) {
    if (q->info.si_signo != sig) continue;
    if (found != nullptr) {
      more = true;
      break;
    }
    found = q;
  }
  if (!more) p->signal &= ~sigmask(sig);
  if (found != nullptr) {
    list_del(&found->list);
    *info = found->info;
    found->user->sigpending.sub(1);
    kfree(found);
  } else {
    *info = {};
    info->si_signo = sig;
    info->si_code = SI_USER;
  }
  return sig;
}
}  // namespace

void posix_timer_requeue(const siginfo& info);

int dequeue_signal(task_struct* t, sigset_t blocked, siginfo* info) {
  blocked &= ~kUnblockable;
  int sig = take_from(&t->pending, blocked, info);
  if (sig == 0) sig = take_from(&t->signal->shared_pending, blocked, info);
  if (sig != 0 && info->si_code == SI_TIMER) posix_timer_requeue(*info);
  recalc_sigpending(t);
  return sig;
}

void set_current_blocked(sigset_t set) {
  set &= ~kUnblockable;
  IrqGuard guard(current->sighand->siglock);
  const sigset_t newly = set & ~current->blocked & current->signal->shared_pending.signal;
  current->blocked = set;
  recalc_sigpending(current);
  if (newly == 0) return;
  // Process-wide signals we no longer take: another thread may.
  for (task_struct* th : entries<&task_struct::thread_node>(current->signal->thread_head)) {
    if (th != current && (newly & ~th->blocked) != 0 && (th->flags & PF_EXITING) == 0) signal_wake_up(th, false);
  }
}

void set_user_sigmask(sigset_t set) {
  current->saved_sigmask = current->blocked;
  set_tif(current, TIF_RESTORE_SIGMASK);
  set_current_blocked(set);
}
void restore_saved_sigmask() {
  if (!test_tif(current, TIF_RESTORE_SIGMASK)) return;
  clear_tif(current, TIF_RESTORE_SIGMASK);
  set_current_blocked(current->saved_sigmask);
}

int do_sigaction(int sig, const sigaction* act, sigaction* old) {
  if (sig < 1 || sig > kNsig || (act != nullptr && (sig == SIGKILL || sig == SIGSTOP))) return -EINVAL;
  IrqGuard guard(current->sighand->siglock);
  sigaction& a = current->sighand->action[sig - 1];
  if (old != nullptr) *old = a;
  if (act == nullptr) return 0;
  a = *act;
  a.mask &= ~kUnblockable;
  if (handler_ignores(current, sig)) {  // pending ones are dropped
    remove_queued(&current->signal->shared_pending, sigmask(sig));
    for (task_struct* th : entries<&task_struct::thread_node>(current->signal->thread_head))
      remove_queued(&th->pending, sigmask(sig));
  }
  return 0;
}

bool on_sig_stack(u64 sp) {
  const stack_t& s = current->altstack;
  return (static_cast<u32>(s.ss_flags) & SS_AUTODISARM) == 0 && sp > s.ss_sp && sp - s.ss_sp <= s.ss_size;
}

long do_sigaltstack(const stack_t* ss, stack_t* old, u64 sp, u64 min_size) {
  stack_t& mine = current->altstack;
  if (old != nullptr) {
    *old = {};
    old->ss_sp = mine.ss_sp;
    old->ss_size = mine.ss_size;
    old->ss_flags = (mine.ss_size == 0 ? SS_DISABLE : (on_sig_stack(sp) ? SS_ONSTACK : 0)) |
                    (mine.ss_flags & static_cast<int>(SS_AUTODISARM));
  }
  if (ss == nullptr) return 0;
  if (on_sig_stack(sp)) return -EPERM;
  const int mode = ss->ss_flags & ~static_cast<int>(SS_AUTODISARM);
  if (mode != SS_DISABLE && mode != SS_ONSTACK && mode != 0) return -EINVAL;
  if (mode == SS_DISABLE) {
    mine = {0, ss->ss_flags, 0};
    return 0;
  }
  if (ss->ss_size < min_size) return -ENOMEM;
  mine = *ss;
  return 0;
}

namespace {

// What an interrupted system call becomes: restarted, or EINTR.
void fix_restart(pt_regs* regs, bool handler_runs, u64 action_flags) {
  if (static_cast<s64>(regs->orig_rax) < 0) return;
  const s64 result = compat_mode(regs) ? static_cast<s32>(regs->rax) : static_cast<s64>(regs->rax);
  switch (result) {
    case -ERESTARTNOHAND:
    case -ERESTART_RESTARTBLOCK:
      if (handler_runs) {
        regs->rax = static_cast<u64>(-EINTR);
        return;
      }
      break;
    case -ERESTARTSYS:
      if (handler_runs && (action_flags & SA_RESTART) == 0) {
        regs->rax = static_cast<u64>(-EINTR);
        return;
      }
      break;
    case -ERESTARTNOINTR: break;
    default: return;
  }
  if (result == -ERESTART_RESTARTBLOCK) {
    regs->rax = compat_mode(regs) ? 0 : 219;  // restart_syscall
  } else {
    regs->rax = regs->orig_rax;
  }
  regs->rip -= 2;  // SYSCALL and INT 0x80 are two bytes
}

}  // namespace

void do_signal(pt_regs* regs) {
  siginfo info;
  sigaction action;
  const int sig = get_signal(&info, &action);
  if (sig == 0) {
    fix_restart(regs, false, 0);
    regs->orig_rax = ~0ul;
    restore_saved_sigmask();
    return;
  }
  fix_restart(regs, true, action.flags);
  regs->orig_rax = ~0ul;
  const sigset_t old_mask = test_tif(current, TIF_RESTORE_SIGMASK) ? current->saved_sigmask : current->blocked;
  clear_tif(current, TIF_RESTORE_SIGMASK);
  const bool stepping = test_tif(current, TIF_SINGLESTEP);
  if (stepping) regs->eflags &= ~kFlagTf;  // the tracer's, not the program's
  const int error = compat_mode(regs) ? setup_compat_frame(sig, action, info, old_mask, regs)
                                      : setup_rt_frame(sig, action, info, old_mask, regs);
  if (error != 0) {
    if (sig == SIGSEGV) {
      IrqGuard guard(current->sighand->siglock);
      current->sighand->action[SIGSEGV - 1].handler = SIG_DFL;
    }
    force_sig(SIGSEGV);
    return;
  }
  sigset_t blocked = current->blocked | action.mask;
  if ((action.flags & SA_NODEFER) == 0) blocked |= sigmask(sig);
  set_current_blocked(blocked);
  if (!stepping) return;
  clear_tif(current, TIF_SINGLESTEP);
  ptrace_notify(SIGTRAP, 0);  // the step ends at the handler's first instruction
}

}  // namespace xm::os
