// SPDX-License-Identifier: GPL-2.0-or-later
// Handlers of the arithmetic group by operand form; one .cc per operand form instantiates them.
#pragma once

#include "cpu/interp/build_context.h"
#include "cpu/semantics/alu.h"

namespace xm::cpu::interp {

using semantics::AluOp;
using semantics::UnaryOp;

// AluOp of an Operation; false if it is none.
bool alu_op_of(Operation operation, AluOp& op);
bool unary_op_of(Operation operation, UnaryOp& op);

// Turns a run-time AluOp into a template argument.
template <class F>
Handler for_alu_op(AluOp op, F choose) {
  switch (op) {
    case AluOp::Add: return choose.template operator()<AluOp::Add>();
    case AluOp::Or: return choose.template operator()<AluOp::Or>();
    case AluOp::Adc: return choose.template operator()<AluOp::Adc>();
    case AluOp::Sbb: return choose.template operator()<AluOp::Sbb>();
    case AluOp::And: return choose.template operator()<AluOp::And>();
    case AluOp::Sub: return choose.template operator()<AluOp::Sub>();
    case AluOp::Xor: return choose.template operator()<AluOp::Xor>();
    case AluOp::Cmp: return choose.template operator()<AluOp::Cmp>();
    default: return choose.template operator()<AluOp::Test>();
  }
}

Handler alu_register_register(AluOp op, unsigned size_bytes, bool flags_live);
Handler alu_register_immediate(AluOp op, unsigned size_bytes, bool flags_live);
Handler alu_register_memory(AluOp op, unsigned size_bytes, Address form, bool flags_live);
Handler alu_memory_register(AluOp op, unsigned size_bytes, Address form);
Handler alu_memory_immediate(AluOp op, unsigned size_bytes, Address form);

}  // namespace xm::cpu::interp
