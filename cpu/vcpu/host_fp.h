// SPDX-License-Identifier: GPL-2.0-or-later
// The guest's floating-point environment living in the host's. While all SIMD exceptions are masked, the host's MXCSR
// is the guest's and sticky flags gather there; while all x87 exceptions are masked, the guest's x87 state, stack and
// all, is the host's. Both are loaded at the first instruction that needs them.
//
// Who must call leave_host_fp(cpu), which puts state.mxcsr and state.x87 in order and gives the host its own
// environment back (a test of one byte when nothing is loaded):
//  - an engine, before run() returns;
//  - whoever calls out to BusPort functions that may compute in floating point (port and memory-mapped I/O);
//  - whoever reads or writes state.mxcsr or state.x87 (FXSAVE, XSAVE, FXRSTOR, XRSTOR, #MF handling).
// Code in between must not use x87 (long double), and none of its floating-point results may matter.
// [SDM1 8.1, 10.2.3]
#pragma once

#include "emu/base/types.h"

namespace xm::cpu {

class Vcpu;

struct HostFp {
  u8 loaded = 0;  // kMxcsr, kX87
  u32 host_mxcsr = 0x1F80;

  static constexpr u8 kMxcsr = 1, kX87 = 2;
};

inline constexpr u32 kMxcsrFlags = 0x3F, kMxcsrMasks = 0x1F80, kMxcsrDaz = 0x40, kMxcsrFtz = 0x8000;
inline constexpr u16 kX87Masks = 0x3F;
inline constexpr u16 kX87ErrorSummary = 0x80, kX87Busy = 0x8000;

void leave_host_fp_now(Vcpu& cpu);

// Loads what is named; the caller has seen that all exceptions of it are masked.
void load_host_mxcsr(Vcpu& cpu);
void load_host_x87(Vcpu& cpu);

}  // namespace xm::cpu
