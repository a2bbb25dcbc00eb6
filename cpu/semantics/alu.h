// SPDX-License-Identifier: GPL-2.0-or-later
// The two-operand arithmetic and logic group and the one-operand INC, DEC, NEG: values in, value and flags out.
// [SDM2 ADD, ADC, SUB, SBB, AND, OR, XOR, CMP, TEST, INC, DEC, NEG]
#pragma once

#include "cpu/state/lazy_flags.h"

namespace xm::cpu::semantics {

// In the order of the opcode's bits 5:3, then those without a place there.
enum class AluOp : u8 { Add, Or, Adc, Sbb, And, Sub, Xor, Cmp, Test };

constexpr bool writes_result(AluOp op) { return op != AluOp::Cmp && op != AluOp::Test; }

// CF, OF and AF of a sum or difference of n-bit values from the carries out of each bit.
template <class T>
constexpr u64 carries_of(T carry_out, T a_xor_result_sign) {
  constexpr unsigned kTop = sizeof(T) * 8 - 1;
  return ((carry_out >> kTop) & 1 ? flag::kCf : 0) | ((carry_out >> 3) & 1 ? flag::kAf : 0) |
         ((a_xor_result_sign >> kTop) & 1 ? flag::kOf : 0);
}

template <class T>
T add_with_carry(LazyFlags& flags, T a, T b, bool carry_in) {
  const T result = static_cast<T>(a + b + (carry_in ? 1 : 0));
  const T carry_out = static_cast<T>((a & b) | ((a | b) & ~result));
  flags.set_result(result, carries_of<T>(carry_out, static_cast<T>((a ^ result) & (b ^ result))));
  return result;
}

template <class T>
T subtract_with_borrow(LazyFlags& flags, T a, T b, bool borrow_in) {
  const T result = static_cast<T>(a - b - (borrow_in ? 1 : 0));
  const T borrow_out = static_cast<T>((~a & b) | ((~a | b) & result));
  flags.set_result(result, carries_of<T>(borrow_out, static_cast<T>((a ^ b) & (a ^ result))));
  return result;
}

// For Cmp and Test the result is what the flags are made of. kFlags false: nobody reads them.
template <AluOp kOp, class T, bool kFlags = true>
[[gnu::always_inline]] inline T alu(LazyFlags& flags, T a, T b) {
  if constexpr (kOp == AluOp::Add) {
    const T result = static_cast<T>(a + b);
    if constexpr (kFlags) flags.set_add<T>(a, b, result);
    return result;
  } else if constexpr (kOp == AluOp::Sub || kOp == AluOp::Cmp) {
    const T result = static_cast<T>(a - b);
    if constexpr (kFlags) flags.set_sub<T>(a, b, result);
    return result;
  } else if constexpr (kOp == AluOp::Adc) {
    return add_with_carry<T>(flags, a, b, flags.cf());
  } else if constexpr (kOp == AluOp::Sbb) {
    return subtract_with_borrow<T>(flags, a, b, flags.cf());
  } else {
    const T result = static_cast<T>(kOp == AluOp::Or ? a | b : kOp == AluOp::Xor ? a ^ b : a & b);
    if constexpr (kFlags) flags.set_logic<T>(result);
    return result;
  }
}

enum class UnaryOp : u8 { Inc, Dec, Neg, Not };

template <UnaryOp kOp, class T, bool kFlags = true>
[[gnu::always_inline]] inline T unary(LazyFlags& flags, T a) {
  if constexpr (kOp == UnaryOp::Inc) {
    const T result = static_cast<T>(a + 1);
    if constexpr (kFlags) flags.set_inc<T>(a, result);
    return result;
  } else if constexpr (kOp == UnaryOp::Dec) {
    const T result = static_cast<T>(a - 1);
    if constexpr (kFlags) flags.set_dec<T>(a, result);
    return result;
  } else if constexpr (kOp == UnaryOp::Neg) {
    const T result = static_cast<T>(0 - a);
    if constexpr (kFlags) flags.set_sub<T>(0, a, result);
    return result;
  } else {
    return static_cast<T>(~a);
  }
}

}  // namespace xm::cpu::semantics
