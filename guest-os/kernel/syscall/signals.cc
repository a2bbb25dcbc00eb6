// SPDX-License-Identifier: GPL-2.0-or-later
// Signal calls; the machinery is in signal/.
#include "kernel/mm/uaccess.h"
#include "kernel/sched/clock.h"
#include "kernel/sched/sched.h"
#include "kernel/signal/signal.h"
#include "kernel/syscall/calls.h"
#include "kernel/syscall/convert.h"

namespace xm::os {
namespace {

siginfo own_info(int sig, int code) {
  siginfo info{};
  info.si_signo = sig;
  info.si_code = code;
  info.rt.si_pid = current->tgid;
  info.rt.si_uid = current->cred_->uid;
  return info;
}

long send_to_thread(int tgid, int tid, int sig, siginfo* info) {
  task_struct* t = get_task_by_pid(tid);
  if (t == nullptr) return -ESRCH;
  long error = tgid > 0 && t->tgid != tgid ? -ESRCH : check_kill_permission(sig, info, t);
  if (error == 0 && sig != 0) error = send_signal(sig, info, t, false);
  put_task(t);
  return error;
}

}  // namespace

long sys_kill(int pid, int sig) {
  siginfo info = own_info(sig, SI_USER);
  return kill_something(pid, sig, &info);
}
long sys_tkill(int tid, int sig) {
  if (tid <= 0) return -EINVAL;
  siginfo info = own_info(sig, SI_TKILL);
  return send_to_thread(0, tid, sig, &info);
}
long sys_tgkill(int tgid, int tid, int sig) {
  if (tid <= 0 || tgid <= 0) return -EINVAL;
  siginfo info = own_info(sig, SI_TKILL);
  return send_to_thread(tgid, tid, sig, &info);
}

long sys_rt_sigqueueinfo(int pid, int sig, const siginfo* user) {
  siginfo info;
  TRY_INT(get_user(info, user));
  if ((info.si_code >= 0 || info.si_code == SI_TKILL) && current->tgid != pid) return -EPERM;
  info.si_signo = sig;
  if (pid <= 0) return -ESRCH;  // one process, never a group
  return kill_something(pid, sig, &info);
}
long sys_rt_tgsigqueueinfo(int tgid, int tid, int sig, const siginfo* user) {
  siginfo info;
  TRY_INT(get_user(info, user));
  if (tid <= 0 || tgid <= 0) return -EINVAL;
  if ((info.si_code >= 0 || info.si_code == SI_TKILL) && current->pid != tid) return -EPERM;
  info.si_signo = sig;
  return send_to_thread(tgid, tid, sig, &info);
}

long sys_rt_sigaction(int sig, const sigaction* act, sigaction* old, u64 size) {
  if (size != sizeof(sigset_t)) return -EINVAL;
  sigaction fresh, previous;
  if (act != nullptr) TRY_INT(get_user(fresh, act));
  TRY_INT(do_sigaction(sig, act != nullptr ? &fresh : nullptr, &previous));
  return old != nullptr ? put_user(previous, old) : 0;
}

long sys_rt_sigprocmask(int how, const sigset_t* set, sigset_t* old, u64 size) {
  if (size != sizeof(sigset_t)) return -EINVAL;
  const sigset_t before = current->blocked;
  if (set != nullptr) {
    sigset_t s;
    TRY_INT(get_user(s, set));
    switch (how) {
      case SIG_BLOCK: set_current_blocked(before | s); break;
      case SIG_UNBLOCK: set_current_blocked(before & ~s); break;
      case SIG_SETMASK: set_current_blocked(s); break;
      default: return -EINVAL;
    }
  }
  return old != nullptr ? put_user(before, old) : 0;
}

long sys_rt_sigpending(sigset_t* set, u64 size) {
  if (size > sizeof(sigset_t)) return -EINVAL;
  const sigset_t pending = (current->pending.signal | current->signal->shared_pending.signal) & current->blocked;
  return copy_to_user(set, &pending, size);
}

long sys_rt_sigsuspend(const sigset_t* set, u64 size) {
  if (size != sizeof(sigset_t)) return -EINVAL;
  sigset_t s;
  TRY_INT(get_user(s, set));
  set_user_sigmask(s);
  while (!signal_pending(current)) {
    set_current_state(TASK_INTERRUPTIBLE);
    if (!signal_pending(current)) schedule();
    current->state.store(TASK_RUNNING);
  }
  return -ERESTARTNOHAND;
}

long sys_pause() {
  while (!signal_pending(current)) {
    set_current_state(TASK_INTERRUPTIBLE);
    if (!signal_pending(current)) schedule();
    current->state.store(TASK_RUNNING);
  }
  return -ERESTARTNOHAND;
}

long sys_rt_sigtimedwait(const sigset_t* set, siginfo* user_info, const timespec_abi* timeout, u64 size) {
  if (size != sizeof(sigset_t)) return -EINVAL;
  sigset_t wanted;
  TRY_INT(get_user(wanted, set));
  u64 expires = 0;
  if (timeout != nullptr) {
    timespec_abi ts;
    TRY_INT(get_user(ts, timeout));
    expires = ktime_get() + static_cast<u64>(TRY_INT(timespec_to_ns(ts)));
  }
  wanted &= ~(sigmask(SIGKILL) | sigmask(SIGSTOP));
  siginfo info;
  const auto take = [&] {
    IrqGuard guard(current->sighand->siglock);
    return dequeue_signal(current, ~wanted, &info);
  };
  int sig = take();
  if (sig == 0) {
    // The wanted signals are unblocked while we sleep, so that they wake us.
    const sigset_t real = current->blocked;
    {
      IrqGuard guard(current->sighand->siglock);
      current->real_blocked = real;
      current->blocked &= ~wanted;
      recalc_sigpending(current);
    }
    bool in_time = true;
    if (!signal_pending(current)) {
      set_current_state(TASK_INTERRUPTIBLE);
      if (!signal_pending(current)) {
        if (timeout == nullptr)
          schedule();
        else
          in_time = schedule_hrtimeout(expires);
      }
      current->state.store(TASK_RUNNING);
    }
    {
      IrqGuard guard(current->sighand->siglock);
      current->blocked = real;
      current->real_blocked = 0;
      sig = dequeue_signal(current, ~wanted, &info);
      recalc_sigpending(current);
    }
    if (sig == 0) return in_time && signal_pending(current) ? -EINTR : -EAGAIN;
  }
  if (user_info != nullptr) TRY_INT(put_user(info, user_info));
  return sig;
}

long sys_rt_sigreturn() { return do_rt_sigreturn(task_pt_regs(current)); }

long sys_sigaltstack(const stack_t* ss, stack_t* old) {
  stack_t fresh, previous;
  if (ss != nullptr) TRY_INT(get_user(fresh, ss));
  TRY_INT(do_sigaltstack(ss != nullptr ? &fresh : nullptr, &previous, task_pt_regs(current)->rsp, MINSIGSTKSZ));
  return old != nullptr ? put_user(previous, old) : 0;
}

long sys_restart_syscall() { return current->restart_fn != nullptr ? current->restart_fn(current) : -EINTR; }

}  // namespace xm::os
