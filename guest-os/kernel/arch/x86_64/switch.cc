// SPDX-License-Identifier: GPL-2.0-or-later
// The switch between tasks. FPU registers are saved whenever a user task leaves a processor, and loaded when it comes
// back unless they are still there (only kernel threads ran meanwhile: the kernel itself never uses them). [SDM1 13]
#include "kernel/arch/x86_64/switch.h"

#include "kernel/arch/x86_64/cpu.h"
#include "kernel/arch/x86_64/paging.h"
#include "kernel/init/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/mm.h"
#include "kernel/mm/slab.h"
#include "kernel/task/task_struct.h"

extern "C" xm::os::task_struct* switch_stacks(xm::os::u64* save_sp, xm::os::u64 load_sp, xm::os::task_struct* prev);

namespace xm::os {
namespace {

constinit kmem_cache* fpu_cache = nullptr;
alignas(64) constinit u8 init_fpu_state[4096]{};

void xsave(void* area) {
  if (cpu_features.xsave) {
    asm volatile("xsave64 (%0)" : : "r"(area), "a"(~0u), "d"(~0u) : "memory");
  } else {
    asm volatile("fxsave64 (%0)" : : "r"(area) : "memory");
  }
}
void xrstor(const void* area) {
  if (cpu_features.xsave) {
    asm volatile("xrstor64 (%0)" : : "r"(area), "a"(~0u), "d"(~0u) : "memory");
  } else {
    asm volatile("fxrstor64 (%0)" : : "r"(area) : "memory");
  }
}

void write_user_gs(u16 index) {  // the base goes to the hidden half; ours stays in force
  asm volatile("cli; swapgs; movw %0, %%gs; swapgs" : : "r"(index) : "memory");
}

void load_segments(const task_struct* prev, const task_struct* next) {
  const thread_struct& p = prev->thread;
  const thread_struct& n = next->thread;
  if (unlikely((n.fs_index | p.fs_index) != 0)) asm volatile("movw %0, %%fs" : : "r"(n.fs_index));
  if (n.fs_index == 0 && (p.fs_base != n.fs_base || p.fs_index != 0)) wrmsr(kMsrFsBase, n.fs_base);
  if (unlikely((n.gs_index | p.gs_index) != 0)) write_user_gs(n.gs_index);
  if (n.gs_index == 0 && (p.gs_base != n.gs_base || p.gs_index != 0)) wrmsr(kMsrKernelGsBase, n.gs_base);
}

// Break points that a tracer set belong to one task. [SDM3 17.2]
void load_debug_registers(const task_struct* next) {
  const thread_struct& n = next->thread;
  asm volatile("mov %0, %%dr7" : : "r"(0ul));
  if (n.debug_control == 0) return;
  asm volatile("mov %0, %%dr0\n\tmov %1, %%dr1\n\tmov %2, %%dr2\n\tmov %3, %%dr3"
               :
               : "r"(n.debug_address[0]), "r"(n.debug_address[1]), "r"(n.debug_address[2]), "r"(n.debug_address[3]));
  asm volatile("mov %0, %%dr7" : : "r"(n.debug_control | 0x400));
}

}  // namespace

void save_segment_bases(task_struct* t) {
  thread_struct& th = t->thread;
  asm volatile("movw %%fs, %0" : "=m"(th.fs_index));
  asm volatile("movw %%gs, %0" : "=m"(th.gs_index));
  if (cpu_features.fsgsbase) {
    asm volatile("rdfsbase %0" : "=r"(th.fs_base));
    th.gs_base = rdmsr(kMsrKernelGsBase);
  }
}

void load_tls(const task_struct* t) {
  Cpu* cpu = this_cpu();
  for (u32 i = 0; i < kGdtTlsEntries; ++i) cpu->gdt[kGdtTlsMin + i] = t->thread.tls_array[i];
}

void load_tsc_mode(const task_struct* t) {
  constexpr u64 kTsd = 4;
  u64 cr4;
  asm volatile("mov %%cr4, %0" : "=r"(cr4));
  cr4 = test_tif(t, TIF_NOTSC) ? cr4 | kTsd : cr4 & ~kTsd;
  asm volatile("mov %0, %%cr4" : : "r"(cr4));
}

void switch_mm(mm_struct* next) {
  Cpu* cpu = this_cpu();
  mm_struct* old = cpu->loaded_mm;
  if (old == next) return;
  const u64 bit = 1ul << cpu->id;
  next->mm_count.inc();
  next->cpu_bitmap.fetch_or(bit);
  cpu->loaded_mm = next;
  load_pgd(next->pgd);
  if (old != nullptr) {
    old->cpu_bitmap.fetch_and(~bit);
    mmdrop(old);
  }
}

task_struct* switch_to(task_struct* prev, task_struct* next) {
  Cpu* cpu = this_cpu();
  if (prev->thread.fpu != nullptr) {
    if (cpu->fpu_owner == prev) xsave(prev->thread.fpu);
    save_segment_bases(prev);
  }
  if (next->mm != nullptr) switch_mm(next->mm);
  if (next->thread.fpu != nullptr) {
    if (cpu->fpu_owner != next || next->thread.fpu_cpu != cpu->id) {
      xrstor(next->thread.fpu);
      cpu->fpu_owner = next;
      next->thread.fpu_cpu = cpu->id;
    }
    load_tls(next);
    load_segments(prev, next);
  } else if (prev->thread.fpu != nullptr) {
    if ((prev->thread.fs_index | prev->thread.gs_index) != 0) {
      asm volatile("movl %0, %%fs" : : "r"(0));
      write_user_gs(0);
    }
    wrmsr(kMsrFsBase, 0);
    wrmsr(kMsrKernelGsBase, 0);
  }
  if (unlikely(((prev->thread_flags.load() ^ next->thread_flags.load()) & TIF_NOTSC) != 0)) load_tsc_mode(next);
  if (unlikely((prev->thread.debug_control | next->thread.debug_control) != 0)) load_debug_registers(next);
  set_kernel_stack(cpu, reinterpret_cast<u64>(next->stack) + kKernelStackSize);
  cpu->running = next;
  return switch_stacks(&prev->thread.sp, next->thread.sp, prev);
}

void fpu_init() {
  fpu_cache = kmem_cache_create("fpu_state", cpu_features.xsave_size, 64);
  BUG_ON(cpu_features.xsave_size > sizeof init_fpu_state);
  // A fresh state: x87 control word 0x37f, MXCSR 0x1f80, everything else in its initial configuration.
  init_fpu_state[0] = 0x7f;
  init_fpu_state[1] = 0x03;
  init_fpu_state[24] = 0x80;
  init_fpu_state[25] = 0x1f;
}

void* fpu_alloc() {
  void* area = kmem_cache_alloc(fpu_cache, GFP_KERNEL);
  if (area != nullptr) memcpy(area, init_fpu_state, cpu_features.xsave_size);
  return area;
}
void fpu_free(void* area) {
  if (area != nullptr) kmem_cache_free(fpu_cache, area);
}

void fpu_flush_to_memory(task_struct* t) {
  preempt_disable();
  if (this_cpu()->fpu_owner == t && t->thread.fpu_cpu == smp_processor_id()) xsave(t->thread.fpu);
  preempt_enable();
}
void fpu_drop_registers(task_struct* t) { t->thread.fpu_cpu = ~0u; }

void fpu_load_current() {
  preempt_disable();
  xrstor(current->thread.fpu);
  this_cpu()->fpu_owner = current;
  current->thread.fpu_cpu = smp_processor_id();
  preempt_enable();
}

void fpu_reset(task_struct* t) {
  preempt_disable();
  memcpy(t->thread.fpu, init_fpu_state, cpu_features.xsave_size);
  fpu_load_current();
  preempt_enable();
}

void fpu_copy(task_struct* to, const task_struct* from) {
  memcpy(to->thread.fpu, from->thread.fpu, cpu_features.xsave_size);
  to->thread.fpu_cpu = ~0u;
}

bool fpu_restore_from(const void* area, task_struct* t) {
  u8* to = static_cast<u8*>(t->thread.fpu);
  const u8* from = static_cast<const u8*>(area);
  u32 mxcsr;
  memcpy(&mxcsr, from + 24, 4);
  if ((mxcsr & 0xffff0000) != 0) return false;
  preempt_disable();
  if (cpu_features.xsave) {
    u64 header[8];
    memcpy(header, from + 512, 64);
    for (int i = 1; i < 8; ++i) {
      if (header[i] != 0) {
        preempt_enable();
        return false;
      }
    }
    memcpy(to, from, cpu_features.xsave_size);
    header[0] &= cpu_features.xsave_mask;
    memcpy(to + 512, header, 8);
  } else {
    memcpy(to, from, 512);
  }
  fpu_load_current();
  preempt_enable();
  return true;
}

}  // namespace xm::os
