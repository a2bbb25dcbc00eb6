// SPDX-License-Identifier: GPL-2.0-or-later
// Sending, receiving and blocking signals. "_locked_tasklist" variants are for callers that hold tasklist_lock.
#pragma once

#include "kernel/signal/signal_types.h"
#include "kernel/task/task_struct.h"

namespace xm::os {

struct pt_regs;

inline bool signal_pending(const task_struct* t) { return test_tif(t, TIF_SIGPENDING); }
inline bool fatal_signal_pending(const task_struct* t) {
  return signal_pending(t) && (t->pending.signal & sigmask(SIGKILL)) != 0;
}
void recalc_sigpending(task_struct* t);  // siglock held
void signal_wake_up(task_struct* t, bool fatal);

// Send to a thread (group = false) or its process. info null: from the kernel.
int send_signal(int sig, siginfo* info, task_struct* t, bool group);
int send_sig(int sig, task_struct* t);  // to the process, from the kernel
void send_signal_locked_tasklist(int sig, siginfo* info, task_struct* t);
void send_thread_signal_locked_tasklist(int sig, siginfo* info, task_struct* t);
int kill_pgrp_locked(pid_t pgrp, int sig);  // tasklist_lock held; kernel's own
int kill_pgrp(pid_t pgrp, int sig);
long kill_something(int pid, int sig, siginfo* info);  // kill(2) with permissions
int check_kill_permission(int sig, const siginfo* info, task_struct* t);
void force_sig(int sig);  // to current; cannot be ignored or blocked
void force_sig_fault(int sig, int code, u64 address);
void force_sig_info(siginfo& info, bool to_default);  // to_default: whatever the program's handler is
void zap_other_threads(task_struct* t);               // siglock held: SIGKILL to all others

// Readers of signalfds, of all processes: woken by every queued signal.
extern wait_queue_head signalfd_wait;

int dequeue_signal(task_struct* t, sigset_t mask, siginfo* info);  // siglock held; 0: none
void flush_sigqueue(sigpending* p);
void set_current_blocked(sigset_t set);
void restore_saved_sigmask();
void set_user_sigmask(sigset_t set);  // for ppoll and friends: restored at return to user mode
void do_signal(pt_regs* regs);        // delivers or handles what is pending, before return to user mode
int setup_rt_frame(int sig, const sigaction& action, const siginfo& info, sigset_t old_mask, pt_regs* regs);
int setup_compat_frame(int sig, const sigaction& action, const siginfo& info, sigset_t old_mask, pt_regs* regs);
long do_rt_sigreturn(pt_regs* regs);
long do_compat_sigreturn(pt_regs* regs, bool rt);
int do_sigaction(int sig, const sigaction* act, sigaction* old);
long do_sigaltstack(const stack_t* ss, stack_t* old, u64 sp, u64 min_size);
bool on_sig_stack(u64 sp);

// Timers that end in signals (signal/itimer.cc).
void init_itimers(signal_struct* s);
void exit_posix_timers(signal_struct* s);
void run_cpu_timers(task_struct* t, bool user, u64 ns);  // from the tick

void put_sighand(sighand_struct* s);
void free_signal(signal_struct* s);
int set_compat_tls(task_struct* t, u64 user_desc);

}  // namespace xm::os
