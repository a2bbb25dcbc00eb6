// SPDX-License-Identifier: GPL-2.0-or-later
// Bit fields and little-endian loads and stores. Layouts of guest-visible structures are built from these.
#pragma once

#include <cstring>
#include <type_traits>

#include "emu/base/types.h"

namespace xm {

constexpr u64 bit(unsigned n) { return u64{1} << n; }
constexpr bool has_bit(u64 value, unsigned n) { return (value >> n) & 1; }
// Bits high..low of value, as the manuals write them.
constexpr u64 bits(u64 value, unsigned high, unsigned low) {
  const unsigned width = high - low + 1;
  return (value >> low) & (width >= 64 ? ~u64{0} : (u64{1} << width) - 1);
}
constexpr u64 with_bits(u64 value, unsigned high, unsigned low, u64 field) {
  const unsigned width = high - low + 1;
  const u64 mask = (width >= 64 ? ~u64{0} : (u64{1} << width) - 1) << low;
  return (value & ~mask) | ((field << low) & mask);
}
constexpr u64 mask_of_bytes(unsigned size_bytes) {
  return size_bytes >= 8 ? ~u64{0} : (u64{1} << (size_bytes * 8)) - 1;
}
constexpr u64 align_down(u64 value, u64 alignment) { return value & ~(alignment - 1); }
constexpr u64 align_up(u64 value, u64 alignment) { return (value + alignment - 1) & ~(alignment - 1); }
// Sign-extends the low `width` bits of value.
constexpr i64 sign_extend(u64 value, unsigned width) { return static_cast<i64>(value << (64 - width)) >> (64 - width); }

// Unaligned loads and stores; guest and host are both little-endian (CMake refuses other hosts).
template <class T>
requires std::is_trivially_copyable_v<T> T load_le(const void* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}
template <class T>
requires std::is_trivially_copyable_v<T>
void store_le(void* to, T value) { std::memcpy(to, &value, sizeof value); }
// size_bytes is 1, 2, 4 or 8.
inline u64 load_le_sized(const void* from, unsigned size_bytes) {
  u64 value = 0;
  std::memcpy(&value, from, size_bytes);
  return value;
}
inline void store_le_sized(void* to, u64 value, unsigned size_bytes) { std::memcpy(to, &value, size_bytes); }

constexpr u16 byte_swap(u16 v) { return __builtin_bswap16(v); }
constexpr u32 byte_swap(u32 v) { return __builtin_bswap32(v); }
constexpr u64 byte_swap(u64 v) { return __builtin_bswap64(v); }

}  // namespace xm
