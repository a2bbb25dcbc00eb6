// SPDX-License-Identifier: GPL-2.0-or-later
// The arithmetic group from the decoded instruction: what has no specialised handler (INC of memory, odd addresses).
#include "cpu/interp/interp_alu.h"

namespace xm::cpu::interp {

namespace {

template <AluOp kOp>
bool binary(Vcpu& cpu, const Insn& insn) {
  return with_size(insn.operands[0].size, [&]<class T>() {
    T source{};
    if (!cpu.read_operand(insn, 1, source)) return false;
    if constexpr (semantics::writes_result(kOp)) {
      return update_operand<T>(cpu, insn, 0, [&](T old) { return semantics::alu<kOp, T>(cpu.flags, old, source); });
    } else {
      T value{};
      if (!cpu.read_operand(insn, 0, value)) return false;
      semantics::alu<kOp, T>(cpu.flags, value, source);
      return true;
    }
  });
}

template <UnaryOp kOp>
bool unary(Vcpu& cpu, const Insn& insn) {
  return with_size(insn.operands[0].size, [&]<class T>() {
    return update_operand<T>(cpu, insn, 0, [&](T old) { return semantics::unary<kOp, T>(cpu.flags, old); });
  });
}

}  // namespace

Handler alu_handler(const Insn& insn) {
  switch (insn.operation) {
    case Operation::Add: return generic<binary<AluOp::Add>>;
    case Operation::Or: return generic<binary<AluOp::Or>>;
    case Operation::Adc: return generic<binary<AluOp::Adc>>;
    case Operation::Sbb: return generic<binary<AluOp::Sbb>>;
    case Operation::And: return generic<binary<AluOp::And>>;
    case Operation::Sub: return generic<binary<AluOp::Sub>>;
    case Operation::Xor: return generic<binary<AluOp::Xor>>;
    case Operation::Cmp: return generic<binary<AluOp::Cmp>>;
    case Operation::Test: return generic<binary<AluOp::Test>>;
    case Operation::Inc: return generic<unary<UnaryOp::Inc>>;
    case Operation::Dec: return generic<unary<UnaryOp::Dec>>;
    case Operation::Neg: return generic<unary<UnaryOp::Neg>>;
    case Operation::Not: return generic<unary<UnaryOp::Not>>;
    default: return nullptr;
  }
}

}  // namespace xm::cpu::interp
