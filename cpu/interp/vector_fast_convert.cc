// SPDX-License-Identifier: GPL-2.0-or-later
// Fast handlers of the scalar conversions from and to general registers, the compares into flags, and the conversions
// that change element size. [SDM2]
#include "cpu/interp/vector_fast.h"

namespace xm::cpu::interp {
namespace {

using fast::load_memory;
using fast::load_vector;
using fast::ready;
using fast::source;
using fast::store_vector;
using O = Operation;

enum class Precision : u8 { Single, Double };
constexpr unsigned size_of(Precision precision) { return precision == Precision::Single ? 4 : 8; }

// The scalar's bits from a register or memory.
template <Precision kPrecision, bool kMemory>
[[gnu::always_inline]] inline bool fetch(Vcpu& cpu, const Op* op, __m128i& value) {
  if constexpr (kMemory) {
    const u8* host = source<size_of(kPrecision), Address::Full, false>(cpu, op);
    if (host == nullptr) return false;
    value = load_memory<size_of(kPrecision)>(host);
  } else {
    value = load_vector(cpu.state.vector[op->base]);
  }
  return true;
}

// --- COMISD and kin. Quiet or not: the host's instruction decides which NaNs are invalid.
template <Precision kPrecision, bool kQuiet, bool kMemory, bool kVex>
const Op* compare(Vcpu& cpu, const Op* op) {
  __m128i b;
  if (!ready<kVex, true>(cpu) || !fetch<kPrecision, kMemory>(cpu, op, b)) [[unlikely]]
    return vector_generic(cpu, op);
  const __m128i a = load_vector(cpu.state.vector[op->dst]);
  bool carry, zero, parity;
  if constexpr (kPrecision == Precision::Single && kQuiet) {
    asm volatile("ucomiss %4, %3" : "=@ccc"(carry), "=@ccz"(zero), "=@ccp"(parity) : "x"(a), "x"(b));
  } else if constexpr (kPrecision == Precision::Single) {
    asm volatile("comiss %4, %3" : "=@ccc"(carry), "=@ccz"(zero), "=@ccp"(parity) : "x"(a), "x"(b));
  } else if constexpr (kQuiet) {
    asm volatile("ucomisd %4, %3" : "=@ccc"(carry), "=@ccz"(zero), "=@ccp"(parity) : "x"(a), "x"(b));
  } else {
    asm volatile("comisd %4, %3" : "=@ccc"(carry), "=@ccz"(zero), "=@ccp"(parity) : "x"(a), "x"(b));
  }
  cpu.flags.set_status(u64{carry} | u64{parity} << 2 | u64{zero} << 6);
  return next(cpu, op);
}

// --- integer to scalar; the rest of the destination comes from the first source
template <Precision kPrecision, class T, bool kMemory, bool kVex>
const Op* from_integer(Vcpu& cpu, const Op* op) {
  if (!ready<kVex, true>(cpu)) [[unlikely]]
    return vector_generic(cpu, op);
  T integer;
  if constexpr (kMemory) {
    const u8* host = source<sizeof(T), Address::Full, false>(cpu, op);
    if (host == nullptr) [[unlikely]]
      return vector_generic(cpu, op);
    integer = load_host<T>(host);
  } else {
    integer = get<T>(cpu, op->base);
  }
  VectorRegister& d = cpu.state.vector[op->dst];
  __m128i value = load_vector(kVex ? cpu.state.vector[op->src] : d);
  if constexpr (kPrecision == Precision::Single) {
    if constexpr (sizeof(T) == 8) {
      asm volatile("cvtsi2ssq %1, %0" : "+x"(value) : "r"(integer));
    } else {
      asm volatile("cvtsi2ssl %1, %0" : "+x"(value) : "r"(integer));
    }
  } else if constexpr (sizeof(T) == 8) {
    asm volatile("cvtsi2sdq %1, %0" : "+x"(value) : "r"(integer));
  } else {
    asm volatile("cvtsi2sdl %1, %0" : "+x"(value) : "r"(integer));
  }
  store_vector<kVex>(d, value);
  return next(cpu, op);
}

// --- scalar to integer
template <Precision kPrecision, class T, bool kTruncate, bool kMemory, bool kVex>
const Op* to_integer(Vcpu& cpu, const Op* op) {
  __m128i b;
  if (!ready<kVex, true>(cpu) || !fetch<kPrecision, kMemory>(cpu, op, b)) [[unlikely]]
    return vector_generic(cpu, op);
  T integer;
  if constexpr (kPrecision == Precision::Single && kTruncate) {
    asm volatile("cvttss2si %1, %0" : "=r"(integer) : "x"(b));
  } else if constexpr (kPrecision == Precision::Single) {
    asm volatile("cvtss2si %1, %0" : "=r"(integer) : "x"(b));
  } else if constexpr (kTruncate) {
    asm volatile("cvttsd2si %1, %0" : "=r"(integer) : "x"(b));
  } else {
    asm volatile("cvtsd2si %1, %0" : "=r"(integer) : "x"(b));
  }
  put<T>(cpu, op->dst, integer);
  return next(cpu, op);
}

// Turns run-time facts into template arguments.
template <class F>
Handler with_bool(bool value, F choose) {
  return value ? choose.template operator()<true>() : choose.template operator()<false>();
}

template <Precision kPrecision, bool kQuiet>
Handler pick_compare(const Insn& insn, bool memory) {
  return with_bool(memory, [&]<bool kMemory>() {
    return with_bool(insn.vex, [&]<bool kVex>() -> Handler { return compare<kPrecision, kQuiet, kMemory, kVex>; });
  });
}

template <Precision kPrecision>
Handler pick_from_integer(const Insn& insn, bool memory) {
  return with_bool(memory, [&]<bool kMemory>() {
    return with_bool(insn.vex, [&]<bool kVex>() -> Handler {
      return insn.operands[2].size == 8 ? from_integer<kPrecision, u64, kMemory, kVex>
                                        : from_integer<kPrecision, u32, kMemory, kVex>;
    });
  });
}

template <Precision kPrecision, bool kTruncate>
Handler pick_to_integer(const Insn& insn, bool memory) {
  return with_bool(memory, [&]<bool kMemory>() {
    return with_bool(insn.vex, [&]<bool kVex>() -> Handler {
      return insn.operands[0].size == 8 ? to_integer<kPrecision, u64, kTruncate, kMemory, kVex>
                                        : to_integer<kPrecision, u32, kTruncate, kMemory, kVex>;
    });
  });
}

Handler choose(const Insn& insn, bool memory) {
  switch (insn.operation) {
    case O::Ucomiss: return pick_compare<Precision::Single, true>(insn, memory);
    case O::Ucomisd: return pick_compare<Precision::Double, true>(insn, memory);
    case O::Comiss: return pick_compare<Precision::Single, false>(insn, memory);
    case O::Comisd: return pick_compare<Precision::Double, false>(insn, memory);
    case O::Cvtsi2ss: return pick_from_integer<Precision::Single>(insn, memory);
    case O::Cvtsi2sd: return pick_from_integer<Precision::Double>(insn, memory);
    case O::Cvtss2si: return pick_to_integer<Precision::Single, false>(insn, memory);
    case O::Cvtsd2si: return pick_to_integer<Precision::Double, false>(insn, memory);
    case O::Cvttss2si: return pick_to_integer<Precision::Single, true>(insn, memory);
    case O::Cvttsd2si: return pick_to_integer<Precision::Double, true>(insn, memory);
    default: return nullptr;
  }
}

}  // namespace

bool select_fast_convert(const BuildContext& context, const Insn& insn, Op& op) {
  if (insn.operand_count < 2) return false;
  const Operand &first = insn.operands[0], &last = insn.operands[insn.operand_count - 1u];
  const bool memory = last.kind == OperandKind::Memory;
  op.dst = is_gpr(first) ? context.reg(first) : first.reg;
  op.src = insn.operands[1].reg;
  op.base = is_gpr(last) ? context.reg(last) : last.reg;
  const Handler handler = choose(insn, memory);
  Address form = Address::Base;
  if (handler == nullptr || (memory && (!context.memory(insn, op, form) || form == Address::Any))) return false;
  op.handler = handler;
  return true;
}

}  // namespace xm::cpu::interp
