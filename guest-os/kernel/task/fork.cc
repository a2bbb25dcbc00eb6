// SPDX-License-Identifier: GPL-2.0-or-later
// do_clone: a new task, with each of the five structures (files, fs, sighand, signal, mm) shared or copied as the flags
// say.
#include "kernel/arch/x86_64/switch.h"
#include "kernel/fs/file_table.h"
#include "kernel/fs/pidfd.h"
#include "kernel/init/printk.h"
#include "kernel/ipc/ipc.h"
#include "kernel/lib/string.h"
#include "kernel/mm/mm.h"
#include "kernel/mm/slab.h"
#include "kernel/mm/uaccess.h"
#include "kernel/sched/clock.h"
#include "kernel/sched/sched.h"
#include "kernel/signal/signal.h"
#include "kernel/task/pid.h"
#include "kernel/task/ptrace.h"
#include "kernel/task/seccomp.h"
#include "kernel/task/task_struct.h"

extern "C" char ret_from_fork[], init_stack[];

namespace xm::os {

constinit task_struct init_task{};
constinit signal_struct init_signals{};
constinit sighand_struct init_sighand{};

namespace {

constinit kmem_cache* task_cache = nullptr;
constinit kmem_cache* signal_cache = nullptr;
constinit kmem_cache* sighand_cache = nullptr;
constinit s32 max_threads = 0;

// The part of the stack switch_stacks pops, above it pt_regs.
struct SwitchFrame {
  u64 r15, r14, r13, r12, rbx, rbp, return_address;
};

task_struct* dup_task_struct(const task_struct* from) {
  void* memory = kmem_cache_alloc(task_cache, GFP_KERNEL);
  if (memory == nullptr) return nullptr;
  void* stack = alloc_kernel_stack();
  if (stack == nullptr) {
    kmem_cache_free(task_cache, memory);
    return nullptr;
  }
  task_struct* t = new (memory) task_struct{};
  t->stack = stack;
  copy_string(t->comm, from->comm, sizeof t->comm);
  t->policy = from->policy;
  t->prio = from->prio;
  t->static_prio = from->static_prio;
  t->normal_prio = from->normal_prio;
  t->rt_priority = from->rt_priority;
  t->reset_on_fork = from->reset_on_fork;
  t->sched_class_ = from->sched_class_ == &idle_sched_class ? &fair_sched_class : from->sched_class_;
  t->se.weight = from->se.weight;
  t->se.vruntime = from->se.vruntime;
  t->rt.time_slice = 100000000;
  t->cpus_allowed = from->cpus_allowed;
  t->blocked = from->blocked;
  t->personality = from->personality;
  t->no_new_privs = from->no_new_privs;
  t->timer_slack_ns = t->default_timer_slack_ns = from->timer_slack_ns;
  t->ioprio = from->ioprio;
  t->thread.fs_base = from->thread.fs_base;
  t->thread.gs_base = from->thread.gs_base;
  t->thread.fs_index = from->thread.fs_index;
  t->thread.gs_index = from->thread.gs_index;
  memcpy(t->thread.tls_array, from->thread.tls_array, sizeof t->thread.tls_array);
  t->thread_flags.store(from->thread_flags.load() & (TIF_COMPAT | TIF_SECCOMP | TIF_NOTSC));
  t->seccomp = seccomp_get(from->seccomp);
  t->uts_ns = from->uts_ns;
  t->uts_ns->count.inc();
  t->mnt_ns = from->mnt_ns;
  t->mnt_ns->count.inc();
  memcpy(t->thread.debug_address, from->thread.debug_address, sizeof t->thread.debug_address);
  t->thread.debug_control = from->thread.debug_control;
  t->flags = (from->flags & PF_KTHREAD) | PF_FORKNOEXEC;
  t->start_time = ktime_get();
  return t;
}

void free_task(task_struct* t) {
  free_kernel_stack(t->stack);
  fpu_free(t->thread.fpu);
  seccomp_put(t->seccomp);
  exit_namespaces(t);
  t->~task_struct();
  kmem_cache_free(task_cache, t);
}

int copy_files(u64 flags, task_struct* t) {
  if (current->files == nullptr) return 0;
  if ((flags & CLONE_FILES) != 0) {
    current->files->count.inc();
    t->files = current->files;
    return 0;
  }
  t->files = TRY(dup_fd(current->files));
  return 0;
}

int copy_fs(u64 flags, task_struct* t) {
  if (current->fs == nullptr) return 0;
  if ((flags & CLONE_FS) != 0) {
    current->fs->users.inc();
    t->fs = current->fs;
    return 0;
  }
  t->fs = fs_alloc(current->fs);
  return t->fs == nullptr ? -ENOMEM : 0;
}

int copy_namespaces(u64 flags, task_struct* t) {
  if ((flags & CLONE_NEWUTS) != 0) {
    uts_namespace* ns = copy_uts_ns(current->uts_ns);
    if (ns == nullptr) return -ENOMEM;
    put_uts_ns(t->uts_ns);
    t->uts_ns = ns;
  }
  if ((flags & CLONE_NEWNS) != 0) {
    mnt_namespace* ns = copy_mnt_ns(t->fs);
    if (ns == nullptr) return -ENOMEM;
    put_mnt_ns(t->mnt_ns);
    t->mnt_ns = ns;
  }
  return 0;
}

int copy_sighand(u64 flags, task_struct* t) {
  if ((flags & CLONE_SIGHAND) != 0) {
    current->sighand->count.inc();
    t->sighand = current->sighand;
    return 0;
  }
  void* memory = kmem_cache_alloc(sighand_cache, GFP_KERNEL);
  if (memory == nullptr) return -ENOMEM;
  t->sighand = new (memory) sighand_struct{};
  IrqGuard guard(current->sighand->siglock);
  memcpy(t->sighand->action, current->sighand->action, sizeof t->sighand->action);
  if ((flags & CLONE_CLEAR_SIGHAND) != 0) {
    for (sigaction& a : t->sighand->action) {
      if (a.handler != SIG_IGN) a = {};
    }
  }
  return 0;
}

int copy_signal(u64 flags, task_struct* t) {
  if ((flags & CLONE_THREAD) != 0) {
    t->signal = current->signal;
    t->signal->sigcnt.inc();
    return 0;
  }
  void* memory = kmem_cache_alloc(signal_cache, GFP_KERNEL);
  if (memory == nullptr) return -ENOMEM;
  signal_struct* s = new (memory) signal_struct{};
  t->signal = s;
  memcpy(s->rlim, current->signal->rlim, sizeof s->rlim);
  s->pgrp = current->signal->pgrp;
  s->session = current->signal->session;
  s->tty = current->signal->tty;
  s->oom_score_adj = current->signal->oom_score_adj;
  s->has_child_subreaper = current->signal->has_child_subreaper || current->signal->is_child_subreaper;
  s->group_leader_task = t;
  init_itimers(s);
  return 0;
}

int copy_mm(u64 flags, task_struct* t) {
  if (current->mm == nullptr) return 0;
  if ((flags & CLONE_VM) != 0) {
    current->mm->mm_users.inc();
    t->mm = current->mm;
    return 0;
  }
  t->mm = TRY(dup_mm(current->mm));
  return 0;
}

int copy_thread(const CloneRequest& r, task_struct* t) {
  pt_regs* regs = task_pt_regs(t);
  SwitchFrame* frame = reinterpret_cast<SwitchFrame*>(regs) - 1;
  *frame = {};
  frame->return_address = reinterpret_cast<u64>(ret_from_fork);
  t->thread.sp = reinterpret_cast<u64>(frame);
  if (r.thread_fn != nullptr) {
    *regs = {};
    frame->rbx = reinterpret_cast<u64>(r.thread_fn);
    frame->r12 = reinterpret_cast<u64>(r.thread_arg);
    return 0;
  }
  save_segment_bases(current);
  t->thread.fs_base = current->thread.fs_base;
  t->thread.gs_base = current->thread.gs_base;
  t->thread.fs_index = current->thread.fs_index;
  t->thread.gs_index = current->thread.gs_index;
  *regs = *task_pt_regs(current);
  regs->rax = 0;
  if (r.stack != 0) regs->rsp = r.stack;
  t->thread.fpu = fpu_alloc();
  if (t->thread.fpu == nullptr) return -ENOMEM;
  fpu_flush_to_memory(current);
  fpu_copy(t, current);
  if ((r.flags & CLONE_SETTLS) != 0) {
    if (test_tif(t, TIF_COMPAT)) return set_compat_tls(t, r.tls);
    if (!access_ok(r.tls, 0)) return -EPERM;
    t->thread.fs_base = r.tls;
    t->thread.fs_index = 0;
  }
  return 0;
}

void undo(task_struct* t, bool thread) {
  if (t->mm != nullptr) mmput(t->mm);
  if (t->signal != nullptr) {
    if (thread) {
      t->signal->sigcnt.sub(1);
    } else {
      free_signal(t->signal);
    }
  }
  if (t->sighand != nullptr) put_sighand(t->sighand);
  if (t->fs != nullptr) put_fs(t->fs);
  if (t->files != nullptr) put_files(t->files);
  if (t->pids_charge != nullptr) t->pids_charge->sub(1);
  if (t->cred_ != nullptr) {
    put_cred(t->cred_);
    put_cred(t->cred_);
  }
  nr_threads.sub(1);
  free_task(t);
}

int check_flags(const CloneRequest& r) {
  const u64 f = r.flags;
  if ((f & (CLONE_NEWNS | CLONE_FS)) == (CLONE_NEWNS | CLONE_FS)) return -EINVAL;
  if ((f & CLONE_THREAD) != 0 && (f & CLONE_SIGHAND) == 0) return -EINVAL;
  if ((f & CLONE_SIGHAND) != 0 && (f & CLONE_VM) == 0) return -EINVAL;
  if ((f & CLONE_PARENT) != 0 && (current->signal->flags & SIGNAL_UNKILLABLE) != 0) return -EINVAL;
  if ((f & (CLONE_SIGHAND | CLONE_CLEAR_SIGHAND)) == (CLONE_SIGHAND | CLONE_CLEAR_SIGHAND)) return -EINVAL;
  constexpr u64 kKnown = CLONE_NEWNS | CLONE_NEWUTS;
  constexpr u64 kRefused = CLONE_NEWCGROUP | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;
  if ((f & (kKnown | kRefused)) != 0 && !capable(CAP_SYS_ADMIN)) return -EPERM;
  if ((f & kRefused) != 0) return -EINVAL;
  if ((f & CLONE_PIDFD) != 0 && (f & (CLONE_DETACHED | CLONE_THREAD)) != 0) return -EINVAL;
  return 0;
}

// The event that the tracer asked to be told of, or 0.
u32 traced_event(const CloneRequest& r) {
  if (r.thread_fn != nullptr || (r.flags & CLONE_UNTRACED) != 0) return 0;
  u32 event = PTRACE_EVENT_CLONE;
  if ((r.flags & CLONE_VFORK) != 0)
    event = PTRACE_EVENT_VFORK;
  else if (r.exit_signal == SIGCHLD)
    event = PTRACE_EVENT_FORK;
  return ptrace_wants(current, event) ? event : 0;
}

// Links the finished task into kinship, thread group and pid hash; from here on it can be found and signalled.
int publish(const CloneRequest& r, task_struct* t) {
  IrqGuard guard(tasklist_lock);
  if (r.set_tid != 0) {
    if (!pid_free(r.set_tid)) return -EEXIST;
    t->pid = r.set_tid;
  } else {
    t->pid = alloc_pid();
    if (t->pid < 0) return -EAGAIN;
  }
  SpinGuard signals(current->sighand->siglock);
  if ((r.flags & CLONE_THREAD) == 0 && signal_pending(current) && !(r.thread_fn != nullptr)) return -ERESTARTNOINTR;
  if ((r.flags & (CLONE_PARENT | CLONE_THREAD)) != 0) {
    t->real_parent = current->real_parent;
    t->exit_signal = (r.flags & CLONE_THREAD) != 0 ? -1 : current->group_leader->exit_signal;
  } else {
    t->real_parent = current;
    t->exit_signal = r.exit_signal;
  }
  t->parent = t->real_parent;
  if ((r.flags & CLONE_THREAD) != 0) {
    if ((current->signal->flags & SIGNAL_GROUP_EXIT) != 0 || current->signal->group_exit_task != nullptr)
      return -EAGAIN;
    t->tgid = current->tgid;
    t->group_leader = current->group_leader;
    ++t->signal->nr_threads;
    t->signal->live.inc();
    list_add_tail(&t->thread_node, &t->signal->thread_head);
  } else {
    t->tgid = t->pid;
    t->group_leader = t;
    list_add_tail(&t->thread_node, &t->signal->thread_head);
    list_add_tail(&t->sibling, &t->real_parent->children);
  }
  if (r.thread_fn == nullptr) ptrace_init_child(t, (r.flags & CLONE_PTRACE) != 0 || traced_event(r) != 0);
  attach_pid(t);
  return 0;
}

}  // namespace

void fork_init() {
  task_cache = kmem_cache_create("task_struct", sizeof(task_struct), 64);
  signal_cache = kmem_cache_create("signal_struct", sizeof(signal_struct), 0);
  sighand_cache = kmem_cache_create("sighand_struct", sizeof(sighand_struct), 0);
  max_threads = static_cast<s32>(clamp<u64>(total_ram_pages() / 32, 64, 62000));
  task_struct& t = init_task;
  t.stack = init_stack;
  t.flags = PF_KTHREAD;
  t.group_leader = t.real_parent = t.parent = &t;
  copy_string(t.comm, "swapper/0", sizeof t.comm);
  t.real_cred = t.cred_ = &init_cred;
  t.signal = &init_signals;
  t.sighand = &init_sighand;
  list_add(&t.thread_node, &init_signals.thread_head);
  for (rlimit64& l : init_signals.rlim) l = {RLIM_INFINITY, RLIM_INFINITY};
  init_signals.rlim[RLIMIT_STACK] = {8 << 20, RLIM_INFINITY};
  init_signals.rlim[RLIMIT_CORE] = {0, RLIM_INFINITY};
  init_signals.rlim[RLIMIT_NOFILE] = {1024, 4096};
  init_signals.rlim[RLIMIT_MEMLOCK] = {8 << 20, 8 << 20};
  init_signals.rlim[RLIMIT_NPROC] =
      init_signals.rlim[RLIMIT_SIGPENDING] = {static_cast<u64>(max_threads) / 2, static_cast<u64>(max_threads) / 2};
  init_signals.rlim[RLIMIT_MSGQUEUE] = {819200, 819200};
  init_signals.rlim[RLIMIT_NICE] = init_signals.rlim[RLIMIT_RTPRIO] = {0, 0};
  init_itimers(&init_signals);
}

s32 threads_max() { return max_threads; }

void put_sighand(sighand_struct* s) {
  if (s->count.dec_and_test()) kmem_cache_free(sighand_cache, s);
}

void free_signal(signal_struct* s) {
  if (!s->sigcnt.dec_and_test()) return;
  kmem_cache_free(signal_cache, s);
}

void put_task(task_struct* t) {
  if (!t->usage.dec_and_test()) return;
  flush_sigqueue(&t->pending);
  put_sighand(t->sighand);
  free_signal(t->signal);
  put_cred(t->cred_);
  put_cred(t->real_cred);
  free_task(t);
}

long do_clone(const CloneRequest& r) {
  if (r.thread_fn == nullptr) TRY_INT(check_flags(r));
  const cred* c = current->real_cred;
  const bool privileged = c->user->uid == 0 || capable(CAP_SYS_RESOURCE) || capable(CAP_SYS_ADMIN);
  if (static_cast<u64>(c->user->processes.load()) >= current->signal->rlim[RLIMIT_NPROC].cur && !privileged)
    return -EAGAIN;
  if (nr_threads.add(1) > max_threads) {
    nr_threads.sub(1);
    return -EAGAIN;
  }
  task_struct* t = dup_task_struct(current);
  if (t == nullptr) {
    nr_threads.sub(1);
    return -ENOMEM;
  }
  t->cred_ = t->real_cred = get_cred(get_cred(current->cred_));
  t->pids_charge = &c->user->processes;
  t->pids_charge->inc();
  int error = copy_files(r.flags, t);
  if (error == 0) error = copy_fs(r.flags, t);
  if (error == 0 && r.thread_fn == nullptr) error = copy_namespaces(r.flags, t);
  if (error == 0) error = copy_sighand(r.flags, t);
  if (error == 0) error = copy_signal(r.flags, t);
  if (error == 0 && r.thread_fn == nullptr) error = copy_mm(r.flags, t);
  if (error == 0) error = copy_thread(r, t);
  if (error == 0) error = copy_semundo(r.flags, t);
  if (error != 0) {
    undo(t, (r.flags & CLONE_THREAD) != 0);
    return error;
  }
  if ((r.flags & CLONE_VM) == 0 || (r.flags & CLONE_VFORK) != 0) t->altstack = current->altstack;
  t->set_child_tid = (r.flags & CLONE_CHILD_SETTID) != 0 ? r.child_tid : 0;
  t->clear_child_tid = (r.flags & CLONE_CHILD_CLEARTID) != 0 ? r.child_tid : 0;
  if (r.thread_fn != nullptr) t->flags |= PF_KTHREAD;
  sched_fork(t);
  completion vfork_done;
  if ((r.flags & CLONE_VFORK) != 0) t->vfork_done = &vfork_done;
  int pidfd = -1;
  if ((r.flags & CLONE_PIDFD) != 0) {
    pidfd = pidfd_create(t, 0);
    error = pidfd < 0 ? pidfd : put_user_at(pidfd, r.pidfd);
  }
  if (error == 0) error = publish(r, t);
  if (error != 0) {
    if (pidfd >= 0) close_fd(pidfd);
    undo(t, (r.flags & CLONE_THREAD) != 0);
    return error;
  }
  total_forks.inc();
  const pid_t pid = t->pid;
  if ((r.flags & CLONE_PARENT_SETTID) != 0) put_user_at(pid, r.parent_tid);
  get_task(t);
  const u32 event = traced_event(r);
  wake_up_new_task(t);
  if (event != 0) ptrace_event(event, static_cast<u64>(pid));
  if ((r.flags & CLONE_VFORK) != 0) {
    if (wait_for_completion_killable(vfork_done) != 0) {  // we are being killed: the child must forget our completion
      IrqGuard guard(tasklist_lock);
      t->vfork_done = nullptr;
    } else {
      ptrace_event(PTRACE_EVENT_VFORK_DONE, static_cast<u64>(pid));
    }
  }
  put_task(t);
  return pid;
}

task_struct* fork_idle(u32 cpu) {
  task_struct* t = dup_task_struct(&init_task);
  if (t == nullptr) return nullptr;
  t->cred_ = t->real_cred = get_cred(get_cred(&init_cred));
  t->signal = &init_signals;
  t->sighand = &init_sighand;
  t->flags = PF_KTHREAD;
  t->group_leader = t;
  t->real_parent = t->parent = &init_task;
  t->sched_class_ = &idle_sched_class;
  t->cpu = cpu;
  t->cpus_allowed = 1ul << cpu;
  t->state.store(TASK_RUNNING);
  t->on_cpu.store(1);
  copy_string(t->comm, "swapper/?", sizeof t->comm);
  t->comm[8] = static_cast<char>(cpu < 10 ? '0' + cpu : 'a' + cpu - 10);
  runqueues[cpu].idle = runqueues[cpu].curr = t;
  return t;
}

}  // namespace xm::os
