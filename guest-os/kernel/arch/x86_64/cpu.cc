// SPDX-License-Identifier: GPL-2.0-or-later
// Sets up one processor. The GDT has Linux's layout, because user space sees the selectors: user code 0x33, data 0x2b,
// 32-bit code 0x23.
#include "kernel/arch/x86_64/cpu.h"

#include "kernel/arch/x86_64/bootinfo.h"
#include "kernel/arch/x86_64/paging.h"
#include "kernel/init/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/slab.h"

extern "C" {
extern char idt_stubs[], entry_syscall_64[], entry_syscall_compat[], entry_int80[], init_stack_top[];
}

namespace xm::os {

constinit Cpu cpus[kMaxCpus]{};
constinit u32 nr_cpus = 1;
constinit CpuFeatures cpu_features{};

namespace {

struct [[gnu::packed]] TablePointer {
  u16 limit;
  u64 base;
};
struct IdtGate {
  u16 offset_low, selector;
  u8 ist, type;
  u16 offset_mid;
  u32 offset_high, reserved;
};
static_assert(sizeof(IdtGate) == 16);
constinit IdtGate idt[256]{};
alignas(16) constinit char first_ist_stacks[3][8192]{};

void set_gate(u32 vector, const char* handler, u8 ist, u8 type) {
  const u64 a = reinterpret_cast<u64>(handler);
  idt[vector] = {static_cast<u16>(a), kKernelCs, ist, type, static_cast<u16>(a >> 16), static_cast<u32>(a >> 32), 0};
}

void build_idt() {
  for (u32 v = 0; v < 256; ++v) set_gate(v, idt_stubs + v * 16, 0, 0x8e);
  set_gate(3, idt_stubs + 3 * 16, 0, 0xee);  // int3 and into from user code
  set_gate(4, idt_stubs + 4 * 16, 0, 0xee);
  set_gate(2, idt_stubs + 2 * 16, 2, 0x8e);  // NMI, double fault, machine check on stacks of their own
  set_gate(8, idt_stubs + 8 * 16, 1, 0x8e);
  set_gate(18, idt_stubs + 18 * 16, 3, 0x8e);
  set_gate(0x80, entry_int80, 0, 0xee);
}

void build_gdt(Cpu* cpu) {
  u64* g = cpu->gdt;
  g[1] = 0x00cf9b000000ffff;  // 32-bit kernel code
  g[2] = 0x00af9b000000ffff;  // kernel code 0x10
  g[3] = 0x00cf93000000ffff;  // kernel data 0x18
  g[4] = 0x00cffb000000ffff;  // 32-bit user code 0x23
  g[5] = 0x00cff3000000ffff;  // user data 0x2b
  g[6] = 0x00affb000000ffff;  // user code 0x33
  const u64 base = reinterpret_cast<u64>(&cpu->tss), limit = sizeof(tss_struct) - 1;
  g[8] = limit | (base & 0xffffff) << 16 | 0x89ul << 40 | ((base >> 24) & 0xff) << 56;
  g[9] = base >> 32;
  cpu->tss.iomap_base = sizeof(tss_struct);
}

void set_ist(Cpu* cpu) {
  for (u32 i = 0; i < 3; ++i) {
    char* stack = cpu->id == 0 ? first_ist_stacks[i] : static_cast<char*>(kmalloc(8192));
    cpu->tss.ist[i] = reinterpret_cast<u64>(stack) + 8192;
  }
}

void enable_features() {
  u64 cr4 = read_cr4();
  cr4 |= 1ul << 9 | 1ul << 10;    // OSFXSR, OSXMMEXCPT
  cr4 &= ~(1ul << 2 | 1ul << 8);  // RDTSC for all; no RDPMC
  if (cpu_features.pge) cr4 |= 1ul << 7;
  if (cpu_features.umip) cr4 |= 1ul << 11;
  if (cpu_features.smep) cr4 |= 1ul << 20;
  if (cpu_features.smap) cr4 |= 1ul << 21;
  if (cpu_features.fsgsbase) cr4 |= 1ul << 16;
  if (cpu_features.xsave) cr4 |= 1ul << 18;
  write_cr4(cr4);
  write_cr0((read_cr0() | 1ul << 16 | 1ul << 5 | 1ul << 1) & ~(1ul << 2 | 1ul << 3));  // WP, NE, MP; not EM, TS
  if (cpu_features.xsave) {
    asm volatile("xsetbv"
                 :
                 : "c"(0), "a"(static_cast<u32>(cpu_features.xsave_mask)),
                   "d"(static_cast<u32>(cpu_features.xsave_mask >> 32)));
  }
  asm volatile("fninit");
}

void enable_syscall(Cpu* cpu) {
  wrmsr(kMsrEfer, rdmsr(kMsrEfer) | 1 | (cpu_features.nx ? 1ul << 11 : 0));
  wrmsr(kMsrStar, 0x23ul << 48 | static_cast<u64>(kKernelCs) << 32);
  wrmsr(kMsrLstar, reinterpret_cast<u64>(entry_syscall_64));
  wrmsr(kMsrCstar, reinterpret_cast<u64>(entry_syscall_compat));
  wrmsr(kMsrSfmask,
        0x257fd5);  // every flag user code can set that must not reach the kernel: IF TF DF AC NT IOPL RF ...
  if (cpu_features.rdtscp) wrmsr(kMsrTscAux, cpu->id);
}

}  // namespace

void detect_cpu() {
  CpuFeatures& f = cpu_features;
  const CpuidResult id = cpuid(0), one = cpuid(1), ext = cpuid(0x80000000), ext1 = cpuid(0x80000001);
  memcpy(f.vendor, &id.ebx, 4);
  memcpy(f.vendor + 4, &id.edx, 4);
  memcpy(f.vendor + 8, &id.ecx, 4);
  for (u32 i = 0; ext.eax >= 0x80000004 && i < 3; ++i) {
    const CpuidResult r = cpuid(0x80000002 + i);
    memcpy(f.brand + i * 16, &r, 16);
  }
  f.family = (one.eax >> 8) & 15;
  f.model = (one.eax >> 4) & 15;
  if (f.family == 6 || f.family == 15) f.model |= (one.eax >> 12) & 0xf0;
  if (f.family == 15) f.family += (one.eax >> 20) & 0xff;
  f.stepping = one.eax & 15;
  f.nx = (ext1.edx & 1u << 20) != 0;
  f.rdtscp = (ext1.edx & 1u << 27) != 0;
  f.pge = (one.edx & 1u << 13) != 0;
  f.x2apic = (one.ecx & 1u << 21) != 0;
  f.tsc_deadline = (one.ecx & 1u << 24) != 0;
  f.xsave = (one.ecx & 1u << 26) != 0;
  f.rdrand = (one.ecx & 1u << 30) != 0;
  if (id.eax >= 7) {
    const CpuidResult seven = cpuid(7);
    f.fsgsbase = (seven.ebx & 1) != 0;
    f.smep = (seven.ebx & 1u << 7) != 0;
    f.smap = (seven.ebx & 1u << 20) != 0;
    f.umip = (seven.ecx & 1u << 2) != 0;
  }
  if ((one.ecx & 1u << 31) != 0) f.ac_by_popf = cpuid(0x40000000).ebx == 0x4b4d564b;  // "KVMK"
  f.invariant_tsc = ext.eax >= 0x80000007 && (cpuid(0x80000007).edx & 1u << 8) != 0;
  f.xsave_size = 512;
  if (f.xsave) {
    const CpuidResult d = cpuid(0xd, 0);
    f.xsave_mask = (d.eax | static_cast<u64>(d.edx) << 32) & 0xe7;  // x87, SSE, AVX, AVX-512
    if ((f.xsave_mask & 0xe0) != 0xe0) f.xsave_mask &= 7;
    f.xsaveopt = (cpuid(0xd, 1).eax & 1) != 0;
    f.xsave_size = 576;
    for (u32 i = 2; i < 8; ++i) {
      const CpuidResult part = cpuid(0xd, i);
      if ((f.xsave_mask & 1u << i) != 0) f.xsave_size = max(f.xsave_size, part.eax + part.ebx);
    }
  }
  if (f.nx) kPteNx = 1ul << 63;
}

void cpu_init(Cpu* cpu) {
  cpu->self = cpu;
  if (cpu->id == 0) build_idt();
  build_gdt(cpu);
  const TablePointer gdt_pointer{sizeof cpu->gdt - 1, reinterpret_cast<u64>(cpu->gdt)};
  asm volatile("lgdt %0" : : "m"(gdt_pointer));
  // DS and ES are the user's all the time: 64-bit code does not look at them, and a return to 32-bit code would make
  // null selectors of the kernel's, whose use is a #GP [SDM3 5.8.4].
  asm volatile(
      "pushq %0; leaq 1f(%%rip), %%rax; pushq %%rax; lretq; 1:"
      "movl %1, %%eax; movl %%eax, %%ss; movl %2, %%eax; movl %%eax, %%ds; movl %%eax, %%es; xorl %%eax, %%eax; "
      "movl %%eax, %%fs; movl %%eax, %%gs"
      :
      : "i"(kKernelCs), "i"(kKernelDs), "i"(kUserDs)
      : "rax", "memory");
  wrmsr(kMsrGsBase, reinterpret_cast<u64>(cpu));
  wrmsr(kMsrKernelGsBase, 0);
  wrmsr(kMsrFsBase, 0);
  set_ist(cpu);
  const TablePointer idt_pointer{sizeof idt - 1, reinterpret_cast<u64>(idt)};
  asm volatile("lidt %0" : : "m"(idt_pointer));
  asm volatile("ltr %w0" : : "r"(0x40));
  asm volatile("lldt %w0" : : "r"(0));
  enable_syscall(cpu);
  enable_features();
}

void apply_cpu_words() {
  if (command_line_flag("nosmap")) cpu_features.smap = false;
  if (command_line_flag("nosmep")) cpu_features.smep = false;
  if (command_line_flag("noxsave")) {
    cpu_features.xsave = cpu_features.xsaveopt = false;
    cpu_features.xsave_size = 512;
    write_cr4(read_cr4() & ~(1ul << 18));
  }
  if (!cpu_features.smap) write_cr4(read_cr4() & ~(1ul << 21));
  if (!cpu_features.smep) write_cr4(read_cr4() & ~(1ul << 20));
}

void set_kernel_stack(Cpu* cpu, u64 top) {
  cpu->kernel_stack = top;
  cpu->tss.rsp0 = top;
}

}  // namespace xm::os
