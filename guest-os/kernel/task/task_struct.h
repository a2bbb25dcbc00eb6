// SPDX-License-Identifier: GPL-2.0-or-later
// task_struct: one for each thread. Its parts follow the course: identity and kinship, state, scheduling, run
// statistics, credentials, memory, files, signals, kernel stack. A process is a thread group: the five structures
// (files, fs, sighand, signal, mm) are shared or copied by clone.
#pragma once

#include "abi/sched.h"
#include "abi/signal.h"
#include "kernel/arch/x86_64/ptrace.h"
#include "kernel/lib/list.h"
#include "kernel/mm/mm_types.h"
#include "kernel/mm/vmalloc.h"
#include "kernel/sched/sched_entity.h"
#include "kernel/sched/wait.h"
#include "kernel/signal/signal_types.h"
#include "kernel/task/cred.h"
#include "kernel/task/namespaces.h"

namespace xm::os {

struct files_struct;
struct fs_struct;
struct futex_waiter;
struct sem_undo_list;
struct seccomp_filter;

// Per-thread words of the architecture.
struct thread_struct {
  u64 sp = 0;  // kernel stack pointer while not running
  u64 fs_base = 0, gs_base = 0;
  u16 fs_index = 0, gs_index = 0;
  u64 tls_array[3]{};                                           // descriptors of set_thread_area (32-bit programs)
  void* fpu = nullptr;                                          // XSAVE area
  u32 fpu_cpu = ~0u;                                            // processor whose registers hold this state
  u64 trap_nr = 0, error_code = 0, cr2 = 0;                     // of the last fault, for signal frames
  u64 debug_address[4]{}, debug_status = 0, debug_control = 0;  // DR0-DR3, DR6, DR7 as a tracer set them
};

enum ThreadFlag : u32 {
  TIF_SIGPENDING = 1,
  TIF_NOTIFY = 2,
  TIF_RESTORE_SIGMASK = 4,
  TIF_SINGLESTEP = 8,
  TIF_COMPAT = 16,
  TIF_MEMDIE = 32,
  TIF_SYSCALL_TRACE = 64,
  TIF_SYSCALL_EMU = 128,
  TIF_SECCOMP = 256,
  TIF_NOTSC = 512,
  TIF_SYSCALL_WORK = TIF_SYSCALL_TRACE | TIF_SYSCALL_EMU | TIF_SECCOMP
};
// Job control of one thread.
constexpr u32 JOBCTL_STOP_PENDING = 1, JOBCTL_STOP_CONSUME = 2, JOBCTL_TRAP_STOP = 4, JOBCTL_TRAP_NOTIFY = 8,
              JOBCTL_LISTENING = 16, JOBCTL_TRAPPING = 32, JOBCTL_TRAP_MASK = JOBCTL_TRAP_STOP | JOBCTL_TRAP_NOTIFY,
              JOBCTL_PENDING_MASK = JOBCTL_STOP_PENDING | JOBCTL_TRAP_MASK;
constexpr u32 PT_PTRACED = 1, PT_SEIZED = 2;
constexpr u32 PF_EXITING = 4, PF_FORKNOEXEC = 0x40, PF_SUPERPRIV = 0x100, PF_KTHREAD = 0x200000, PF_VFORK_DONE = 0x400;

struct task_struct {
  // State.
  Atomic<u32> state{TASK_NEW};
  Atomic<u32> thread_flags{0};
  u32 flags = 0;  // PF_*
  u32 exit_state = 0;
  int exit_code = 0;  // wait status
  int exit_signal = SIGCHLD;
  u32 irq_depth = 0;      // interrupts nested on the kernel stack: at most kMostNestedIrqs
  void* stack = nullptr;  // kernel stack: kKernelStackSize bytes, guard page below
  thread_struct thread;
  Atomic<s32> usage{2};  // one for the task itself, one for its parent's wait

  // Identity and kinship; protected by tasklist_lock.
  pid_t pid = 0;
  pid_t tgid = 0;
  char comm[16]{};
  task_struct* group_leader = nullptr;
  task_struct* real_parent = nullptr;
  task_struct* parent = nullptr;  // who is told: a tracer, or real_parent
  list_head children;
  list_head sibling;
  list_head thread_node;              // in signal->thread_head
  list_head tasks;                    // all group leaders
  list_head pid_link;                 // in the pid hash
  list_head pgrp_link, session_link;  // group leaders, in the hashes by process group and session

  // Scheduling.
  bool on_rq = false;
  Atomic<u32> on_cpu{0};
  u32 cpu = 0;
  int policy = SCHED_NORMAL;
  int prio = 120, static_prio = 120, normal_prio = 120;
  u32 rt_priority = 0;
  bool reset_on_fork = false;
  const sched_class* sched_class_ = nullptr;
  sched_entity se;
  sched_rt_entity rt;
  u64 cpus_allowed = ~0ul;
  spinlock_t pi_lock{LockRank::None};

  // Run statistics.
  u64 utime = 0, stime = 0;  // ns
  u64 nvcsw = 0, nivcsw = 0;
  u64 min_flt = 0, maj_flt = 0;
  u64 start_time = 0;    // monotonic ns
  u64 accounted_at = 0;  // when utime/stime were last brought up to date
  u64 read_chars = 0, write_chars = 0, read_calls = 0, write_calls = 0;

  // Credentials.
  cred* real_cred = nullptr;
  cred* cred_ = nullptr;  // effective; differs from real_cred only while overridden

  // Memory, files, namespaces.
  mm_struct* mm = nullptr;
  mm_struct* active_mm = nullptr;
  fs_struct* fs = nullptr;
  files_struct* files = nullptr;
  uts_namespace* uts_ns = &init_uts_ns;
  mnt_namespace* mnt_ns = &init_mnt_ns;

  // Signals.
  signal_struct* signal = nullptr;
  sighand_struct* sighand = nullptr;
  sigset_t blocked = 0, saved_sigmask = 0;
  sigset_t real_blocked = 0;  // the mask to come back while sigtimedwait has opened it: such signals are never dropped
  sigpending pending;
  stack_t altstack{0, SS_DISABLE, 0};
  int pdeath_signal = 0;

  // Tracing.
  u32 ptrace = 0;          // PT_*
  u32 ptrace_options = 0;  // PTRACE_O_*
  u32 jobctl = 0;          // JOBCTL_*; siglock
  int jobctl_signal = 0;   // that stopped the group
  list_head ptraced, ptrace_entry;
  u64 ptrace_message = 0;
  siginfo* last_siginfo = nullptr;  // while stopped for the tracer

  seccomp_filter* seccomp = nullptr;  // newest filter first; mode 1 is a filter too

  // Threads and futexes.
  u64 set_child_tid = 0, clear_child_tid = 0;
  u64 robust_list = 0;
  u64 rseq = 0;
  u32 rseq_len = 0, rseq_sig = 0;
  completion* vfork_done = nullptr;
  sem_undo_list* sysvsem = nullptr;
  // restart_syscall: what to do when a stopped sleep goes on.
  long (*restart_fn)(task_struct*) = nullptr;
  u64 restart_args[4]{};

  u64 personality = 0;
  bool no_new_privs = false;
  bool did_exec = false;
  bool dumped = false;
  u64 timer_slack_ns = 50000, default_timer_slack_ns = 50000;
  int ioprio = 0;
  Atomic<s32>* pids_charge = nullptr;  // process count of the user
  wait_queue_head wait_chldexit;       // waiters in wait4 of this thread group (leader's is used)
};

inline void set_current_state(u32 state) {
  current->state.store(state);
  full_barrier();
}
inline pt_regs* task_pt_regs(const task_struct* t) {
  return reinterpret_cast<pt_regs*>(static_cast<char*>(t->stack) + kKernelStackSize) - 1;
}
inline bool thread_group_leader(const task_struct* t) { return t->group_leader == t; }
inline void get_task(task_struct* t) { t->usage.inc(); }
void put_task(task_struct* t);
inline bool test_tif(const task_struct* t, ThreadFlag f) { return (t->thread_flags.load() & f) != 0; }
inline void set_tif(task_struct* t, ThreadFlag f) { t->thread_flags.fetch_or(f); }
inline void clear_tif(task_struct* t, ThreadFlag f) { t->thread_flags.fetch_and(~static_cast<u32>(f)); }

extern spinlock_t tasklist_lock;  // kinship, pid hashes, thread groups
extern task_struct init_task;     // task 0
extern list_head all_processes;   // task_struct::tasks
extern Atomic<s32> nr_threads;
extern Atomic<u64> total_forks;

// pid.cc. Callers of the find functions hold tasklist_lock; get_task_by_pid takes it and a reference.
pid_t alloc_pid();
void attach_pid(task_struct* t);
void detach_pid(task_struct* t);
void change_pgrp(task_struct* leader, pid_t pgrp);
void change_session(task_struct* leader, pid_t session);
task_struct* find_task(pid_t pid);
task_struct* get_task_by_pid(pid_t pid);
// Visits the leaders of a process group or session until visit returns true.
bool for_each_in_pgrp(pid_t pgrp, bool (*visit)(task_struct*, void*), void* argument);
bool for_each_in_session(pid_t session, bool (*visit)(task_struct*, void*), void* argument);

// fork.cc, exit.cc, kthread.cc, exec.cc
struct CloneRequest {
  u64 flags = 0;
  int exit_signal = 0;
  u64 stack = 0;
  u64 tls = 0;
  u64 parent_tid = 0, child_tid = 0, pidfd = 0;
  pid_t set_tid = 0;
  int (*thread_fn)(void*) = nullptr;  // kernel thread
  void* thread_arg = nullptr;
};
long do_clone(const CloneRequest& request);
[[noreturn]] void do_exit(int code);
[[noreturn]] void do_group_exit(int code);
void release_task(task_struct* t);
task_struct* fork_idle(u32 cpu);
pid_t kernel_thread(int (*fn)(void*), void* argument, u64 flags);
task_struct* kthread_run(int (*fn)(void*), void* argument, const char* name);
void kthreadd_ready();
int kthreadd(void*);
int do_execve_kernel(const char* path, const char* const* argv, const char* const* envp);
void fork_init();

}  // namespace xm::os
