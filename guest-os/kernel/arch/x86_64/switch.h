// SPDX-License-Identifier: GPL-2.0-or-later
// Context switch: address space, kernel stack, FPU state, segment bases. And the FPU state of a task for signals and
// fork.
#pragma once

#include "kernel/lib/types.h"

namespace xm::os {

struct task_struct;
struct mm_struct;
struct pt_regs;

task_struct* switch_to(task_struct* prev, task_struct* next);  // returns the task that ran before us
void switch_mm(mm_struct* next);  // interrupts off, or preemption off and interrupts on with next current

void fpu_init();
void* fpu_alloc();  // a fresh state; null: no memory
void fpu_free(void* area);
void fpu_flush_to_memory(task_struct* t);                 // current's registers into its area
void fpu_drop_registers(task_struct* t);                  // the area changed: registers must be loaded again
void fpu_reset(task_struct* t);                           // execve
bool fpu_restore_from(const void* area, task_struct* t);  // validated copy (signal return); false: bad image
void fpu_load_current();                                  // area to registers
void fpu_copy(task_struct* to, const task_struct* from);

void load_tls(const task_struct* t);
void load_tsc_mode(const task_struct* t);  // may its user code read the time-stamp counter?
void save_segment_bases(task_struct* t);

}  // namespace xm::os
