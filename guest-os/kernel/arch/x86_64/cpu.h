// SPDX-License-Identifier: GPL-2.0-or-later
// Processor features and the per-processor set-up: GDT, IDT, TSS, SYSCALL registers, control registers.
#pragma once

#include "kernel/arch/x86_64/percpu.h"
#include "kernel/arch/x86_64/ptrace.h"

namespace xm::os {

struct CpuFeatures {
  bool nx, smep, smap, umip, xsave, xsaveopt, fsgsbase, tsc_deadline, x2apic, rdrand, invariant_tsc, pge, rdtscp;
  bool ac_by_popf;  // user memory is opened by POPF instead of STAC
  u32 xsave_size;   // bytes of the XSAVE area for the features we enable
  u64 xsave_mask;
  char vendor[13];
  char brand[49];
  u32 family, model, stepping;
};
extern CpuFeatures cpu_features;

void detect_cpu();        // once, on the boot processor
void apply_cpu_words();   // nosmap, nosmep, noxsave: for machines where these do not work
void cpu_init(Cpu* cpu);  // GDT, TSS, IDT, MSRs; GS points at `cpu` afterwards
void set_kernel_stack(Cpu* cpu, u64 top);
// Thread-local descriptors of 32-bit programs (set_thread_area): GDT entries 12-14.
constexpr u32 kGdtTlsMin = 12, kGdtTlsEntries = 3;

}  // namespace xm::os
