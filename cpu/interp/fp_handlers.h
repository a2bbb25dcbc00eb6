// SPDX-License-Identifier: GPL-2.0-or-later
// Handlers of the floating-point and vector families for the block builder: each returns nullptr for an instruction
// that is not of its family. The builder sets op.insn and calls prepare_fp_op for the operand fields of the fast
// handlers.
#pragma once

#include "cpu/interp/op.h"

namespace xm::cpu::interp {

Handler x87_handler(const Insn& insn);     // D8..DF and WAIT
Handler vector_handler(const Insn& insn);  // MMX, SSE, AVX and their kin, LDMXCSR, STMXCSR, EMMS, VZEROALL

// Fills dst, src, aux and the address fields from the operands of an instruction of either family.
void prepare_fp_op(const Insn& insn, Op& op);

}  // namespace xm::cpu::interp
