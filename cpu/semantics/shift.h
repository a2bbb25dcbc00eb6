// SPDX-License-Identifier: GPL-2.0-or-later
// Shifts and rotates: values in, value and flags out. Counts are already masked to 5 or 6 bits and not zero. Where the
// manual leaves OF undefined (counts over 1) it is what the formula for 1 gives, as processors do. [SDM2 SAL, RCL,
// SHLD]
#pragma once

#include "cpu/state/lazy_flags.h"

namespace xm::cpu::semantics {

enum class ShiftOp : u8 { Rol, Ror, Rcl, Rcr, Shl, Shr, Sal, Sar };  // in the order of the ModRM reg field

template <class T>
struct Shifted {
  T value;
  bool carry;
  bool overflow;
};

template <class T>
inline constexpr unsigned kBits = sizeof(T) * 8;

template <class T>
constexpr bool top_bit(T value) {
  return (value >> (kBits<T> - 1)) & 1;
}
template <class T>
constexpr bool second_bit(T value) {
  return (value >> (kBits<T> - 2)) & 1;
}

template <class T>
constexpr Shifted<T> shl(T a, unsigned count) {
  const u128 wide = static_cast<u128>(a) << count;
  const T value = static_cast<T>(wide);
  const bool carry = (wide >> kBits<T>)&1;
  return {value, carry, top_bit(value) != carry};
}

template <class T>
constexpr Shifted<T> shr(T a, unsigned count) {
  const u64 wide = a;
  const T value = static_cast<T>(wide >> count);
  return {value, ((wide >> (count - 1)) & 1) != 0, count == 1 && top_bit(a)};
}

template <class T>
constexpr Shifted<T> sar(T a, unsigned count) {
  const i64 wide = static_cast<i64>(LazyFlags::widen(a));
  return {static_cast<T>(wide >> count), ((wide >> (count - 1)) & 1) != 0, false};
}

template <class T>
constexpr Shifted<T> rol(T a, unsigned count) {
  const unsigned by = count % kBits<T>;
  const T value = by == 0 ? a : static_cast<T>((a << by) | (a >> (kBits<T> - by)));
  const bool carry = value & 1;
  return {value, carry, top_bit(value) != carry};
}

template <class T>
constexpr Shifted<T> ror(T a, unsigned count) {
  const unsigned by = count % kBits<T>;
  const T value = by == 0 ? a : static_cast<T>((a >> by) | (a << (kBits<T> - by)));
  return {value, top_bit(value), top_bit(value) != second_bit(value)};
}

// Rotates of n+1 bits, the carry being the top one.
template <class T>
constexpr Shifted<T> rcl(T a, unsigned count, bool carry_in) {
  const unsigned by = count % (kBits<T> + 1);
  const u128 ring = (static_cast<u128>(carry_in) << kBits<T>) | a;
  const u128 turned = by == 0 ? ring : (ring << by) | (ring >> (kBits<T> + 1 - by));
  const T value = static_cast<T>(turned);
  const bool carry = (turned >> kBits<T>)&1;
  return {value, carry, top_bit(value) != carry};
}

template <class T>
constexpr Shifted<T> rcr(T a, unsigned count, bool carry_in) {
  const unsigned by = count % (kBits<T> + 1);
  const u128 ring = (static_cast<u128>(carry_in) << kBits<T>) | a;
  const u128 turned = by == 0 ? ring : (ring >> by) | (ring << (kBits<T> + 1 - by));
  const T value = static_cast<T>(turned);
  const bool carry = (turned >> kBits<T>)&1;
  return {value, carry, top_bit(value) != second_bit(value)};
}

// A 16-bit double shift by more than 16 is undefined; processors shift in the pattern's bits again.
template <class T>
constexpr Shifted<T> shld(T a, T fill, unsigned count) {
  constexpr unsigned n = kBits<T>;
  T value;
  bool carry;
  if (count <= n) {
    value = static_cast<T>(count == n ? fill : static_cast<T>((a << count) | (fill >> (n - count))));
    carry = (a >> (n - count)) & 1;
  } else {
    const unsigned by = count - n;
    value = static_cast<T>((fill << by) | (a >> (n - by)));
    carry = (fill >> (n - by)) & 1;
  }
  return {value, carry, top_bit(value) != top_bit(a)};
}

template <class T>
constexpr Shifted<T> shrd(T a, T fill, unsigned count) {
  constexpr unsigned n = kBits<T>;
  T value;
  bool carry;
  if (count <= n) {
    value = static_cast<T>(count == n ? fill : static_cast<T>((a >> count) | (fill << (n - count))));
    carry = (a >> (count - 1)) & 1;
  } else {
    const unsigned by = count - n;
    value = static_cast<T>((fill >> by) | (a << (n - by)));
    carry = (fill >> (by - 1)) & 1;
  }
  return {value, carry, top_bit(value) != top_bit(a)};
}

constexpr bool is_rotate(ShiftOp op) { return op <= ShiftOp::Rcr; }

template <ShiftOp kOp, class T>
[[gnu::always_inline]] constexpr Shifted<T> shift(T a, unsigned count, bool carry_in) {
  switch (kOp) {
    case ShiftOp::Rol: return rol<T>(a, count);
    case ShiftOp::Ror: return ror<T>(a, count);
    case ShiftOp::Rcl: return rcl<T>(a, count, carry_in);
    case ShiftOp::Rcr: return rcr<T>(a, count, carry_in);
    case ShiftOp::Shr: return shr<T>(a, count);
    case ShiftOp::Sar: return sar<T>(a, count);
    default: return shl<T>(a, count);
  }
}

// Value with the flags stored; a count of zero changes nothing.
template <ShiftOp kOp, class T, bool kFlags = true>
[[gnu::always_inline]] inline T shift_with_flags(LazyFlags& flags, T a, unsigned count) {
  count &= sizeof(T) == 8 ? 63 : 31;
  if (count == 0) return a;
  constexpr bool kNeedsCarry = kOp == ShiftOp::Rcl || kOp == ShiftOp::Rcr;
  const Shifted<T> out = shift<kOp, T>(a, count, kNeedsCarry && flags.cf());
  if constexpr (kFlags) {
    const u64 carries = (out.carry ? flag::kCf : 0) | (out.overflow ? flag::kOf : 0);
    if constexpr (is_rotate(kOp))
      flags.set_status((flags.status() & ~(flag::kCf | flag::kOf)) | carries);
    else
      flags.set_result(out.value, carries);
  }
  return out.value;
}

}  // namespace xm::cpu::semantics
