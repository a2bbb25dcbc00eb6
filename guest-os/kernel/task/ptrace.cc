// SPDX-License-Identifier: GPL-2.0-or-later
// ptrace(2): who traces whom, and the requests on a stopped tracee that do not depend on the processor. The stops are
// in signal/jobctl.cc, registers in ptrace_regs.cc. [man 2 ptrace] GAP: 32-bit tracers, PTRACE_SINGLEBLOCK.
#include "kernel/task/ptrace.h"

#include "kernel/arch/x86_64/cpu.h"
#include "kernel/mm/mm.h"
#include "kernel/mm/uaccess.h"
#include "kernel/sched/clock.h"
#include "kernel/sched/sched.h"
#include "kernel/signal/jobctl.h"
#include "kernel/syscall/calls.h"

namespace xm::os {

void ptrace_link(task_struct* child, task_struct* tracer) {
  list_add_tail(&child->ptrace_entry, &tracer->ptraced);
  child->parent = tracer;
}

// The tracee goes on as if it had never been traced: stopped if its group is.
void ptrace_unlink(task_struct* child) {
  clear_tif(child, TIF_SYSCALL_TRACE);
  clear_tif(child, TIF_SYSCALL_EMU);
  if (!child->ptrace_entry.empty()) list_del(&child->ptrace_entry);
  child->parent = child->real_parent;
  SpinGuard guard(child->sighand->siglock);
  child->ptrace = 0;
  child->ptrace_options = 0;
  child->jobctl &= ~(JOBCTL_TRAP_MASK | JOBCTL_LISTENING | JOBCTL_TRAPPING);
  const signal_struct* s = child->signal;
  if ((child->flags & PF_EXITING) == 0 && ((s->flags & SIGNAL_STOP_STOPPED) != 0 || s->group_stop_count > 0)) {
    child->jobctl |= JOBCTL_STOP_PENDING;
    if (child->jobctl_signal == 0) child->jobctl_signal = SIGSTOP;
  }
  const bool traced = (child->state.load() & TASK_TRACED) != 0;
  if ((child->jobctl & JOBCTL_STOP_PENDING) == 0 && !traced) return;
  set_tif(child, TIF_SIGPENDING);
  wake_up_state(child, TASK_INTERRUPTIBLE | TASK_TRACED);
}

bool ptrace_reparented(const task_struct* t) { return t->ptrace != 0 && t->real_parent->signal != t->parent->signal; }

// A new task, still invisible, of a parent that is traced.
void ptrace_init_child(task_struct* child, bool trace) {
  if (!trace || current->ptrace == 0) return;
  child->ptrace = current->ptrace;
  child->ptrace_options = current->ptrace_options;
  ptrace_link(child, current->parent);
  if ((child->ptrace & PT_SEIZED) != 0)
    child->jobctl |= JOBCTL_TRAP_STOP;
  else
    child->pending.signal |= sigmask(SIGSTOP);
  set_tif(child, TIF_SIGPENDING);
}

// The tracer ends: its tracees are let go, or killed. Zombies only it knew of are put on `dead`.
void exit_ptrace(task_struct* tracer, list_head& dead) {
  for (task_struct* t : entries<&task_struct::ptrace_entry>(tracer->ptraced)) {
    if ((t->ptrace_options & PTRACE_O_EXITKILL) != 0) {
      SpinGuard guard(t->sighand->siglock);
      queue_signal_locked(SIGKILL, nullptr, t, true);
    }
    ptrace_unlink(t);
    if (t->exit_state != EXIT_ZOMBIE) continue;
    if (!thread_group_leader(t)) {
      t->exit_state = EXIT_DEAD;
      list_add_tail(&t->tasks, &dead);
    } else {
      wake_up_all(t->real_parent->group_leader->wait_chldexit);
    }
  }
}

namespace {

long traceme() {
  IrqGuard guard(tasklist_lock);
  task_struct* t = current;
  if (t->ptrace != 0 || (t->real_parent->flags & PF_EXITING) != 0) return -EPERM;
  t->ptrace = PT_PTRACED;
  ptrace_link(t, t->real_parent);
  return 0;
}

long check_options(u64 data) {
  if ((data & ~static_cast<u64>(PTRACE_O_MASK)) != 0) return -EINVAL;
  return (data & PTRACE_O_SUSPEND_SECCOMP) != 0 && !capable(CAP_SYS_ADMIN) ? -EPERM : 0;
}

long attach_locked(task_struct* t, bool seize, u64 options) {
  IrqGuard guard(tasklist_lock);
  if (t->exit_state != 0 || t->ptrace != 0 || (t->flags & PF_EXITING) != 0) return -EPERM;
  t->ptrace = PT_PTRACED | (seize ? PT_SEIZED : 0);
  t->ptrace_options = static_cast<u32>(options);
  ptrace_link(t, current);
  SpinGuard signals(t->sighand->siglock);
  if (!seize) queue_signal_locked(SIGSTOP, nullptr, t, false);
  // Stopped with its group already: it must move into a stop of ours, unseen by anybody.
  if ((t->state.load() & TASK_STOPPED) != 0) {
    t->jobctl |= JOBCTL_TRAP_STOP | JOBCTL_TRAPPING;
    set_tif(t, TIF_SIGPENDING);
    wake_up_state(t, TASK_STOPPED);
  }
  return 0;
}

long attach(task_struct* t, u32 request, u64 address, u64 data) {
  const bool seize = request == PTRACE_SEIZE;
  if (seize && address != 0) return -EIO;
  if (seize) TRY_INT(static_cast<int>(check_options(data)) == -EINVAL ? -EIO : static_cast<int>(check_options(data)));
  if ((t->flags & PF_KTHREAD) != 0 || t->signal == current->signal) return -EPERM;
  if (!ptrace_may_access(t)) return -EPERM;
  TRY_INT(attach_locked(t, seize, seize ? data : 0));
  while ((read_once(t->jobctl) & JOBCTL_TRAPPING) != 0 && read_once(t->exit_state) == 0) {
    set_current_state(TASK_UNINTERRUPTIBLE);
    schedule_hrtimeout(ktime_get() + 1000000);
  }
  return 0;
}

// Ours and stopped: it stays so while we work on it (only SIGKILL may set it going).
int check_attached(task_struct* t, bool ignore_state) {
  {
    IrqGuard guard(tasklist_lock);
    if (t->ptrace == 0 || t->parent != current) return -ESRCH;
    const bool stopped = (t->state.load() & TASK_TRACED) != 0 && (t->jobctl & JOBCTL_LISTENING) == 0;
    if (!ignore_state && !stopped) return -ESRCH;
    if (!stopped) return 0;
  }
  while (t->on_cpu.load() != 0) cpu_relax();
  return 0;
}

long resume(task_struct* t, u32 request, u64 data) {
  if (data > kNsig) return -EIO;
  request == PTRACE_SYSCALL ? set_tif(t, TIF_SYSCALL_TRACE) : clear_tif(t, TIF_SYSCALL_TRACE);
  request == PTRACE_SYSEMU || request == PTRACE_SYSEMU_SINGLESTEP ? set_tif(t, TIF_SYSCALL_EMU)
                                                                  : clear_tif(t, TIF_SYSCALL_EMU);
  set_single_step(t, request == PTRACE_SINGLESTEP || request == PTRACE_SYSEMU_SINGLESTEP);
  IrqGuard guard(tasklist_lock);
  SpinGuard signals(t->sighand->siglock);
  t->exit_code = static_cast<int>(data);
  wake_up_state(t, TASK_TRACED);
  return 0;
}

long detach(task_struct* t, u64 data) {
  if (data > kNsig) return -EIO;
  set_single_step(t, false);
  IrqGuard guard(tasklist_lock);
  if (t->ptrace == 0) return -ESRCH;
  t->exit_code = static_cast<int>(data);
  ptrace_unlink(t);
  return 0;
}

long interrupt(task_struct* t) {
  if ((t->ptrace & PT_SEIZED) == 0) return -EIO;
  IrqGuard guard(tasklist_lock);
  SpinGuard signals(t->sighand->siglock);
  t->jobctl |= JOBCTL_TRAP_STOP;
  set_tif(t, TIF_SIGPENDING);
  if ((t->jobctl & JOBCTL_LISTENING) != 0) wake_up_state(t, TASK_TRACED);
  signal_wake_up(t, false);
  return 0;
}

// A group stop seen by the tracer goes on as one: the tracee stays, but may be continued by SIGCONT.
long listen(task_struct* t) {
  if ((t->ptrace & PT_SEIZED) == 0) return -EIO;
  IrqGuard guard(tasklist_lock);
  SpinGuard signals(t->sighand->siglock);
  const siginfo* info = t->last_siginfo;
  if (info == nullptr || info->si_code >> 8 != static_cast<int>(PTRACE_EVENT_STOP)) return -EIO;
  t->jobctl |= JOBCTL_LISTENING;
  if ((t->jobctl & JOBCTL_TRAP_NOTIFY) != 0) wake_up_state(t, TASK_TRACED);
  return 0;
}

long access_siginfo(task_struct* t, u64 data, bool set) {
  siginfo info;
  if (set) TRY_INT(get_user_at(info, data));
  {
    IrqGuard guard(tasklist_lock);
    SpinGuard signals(t->sighand->siglock);
    if (t->last_siginfo == nullptr) return -EINVAL;
    if (set)
      *t->last_siginfo = info;
    else
      info = *t->last_siginfo;
  }
  return set ? 0 : put_user_at(info, data);
}

long peek_siginfo(task_struct* t, u64 address, u64 data) {
  ptrace_peeksiginfo_args args;
  TRY_INT(get_user_at(args, address));
  if ((args.flags & ~1u) != 0 || args.nr < 0) return -EINVAL;
  s32 done = 0;
  for (; done < args.nr; ++done) {
    siginfo info;
    bool found = false;
    {
      IrqGuard guard(tasklist_lock);
      SpinGuard signals(t->sighand->siglock);
      u64 at = 0;
      sigpending& p = (args.flags & 1) != 0 ? t->signal->shared_pending : t->pending;
      for (sigqueue* q : entries<&sigqueue::list>(p.list)) {
        if (at++ != args.off + static_cast<u64>(done)) continue;
        info = q->info;
        found = true;
        break;
      }
    }
    if (!found) break;
    if (put_user_at(info, data + static_cast<u64>(done) * sizeof info) != 0) return done > 0 ? done : -EFAULT;
    if (signal_pending(current)) return done + 1;
  }
  return done;
}

long access_sigmask(task_struct* t, u64 size, u64 data, bool set) {
  if (size != sizeof(sigset_t)) return -EINVAL;
  if (!set) return put_user_at(test_tif(t, TIF_RESTORE_SIGMASK) ? t->saved_sigmask : t->blocked, data);
  sigset_t mask;
  TRY_INT(get_user_at(mask, data));
  IrqGuard guard(tasklist_lock);
  SpinGuard signals(t->sighand->siglock);
  t->blocked = mask & ~(sigmask(SIGKILL) | sigmask(SIGSTOP));
  set_tif(t, TIF_SIGPENDING);
  clear_tif(t, TIF_RESTORE_SIGMASK);
  return 0;
}

long syscall_info(task_struct* t, u64 size, u64 data) {
  ptrace_syscall_info out{};
  const pt_regs* regs = task_pt_regs(t);
  const bool compat = compat_mode(regs);
  out.arch = compat ? AUDIT_ARCH_I386 : AUDIT_ARCH_X86_64;
  out.instruction_pointer = regs->rip;
  out.stack_pointer = regs->rsp;
  u64 known = __builtin_offsetof(ptrace_syscall_info, entry);
  const int code = t->last_siginfo != nullptr ? t->last_siginfo->si_code : 0;
  const bool at_call = t->last_siginfo != nullptr && (code == (SIGTRAP | 0x80) || code == SIGTRAP);
  const bool at_filter = code == static_cast<int>(SIGTRAP | PTRACE_EVENT_SECCOMP << 8);
  if ((at_call && t->ptrace_message == PTRACE_EVENTMSG_SYSCALL_ENTRY) || at_filter) {
    out.op = at_filter ? PTRACE_SYSCALL_INFO_SECCOMP : PTRACE_SYSCALL_INFO_ENTRY;
    out.entry.nr = regs->orig_rax;
    const u64 wide[6] = {regs->rdi, regs->rsi, regs->rdx, regs->r10, regs->r8, regs->r9};
    const u64 narrow[6] = {regs->rbx, regs->rcx, regs->rdx, regs->rsi, regs->rdi, regs->rbp};
    for (int i = 0; i < 6; ++i) out.entry.args[i] = compat ? static_cast<u32>(narrow[i]) : wide[i];
    known = __builtin_offsetof(ptrace_syscall_info, entry) + sizeof out.entry;
    if (at_filter) {
      out.seccomp.ret_data = static_cast<u32>(t->ptrace_message);
      known = __builtin_offsetof(ptrace_syscall_info, seccomp.ret_data) + 4;
    }
  } else if (at_call && t->ptrace_message == PTRACE_EVENTMSG_SYSCALL_EXIT) {
    out.op = PTRACE_SYSCALL_INFO_EXIT;
    const s64 value = compat ? static_cast<s32>(regs->rax) : static_cast<s64>(regs->rax);
    out.exit.rval = value;
    out.exit.is_error = value < 0 && value >= -4095;
    known = __builtin_offsetof(ptrace_syscall_info, exit.is_error) + 1;
  }
  TRY_INT(copy_to_user(reinterpret_cast<void*>(data), &out, min(size, known)));
  return static_cast<long>(known);
}

long access_word(task_struct* t, u64 address, u64& word, bool write) {
  mm_struct* mm = get_task_mm(t);
  if (mm == nullptr) return -EIO;
  const long n = access_process_vm(mm, address, &word, sizeof word, write, true);
  mmput(mm);
  return n == sizeof word ? 0 : -EIO;
}

long request_on(task_struct* t, u32 request, u64 address, u64 data) {
  switch (request) {
    case PTRACE_PEEKTEXT:
    case PTRACE_PEEKDATA: {
      u64 word = 0;
      TRY_INT(static_cast<int>(access_word(t, address, word, false)));
      return put_user_at(word, data);
    }
    case PTRACE_POKETEXT:
    case PTRACE_POKEDATA: return access_word(t, address, data, true);
    case PTRACE_OLDSETOPTIONS:
    case PTRACE_SETOPTIONS:
      TRY_INT(static_cast<int>(check_options(data)));
      t->ptrace_options = static_cast<u32>(data);
      return 0;
    case PTRACE_GETEVENTMSG: return put_user_at(t->ptrace_message, data);
    case PTRACE_GETSIGINFO: return access_siginfo(t, data, false);
    case PTRACE_SETSIGINFO: return access_siginfo(t, data, true);
    case PTRACE_PEEKSIGINFO: return peek_siginfo(t, address, data);
    case PTRACE_GETSIGMASK: return access_sigmask(t, address, data, false);
    case PTRACE_SETSIGMASK: return access_sigmask(t, address, data, true);
    case PTRACE_GET_SYSCALL_INFO: return syscall_info(t, address, data);
    case PTRACE_CONT:
    case PTRACE_SYSCALL:
    case PTRACE_SINGLESTEP:
    case PTRACE_SYSEMU:
    case PTRACE_SYSEMU_SINGLESTEP: return resume(t, request, data);
    case PTRACE_KILL:
      if (t->exit_state != 0) return 0;
      return resume(t, PTRACE_CONT, SIGKILL);
    case PTRACE_DETACH: return detach(t, data);
    case PTRACE_INTERRUPT: return interrupt(t);
    case PTRACE_LISTEN: return listen(t);
    default: return ptrace_arch(t, request, address, data);
  }
}

}  // namespace

long sys_ptrace(s64 request64, s64 pid, u64 address, u64 data) {
  const u32 request = static_cast<u32>(request64);
  if (request == PTRACE_TRACEME) return traceme();
  task_struct* t = get_task_by_pid(static_cast<pid_t>(pid));
  if (t == nullptr) return -ESRCH;
  long result;
  if (request == PTRACE_ATTACH || request == PTRACE_SEIZE) {
    result = attach(t, request, address, data);
  } else {
    result = check_attached(t, request == PTRACE_KILL || request == PTRACE_INTERRUPT);
    if (result == 0) result = request_on(t, request, address, data);
  }
  put_task(t);
  return result;
}

}  // namespace xm::os
