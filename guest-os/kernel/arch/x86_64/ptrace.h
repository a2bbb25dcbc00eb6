// SPDX-License-Identifier: GPL-2.0-or-later
// pt_regs: the user (or interrupted kernel) registers as the entry code pushes them, in Linux's order, lowest address
// first.
#pragma once

#include "kernel/lib/types.h"

namespace xm::os {

struct pt_regs {
  u64 r15, r14, r13, r12, rbp, rbx;
  u64 r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi;
  u64 orig_rax;  // system call number, or the exception's error code, or -1
  u64 rip, cs, eflags, rsp, ss;
};
static_assert(sizeof(pt_regs) == 168);

constexpr u16 kKernelCs = 0x10, kKernelDs = 0x18, kUser32Cs = 0x23, kUserDs = 0x2b, kUserCs = 0x33;
inline bool user_mode(const pt_regs* regs) { return (regs->cs & 3) != 0; }
inline bool compat_mode(const pt_regs* regs) { return regs->cs == kUser32Cs; }

}  // namespace xm::os
