// SPDX-License-Identifier: GPL-2.0-or-later
// Operands of vector instructions as register values, and SIMD exceptions around a kernel.
#pragma once

#include "cpu/interp/fp_gate.h"
#include "cpu/semantics/vector.h"

namespace xm::cpu::interp {

// Checks what the instruction's encoding and operands need: MMX, SSE or AVX state.
[[nodiscard]] bool check_vector(Vcpu& cpu, const Insn& insn);
bool has_mmx_operand(const Insn& insn);

// Memory operand `index` (1 to 32 bytes) into the low bytes of `value`, the rest zero; #GP if it must be aligned.
[[nodiscard]] bool read_vector_memory(Vcpu& cpu, const Insn& insn, unsigned index, VectorRegister& value);
[[nodiscard]] bool write_vector_memory(Vcpu& cpu, const Insn& insn, unsigned index, const VectorRegister& value);
// Any operand kind.
[[nodiscard]] bool read_vector_operand(Vcpu& cpu, const Insn& insn, unsigned index, VectorRegister& value);
[[nodiscard]] bool write_vector_operand(Vcpu& cpu, const Insn& insn, unsigned index, const VectorRegister& value);
void write_vector_register(Vcpu& cpu, const Insn& insn, unsigned reg, const VectorRegister& value);

// Runs the kernel with the guest's MXCSR. False: an unmasked exception was recorded (#XM or #UD), d means nothing.
[[nodiscard]] bool run_kernel(Vcpu& cpu, const semantics::VectorForm& form, VectorRegister& d, const VectorRegister& a,
                              const VectorRegister& b, unsigned imm);

Handler special_vector_handler(Operation operation);

}  // namespace xm::cpu::interp
