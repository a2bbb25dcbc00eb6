// SPDX-License-Identifier: GPL-2.0-or-later
// MUL, IMUL, DIV, IDIV, MULX, ADCX and ADOX. [SDM2]
//
// Flags that the manual leaves undefined: MUL and IMUL give SF, ZF and PF of the low half, DIV and IDIV none.
#include "cpu/interp/build_context.h"

namespace xm::cpu::interp {

namespace {

template <class T>
struct Wide;
template <>
struct Wide<u8> {
  using Unsigned = u16;
  using Signed = i16;
};
template <>
struct Wide<u16> {
  using Unsigned = u32;
  using Signed = i32;
};
template <>
struct Wide<u32> {
  using Unsigned = u64;
  using Signed = i64;
};
template <>
struct Wide<u64> {
  using Unsigned = u128;
  using Signed = i128;
};

// The double-width value in AX, DX:AX, EDX:EAX or RDX:RAX.
template <class T>
typename Wide<T>::Unsigned accumulator_pair(const Vcpu& cpu) {
  using W = typename Wide<T>::Unsigned;
  if constexpr (sizeof(T) == 1) return static_cast<u16>(cpu.state.gpr[gpr::kRax]);
  return static_cast<W>(static_cast<W>(static_cast<T>(cpu.state.gpr[gpr::kRdx])) << (sizeof(T) * 8) |
                        static_cast<T>(cpu.state.gpr[gpr::kRax]));
}

template <class T>
void set_accumulator_pair(Vcpu& cpu, T low, T high) {
  if constexpr (sizeof(T) == 1) {
    cpu.set_gpr(gpr::kRax, 2, static_cast<u64>(high) << 8 | low);
  } else {
    cpu.set_gpr(gpr::kRax, sizeof(T), low);
    cpu.set_gpr(gpr::kRdx, sizeof(T), high);
  }
}

template <class T>
void set_product_flags(Vcpu& cpu, T low, bool significant_high) {
  cpu.flags.set_result(low, significant_high ? flag::kCf | flag::kOf : 0);
}

bool multiply_unsigned(Vcpu& cpu, const Insn& insn) {
  return with_size(insn.operands[0].size, [&]<class T>() {
    T factor{};
    if (!cpu.read_operand(insn, 0, factor)) return false;
    using W = typename Wide<T>::Unsigned;
    const W product = static_cast<W>(static_cast<W>(static_cast<T>(cpu.state.gpr[gpr::kRax])) * factor);
    const T low = static_cast<T>(product), high = static_cast<T>(product >> (sizeof(T) * 8));
    set_accumulator_pair<T>(cpu, low, high);
    set_product_flags(cpu, low, high != 0);
    return true;
  });
}

template <class T>
typename Wide<T>::Signed signed_product(T a, T b) {
  using S = std::make_signed_t<T>;
  using W = typename Wide<T>::Signed;
  return static_cast<W>(static_cast<W>(static_cast<S>(a)) * static_cast<S>(b));
}

bool multiply_signed(Vcpu& cpu, const Insn& insn) {
  return with_size(insn.operands[0].size, [&]<class T>() {
    using S = std::make_signed_t<T>;
    T a{}, b{};
    if (insn.operand_count == 1) {
      if (!cpu.read_operand(insn, 0, a)) return false;
      const auto product = signed_product<T>(static_cast<T>(cpu.state.gpr[gpr::kRax]), a);
      const T low = static_cast<T>(product);
      set_accumulator_pair<T>(cpu, low, static_cast<T>(product >> (sizeof(T) * 8)));
      set_product_flags(cpu, low, product != static_cast<S>(low));
      return true;
    }
    const unsigned first = insn.operand_count == 3 ? 1 : 0;
    if (!cpu.read_operand(insn, first, a) || !cpu.read_operand(insn, first + 1, b)) return false;
    const auto product = signed_product<T>(a, b);
    const T low = static_cast<T>(product);
    set_product_flags(cpu, low, product != static_cast<S>(low));
    return cpu.write_operand(insn, 0, low);
  });
}

bool divide_unsigned(Vcpu& cpu, const Insn& insn) {
  return with_size(insn.operands[0].size, [&]<class T>() {
    T divisor{};
    if (!cpu.read_operand(insn, 0, divisor)) return false;
    if (divisor == 0) return cpu.raise(Vector::De);
    const auto dividend = accumulator_pair<T>(cpu);
    // 128-bit division is a library call; most dividends are short.
    if constexpr (sizeof(T) == 8) {
      if (static_cast<u64>(dividend >> 64) == 0) {
        const u64 low = static_cast<u64>(dividend);
        set_accumulator_pair<T>(cpu, low / divisor, low % divisor);
        return true;
      }
    }
    const auto quotient = dividend / divisor;
    if (quotient > static_cast<T>(~T{0})) return cpu.raise(Vector::De);
    set_accumulator_pair<T>(cpu, static_cast<T>(quotient), static_cast<T>(dividend % divisor));
    return true;
  });
}

bool divide_signed(Vcpu& cpu, const Insn& insn) {
  return with_size(insn.operands[0].size, [&]<class T>() {
    using S = std::make_signed_t<T>;
    using W = typename Wide<T>::Signed;
    using U = typename Wide<T>::Unsigned;
    T raw{};
    if (!cpu.read_operand(insn, 0, raw)) return false;
    if (raw == 0) return cpu.raise(Vector::De);
    const W dividend = static_cast<W>(accumulator_pair<T>(cpu));
    const W divisor = static_cast<S>(raw);
    // The most negative dividend by -1 overflows the host as well.
    const W most_negative = static_cast<W>(U{1} << (sizeof(W) * 8 - 1));
    if (divisor == -1 && dividend == most_negative) return cpu.raise(Vector::De);
    const W quotient = static_cast<W>(dividend / divisor);
    if (quotient != static_cast<S>(quotient)) return cpu.raise(Vector::De);
    set_accumulator_pair<T>(cpu, static_cast<T>(quotient), static_cast<T>(dividend % divisor));
    return true;
  });
}

// MULX: high half to operand 0, low half to operand 1 (the high half wins if they are one), no flags.
bool multiply_without_flags(Vcpu& cpu, const Insn& insn) {
  return with_size(insn.operands[0].size, [&]<class T>() {
    T factor{};
    if (!cpu.read_operand(insn, 2, factor)) return false;
    using W = typename Wide<T>::Unsigned;
    const W product = static_cast<W>(static_cast<W>(static_cast<T>(cpu.state.gpr[gpr::kRdx])) * factor);
    cpu.set_gpr(insn.operands[1].reg, sizeof(T), static_cast<u64>(static_cast<T>(product)));
    cpu.set_gpr(insn.operands[0].reg, sizeof(T), static_cast<u64>(static_cast<T>(product >> (sizeof(T) * 8))));
    return true;
  });
}

// ADCX and ADOX: an addition with carry that lives in one flag and touches no other.
template <u64 kFlag>
bool add_through_flag(Vcpu& cpu, const Insn& insn) {
  return with_size(insn.operands[0].size, [&]<class T>() {
    T a{}, b{};
    if (!cpu.read_operand(insn, 0, a) || !cpu.read_operand(insn, 1, b)) return false;
    const u64 status = cpu.flags.status();
    const u128 sum = static_cast<u128>(a) + b + ((status & kFlag) != 0 ? 1 : 0);
    const bool carry = (sum >> (sizeof(T) * 8)) != 0;
    cpu.flags.set_status((status & ~kFlag) | (carry ? kFlag : 0));
    return cpu.write_operand(insn, 0, static_cast<T>(sum));
  });
}

// --- specialised: register destinations

template <class T, bool kFlags>
[[gnu::always_inline]] inline T product_low(LazyFlags& flags, T a, T b) {
  if constexpr (!kFlags) {
    return static_cast<T>(a * b);
  } else {
    using S = std::make_signed_t<T>;
    S low = 0;
    const bool overflow = __builtin_mul_overflow(static_cast<S>(a), static_cast<S>(b), &low);
    flags.set_result(static_cast<T>(low), overflow ? flag::kCf | flag::kOf : 0);
    return static_cast<T>(low);
  }
}

template <class T, bool kFlags>
const Op* multiply_register(Vcpu& cpu, const Op* op) {
  put<T>(cpu, op->dst, product_low<T, kFlags>(cpu.flags, get<T>(cpu, op->dst), get<T>(cpu, op->src)));
  return next(cpu, op);
}

template <class T, bool kFlags>
const Op* multiply_immediate(Vcpu& cpu, const Op* op) {
  put<T>(cpu, op->dst, product_low<T, kFlags>(cpu.flags, get<T>(cpu, op->src), static_cast<T>(op->imm)));
  return next(cpu, op);
}

template <class T>
[[gnu::noinline]] const Op* multiply_memory_any(Vcpu& cpu, const Op* op) {
  {
    T value;
    if (!load_any(cpu, op, value)) return fault(cpu, op);
    put<T>(cpu, op->dst, product_low<T, true>(cpu.flags, get<T>(cpu, op->dst), value));
  }
  return next(cpu, op);
}

template <class T>
const Op* multiply_memory(Vcpu& cpu, const Op* op) {
  const u8* host = probe_read<T, Address::Full>(cpu, op);
  if (__builtin_expect(host == nullptr, 0)) return multiply_memory_any<T>(cpu, op);
  put<T>(cpu, op->dst, product_low<T, true>(cpu.flags, get<T>(cpu, op->dst), load_host<T>(host)));
  return next(cpu, op);
}

// MUL of a register: the product's high half in rDX.
template <class T>
const Op* multiply_wide(Vcpu& cpu, const Op* op) {
  using W = typename Wide<T>::Unsigned;
  const W product = static_cast<W>(static_cast<W>(static_cast<T>(cpu.state.gpr[gpr::kRax])) * get<T>(cpu, op->src));
  const T low = static_cast<T>(product), high = static_cast<T>(product >> (sizeof(T) * 8));
  set_accumulator_pair<T>(cpu, low, high);
  set_product_flags(cpu, low, high != 0);
  return next(cpu, op);
}

template <class T>
Handler multiply_handler(const BuildContext& context, const Insn& insn, Op& op) {
  const Operand& source = insn.operands[1];
  op.dst = context.reg(insn.operands[0]);
  if (insn.operand_count == 3) {
    if (!is_gpr(source)) return nullptr;
    op.src = context.reg(source);
    op.imm = insn.imm;
    return context.flags_live ? multiply_immediate<T, true> : multiply_immediate<T, false>;
  }
  if (is_gpr(source)) {
    op.src = context.reg(source);
    return context.flags_live ? multiply_register<T, true> : multiply_register<T, false>;
  }
  Address form{};
  if (!context.memory(insn, op, form)) return nullptr;
  return form == Address::Any ? multiply_memory_any<T> : multiply_memory<T>;
}

}  // namespace

bool select_muldiv(const BuildContext& context, const Insn& insn, Op& op) {
  const unsigned size = insn.operands[0].size;
  if (size < 4) return false;
  if (insn.operation == Operation::Imul && insn.operand_count >= 2) {
    op.handler = size == 4 ? multiply_handler<u32>(context, insn, op) : multiply_handler<u64>(context, insn, op);
    return op.handler != nullptr;
  }
  if (insn.operation != Operation::Mul || !is_gpr(insn.operands[0])) return false;
  op.src = context.reg(insn.operands[0]);
  op.handler = size == 4 ? multiply_wide<u32> : multiply_wide<u64>;
  return true;
}

Handler muldiv_handler(const Insn& insn) {
  switch (insn.operation) {
    case Operation::Mul: return generic<multiply_unsigned>;
    case Operation::Imul: return generic<multiply_signed>;
    case Operation::Div: return generic<divide_unsigned>;
    case Operation::Idiv: return generic<divide_signed>;
    case Operation::Mulx: return generic<multiply_without_flags>;
    case Operation::Adcx: return generic<add_through_flag<flag::kCf>>;
    case Operation::Adox: return generic<add_through_flag<flag::kOf>>;
    default: return nullptr;
  }
}

}  // namespace xm::cpu::interp
