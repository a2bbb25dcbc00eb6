// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/system/debug_registers.h"

#include "cpu/system/privilege.h"

namespace xm::cpu::system {

namespace {

constexpr u64 kDr6Fixed = 0xFFFF0FF0;
constexpr u64 kDr6Writable = 0xE00F;
constexpr u64 kDr7Fixed = 0x400;
constexpr u64 kDr7Writable = 0xFFFF2BFF;
constexpr u64 kGeneralDetect = 1 << 13;

// Resolves DR4 and DR5 and makes the checks both directions share.
bool access_debug(Vcpu& cpu, unsigned& index) {
  if (index > 7) return cpu.raise(Vector::Ud);
  if (!require_cpl0(cpu)) return false;
  if (index == 4 || index == 5) {
    if ((cpu.state.cr4 & cr4::kDe) != 0) return cpu.raise(Vector::Ud);
    index += 2;
  }
  if ((cpu.state.dr[7] & kGeneralDetect) != 0) {
    cpu.raise(Vector::Db);
    cpu.fault.address = dr6::kBd;
    return false;
  }
  return true;
}

unsigned breakpoint_length(u64 dr7, unsigned index) {
  constexpr unsigned kLengths[4] = {1, 2, 8, 4};
  return kLengths[bits(dr7, 19 + index * 4, 18 + index * 4)];
}

}  // namespace

bool move_from_debug(Vcpu& cpu, const Insn& insn) {
  unsigned index = insn.operands[1].reg;
  if (!access_debug(cpu, index)) return false;
  cpu.set_gpr(insn.operands[0].reg, cpu.mode.bits64 ? 8 : 4, cpu.state.dr[index]);
  return true;
}

bool move_to_debug(Vcpu& cpu, const Insn& insn) {
  unsigned index = insn.operands[0].reg;
  if (!access_debug(cpu, index)) return false;
  const u64 value = cpu.gpr(insn.operands[1].reg, cpu.mode.bits64 ? 8 : 4);
  if (index >= 6 && (value >> 32) != 0) return cpu.raise(Vector::Gp, 0);
  if (index == 6)
    cpu.state.dr[6] = kDr6Fixed | (value & kDr6Writable);
  else if (index == 7)
    cpu.state.dr[7] = kDr7Fixed | (value & kDr7Writable);
  else
    cpu.state.dr[index] = value;
  cpu.update_mode();
  return true;
}

u64 matching_breakpoints(const CpuState& state, BreakpointKind kind, u64 start, unsigned size_bytes) {
  const u64 dr7 = state.dr[7];
  u64 hits = 0;
  for (unsigned i = 0; i < 4; ++i) {
    if (((dr7 >> (i * 2)) & 3) == 0) continue;
    const auto type = static_cast<BreakpointKind>(bits(dr7, 17 + i * 4, 16 + i * 4));
    const bool wanted = type == kind || (kind == BreakpointKind::Write && type == BreakpointKind::ReadWrite);
    if (!wanted) continue;
    const unsigned length = type == BreakpointKind::Execute ? 1 : breakpoint_length(dr7, i);
    const u64 first = align_down(state.dr[i], length);
    if (start < first + length && first < start + size_bytes) hits |= bit(i);
  }
  return hits;
}

}  // namespace xm::cpu::system
