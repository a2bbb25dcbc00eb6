// SPDX-License-Identifier: GPL-2.0-or-later
// Single privileged instructions as functions: ports, MSRs, control registers, CPUID, interrupt flag. [SDM2],
// [SDM3 2.8]
#pragma once

#include "kernel/lib/types.h"

namespace xm::os {

inline void outb(u16 port, u8 v) { asm volatile("outb %0, %1" : : "a"(v), "Nd"(port)); }
inline void outw(u16 port, u16 v) { asm volatile("outw %0, %1" : : "a"(v), "Nd"(port)); }
inline void outl(u16 port, u32 v) { asm volatile("outl %0, %1" : : "a"(v), "Nd"(port)); }
inline u8 inb(u16 port) {
  u8 v;
  asm volatile("inb %1, %0" : "=a"(v) : "Nd"(port));
  return v;
}
inline u16 inw(u16 port) {
  u16 v;
  asm volatile("inw %1, %0" : "=a"(v) : "Nd"(port));
  return v;
}
inline u32 inl(u16 port) {
  u32 v;
  asm volatile("inl %1, %0" : "=a"(v) : "Nd"(port));
  return v;
}
inline void io_delay() { outb(0x80, 0); }

inline u64 rdmsr(u32 msr) {
  u32 lo, hi;
  asm volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
  return static_cast<u64>(hi) << 32 | lo;
}
inline void wrmsr(u32 msr, u64 v) {
  asm volatile("wrmsr" : : "c"(msr), "a"(static_cast<u32>(v)), "d"(static_cast<u32>(v >> 32)) : "memory");
}
constexpr u32 kMsrApicBase = 0x1b, kMsrPat = 0x277, kMsrTscDeadline = 0x6e0, kMsrEfer = 0xc0000080,
              kMsrStar = 0xc0000081, kMsrLstar = 0xc0000082, kMsrCstar = 0xc0000083, kMsrSfmask = 0xc0000084,
              kMsrFsBase = 0xc0000100, kMsrGsBase = 0xc0000101, kMsrKernelGsBase = 0xc0000102, kMsrTscAux = 0xc0000103;

inline u64 rdtsc() {
  u32 lo, hi;
  asm volatile("rdtsc" : "=a"(lo), "=d"(hi));
  return static_cast<u64>(hi) << 32 | lo;
}

struct CpuidResult {
  u32 eax, ebx, ecx, edx;
};
inline CpuidResult cpuid(u32 leaf, u32 subleaf = 0) {
  CpuidResult r;
  asm volatile("cpuid" : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx) : "a"(leaf), "c"(subleaf));
  return r;
}

#define XM_CONTROL_REGISTER(name)                               \
  inline u64 read_##name() {                                    \
    u64 v;                                                      \
    asm volatile("mov %%" #name ", %0" : "=r"(v) : : "memory"); \
    return v;                                                   \
  }                                                             \
  inline void write_##name(u64 v) { asm volatile("mov %0, %%" #name : : "r"(v) : "memory"); }
XM_CONTROL_REGISTER(cr0)
XM_CONTROL_REGISTER(cr2)
XM_CONTROL_REGISTER(cr3)
XM_CONTROL_REGISTER(cr4)
#undef XM_CONTROL_REGISTER

inline void invlpg(u64 address) { asm volatile("invlpg (%0)" : : "r"(address) : "memory"); }

constexpr u64 kFlagIf = 0x200, kFlagTf = 0x100, kFlagAc = 0x40000;
inline u64 read_flags() {
  u64 v;
  asm volatile("pushfq; popq %0" : "=r"(v) : : "memory");
  return v;
}
inline void local_irq_enable() { asm volatile("sti" : : : "memory"); }
inline void local_irq_disable() { asm volatile("cli" : : : "memory"); }
inline bool irqs_disabled() { return (read_flags() & kFlagIf) == 0; }
inline u64 local_irq_save() {
  const u64 flags = read_flags();
  local_irq_disable();
  return flags;
}
inline void local_irq_restore(u64 flags) {
  if ((flags & kFlagIf) != 0) local_irq_enable();
}
inline void cpu_relax() { asm volatile("pause" : : : "memory"); }

}  // namespace xm::os
