// SPDX-License-Identifier: GPL-2.0-or-later
// MOV, MOVZX, MOVSX, MOVSXD, LEA, CMOVcc, SETcc, BSWAP and XCHG between general registers and memory, specialised; the
// generic forms are in generic_move.cc. [SDM2]
#include "cpu/interp/build_context.h"

namespace xm::cpu::interp {

namespace {

template <class T>
const Op* move_register(Vcpu& cpu, const Op* op) {
  put<T>(cpu, op->dst, get<T>(cpu, op->src));
  return next(cpu, op);
}

template <class T>
const Op* move_immediate(Vcpu& cpu, const Op* op) {
  put<T>(cpu, op->dst, static_cast<T>(op->imm));
  return next(cpu, op);
}

// Loads that widen from From to To: plain moves have From = To, MOVSX a signed From.
template <class From, class To>
[[gnu::noinline]] const Op* load_value_any(Vcpu& cpu, const Op* op) {
  {
    From value;
    if (!load_any(cpu, op, value)) return fault(cpu, op);
    put<To>(cpu, op->dst, static_cast<To>(value));
  }
  return next(cpu, op);
}

template <class From, class To, Address kForm>
const Op* load_value(Vcpu& cpu, const Op* op) {
  const u8* host = probe_read<From, kForm>(cpu, op);
  if (__builtin_expect(host == nullptr, 0)) return load_value_any<From, To>(cpu, op);
  put<To>(cpu, op->dst, static_cast<To>(load_host<From>(host)));
  return next(cpu, op);
}

template <class From, class To>
const Op* extend_register(Vcpu& cpu, const Op* op) {
  put<To>(cpu, op->dst, static_cast<To>(get<From>(cpu, op->src)));
  return next(cpu, op);
}

template <class From, class To>
Handler load_handler(Address form) {
  switch (form) {
    case Address::Base: return load_value<From, To, Address::Base>;
    case Address::Full: return load_value<From, To, Address::Full>;
    default: return load_value_any<From, To>;
  }
}

template <class T>
[[gnu::noinline]] const Op* store_register_any(Vcpu& cpu, const Op* op) {
  return store_any(cpu, op, get<T>(cpu, op->src)) ? next(cpu, op) : fault(cpu, op);
}

template <class T, Address kForm>
const Op* store_register(Vcpu& cpu, const Op* op) {
  u8* host = probe_write<T, kForm>(cpu, op);
  if (__builtin_expect(host == nullptr, 0)) return store_register_any<T>(cpu, op);
  store_host(host, get<T>(cpu, op->src));
  return next(cpu, op);
}

template <class T>
[[gnu::noinline]] const Op* store_immediate_any(Vcpu& cpu, const Op* op) {
  return store_any(cpu, op, static_cast<T>(op->imm)) ? next(cpu, op) : fault(cpu, op);
}

template <class T>
const Op* store_immediate(Vcpu& cpu, const Op* op) {
  u8* host = probe_write<T, Address::Full>(cpu, op);
  if (__builtin_expect(host == nullptr, 0)) return store_immediate_any<T>(cpu, op);
  store_host(host, static_cast<T>(op->imm));
  return next(cpu, op);
}

template <class T, Address kForm>
const Op* load_address(Vcpu& cpu, const Op* op) {
  if constexpr (kForm == Address::Any)
    put<T>(cpu, op->dst, static_cast<T>(any_offset(cpu, op)));
  else
    put<T>(cpu, op->dst, static_cast<T>(flat_address<kForm>(cpu, op)));
  return next(cpu, op);
}

template <class T, unsigned kCondition>
const Op* move_if(Vcpu& cpu, const Op* op) {
  const T value = cpu.flags.condition(kCondition) ? get<T>(cpu, op->src) : get<T>(cpu, op->dst);
  put<T>(cpu, op->dst, value);
  return next(cpu, op);
}

template <unsigned kCondition>
const Op* set_if(Vcpu& cpu, const Op* op) {
  put<u8>(cpu, op->dst, cpu.flags.condition(kCondition) ? 1 : 0);
  return next(cpu, op);
}

template <class T>
const Op* exchange_registers(Vcpu& cpu, const Op* op) {
  const T value = get<T>(cpu, op->dst);
  put<T>(cpu, op->dst, get<T>(cpu, op->src));
  put<T>(cpu, op->src, value);
  return next(cpu, op);
}

const Op* no_operation(Vcpu& cpu, const Op* op) { return next(cpu, op); }

// A table over the sixteen conditions.
template <class F>
Handler for_condition(Condition condition, F choose) {
  const unsigned code = static_cast<unsigned>(condition);
  Handler found = nullptr;
  [&]<unsigned... kCodes>(std::integer_sequence<unsigned, kCodes...>) {
    ((kCodes == code ? void(found = choose.template operator()<kCodes>()) : void()), ...);
  }
  (std::make_integer_sequence<unsigned, 16>{});
  return found;
}

bool select_mov(const BuildContext& context, const Insn& insn, Op& op) {
  const Operand& destination = insn.operands[0];
  const Operand& source = insn.operands[1];
  const unsigned size = destination.size;
  op.imm = insn.imm;
  if (is_gpr(destination) && is_gpr(source)) {
    op.dst = context.reg(destination);
    op.src = context.reg(source);
    op.handler = for_size(size, []<class T>() -> Handler { return move_register<T>; });
    return true;
  }
  if (is_gpr(destination) && is_immediate(source)) {
    op.dst = context.reg(destination);
    op.handler = for_size(size, []<class T>() -> Handler { return move_immediate<T>; });
    return true;
  }
  Address form{};
  if ((!is_memory(destination) && !is_memory(source)) || !context.memory(insn, op, form)) return false;
  if (is_gpr(destination)) {
    op.dst = context.reg(destination);
    op.handler = for_size(size, [&]<class T>() { return load_handler<T, T>(form); });
    return true;
  }
  if (is_gpr(source)) {
    op.src = context.reg(source);
    op.handler = for_size(size, [&]<class T>() -> Handler {
      switch (form) {
        case Address::Base: return store_register<T, Address::Base>;
        case Address::Full: return store_register<T, Address::Full>;
        default: return store_register_any<T>;
      }
    });
    return true;
  }
  if (!is_immediate(source)) return false;
  op.handler = for_size(
      size, [&]<class T>() -> Handler { return form == Address::Any ? store_immediate_any<T> : store_immediate<T>; });
  return true;
}

template <bool kSigned, class From, class To>
Handler extend_handler(bool from_memory, Address form) {
  using Source = std::conditional_t<kSigned, std::make_signed_t<From>, From>;
  return from_memory ? load_handler<Source, To>(form) : extend_register<Source, To>;
}

template <bool kSigned>
Handler extend_by_size(unsigned from, unsigned to, bool from_memory, Address form) {
  const auto choose = [&]<class From>() -> Handler {
    switch (to) {
      case 2: return extend_handler<kSigned, From, u16>(from_memory, form);
      case 4: return extend_handler<kSigned, From, u32>(from_memory, form);
      default: return extend_handler<kSigned, From, u64>(from_memory, form);
    }
  };
  switch (from) {
    case 1: return choose.template operator()<u8>();
    case 2: return choose.template operator()<u16>();
    default: return choose.template operator()<u32>();
  }
}

bool select_extend(const BuildContext& context, const Insn& insn, Op& op, bool is_signed) {
  const bool from_memory = is_memory(insn.operands[1]);
  Address form{};
  if (from_memory && !context.memory(insn, op, form)) return false;
  op.dst = context.reg(insn.operands[0]);
  if (!from_memory) op.src = context.reg(insn.operands[1]);
  const unsigned from = insn.operands[1].size, to = insn.operands[0].size;
  op.handler = is_signed ? extend_by_size<true>(from, to, from_memory, form)
                         : extend_by_size<false>(from, to, from_memory, form);
  return true;
}

bool select_lea(const BuildContext& context, const Insn& insn, Op& op) {
  Address form{};
  if (!context.memory(insn, op, form)) return false;
  if (context.bits64 && insn.address_size == 8) form = op.index == context.zero() ? Address::Base : Address::Full;
  op.dst = context.reg(insn.operands[0]);
  op.handler = for_size(insn.operands[0].size, [&]<class T>() -> Handler {
    switch (form) {
      case Address::Base: return load_address<T, Address::Base>;
      case Address::Full: return load_address<T, Address::Full>;
      default: return load_address<T, Address::Any>;
    }
  });
  return true;
}

bool select_conditional(const BuildContext& context, const Insn& insn, Op& op) {
  if (!is_gpr(insn.operands[0])) return false;
  op.dst = context.reg(insn.operands[0]);
  if (insn.operation == Operation::Setcc) {
    op.handler = for_condition(insn.condition, []<unsigned kCode>() -> Handler { return set_if<kCode>; });
    return true;
  }
  if (!is_gpr(insn.operands[1])) return false;
  op.src = context.reg(insn.operands[1]);
  op.handler = for_condition(insn.condition, [&]<unsigned kCode>() -> Handler {
    switch (insn.operands[0].size) {
      case 2: return move_if<u16, kCode>;
      case 4: return move_if<u32, kCode>;
      default: return move_if<u64, kCode>;
    }
  });
  return true;
}

}  // namespace

bool select_move(const BuildContext& context, const Insn& insn, Op& op) {
  if (insn.lock) return false;
  switch (insn.operation) {
    case Operation::Mov: return select_mov(context, insn, op);
    case Operation::Movzx: return select_extend(context, insn, op, false);
    case Operation::Movsx:
    case Operation::Movsxd: return select_extend(context, insn, op, true);
    case Operation::Lea: return select_lea(context, insn, op);
    case Operation::Cmovcc:
    case Operation::Setcc: return select_conditional(context, insn, op);
    case Operation::Xchg:
      if (!is_gpr(insn.operands[0]) || !is_gpr(insn.operands[1])) return false;
      op.dst = context.reg(insn.operands[0]);
      op.src = context.reg(insn.operands[1]);
      op.handler = for_size(insn.operands[0].size, []<class T>() -> Handler { return exchange_registers<T>; });
      return true;
    case Operation::Nop:
    case Operation::Prefetch:
    case Operation::Prefetchw: op.handler = no_operation; return true;
    default: return false;
  }
}

}  // namespace xm::cpu::interp
