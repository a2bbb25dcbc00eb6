// SPDX-License-Identifier: GPL-2.0-or-later
// The arithmetic group between registers and immediates, INC, DEC, NEG and NOT of registers, and the choice among all
// forms. [SDM2 ADD .. XOR, INC, DEC, NEG, NOT]
#include "cpu/interp/interp_alu.h"

namespace xm::cpu::interp {

namespace {

template <AluOp kOp, class T, bool kFlags>
const Op* register_register(Vcpu& cpu, const Op* op) {
  const T result = semantics::alu<kOp, T, kFlags>(cpu.flags, get<T>(cpu, op->dst), get<T>(cpu, op->src));
  if constexpr (semantics::writes_result(kOp)) put<T>(cpu, op->dst, result);
  return next(cpu, op);
}

template <AluOp kOp, class T, bool kFlags>
const Op* register_immediate(Vcpu& cpu, const Op* op) {
  const T result = semantics::alu<kOp, T, kFlags>(cpu.flags, get<T>(cpu, op->dst), static_cast<T>(op->imm));
  if constexpr (semantics::writes_result(kOp)) put<T>(cpu, op->dst, result);
  return next(cpu, op);
}

// XOR and SUB of a register with itself do not read it.
template <class T, bool kFlags>
const Op* clear_register(Vcpu& cpu, const Op* op) {
  put<T>(cpu, op->dst, T{0});
  if constexpr (kFlags) cpu.flags.set_logic<T>(0);
  return next(cpu, op);
}

template <UnaryOp kOp, class T, bool kFlags>
const Op* unary_register(Vcpu& cpu, const Op* op) {
  put<T>(cpu, op->dst, semantics::unary<kOp, T, kFlags>(cpu.flags, get<T>(cpu, op->dst)));
  return next(cpu, op);
}

template <bool kFlags>
Handler unary_handler(UnaryOp op, unsigned size_bytes) {
  return for_size(size_bytes, [&]<class T>() -> Handler {
    switch (op) {
      case UnaryOp::Inc: return unary_register<UnaryOp::Inc, T, kFlags>;
      case UnaryOp::Dec: return unary_register<UnaryOp::Dec, T, kFlags>;
      case UnaryOp::Neg: return unary_register<UnaryOp::Neg, T, kFlags>;
      default: return unary_register<UnaryOp::Not, T, kFlags>;
    }
  });
}

bool select_unary(const BuildContext& context, const Insn& insn, Op& op) {
  UnaryOp unary{};
  if (!unary_op_of(insn.operation, unary) || !is_gpr(insn.operands[0])) return false;
  op.dst = context.reg(insn.operands[0]);
  const unsigned size = insn.operands[0].size;
  op.handler = context.flags_live ? unary_handler<true>(unary, size) : unary_handler<false>(unary, size);
  return true;
}

}  // namespace

bool alu_op_of(Operation operation, AluOp& op) {
  switch (operation) {
    case Operation::Add: op = AluOp::Add; return true;
    case Operation::Or: op = AluOp::Or; return true;
    case Operation::Adc: op = AluOp::Adc; return true;
    case Operation::Sbb: op = AluOp::Sbb; return true;
    case Operation::And: op = AluOp::And; return true;
    case Operation::Sub: op = AluOp::Sub; return true;
    case Operation::Xor: op = AluOp::Xor; return true;
    case Operation::Cmp: op = AluOp::Cmp; return true;
    case Operation::Test: op = AluOp::Test; return true;
    default: return false;
  }
}

bool unary_op_of(Operation operation, UnaryOp& op) {
  switch (operation) {
    case Operation::Inc: op = UnaryOp::Inc; return true;
    case Operation::Dec: op = UnaryOp::Dec; return true;
    case Operation::Neg: op = UnaryOp::Neg; return true;
    case Operation::Not: op = UnaryOp::Not; return true;
    default: return false;
  }
}

Handler alu_register_register(AluOp alu, unsigned size_bytes, bool flags_live) {
  return for_alu_op(alu, [&]<AluOp kOp>() {
    return for_size(size_bytes, [&]<class T>() -> Handler {
      return flags_live ? register_register<kOp, T, true> : register_register<kOp, T, false>;
    });
  });
}

Handler alu_register_immediate(AluOp alu, unsigned size_bytes, bool flags_live) {
  return for_alu_op(alu, [&]<AluOp kOp>() {
    return for_size(size_bytes, [&]<class T>() -> Handler {
      return flags_live ? register_immediate<kOp, T, true> : register_immediate<kOp, T, false>;
    });
  });
}

bool select_alu(const BuildContext& context, const Insn& insn, Op& op) {
  if (insn.lock) return false;
  AluOp alu{};
  if (!alu_op_of(insn.operation, alu)) return select_unary(context, insn, op);
  const Operand& destination = insn.operands[0];
  const Operand& source = insn.operands[1];
  const unsigned size = destination.size;
  op.imm = insn.imm;
  if (is_gpr(destination) && is_gpr(source)) {
    op.dst = context.reg(destination);
    op.src = context.reg(source);
    const bool clears = op.dst == op.src && (alu == AluOp::Xor || alu == AluOp::Sub);
    op.handler =
        !clears ? alu_register_register(alu, size, context.flags_live) : for_size(size, [&]<class T>() -> Handler {
          return context.flags_live ? clear_register<T, true> : clear_register<T, false>;
        });
    return true;
  }
  if (is_gpr(destination) && is_immediate(source)) {
    op.dst = context.reg(destination);
    op.handler = alu_register_immediate(alu, size, context.flags_live);
    return true;
  }
  Address form{};
  if (!context.memory(insn, op, form)) return false;
  if (is_gpr(destination)) {
    op.dst = context.reg(destination);
    op.handler = alu_register_memory(alu, size, form, context.flags_live);
  } else if (is_gpr(source)) {
    op.src = context.reg(source);
    op.handler = alu_memory_register(alu, size, form);
  } else {
    op.handler = alu_memory_immediate(alu, size, form);
  }
  return true;
}

}  // namespace xm::cpu::interp
