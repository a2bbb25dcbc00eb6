// SPDX-License-Identifier: GPL-2.0-or-later
// Stopping: the whole thread group by a stop signal, and one thread for its tracer. Every thread takes part in a group
// stop by itself (JOBCTL_STOP_PENDING); the last one tells the parent. [man 2 ptrace], [POSIX 2.4.3]
#include "kernel/signal/jobctl.h"

#include "kernel/arch/x86_64/cpu.h"
#include "kernel/sched/sched.h"
#include "kernel/task/ptrace.h"
#include "kernel/task/seccomp.h"

namespace xm::os {
namespace {

// True: this was the last thread of a stop.
bool participate_group_stop(task_struct* t) {
  signal_struct* s = t->signal;
  const bool consume = (t->jobctl & JOBCTL_STOP_CONSUME) != 0;
  t->jobctl &= ~(JOBCTL_STOP_PENDING | JOBCTL_STOP_CONSUME);
  if (!consume) return false;
  if (s->group_stop_count > 0) --s->group_stop_count;
  if (s->group_stop_count > 0 || (s->flags & SIGNAL_STOP_STOPPED) != 0) return false;
  s->flags = (s->flags & ~SIGNAL_STOP_CONTINUED) | SIGNAL_STOP_STOPPED;
  return true;
}

bool set_stop_pending(task_struct* t, int sig, u32 more) {
  if ((t->flags & PF_EXITING) != 0 || (t->pending.signal & sigmask(SIGKILL)) != 0) return false;
  t->jobctl |= JOBCTL_STOP_PENDING | more;
  t->jobctl_signal = sig;
  return true;
}

void trap_notify(task_struct* t) {
  t->jobctl |= JOBCTL_TRAP_NOTIFY;
  signal_wake_up(t, false);
  if ((t->jobctl & JOBCTL_LISTENING) != 0) wake_up_state(t, TASK_TRACED);
}

void begin_group_stop(int sig) {
  signal_struct* s = current->signal;
  if ((s->flags & SIGNAL_STOP_STOPPED) == 0) s->group_exit_code = sig;
  s->group_stop_count = 0;
  if (set_stop_pending(current, sig, JOBCTL_STOP_CONSUME)) ++s->group_stop_count;
  for (task_struct* t : entries<&task_struct::thread_node>(s->thread_head)) {
    if (t == current || (t->state.load() & TASK_STOPPED) != 0) continue;
    if (!set_stop_pending(t, sig, JOBCTL_STOP_CONSUME)) continue;
    ++s->group_stop_count;
    if ((t->ptrace & PT_SEIZED) != 0)
      trap_notify(t);
    else
      signal_wake_up(t, false);
  }
}

// The tracer hears of it, and the real parent too if the whole group stopped by this.
void announce(task_struct* t, int why, bool group_done) {
  IrqGuard guard(tasklist_lock);
  if (t->ptrace != 0) notify_parent_stop(t, true, why);
  if (group_done && (t->ptrace == 0 || ptrace_reparented(t))) notify_parent_stop(t, false, CLD_STOPPED);
}

// Stops for the tracer. siglock is held on entry and on return; the result is the signal the tracer wants delivered.
int ptrace_stop(int exit_code, int why, u64 message, siginfo* info, u64& flags) {
  task_struct* t = current;
  if (t->ptrace == 0 || (t->pending.signal & sigmask(SIGKILL)) != 0) return exit_code;
  set_current_state(TASK_TRACED);
  t->ptrace_message = message;
  t->last_siginfo = info;
  t->exit_code = exit_code;
  const bool group_done = why == CLD_STOPPED && (t->jobctl & JOBCTL_STOP_PENDING) != 0 && participate_group_stop(t);
  t->jobctl &= ~(JOBCTL_TRAP_STOP | JOBCTL_TRAPPING);
  if (info != nullptr && info->si_code >> 8 == static_cast<int>(PTRACE_EVENT_STOP)) t->jobctl &= ~JOBCTL_TRAP_NOTIFY;
  spin_unlock_irqrestore(t->sighand->siglock, flags);
  announce(t, why, group_done);
  schedule();
  flags = spin_lock_irqsave(t->sighand->siglock);
  exit_code = t->exit_code;
  t->last_siginfo = nullptr;
  t->ptrace_message = 0;
  t->exit_code = 0;
  t->jobctl &= ~JOBCTL_LISTENING;
  recalc_sigpending(t);
  return exit_code;
}

int notify_locked(int sig, int exit_code, int why, u64 message, u64& flags) {
  siginfo info{};
  info.si_signo = sig;
  info.si_code = exit_code;
  info.rt.si_pid = current->pid;
  info.rt.si_uid = current->cred_->uid;
  return ptrace_stop(exit_code, why, message, &info, flags);
}

void report_syscall(u64 message) {
  const int code = SIGTRAP | ((current->ptrace_options & PTRACE_O_TRACESYSGOOD) != 0 ? 0x80 : 0);
  u64 flags = spin_lock_irqsave(current->sighand->siglock);
  const int sig = notify_locked(SIGTRAP, code, CLD_TRAPPED, message, flags);
  spin_unlock_irqrestore(current->sighand->siglock, flags);
  // What the tracer put in place of the trap is a signal to ourselves.
  if (sig != code && sig > 0 && sig <= kNsig) send_signal(sig, nullptr, current, false);
}

}  // namespace

void notify_parent_stop(task_struct* t, bool for_tracer, int why) {
  task_struct* parent = t->parent;
  if (!for_tracer) {
    t = t->group_leader;
    parent = t->real_parent;
  }
  siginfo info{};
  info.si_signo = SIGCHLD;
  info.si_code = why;
  info.chld.si_pid = t->pid;
  info.chld.si_uid = t->real_cred->uid;
  info.chld.si_status = why == CLD_CONTINUED ? static_cast<int>(SIGCONT)
                                             : (why == CLD_STOPPED ? t->signal->group_exit_code : t->exit_code) & 0x7f;
  const sigaction& a = parent->sighand->action[SIGCHLD - 1];
  if (a.handler != SIG_IGN && (a.flags & SA_NOCLDSTOP) == 0) send_signal_locked_tasklist(SIGCHLD, &info, parent);
  wake_up_all(parent->group_leader->wait_chldexit);
}

void do_signal_stop(int sig, u64 flags) {
  if ((current->jobctl & JOBCTL_STOP_PENDING) == 0) begin_group_stop(sig);
  if (current->ptrace != 0) {
    current->jobctl |= JOBCTL_TRAP_STOP;
    spin_unlock_irqrestore(current->sighand->siglock, flags);
    return;
  }
  const bool done = participate_group_stop(current);
  set_current_state(TASK_STOPPED);
  spin_unlock_irqrestore(current->sighand->siglock, flags);
  if (done) announce(current, CLD_STOPPED, true);
  schedule();
}

void do_jobctl_trap(u64 flags) {
  const signal_struct* s = current->signal;
  int sig = current->jobctl_signal;
  if ((current->ptrace & PT_SEIZED) != 0) {
    if (s->group_stop_count == 0 && (s->flags & SIGNAL_STOP_STOPPED) == 0) sig = SIGTRAP;
    notify_locked(sig, sig | static_cast<int>(PTRACE_EVENT_STOP << 8), CLD_STOPPED, 0, flags);
  } else {
    ptrace_stop(sig, CLD_STOPPED, 0, nullptr, flags);
  }
  current->jobctl &= ~JOBCTL_TRAP_MASK;
  recalc_sigpending(current);
  spin_unlock_irqrestore(current->sighand->siglock, flags);
}

void continue_threads(signal_struct* s) {
  for (task_struct* t : entries<&task_struct::thread_node>(s->thread_head)) {
    t->jobctl &= ~(JOBCTL_STOP_PENDING | JOBCTL_STOP_CONSUME);
    if ((t->ptrace & PT_SEIZED) != 0)
      trap_notify(t);
    else
      wake_up_state(t, TASK_STOPPED);
  }
}

void ptrace_notify(int exit_code, u64 message) {
  u64 flags = spin_lock_irqsave(current->sighand->siglock);
  notify_locked(SIGTRAP, exit_code, CLD_TRAPPED, message, flags);
  spin_unlock_irqrestore(current->sighand->siglock, flags);
}

void ptrace_event(u32 event, u64 message) {
  if (ptrace_wants(current, event)) {
    ptrace_notify(static_cast<int>(event << 8 | SIGTRAP), message);
  } else if (event == PTRACE_EVENT_EXEC && (current->ptrace & (PT_PTRACED | PT_SEIZED)) == PT_PTRACED) {
    send_signal(SIGTRAP, nullptr, current, false);
  }
}

int ptrace_signal(int sig, siginfo* info, u64& flags) {
  const int wanted = ptrace_stop(sig, CLD_TRAPPED, 0, info, flags);
  if (wanted <= 0 || wanted > kNsig) return 0;
  if (wanted != info->si_signo) {
    *info = {};
    info->si_signo = wanted;
    info->si_code = SI_USER;
    info->rt.si_pid = current->parent->tgid;
    info->rt.si_uid = current->parent->real_cred->uid;
  }
  if ((current->blocked & sigmask(wanted)) == 0) return wanted;
  queue_signal_locked(wanted, info, current, false);
  return 0;
}

bool syscall_enter_work(pt_regs* regs) {
  const u32 work = current->thread_flags.load();
  if ((work & (TIF_SYSCALL_TRACE | TIF_SYSCALL_EMU)) != 0 && current->ptrace != 0) {
    report_syscall(PTRACE_EVENTMSG_SYSCALL_ENTRY);
    if (fatal_signal_pending(current) || (work & TIF_SYSCALL_EMU) != 0) {
      regs->orig_rax = ~0ul;
      return false;
    }
  }
  if ((work & TIF_SECCOMP) != 0 && !seccomp_allows(regs)) return false;
  return static_cast<u32>(regs->orig_rax) != ~0u;
}

void syscall_exit_work(pt_regs* regs) {
  if (current->ptrace == 0) return;
  if (test_tif(current, TIF_SINGLESTEP)) {  // the step over the call itself ends here
    regs->eflags &= ~kFlagTf;
    clear_tif(current, TIF_SINGLESTEP);
    siginfo info{};
    info.si_signo = SIGTRAP;
    info.si_code = TRAP_BRKPT;
    info.fault.si_addr = regs->rip;
    send_signal(SIGTRAP, &info, current, false);
    return;
  }
  if (test_tif(current, TIF_SYSCALL_TRACE)) report_syscall(PTRACE_EVENTMSG_SYSCALL_EXIT);
}

}  // namespace xm::os
