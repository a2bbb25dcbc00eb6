// SPDX-License-Identifier: GPL-2.0-or-later
// seccomp(2) and what it does at each system call. [man 2 seccomp] GAP: user notification (SECCOMP_RET_USER_NOTIF) is
// refused when a listener is asked for.
#include "kernel/task/seccomp.h"

#include "kernel/lib/string.h"
#include "kernel/mm/slab.h"
#include "kernel/mm/uaccess.h"
#include "kernel/signal/signal.h"
#include "kernel/syscall/calls.h"
#include "kernel/task/bpf_classic.h"
#include "kernel/task/ptrace.h"

namespace xm::os {

struct seccomp_filter {
  Atomic<s32> count{1};
  seccomp_filter* prev = nullptr;
  bool strict = false;
  bool log = false;
  u32 length = 0, total = 0;  // instructions here, and with all before
  sock_filter program[];
};

namespace {

constexpr u64 SECCOMP_MODE_STRICT = 1, SECCOMP_MODE_FILTER = 2;
constexpr u32 SECCOMP_SET_MODE_STRICT = 0, SECCOMP_SET_MODE_FILTER = 1, SECCOMP_GET_ACTION_AVAIL = 2,
              SECCOMP_GET_NOTIF_SIZES = 3;
constexpr u32 SECCOMP_FILTER_FLAG_TSYNC = 1, SECCOMP_FILTER_FLAG_LOG = 2, SECCOMP_FILTER_FLAG_SPEC_ALLOW = 4,
              SECCOMP_FILTER_FLAG_TSYNC_ESRCH = 16;
constexpr u32 SECCOMP_RET_KILL_PROCESS = 0x80000000, SECCOMP_RET_KILL_THREAD = 0, SECCOMP_RET_TRAP = 0x30000,
              SECCOMP_RET_ERRNO = 0x50000, SECCOMP_RET_TRACE = 0x7ff00000, SECCOMP_RET_LOG = 0x7ffc0000,
              SECCOMP_RET_ALLOW = 0x7fff0000, SECCOMP_RET_ACTION_FULL = 0xffff0000, SECCOMP_RET_DATA = 0xffff;
constexpr u32 kMaxTotal = 32768;

struct seccomp_data {
  s32 nr;
  u32 arch;
  u64 instruction_pointer;
  u64 args[6];
};
static_assert(sizeof(seccomp_data) == 64);
struct sock_fprog {
  u16 len;
  u64 filter;
};

seccomp_data describe(const pt_regs* regs) {
  seccomp_data d{};
  d.nr = static_cast<s32>(regs->orig_rax);
  d.instruction_pointer = regs->rip;
  if (compat_mode(regs)) {
    d.arch = AUDIT_ARCH_I386;
    const u64 args[6] = {regs->rbx, regs->rcx, regs->rdx, regs->rsi, regs->rdi, regs->rbp};
    for (int i = 0; i < 6; ++i) d.args[i] = static_cast<u32>(args[i]);
  } else {
    d.arch = AUDIT_ARCH_X86_64;
    const u64 args[6] = {regs->rdi, regs->rsi, regs->rdx, regs->r10, regs->r8, regs->r9};
    memcpy(d.args, args, sizeof args);
  }
  return d;
}

bool strict_allows(const seccomp_data& d) {
  if (d.arch == AUDIT_ARCH_I386) return d.nr == 1 || d.nr == 3 || d.nr == 4 || d.nr == 119 || d.nr == 173;
  return d.nr == 0 || d.nr == 1 || d.nr == 60 || d.nr == 15;  // read, write, exit, rt_sigreturn
}

// All filters run; the most severe answer counts (as a signed number the least), of equals the newest filter's.
u32 run_filters(const seccomp_data& d) {
  u32 result = SECCOMP_RET_ALLOW;
  for (const seccomp_filter* f = current->seccomp; f != nullptr; f = f->prev) {
    if (f->strict) continue;
    const u32 r = bpf_run(f->program, &d, sizeof d, false);
    if (static_cast<s32>(r & SECCOMP_RET_ACTION_FULL) < static_cast<s32>(result & SECCOMP_RET_ACTION_FULL)) result = r;
  }
  return result;
}

void send_sigsys(const seccomp_data& d, u32 data, bool forced) {
  siginfo info{};
  info.si_signo = SIGSYS;
  info.si_code = SYS_SECCOMP;
  info.si_errno = static_cast<int>(data);
  info.sigsys.si_call_addr = d.instruction_pointer;
  info.sigsys.si_syscall = d.nr;
  info.sigsys.si_arch = d.arch;
  force_sig_info(info, forced);
}

bool trace(pt_regs* regs, u32 data) {
  if (!ptrace_wants(current, PTRACE_EVENT_SECCOMP)) {
    regs->rax = static_cast<u64>(-ENOSYS);
    return false;
  }
  ptrace_event(PTRACE_EVENT_SECCOMP, data);
  if (fatal_signal_pending(current) || static_cast<s32>(regs->orig_rax) < 0) return false;
  // The tracer may have changed the call: it is judged again, but the tracer is not asked twice.
  const seccomp_data changed = describe(regs);
  const u32 r = run_filters(changed) & SECCOMP_RET_ACTION_FULL;
  return r == SECCOMP_RET_ALLOW || r == SECCOMP_RET_TRACE || r == SECCOMP_RET_LOG;
}

void attach(seccomp_filter* f) {
  task_struct* t = current;
  IrqGuard guard(t->sighand->siglock);
  f->prev = t->seccomp;
  f->total = f->length + (f->prev != nullptr ? f->prev->total + 4 : 0);
  t->seccomp = f;
  set_tif(t, TIF_SECCOMP);
}

bool is_ancestor(const seccomp_filter* old, const seccomp_filter* f) {
  for (; f != nullptr; f = f->prev) {
    if (f == old) return true;
  }
  return old == nullptr;
}

// All threads get the caller's filters, if theirs are among them. The first one that refuses, or 0.
pid_t sync_threads(const seccomp_filter* mine) {
  IrqGuard guard(tasklist_lock);
  for (task_struct* t : entries<&task_struct::thread_node>(current->signal->thread_head)) {
    if (t != current && !is_ancestor(t->seccomp, mine)) return t->pid;
  }
  return 0;
}
void give_to_threads() {
  IrqGuard guard(tasklist_lock);
  for (task_struct* t : entries<&task_struct::thread_node>(current->signal->thread_head)) {
    if (t == current) continue;
    seccomp_filter* old = t->seccomp;
    t->seccomp = seccomp_get(current->seccomp);
    seccomp_put(old);
    t->no_new_privs |= current->no_new_privs;
    set_tif(t, TIF_SECCOMP);
  }
}

long set_strict() {
  if (seccomp_mode(current) == 2) return -EINVAL;
  if (seccomp_mode(current) == 1) return 0;
  seccomp_filter* f = static_cast<seccomp_filter*>(kzalloc(sizeof(seccomp_filter)));
  if (f == nullptr) return -ENOMEM;
  new (f) seccomp_filter;
  f->strict = true;
  attach(f);
  return 0;
}

long set_filter(u32 flags, u64 user) {
  constexpr u32 kKnown = SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_SPEC_ALLOW |
                         SECCOMP_FILTER_FLAG_TSYNC_ESRCH;
  if ((flags & ~kKnown) != 0) return -EINVAL;
  sock_fprog p;
  TRY_INT(get_user_at(p, user));
  if (p.len == 0 || p.len > BPF_MAXINSNS) return -EINVAL;
  if (!current->no_new_privs && !capable(CAP_SYS_ADMIN)) return -EACCES;
  const u64 bytes = p.len * sizeof(sock_filter);
  auto* f = static_cast<seccomp_filter*>(kzalloc(sizeof(seccomp_filter) + bytes));
  if (f == nullptr) return -ENOMEM;
  new (f) seccomp_filter;
  f->length = p.len;
  f->log = (flags & SECCOMP_FILTER_FLAG_LOG) != 0;
  long error = copy_from_user(f->program, reinterpret_cast<void*>(p.filter), bytes);
  if (error == 0 && !bpf_check(f->program, f->length, sizeof(seccomp_data))) error = -EINVAL;
  const u32 before = current->seccomp != nullptr ? current->seccomp->total + 4 : 0;
  if (error == 0 && before + f->length > kMaxTotal) error = -ENOMEM;
  if (error == 0 && seccomp_mode(current) == 1) error = -EINVAL;
  if (error == 0 && (flags & SECCOMP_FILTER_FLAG_TSYNC) != 0) {
    const pid_t other = sync_threads(current->seccomp);
    if (other != 0) error = (flags & SECCOMP_FILTER_FLAG_TSYNC_ESRCH) != 0 ? -ESRCH : other;
  }
  if (error != 0) {
    kfree(f);
    return error;
  }
  attach(f);
  if ((flags & SECCOMP_FILTER_FLAG_TSYNC) != 0) give_to_threads();
  return 0;
}

bool known_action(u32 action) {
  return action == SECCOMP_RET_KILL_PROCESS || action == SECCOMP_RET_KILL_THREAD || action == SECCOMP_RET_TRAP ||
         action == SECCOMP_RET_ERRNO || action == SECCOMP_RET_TRACE || action == SECCOMP_RET_LOG ||
         action == SECCOMP_RET_ALLOW;
}

}  // namespace

seccomp_filter* seccomp_get(seccomp_filter* f) {
  if (f != nullptr) f->count.inc();
  return f;
}
void seccomp_put(seccomp_filter* f) {
  while (f != nullptr && f->count.dec_and_test()) {
    seccomp_filter* prev = f->prev;
    kfree(f);
    f = prev;
  }
}
int seccomp_mode(const task_struct* t) { return t->seccomp == nullptr ? 0 : (t->seccomp->strict ? 1 : 2); }
int seccomp_count(const task_struct* t) {
  int n = 0;
  for (const seccomp_filter* f = t->seccomp; f != nullptr; f = f->prev) n += !f->strict;
  return n;
}

bool seccomp_allows(pt_regs* regs) {
  const seccomp_data d = describe(regs);
  if (current->seccomp->strict) {
    if (strict_allows(d)) return true;
    send_sig(SIGKILL, current);
    return false;
  }
  const u32 result = run_filters(d), data = result & SECCOMP_RET_DATA;
  switch (result & SECCOMP_RET_ACTION_FULL) {
    case SECCOMP_RET_ALLOW:
    case SECCOMP_RET_LOG: return true;
    case SECCOMP_RET_ERRNO: regs->rax = static_cast<u64>(-static_cast<s64>(min<u32>(data, 4095))); return false;
    case SECCOMP_RET_TRACE: return trace(regs, data);
    case SECCOMP_RET_TRAP:
      regs->rax = regs->orig_rax;  // so that a handler sees the call's number
      send_sigsys(d, data, false);
      return false;
    case SECCOMP_RET_KILL_THREAD:
      if (current->signal->nr_threads > 1) do_exit(SIGSYS);
      [[fallthrough]];
    default:
      regs->rax = regs->orig_rax;
      send_sigsys(d, data, true);
      return false;
  }
}

long prctl_set_seccomp(u64 mode, u64 filter) {
  if (mode == SECCOMP_MODE_STRICT) return set_strict();
  return mode == SECCOMP_MODE_FILTER ? set_filter(0, filter) : -EINVAL;
}

long sys_seccomp(u32 operation, u32 flags, u64 args) {
  switch (operation) {
    case SECCOMP_SET_MODE_STRICT: return flags != 0 || args != 0 ? -EINVAL : set_strict();
    case SECCOMP_SET_MODE_FILTER: return set_filter(flags, args);
    case SECCOMP_GET_ACTION_AVAIL: {
      if (flags != 0) return -EINVAL;
      u32 action;
      TRY_INT(get_user_at(action, args));
      return known_action(action) ? 0 : -EOPNOTSUPP;
    }
    case SECCOMP_GET_NOTIF_SIZES: {
      if (flags != 0) return -EINVAL;
      const u16 sizes[3] = {80, 24, sizeof(seccomp_data)};
      return copy_to_user(reinterpret_cast<void*>(args), sizes, sizeof sizes);
    }
    default: return -EINVAL;
  }
}

}  // namespace xm::os
