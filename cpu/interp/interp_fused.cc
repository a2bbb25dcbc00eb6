// SPDX-License-Identifier: GPL-2.0-or-later
// Pairs that compilers end blocks with, as one Op: CMP, TEST, INC, DEC, ADD, SUB or AND followed by Jcc. The flags are
// stored as the first instruction leaves them; the condition comes straight from its operands. Overflow and parity are
// rare enough to do without.
#include "cpu/interp/interp_alu.h"

namespace xm::cpu::interp {

namespace {

enum class Form : u8 { RegisterRegister, RegisterImmediate, RegisterMemory, MemoryRegister, MemoryImmediate };

[[gnu::always_inline]] inline const Op* leave_by(Vcpu& cpu, const Op* op, bool taken) {
  return taken ? follow_early(cpu, op) : next_over_links(cpu, op);
}

template <AluOp kOp, class T, Form kForm, unsigned kCode>
const Op* register_pair(Vcpu& cpu, const Op* op) {
  T b;
  if constexpr (kForm == Form::RegisterRegister)
    b = get<T>(cpu, op->src);
  else
    b = static_cast<T>(op->imm);
  const T result = semantics::alu<kOp, T>(cpu.flags, get<T>(cpu, op->dst), b);
  if constexpr (semantics::writes_result(kOp)) put<T>(cpu, op->dst, result);
  return leave_by(cpu, op, cpu.flags.condition(kCode));
}

template <AluOp kOp, class T, Form kForm>
[[gnu::always_inline]] inline void compare_memory(Vcpu& cpu, const Op* op, T value) {
  if constexpr (kForm == Form::RegisterMemory)
    semantics::alu<kOp, T>(cpu.flags, get<T>(cpu, op->dst), value);
  else if constexpr (kForm == Form::MemoryRegister)
    semantics::alu<kOp, T>(cpu.flags, value, get<T>(cpu, op->src));
  else
    semantics::alu<kOp, T>(cpu.flags, value, static_cast<T>(op->imm));
}

template <AluOp kOp, class T, Form kForm, unsigned kCode>
[[gnu::noinline]] const Op* memory_pair_slow(Vcpu& cpu, const Op* op) {
  bool taken;
  {
    T value;
    if (!load_any(cpu, op, value)) return fault(cpu, op);
    compare_memory<kOp, T, kForm>(cpu, op, value);
    taken = cpu.flags.condition(kCode);
  }
  return leave_by(cpu, op, taken);
}

template <AluOp kOp, class T, Form kForm, unsigned kCode>
const Op* memory_pair(Vcpu& cpu, const Op* op) {
  const u8* host = probe_read<T, Address::Full>(cpu, op);
  if (__builtin_expect(host == nullptr, 0)) return memory_pair_slow<kOp, T, kForm, kCode>(cpu, op);
  compare_memory<kOp, T, kForm>(cpu, op, load_host<T>(host));
  return leave_by(cpu, op, cpu.flags.condition(kCode));
}

template <UnaryOp kOp, class T, unsigned kCode>
const Op* unary_pair(Vcpu& cpu, const Op* op) {
  put<T>(cpu, op->dst, semantics::unary<kOp, T>(cpu.flags, get<T>(cpu, op->dst)));
  return leave_by(cpu, op, cpu.flags.condition(kCode));
}

template <class F>
Handler for_common_condition(unsigned code, F choose) {
  switch (code) {
    case 2: return choose.template operator()<2>();
    case 3: return choose.template operator()<3>();
    case 4: return choose.template operator()<4>();
    case 5: return choose.template operator()<5>();
    case 6: return choose.template operator()<6>();
    case 7: return choose.template operator()<7>();
    case 8: return choose.template operator()<8>();
    case 9: return choose.template operator()<9>();
    case 12: return choose.template operator()<12>();
    case 13: return choose.template operator()<13>();
    case 14: return choose.template operator()<14>();
    case 15: return choose.template operator()<15>();
    default: return nullptr;
  }
}

template <AluOp kOp>
Handler compare_handler(unsigned size_bytes, Form form, unsigned code) {
  const auto choose = [&]<class T>() {
    return for_common_condition(code, [&]<unsigned kCode>() -> Handler {
      switch (form) {
        case Form::RegisterRegister: return register_pair<kOp, T, Form::RegisterRegister, kCode>;
        case Form::RegisterImmediate: return register_pair<kOp, T, Form::RegisterImmediate, kCode>;
        case Form::RegisterMemory: return memory_pair<kOp, T, Form::RegisterMemory, kCode>;
        case Form::MemoryRegister: return memory_pair<kOp, T, Form::MemoryRegister, kCode>;
        default: return memory_pair<kOp, T, Form::MemoryImmediate, kCode>;
      }
    });
  };
  switch (size_bytes) {
    case 1: return choose.template operator()<u8>();
    case 4: return choose.template operator()<u32>();
    case 8: return choose.template operator()<u64>();
    default: return nullptr;
  }
}

template <AluOp kOp>
Handler arithmetic_handler(unsigned size_bytes, Form form, unsigned code) {
  if (size_bytes < 4 || form > Form::RegisterImmediate) return nullptr;
  return for_common_condition(code, [&]<unsigned kCode>() -> Handler {
    if (form == Form::RegisterRegister) {
      return size_bytes == 4 ? register_pair<kOp, u32, Form::RegisterRegister, kCode>
                             : register_pair<kOp, u64, Form::RegisterRegister, kCode>;
    }
    return size_bytes == 4 ? register_pair<kOp, u32, Form::RegisterImmediate, kCode>
                           : register_pair<kOp, u64, Form::RegisterImmediate, kCode>;
  });
}

template <UnaryOp kOp>
Handler unary_handler(unsigned size_bytes, unsigned code) {
  if (size_bytes < 4) return nullptr;
  return for_common_condition(code, [&]<unsigned kCode>() -> Handler {
    return size_bytes == 4 ? unary_pair<kOp, u32, kCode> : unary_pair<kOp, u64, kCode>;
  });
}

bool operands_of(const BuildContext& context, const Insn& insn, Op& op, Form& form) {
  const Operand& first = insn.operands[0];
  const Operand& second = insn.operands[1];
  op.imm = insn.imm;
  if (is_gpr(first)) {
    op.dst = context.reg(first);
    if (insn.operand_count == 1) return true;
    if (is_gpr(second)) {
      op.src = context.reg(second);
      form = Form::RegisterRegister;
      return true;
    }
    if (is_immediate(second)) {
      form = Form::RegisterImmediate;
      return true;
    }
    form = Form::RegisterMemory;
  } else if (is_gpr(second)) {
    op.src = context.reg(second);
    form = Form::MemoryRegister;
  } else {
    if (!is_immediate(second)) return false;
    form = Form::MemoryImmediate;
  }
  Address address{};
  return context.memory(insn, op, address) && address != Address::Any;
}

}  // namespace

bool fuse_with_jump(const BuildContext& context, const Insn& insn, Condition condition, Op& op) {
  if (insn.lock) return false;
  Form form{};
  Op fused = op;
  if (!operands_of(context, insn, fused, form)) return false;
  const unsigned size = insn.operands[0].size, code = static_cast<unsigned>(condition);
  switch (insn.operation) {
    case Operation::Cmp: fused.handler = compare_handler<AluOp::Cmp>(size, form, code); break;
    case Operation::Test: fused.handler = compare_handler<AluOp::Test>(size, form, code); break;
    case Operation::Add: fused.handler = arithmetic_handler<AluOp::Add>(size, form, code); break;
    case Operation::Sub: fused.handler = arithmetic_handler<AluOp::Sub>(size, form, code); break;
    case Operation::And: fused.handler = arithmetic_handler<AluOp::And>(size, form, code); break;
    case Operation::Inc:
      if (!is_gpr(insn.operands[0])) return false;
      fused.handler = unary_handler<UnaryOp::Inc>(size, code);
      break;
    case Operation::Dec:
      if (!is_gpr(insn.operands[0])) return false;
      fused.handler = unary_handler<UnaryOp::Dec>(size, code);
      break;
    default: return false;
  }
  if (fused.handler == nullptr) return false;
  op = fused;
  return true;
}

}  // namespace xm::cpu::interp
