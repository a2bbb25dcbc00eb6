// SPDX-License-Identifier: GPL-2.0-or-later
// The floating-point and vector families for the block builder: D8..DF and WAIT; MMX, SSE, AVX and their kin.
#pragma once

#include "cpu/interp/op.h"

namespace xm::cpu::interp {

struct BuildContext;

// The handler that does everything from op.insn, or nullptr if the instruction is not of the family.
Handler x87_handler(const Insn& insn);
Handler vector_handler(const Insn& insn);

// The handler specialised by operands, with op's operand fields; keeps the Insn in op.insn, since every such handler
// falls back on the general one. False if the instruction is not of these families.
bool select_fp(const BuildContext& context, const Insn& insn, Op& op);
// The same but for op.insn, which the caller sets.
bool choose_fp_handler(const BuildContext& context, const Insn& insn, Op& op);

}  // namespace xm::cpu::interp
