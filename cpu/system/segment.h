// SPDX-License-Identifier: GPL-2.0-or-later
// Loading segment registers: the rules of MOV, POP and LxS for data and stack segments, and the parts that control
// transfers share for code segments. [SDM3 5.5-5.8, SDM2 MOV]
#pragma once

#include "cpu/system/descriptor.h"

namespace xm::cpu::system {

inline SegmentRegister& segment_of(Vcpu& cpu, Segment segment) {
  return cpu.state.segment[static_cast<unsigned>(segment)];
}
inline const SegmentRegister& segment_of(const Vcpu& cpu, Segment segment) {
  return cpu.state.segment[static_cast<unsigned>(segment)];
}
inline bool real_or_vm86(const Vcpu& cpu) { return !cpu.mode.protected_mode; }

// Real-address and virtual-8086 mode: base from the selector; real mode keeps limit and attributes (big real mode).
void load_real_segment(Vcpu& cpu, Segment segment, u16 selector);
// A virtual-8086 segment as entering that mode sets it.
SegmentRegister vm86_segment(u16 selector);

// MOV, POP, LxS to ES, SS, DS, FS, GS in every mode. Does not call update_mode().
[[nodiscard]] bool load_segment(Vcpu& cpu, Segment segment, u16 selector);

// Puts a checked code segment into CS with CPL `cpl`; calls update_mode(). RIP is the caller's.
void commit_code_segment(Vcpu& cpu, u16 selector, const Descriptor& descriptor, unsigned cpl);
// Is `offset` a legal RIP for this code segment? Raises #GP(ext) if not. Truncates it outside 64-bit code.
[[nodiscard]] bool check_target(Vcpu& cpu, const Descriptor& descriptor, u64& offset, u32 ext = 0);
// Reads and checks the stack segment of an inner privilege level, taken from a TSS or gate: errors are #TS, not
// present is #SS.
[[nodiscard]] bool read_inner_stack_segment(Vcpu& cpu, u16 selector, unsigned cpl, u32 ext, Descriptor& descriptor);

// After a return to an outer level: data segments that the new level may not use become null [SDM2 RET].
void drop_inner_segments(Vcpu& cpu);

// Address of this instruction's successor.
u64 next_rip(const Vcpu& cpu, const Insn& insn);

}  // namespace xm::cpu::system
