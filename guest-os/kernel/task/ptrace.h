// SPDX-License-Identifier: GPL-2.0-or-later
// Looking into other processes: who may, and ptrace itself. A tracee is linked in its tracer's `ptraced` list and its
// `parent` is the tracer; both are protected by tasklist_lock. A tracee that waits for its tracer is TASK_TRACED.
#pragma once

#include "abi/ptrace.h"
#include "kernel/task/task_struct.h"

namespace xm::os {

// May the current task read and change the other one's state? [man 2 ptrace] "Ptrace access mode checking"
bool ptrace_may_access(task_struct* t);

// Stopping for the tracer (signal/jobctl.cc).
void ptrace_notify(int exit_code, u64 message);
void ptrace_event(u32 event, u64 message);  // if the tracer asked for it
inline bool ptrace_wants(const task_struct* t, u32 event) {
  return t->ptrace != 0 && (t->ptrace_options & 1u << event) != 0;
}
int ptrace_signal(int sig, siginfo* info, u64& flags);  // siglock held: what the tracer makes of a signal
bool syscall_enter_work(pt_regs* regs);                 // false: the call is not made
void syscall_exit_work(pt_regs* regs);

// Links (task/ptrace.cc); tasklist_lock held.
void ptrace_link(task_struct* child, task_struct* tracer);
void ptrace_unlink(task_struct* child);
void ptrace_init_child(task_struct* child, bool trace);
bool ptrace_reparented(const task_struct* t);
void exit_ptrace(task_struct* tracer, list_head& dead);

// Registers (task/ptrace_regs.cc).
long ptrace_arch(task_struct* t, u32 request, u64 address, u64 data);
void read_user_regs(task_struct* t, user_regs_struct& out);
void set_single_step(task_struct* t, bool on);
u64 xstate_size();
void read_xstate(task_struct* t, u8* to);  // t does not run

}  // namespace xm::os
