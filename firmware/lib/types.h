// SPDX-License-Identifier: GPL-2.0-or-later
// Integer names and the few library words the firmware needs. No hosted header exists for 16-bit code, so nothing is
// included here. The same sources are compiled for real mode (-m16) and for flat protected mode (-m32).
#pragma once

namespace xm::fw {

using u8 = __UINT8_TYPE__;
using u16 = __UINT16_TYPE__;
using u32 = __UINT32_TYPE__;
using u64 = __UINT64_TYPE__;
using s8 = __INT8_TYPE__;
using s16 = __INT16_TYPE__;
using s32 = __INT32_TYPE__;
using usize = __SIZE_TYPE__;

template <class T>
constexpr T min(T a, T b) {
  return a < b ? a : b;
}
template <class T>
constexpr T max(T a, T b) {
  return a > b ? a : b;
}
template <class T>
constexpr T align_up(T value, T alignment) {
  return (value + alignment - 1) & ~(alignment - 1);
}
template <class T, usize N>
constexpr usize count_of(const T (&)[N]) {
  return N;
}

constexpr u16 bswap(u16 v) { return __builtin_bswap16(v); }
constexpr u32 bswap(u32 v) { return __builtin_bswap32(v); }
constexpr u64 bswap(u64 v) { return (u64{bswap(static_cast<u32>(v))} << 32) | bswap(static_cast<u32>(v >> 32)); }

// 64 by 32 bit division without the compiler's run-time library. The quotient must fit in 64 bits (it does: two steps).
constexpr u64 divide(u64 value, u32 by, u32* remainder = nullptr) {
  const u32 high = static_cast<u32>(value >> 32);
  u32 low = static_cast<u32>(value);
  u32 rest = high % by;
  if (__builtin_is_constant_evaluated()) {
    if (remainder) *remainder = static_cast<u32>(value % by);
    return value / by;
  }
  asm("divl %2" : "+a"(low), "+d"(rest) : "rm"(by) : "cc");
  if (remainder) *remainder = rest;
  return (u64{high / by} << 32) | low;
}

}  // namespace xm::fw

extern "C" {
void* memset(void* to, int byte, xm::fw::usize length);
void* memcpy(void* to, const void* from, xm::fw::usize length);
void* memmove(void* to, const void* from, xm::fw::usize length);
int memcmp(const void* a, const void* b, xm::fw::usize length);
xm::fw::usize strlen(const char* text);
int strcmp(const char* a, const char* b);
}
