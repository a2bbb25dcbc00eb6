// SPDX-License-Identifier: GPL-2.0-or-later
// Shifts and rotates: registers by immediate or CL specialised, the rest from the decoded instruction; SHLD, SHRD and
// the flagless forms of BMI2. [SDM2]
#include "cpu/interp/build_context.h"
#include "cpu/semantics/shift.h"

namespace xm::cpu::interp {

namespace {

using semantics::ShiftOp;

template <ShiftOp kOp, class T, bool kFlags>
const Op* shift_register_immediate(Vcpu& cpu, const Op* op) {
  const T value = get<T>(cpu, op->dst);
  put<T>(cpu, op->dst, semantics::shift_with_flags<kOp, T, kFlags>(cpu.flags, value, op->aux));
  return next(cpu, op);
}

template <ShiftOp kOp, class T, bool kFlags>
const Op* shift_register_cl(Vcpu& cpu, const Op* op) {
  const T value = get<T>(cpu, op->dst);
  const unsigned count = static_cast<u8>(cpu.state.gpr[gpr::kRcx]);
  put<T>(cpu, op->dst, semantics::shift_with_flags<kOp, T, kFlags>(cpu.flags, value, count));
  return next(cpu, op);
}

bool shift_op_of(Operation operation, ShiftOp& op) {
  switch (operation) {
    case Operation::Rol: op = ShiftOp::Rol; return true;
    case Operation::Ror: op = ShiftOp::Ror; return true;
    case Operation::Rcl: op = ShiftOp::Rcl; return true;
    case Operation::Rcr: op = ShiftOp::Rcr; return true;
    case Operation::Shl: op = ShiftOp::Shl; return true;
    case Operation::Shr: op = ShiftOp::Shr; return true;
    case Operation::Sar: op = ShiftOp::Sar; return true;
    default: return false;
  }
}

template <class F>
Handler for_shift_op(ShiftOp op, F choose) {
  switch (op) {
    case ShiftOp::Rol: return choose.template operator()<ShiftOp::Rol>();
    case ShiftOp::Ror: return choose.template operator()<ShiftOp::Ror>();
    case ShiftOp::Rcl: return choose.template operator()<ShiftOp::Rcl>();
    case ShiftOp::Rcr: return choose.template operator()<ShiftOp::Rcr>();
    case ShiftOp::Shr: return choose.template operator()<ShiftOp::Shr>();
    case ShiftOp::Sar: return choose.template operator()<ShiftOp::Sar>();
    default: return choose.template operator()<ShiftOp::Shl>();
  }
}

template <ShiftOp kOp>
bool shift_any(Vcpu& cpu, const Insn& insn) {
  return with_size(insn.operands[0].size, [&]<class T>() {
    u8 count = 0;
    if (!cpu.read_operand(insn, 1, count)) return false;
    return update_operand<T>(cpu, insn, 0,
                             [&](T old) { return semantics::shift_with_flags<kOp, T>(cpu.flags, old, count); });
  });
}

template <bool kLeft>
bool double_shift(Vcpu& cpu, const Insn& insn) {
  return with_size(insn.operands[0].size, [&]<class T>() {
    if constexpr (sizeof(T) == 1) {
      return false;
    } else {
      T fill{};
      u8 raw = 0;
      if (!cpu.read_operand(insn, 1, fill) || !cpu.read_operand(insn, 2, raw)) return false;
      const unsigned count = raw & (sizeof(T) == 8 ? 63 : 31);
      return update_operand<T>(cpu, insn, 0, [&](T old) {
        if (count == 0) return old;
        const auto out = kLeft ? semantics::shld<T>(old, fill, count) : semantics::shrd<T>(old, fill, count);
        cpu.flags.set_result(out.value, (out.carry ? flag::kCf : 0) | (out.overflow ? flag::kOf : 0));
        return out.value;
      });
    }
  });
}

// RORX, SARX, SHLX, SHRX: no flags; the count comes last.
template <ShiftOp kOp>
bool shift_without_flags(Vcpu& cpu, const Insn& insn) {
  return with_size(insn.operands[0].size, [&]<class T>() {
    T value{}, raw{};
    if (!cpu.read_operand(insn, 1, value) || !cpu.read_operand(insn, 2, raw)) return false;
    const unsigned count = static_cast<unsigned>(raw) & (sizeof(T) == 8 ? 63 : 31);
    if (count != 0) value = semantics::shift<kOp, T>(value, count, false).value;
    return cpu.write_operand(insn, 0, value);
  });
}

}  // namespace

bool select_shift(const BuildContext& context, const Insn& insn, Op& op) {
  ShiftOp shift{};
  if (!shift_op_of(insn.operation, shift) || !is_gpr(insn.operands[0])) return false;
  op.dst = context.reg(insn.operands[0]);
  const bool immediate = is_immediate(insn.operands[1]);
  op.aux = insn.operands[1].kind == OperandKind::One ? 1 : static_cast<u8>(insn.imm);
  op.handler = for_shift_op(shift, [&]<ShiftOp kOp>() {
    return for_size(insn.operands[0].size, [&]<class T>() -> Handler {
      if (immediate)
        return context.flags_live ? shift_register_immediate<kOp, T, true> : shift_register_immediate<kOp, T, false>;
      return context.flags_live ? shift_register_cl<kOp, T, true> : shift_register_cl<kOp, T, false>;
    });
  });
  return true;
}

Handler shift_handler(const Insn& insn) {
  switch (insn.operation) {
    case Operation::Rol: return generic<shift_any<ShiftOp::Rol>>;
    case Operation::Ror: return generic<shift_any<ShiftOp::Ror>>;
    case Operation::Rcl: return generic<shift_any<ShiftOp::Rcl>>;
    case Operation::Rcr: return generic<shift_any<ShiftOp::Rcr>>;
    case Operation::Shl: return generic<shift_any<ShiftOp::Shl>>;
    case Operation::Shr: return generic<shift_any<ShiftOp::Shr>>;
    case Operation::Sar: return generic<shift_any<ShiftOp::Sar>>;
    case Operation::Shld: return generic<double_shift<true>>;
    case Operation::Shrd: return generic<double_shift<false>>;
    case Operation::Rorx: return generic<shift_without_flags<ShiftOp::Ror>>;
    case Operation::Sarx: return generic<shift_without_flags<ShiftOp::Sar>>;
    case Operation::Shlx: return generic<shift_without_flags<ShiftOp::Shl>>;
    case Operation::Shrx: return generic<shift_without_flags<ShiftOp::Shr>>;
    default: return nullptr;
  }
}

}  // namespace xm::cpu::interp
