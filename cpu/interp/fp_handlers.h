// SPDX-License-Identifier: GPL-2.0-or-later
// Handlers of the floating-point and vector families for the block builder: each returns nullptr for an instruction
// that is not of its family. They use op.insn and, where prepare_fp_op has filled them, the register fields of Op.
#pragma once

#include "cpu/interp/op.h"

namespace xm::cpu::interp {

Handler x87_handler(const Insn& insn);     // D8..DF and WAIT
Handler vector_handler(const Insn& insn);  // MMX, SSE, AVX and their kin, LDMXCSR, STMXCSR, EMMS, VZEROALL

}  // namespace xm::cpu::interp
