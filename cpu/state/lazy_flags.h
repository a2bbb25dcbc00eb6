// SPDX-License-Identifier: GPL-2.0-or-later
// The six arithmetic flags while a CPU runs, kept as what the last instruction worked on: producers store two or three
// words, consumers compute what they ask for. Operands and result are sign-extended from their size to 64 bits, so that
// signed and unsigned comparison, sign and zero mean the same for every size and no size need be kept. [SDM1 3.4.3.1]
#pragma once

#include <type_traits>

#include "cpu/state/cpu_state.h"

namespace xm::cpu {

class LazyFlags {
 public:
  enum class Kind : u8 {
    Status,  // b holds the flags themselves
    Add,     // a + b = result
    Sub,     // a - b = result
    Logic,   // result; CF, OF, AF clear
    Inc,     // a + 1 = result; b is CF in its place
    Dec,     // a - 1 = result; b is CF in its place
    Result,  // SF, ZF, PF from result; b holds CF, OF, AF
  };

  template <class T>
  static u64 widen(T value) {
    return static_cast<u64>(static_cast<i64>(static_cast<std::make_signed_t<T>>(value)));
  }
  template <class T>
  void set_add(T a, T b, T result) {
    store(Kind::Add, widen(a), widen(b), widen(result));
  }
  template <class T>
  void set_sub(T a, T b, T result) {
    store(Kind::Sub, widen(a), widen(b), widen(result));
  }
  template <class T>
  void set_logic(T result) {
    kind_ = Kind::Logic;
    result_ = widen(result);
  }
  template <class T>
  void set_inc(T a, T result) {
    store(Kind::Inc, widen(a), cf() ? flag::kCf : 0, widen(result));
  }
  template <class T>
  void set_dec(T a, T result) {
    store(Kind::Dec, widen(a), cf() ? flag::kCf : 0, widen(result));
  }
  // `carries` is CF, OF and AF in their places.
  template <class T>
  void set_result(T result, u64 carries) {
    kind_ = Kind::Result;
    result_ = widen(result);
    b_ = carries;
  }

  // OF SF ZF AF PF CF in their RFLAGS places.
  u64 status() const;
  // Takes the six bits, ignores the others.
  void set_status(u64 rflags) {
    kind_ = Kind::Status;
    b_ = rflags & flag::kStatus;
  }
  void set_cf(bool value) { set_status((status() & ~flag::kCf) | (value ? flag::kCf : 0)); }

  bool cf() const {
    switch (kind_) {
      case Kind::Add: return result_ < a_;
      case Kind::Sub: return a_ < b_;
      case Kind::Logic: return false;
      default: return (b_ & flag::kCf) != 0;
    }
  }
  bool zf() const { return kind_ == Kind::Status ? (b_ & flag::kZf) != 0 : result_ == 0; }
  bool sf() const { return kind_ == Kind::Status ? (b_ & flag::kSf) != 0 : static_cast<i64>(result_) < 0; }
  bool of() const {
    switch (kind_) {
      case Kind::Add: return negative(~(a_ ^ b_) & (a_ ^ result_));
      case Kind::Sub: return negative((a_ ^ b_) & (a_ ^ result_));
      case Kind::Logic: return false;
      case Kind::Inc: return negative(~a_ & result_);
      case Kind::Dec: return negative(a_ & ~result_);
      default: return (b_ & flag::kOf) != 0;
    }
  }
  bool pf() const {
    if (kind_ == Kind::Status) return (b_ & flag::kPf) != 0;
    return (__builtin_popcount(static_cast<unsigned>(result_ & 0xFF)) & 1) == 0;
  }
  bool below_or_equal() const {
    if (kind_ == Kind::Sub) return a_ <= b_;
    return cf() || zf();
  }
  bool less() const {
    if (kind_ == Kind::Sub) return static_cast<i64>(a_) < static_cast<i64>(b_);
    return sf() != of();
  }
  bool less_or_equal() const {
    if (kind_ == Kind::Sub) return static_cast<i64>(a_) <= static_cast<i64>(b_);
    return zf() || sf() != of();
  }
  // The condition with this four-bit encoding [SDM1 App. B].
  [[gnu::always_inline]] bool condition(unsigned code) const {
    bool value = false;
    switch (code >> 1) {
      case 0: value = of(); break;
      case 1: value = cf(); break;
      case 2: value = zf(); break;
      case 3: value = below_or_equal(); break;
      case 4: value = sf(); break;
      case 5: value = pf(); break;
      case 6: value = less(); break;
      default: value = less_or_equal(); break;
    }
    return value != ((code & 1) != 0);
  }

 private:
  static bool negative(u64 value) { return static_cast<i64>(value) < 0; }
  void store(Kind kind, u64 a, u64 b, u64 result) {
    kind_ = kind;
    a_ = a;
    b_ = b;
    result_ = result;
  }

  u64 result_ = 0, a_ = 0, b_ = 0;
  Kind kind_ = Kind::Status;
};

}  // namespace xm::cpu
