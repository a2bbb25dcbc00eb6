// SPDX-License-Identifier: GPL-2.0-or-later
// DR0-DR7: the MOV DR instructions, and what the observed loop asks of them around each instruction. [SDM3 17.2, 17.3]
#pragma once

#include "cpu/vcpu/vcpu.h"

namespace xm::cpu::system {

[[nodiscard]] bool move_from_debug(Vcpu& cpu, const Insn& insn);
[[nodiscard]] bool move_to_debug(Vcpu& cpu, const Insn& insn);

// DR6 bits.
namespace dr6 {
inline constexpr u64 kBd = 1 << 13, kBs = 1 << 14, kBt = 1 << 15;
}

enum class BreakpointKind : u8 { Execute = 0, Write = 1, Io = 2, ReadWrite = 3 };

// Is any breakpoint enabled in DR7? Then every instruction needs the observed loop.
inline bool breakpoints_armed(const CpuState& state) { return (state.dr[7] & 0xFF) != 0; }
// Bits B0..B3 of the breakpoints of `kind` that start..start+size-1 touches and that DR7 enables. A write also
// touches ReadWrite ones.
u64 matching_breakpoints(const CpuState& state, BreakpointKind kind, u64 start, unsigned size_bytes);

}  // namespace xm::cpu::system
