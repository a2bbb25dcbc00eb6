// SPDX-License-Identifier: GPL-2.0-or-later
// What one processor owns: GS points at its Cpu. The first fields are known by offset to entry.S and to the inline
// assembly here. Run queues, page lists and slab magazines are arrays indexed by cpu id in their own subsystems.
#pragma once

#include "kernel/arch/x86_64/asm.h"
#include "kernel/lib/atomic.h"
#include "kernel/lib/types.h"

namespace xm::os {

struct task_struct;
struct pt_regs;
struct mm_struct;

struct [[gnu::packed]] tss_struct {
  u32 reserved0;
  u64 rsp0, rsp1, rsp2;
  u64 reserved1;
  u64 ist[7];
  u64 reserved2;
  u16 reserved3;
  u16 iomap_base;
};

struct Cpu {
  Cpu* self;             // 0
  task_struct* running;  // 8
  u64 kernel_stack;      // 16: where the stack of a system call starts
  u64 user_rsp;          // 24: scratch of the SYSCALL entry
  int preempt_count;     // 32: bits 0-7 preempt_disable, 8-15 softirq, 16-23 hard interrupt
  u32 need_resched;      // 36
  u32 id;                // 40
  u32 apic_id;
  bool online;
  bool in_idle;
  u32 softirq_pending;
  mm_struct* loaded_mm;
  task_struct* fpu_owner;
  task_struct* idle;
  const pt_regs* irq_regs;  // of the interrupt being handled
  u64 irq_count;
  u64 ipi_resched, ipi_call, timer_ticks;
  int locks_held;
  int lock_base;  // first lock of the current context: an interrupt begins anew
  void* held_locks[16];
  alignas(16) tss_struct tss;
  alignas(16) u64 gdt[18];
};
static_assert(offsetof(Cpu, preempt_count) == 32 && offsetof(Cpu, need_resched) == 36);

extern Cpu cpus[kMaxCpus];
extern u32 nr_cpus;  // processors found; online ones have cpus[i].online

inline Cpu* this_cpu() {
  Cpu* cpu;
  asm volatile("movq %%gs:0, %0" : "=r"(cpu));
  return cpu;
}
inline u32 smp_processor_id() {
  u32 id;
  asm volatile("movl %%gs:40, %0" : "=r"(id));
  return id;
}
// Constant for the running task, so the compiler may keep it.
inline task_struct* get_current() {
  task_struct* task;
  asm("movq %%gs:8, %0" : "=r"(task));
  return task;
}

constexpr int kSoftirqOffset = 0x100, kHardirqOffset = 0x10000;
inline int preempt_count() {
  int n;
  asm volatile("movl %%gs:32, %0" : "=r"(n) : : "memory");
  return n;
}
inline void preempt_count_add(int n) { asm volatile("addl %0, %%gs:32" : : "ri"(n) : "memory", "cc"); }
inline bool in_interrupt() { return (preempt_count() & 0xffff00) != 0; }
inline bool in_hardirq() { return (preempt_count() & 0xff0000) != 0; }
inline bool need_resched() {
  u32 n;
  asm volatile("movl %%gs:36, %0" : "=r"(n) : : "memory");
  return n != 0;
}
void preempt_schedule();
void preempt_schedule_irq();
inline void preempt_disable() { asm volatile("incl %%gs:32" : : : "memory", "cc"); }
inline void preempt_enable_no_resched() { asm volatile("decl %%gs:32" : : : "memory", "cc"); }
inline void preempt_enable() {
  bool zero;
  asm volatile("decl %%gs:32" : "=@ccz"(zero) : : "memory");
  if (unlikely(zero && need_resched())) preempt_schedule();
}

#define current (::xm::os::get_current())

}  // namespace xm::os
