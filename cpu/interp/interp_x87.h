// SPDX-License-Identifier: GPL-2.0-or-later
// How x87 handlers execute: the guest's FPU state is in the host's FPU (vcpu/host_fp.h) and the guest's own two opcode
// bytes run there, so that results, flags, tags and stack faults are those of silicon. Memory operands are moved to and
// from a local first. [SDM1 8]
#pragma once

#include "cpu/interp/fp_gate.h"

namespace xm::cpu::interp {

struct BuildContext;

// A register form by its bytes; the memory form works on [RDI].
using X87Kernel = void (*)(void* memory);

template <unsigned kOpcode, unsigned kModrm>
[[gnu::always_inline]] inline void x87_native(void* memory) {
  asm volatile(".byte %c0, %c1" : : "i"(kOpcode), "i"(kModrm), "D"(memory) : "memory");
}
template <unsigned kOpcode, unsigned kModrm>
void x87_kernel(void* memory) {
  x87_native<kOpcode, kModrm>(memory);
}

// With no exception unmasked, is the guest's state in the host already?
[[gnu::always_inline]] inline bool x87_direct(const Vcpu& cpu) {
  return (cpu.host_fp.loaded & HostFp::kX87) && !(cpu.state.cr0 & (cr0::kEm | cr0::kTs));
}

// FIP and FCS of a non-control instruction. FOP and FDP change with unmasked exceptions only, and FCS and FDS stay zero
// in 64-bit code, as on processors since 2013 [SDM1 8.1.8, CPUID.7.EBX bits 6, 13].
[[gnu::always_inline]] inline void note_x87_instruction(Vcpu& cpu, const Op* op) {
  cpu.state.x87.instruction_pointer = cpu.block_rip + static_cast<u64>(i64{op->ip_offset});
  cpu.state.x87.instruction_selector = cpu.mode.bits64 ? u16{0} : cpu.state.segment[1].selector;
}

// Runs the kernel however it must be run: loading the state into the host, or, with unmasked exceptions, for this one
// instruction only. check_x87 has passed. False if an unmasked exception kept it from storing its result to memory.
[[nodiscard]] bool run_x87(Vcpu& cpu, const Op* op, X87Kernel kernel, void* memory);

Handler x87_control_handler(const Insn& insn);  // FLDCW to FNSAVE, FNINIT, WAIT; interp_x87_control.cc
bool select_x87(const BuildContext& context, const Insn& insn, Op& op);

}  // namespace xm::cpu::interp
