// SPDX-License-Identifier: GPL-2.0-or-later
// Processes and threads: fork, clone, execve, wait, exit, futex, prctl, arch_prctl.
#include "kernel/arch/x86_64/cpu.h"
#include "kernel/arch/x86_64/switch.h"
#include "kernel/fs/namei.h"
#include "kernel/fs/pidfd.h"
#include "kernel/lib/string.h"
#include "kernel/mm/mm.h"
#include "kernel/mm/uaccess.h"
#include "kernel/sched/clock.h"
#include "kernel/signal/signal.h"
#include "kernel/syscall/calls.h"
#include "kernel/syscall/convert.h"
#include "kernel/task/exec.h"
#include "kernel/task/futex.h"
#include "kernel/task/seccomp.h"
#include "kernel/task/wait.h"

namespace xm::os {

long sys_fork() {
  CloneRequest r;
  r.exit_signal = SIGCHLD;
  return do_clone(r);
}
long sys_vfork() {
  CloneRequest r;
  r.flags = CLONE_VFORK | CLONE_VM;
  r.exit_signal = SIGCHLD;
  return do_clone(r);
}
long sys_clone(u64 flags, u64 stack, u64 parent_tid, u64 child_tid, u64 tls) {
  CloneRequest r;
  r.flags = (flags & 0xffffffff) & ~CSIGNAL;
  r.exit_signal = static_cast<int>(flags & CSIGNAL);
  r.stack = stack;
  r.parent_tid = r.pidfd = parent_tid;
  r.child_tid = child_tid;
  r.tls = tls;
  if ((r.flags & (CLONE_PIDFD | CLONE_PARENT_SETTID)) == (CLONE_PIDFD | CLONE_PARENT_SETTID)) return -EINVAL;
  return do_clone(r);
}

long sys_clone3(u64 user, u64 size) {
  clone_args a{};
  if (size > kPageSize) return -E2BIG;
  if (size < 64) return -EINVAL;
  TRY_INT(copy_from_user(&a, reinterpret_cast<void*>(user), min<u64>(size, sizeof a)));
  for (u64 at = sizeof a; at < size; ++at) {
    u8 b;
    TRY_INT(get_user_at(b, user + at));
    if (b != 0) return -E2BIG;
  }
  constexpr u64 kKnown = 0x3ffffffff;
  if ((a.flags & ~kKnown) != 0 || (a.flags & (CLONE_DETACHED | CSIGNAL)) != 0 || (a.exit_signal & ~CSIGNAL) != 0 ||
      a.exit_signal > kNsig)
    return -EINVAL;
  if ((a.flags & (CLONE_THREAD | CLONE_PARENT)) != 0 && a.exit_signal != 0) return -EINVAL;
  if ((a.stack == 0) != (a.stack_size == 0)) return -EINVAL;
  if (a.stack != 0 && !access_ok(a.stack, a.stack_size)) return -EINVAL;
  if (a.set_tid_size > 32 || (a.set_tid == 0) != (a.set_tid_size == 0)) return -EINVAL;
  CloneRequest r;
  r.flags = a.flags;
  r.exit_signal = static_cast<int>(a.exit_signal);
  r.stack = a.stack == 0 ? 0 : a.stack + a.stack_size;
  r.tls = a.tls;
  r.parent_tid = a.parent_tid;
  r.child_tid = a.child_tid;
  r.pidfd = a.pidfd;
  if (a.set_tid_size > 1) return -EINVAL;
  if (a.set_tid_size == 1) {
    if (!capable(CAP_SYS_ADMIN)) return -EPERM;
    TRY_INT(get_user_at(r.set_tid, a.set_tid));
    if (r.set_tid < 1) return -EINVAL;
  }
  return do_clone(r);
}

long sys_execve(const char* name, u64 argv, u64 envp) { return sys_execveat(AT_FDCWD, name, argv, envp, 0); }
long sys_execveat(int dfd, const char* user_name, u64 argv, u64 envp, u32 flags) {
  if ((flags & ~(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW)) != 0) return -EINVAL;
  char* name = TRY(getname(user_name, (flags & AT_EMPTY_PATH) != 0 ? LOOKUP_EMPTY : 0));
  const long r = do_execve(dfd, name, {argv, false, nullptr}, {envp, false, nullptr}, flags);
  putname(name);
  return r;
}

long sys_exit(int code) { do_exit((code & 0xff) << 8); }
long sys_exit_group(int code) { do_group_exit((code & 0xff) << 8); }

rusage_abi rusage_from(const rusage_times& u) {
  rusage_abi r{};
  r.utime = {static_cast<s64>(u.utime / kNsPerSec), static_cast<s64>(u.utime % kNsPerSec / 1000)};
  r.stime = {static_cast<s64>(u.stime / kNsPerSec), static_cast<s64>(u.stime % kNsPerSec / 1000)};
  r.maxrss = static_cast<s64>(u.maxrss * 4);
  r.minflt = static_cast<s64>(u.min_flt);
  r.majflt = static_cast<s64>(u.maj_flt);
  r.nvcsw = static_cast<s64>(u.nvcsw);
  r.nivcsw = static_cast<s64>(u.nivcsw);
  return r;
}

long wait4_common(int pid, int options, WaitRequest& r) {
  if ((static_cast<u32>(options) & ~(WNOHANG | WUNTRACED | WCONTINUED | WNOTHREAD | WCLONE | WALL)) != 0)
    return -EINVAL;
  if (pid == static_cast<int>(0x80000000)) return -ESRCH;
  r.options = static_cast<u32>(options) | WEXITED;
  if (pid > 0) {
    r.type = PidType::Pid;
    r.number = pid;
  } else if (pid != -1) {
    r.type = PidType::Pgrp;
    r.number = pid == 0 ? current->signal->pgrp : -pid;
  }
  return do_wait(r);
}

long sys_wait4(int pid, int* status, int options, rusage_abi* usage) {
  WaitRequest r;
  const long n = wait4_common(pid, options, r);
  if (n <= 0) return n;
  if (status != nullptr) TRY_INT(put_user(r.status, status));
  if (usage != nullptr) TRY_INT(put_user(rusage_from(r.usage), usage));
  return n;
}

long waitid_common(int type, int id, int options, WaitRequest& r, siginfo& info) {
  if ((static_cast<u32>(options) &
       ~(WNOHANG | WNOWAIT | WEXITED | WSTOPPED | WCONTINUED | WNOTHREAD | WCLONE | WALL)) != 0)
    return -EINVAL;
  if ((options & (WEXITED | WSTOPPED | WCONTINUED)) == 0) return -EINVAL;
  r.options = static_cast<u32>(options);
  switch (type) {
    case 0: break;
    case 1:
      if (id <= 0) return -EINVAL;
      r.type = PidType::Pid;
      r.number = id;
      break;
    case 2:
      if (id < 0) return -EINVAL;
      r.type = PidType::Pgrp;
      r.number = id == 0 ? current->signal->pgrp : id;
      break;
    case 3: {
      if (id < 0) return -EINVAL;
      r.type = PidType::Pid;
      r.number = TRY_INT(pidfd_to_pid(id, &r.nohang));
      break;
    }
    default: return -EINVAL;
  }
  const long n = do_wait(r);
  if (n < 0) return n;
  info = {};
  if (n > 0) {
    info.si_signo = SIGCHLD;
    info.si_code = r.code;
    info.chld.si_pid = r.pid;
    info.chld.si_uid = r.uid;
    if (r.code == CLD_EXITED || r.code == CLD_STOPPED)
      info.chld.si_status = (r.status >> 8) & 0xff;
    else
      info.chld.si_status = r.code == CLD_CONTINUED ? static_cast<int>(SIGCONT) : r.status & 0x7f;
  }
  return n;
}

long sys_waitid(int type, int id, siginfo* user_info, int options, rusage_abi* usage) {
  WaitRequest r;
  siginfo info;
  const long n = waitid_common(type, id, options, r, info);
  if (n < 0) return n;
  if (n > 0 && usage != nullptr) TRY_INT(put_user(rusage_from(r.usage), usage));
  if (user_info != nullptr) TRY_INT(copy_to_user(user_info, &info, 32));
  return 0;
}

long sys_set_tid_address(u64 address) {
  current->clear_child_tid = address;
  return current->pid;
}
long sys_set_robust_list(u64 head, u64 size) {
  if (size != 24) return -EINVAL;
  current->robust_list = head;
  return 0;
}
long sys_get_robust_list(int pid, u64* head, u64* size) {
  u64 value = current->robust_list;
  if (pid != 0) {
    task_struct* t = get_task_by_pid(pid);
    if (t == nullptr) return -ESRCH;
    const bool allowed = t->real_cred->uid == current->cred_->uid || capable(CAP_SYS_PTRACE);
    value = t->robust_list;
    put_task(t);
    if (!allowed) return -EPERM;
  }
  TRY_INT(put_user(u64{24}, size));
  return put_user(value, head);
}

long sys_rseq(u64 area, u32 size, int flags, u32 signature) {
  task_struct* t = current;
  if ((flags & ~1) != 0) return -EINVAL;
  if (flags == 1) {
    if (t->rseq == 0 || t->rseq != area || size != t->rseq_len) return -EINVAL;
    if (t->rseq_sig != signature) return -EPERM;
    t->rseq = 0;
    return 0;
  }
  if (t->rseq != 0)
    return t->rseq != area || size != t->rseq_len ? -EINVAL : (t->rseq_sig != signature ? -EPERM : -EBUSY);
  if ((area & 31) != 0 || size < 32) return -EINVAL;
  if (!access_ok(area, size)) return -EFAULT;
  // The processor number changes without the program being told, so it is left at "unregistered state" for readers that
  // trust it: GAP.
  return -ENOSYS;
}

long futex_deadline(int op, const timespec_abi& ts, u64& expires) {
  const int command = op & FUTEX_CMD_MASK;
  const u64 ns = TRY_INT(timespec_to_ns(ts));
  expires = ns;
  if (command == FUTEX_WAIT) {
    expires = ktime_get() + ns;
  } else if ((op & FUTEX_CLOCK_REALTIME) != 0 || command == FUTEX_LOCK_PI) {
    expires = realtime_to_monotonic(ns);
  }
  if (expires == 0) expires = 1;
  return 0;
}

long sys_futex(u64 address, int op, u32 value, u64 timeout, u64 address2, u32 value3) {
  const int command = op & FUTEX_CMD_MASK;
  const bool timed = command == FUTEX_WAIT || command == FUTEX_WAIT_BITSET || command == FUTEX_LOCK_PI;
  u64 expires = 0;
  if (timed && timeout != 0) {
    timespec_abi ts;
    TRY_INT(get_user_at(ts, timeout));
    TRY_INT(futex_deadline(op, ts, expires));
  }
  const long r = do_futex(address, op, value, expires, address2, static_cast<u32>(timeout), value3);
  // A relative wait must not start its time anew.
  return r == -ERESTARTSYS && expires != 0 && command == FUTEX_WAIT ? -EINTR : r;
}

long sys_arch_prctl(int code, u64 address) {
  constexpr int kSetGs = 0x1001, kSetFs = 0x1002, kGetFs = 0x1003, kGetGs = 0x1004, kGetCpuid = 0x1011,
                kSetCpuid = 0x1012;
  thread_struct& th = current->thread;
  switch (code) {
    case kSetFs:
    case kSetGs:
      if (!access_ok(address, 0)) return -EPERM;
      preempt_disable();
      if (code == kSetFs) {
        th.fs_index = 0;
        th.fs_base = address;
        asm volatile("movl %0, %%fs" : : "r"(0));
        wrmsr(kMsrFsBase, address);
      } else {
        th.gs_index = 0;
        th.gs_base = address;
        asm volatile("cli; swapgs; movl %0, %%gs; swapgs; sti" : : "r"(0) : "memory");
        wrmsr(kMsrKernelGsBase, address);
      }
      preempt_enable();
      return 0;
    case kGetFs: return put_user_at(rdmsr(kMsrFsBase), address);
    case kGetGs: return put_user_at(rdmsr(kMsrKernelGsBase), address);
    case kGetCpuid: return 1;
    case kSetCpuid: return -ENODEV;
    default: return -EINVAL;
  }
}

namespace {

long prctl_name(int option, u64 user) {
  char name[16]{};
  if (option == 16) {
    copy_string(name, current->comm, sizeof name);
    return copy_to_user(reinterpret_cast<void*>(user), name, sizeof name);
  }
  const long n = strncpy_from_user(name, reinterpret_cast<const char*>(user), 15);
  if (n == -EFAULT) return n;
  name[15] = 0;
  copy_string(current->comm, name, sizeof current->comm);
  return 0;
}

long prctl_ambient(u64 what, u64 cap) {
  constexpr u64 kIsSet = 1, kRaise = 2, kLower = 3, kClearAll = 4;
  if (what == kClearAll) {
    if (cap != 0) return -EINVAL;
    cred* c = TRY(prepare_creds());
    c->cap_ambient = 0;
    commit_creds(c);
    return 0;
  }
  if (what < kIsSet || what > kLower || cap > CAP_LAST_CAP) return -EINVAL;
  const u64 bit = 1ul << cap;
  if (what == kIsSet) return (current->cred_->cap_ambient & bit) != 0;
  constexpr u32 kNoCapAmbientRaise = 1u << 6;
  if (what == kRaise && (current->cred_->securebits & kNoCapAmbientRaise) != 0) return -EPERM;
  if (what == kRaise && (current->cred_->cap_permitted & current->cred_->cap_inheritable & bit) == 0) return -EPERM;
  cred* c = TRY(prepare_creds());
  c->cap_ambient = what == kRaise ? c->cap_ambient | bit : c->cap_ambient & ~bit;
  commit_creds(c);
  return 0;
}

long prctl_caps(int option, u64 a) {
  cred* c = TRY(prepare_creds());
  long error = 0;
  switch (option) {
    case 8:  // PR_SET_KEEPCAPS
      if (a > 1)
        error = -EINVAL;
      else if ((c->securebits & 1u << 5) != 0)
        error = -EPERM;
      else
        c->securebits = a != 0 ? c->securebits | 1u << 4 : c->securebits & ~(1u << 4);
      break;
    case 24:  // PR_CAPBSET_DROP
      if (!capable(CAP_SETPCAP))
        error = -EPERM;
      else if (a > CAP_LAST_CAP)
        error = -EINVAL;
      else
        c->cap_bset &= ~(1ul << a);
      break;
    default:  // PR_SET_SECUREBITS
      if (!capable(CAP_SETPCAP) || (a & ~0xfful) != 0)
        error = -EPERM;
      else
        c->securebits = static_cast<u32>(a);
  }
  if (error != 0) {
    put_cred(c);
    return error;
  }
  commit_creds(c);
  return 0;
}

}  // namespace

namespace {
// PR_SET_TSC: 1 RDTSC works, 2 it raises SIGSEGV. [SDM3 2.5 CR4.TSD]
long set_tsc_mode(u64 mode) {
  if (mode != 1 && mode != 2) return -EINVAL;
  preempt_disable();
  mode == 2 ? set_tif(current, TIF_NOTSC) : clear_tif(current, TIF_NOTSC);
  load_tsc_mode(current);
  preempt_enable();
  return 0;
}
}  // namespace

long sys_prctl(int option, u64 a, u64 b, u64 c, u64 d) {
  task_struct* t = current;
  switch (option) {
    case 1:  // PR_SET_PDEATHSIG
      if (a > kNsig) return -EINVAL;
      t->pdeath_signal = static_cast<int>(a);
      return 0;
    case 2: return put_user_at(t->pdeath_signal, a);
    case 3: return t->mm->dumpable ? 1 : 0;
    case 4:
      if (a > 1) return -EINVAL;
      t->mm->dumpable = a == 1;
      return 0;
    case 21: return seccomp_mode(t);
    case 22: return prctl_set_seccomp(a, b);
    case 7: return (t->cred_->securebits >> 4) & 1;
    case 15:
    case 16: return prctl_name(option, a);
    case 8:
    case 24:
    case 28: return prctl_caps(option, a);
    case 23: return a > CAP_LAST_CAP ? -EINVAL : ((t->cred_->cap_bset >> a) & 1);
    case 27: return t->cred_->securebits;
    case 29: t->timer_slack_ns = a == 0 ? t->default_timer_slack_ns : a; return 0;
    case 30: return static_cast<long>(t->timer_slack_ns);
    case 25: return put_user_at(test_tif(t, TIF_NOTSC) ? 2 : 1, a);
    case 26: return set_tsc_mode(a);
    case 36: t->signal->is_child_subreaper = a != 0; return 0;
    case 37: return put_user_at(static_cast<int>(t->signal->is_child_subreaper), a);
    case 38:
      if (a != 1 || b != 0 || c != 0 || d != 0) return -EINVAL;
      t->no_new_privs = true;
      return 0;
    case 39: return a != 0 || b != 0 || c != 0 || d != 0 ? -EINVAL : t->no_new_privs;
    case 40: return put_user_at(u64{0}, a);  // PR_GET_TID_ADDRESS without CHECKPOINT_RESTORE data
    case 47: return c != 0 || d != 0 ? -EINVAL : prctl_ambient(a, b);
    default: return -EINVAL;
  }
}

long sys_personality(u64 persona) {
  const u64 old = current->personality;
  if (persona != 0xffffffff) current->personality = persona & 0xffffffff;
  return static_cast<long>(old);
}

long sys_getpid() { return current->tgid; }
long sys_gettid() { return current->pid; }
long sys_getppid() {
  IrqGuard guard(tasklist_lock);
  return current->group_leader->real_parent->tgid;
}

}  // namespace xm::os
