// SPDX-License-Identifier: GPL-2.0-or-later
// Words that every part of the kernel uses: integer types, page size, container_of, bit helpers.
#pragma once

#include <stddef.h>
#include <stdint.h>

#if __STDC_HOSTED__
#include <new>
#endif

namespace xm::os {

using u8 = uint8_t;
using u16 = uint16_t;
using u32 = uint32_t;
using u64 = uint64_t;
using s8 = int8_t;
using s16 = int16_t;
using s32 = int32_t;
using s64 = int64_t;
using ssize_t = long;
using loff_t = long long;
using pid_t = int;
using uid_t = u32;
using gid_t = u32;
using dev_t = u32;
using umode_t = u32;
using ino_t = u64;
using phys_addr_t = u64;
using pfn_t = u64;

constexpr u64 kPageShift = 12;
constexpr u64 kPageSize = 1ul << kPageShift;
constexpr u64 kPageMask = ~(kPageSize - 1);
constexpr u32 kMaxCpus = 32;
constexpr u64 kNsPerSec = 1000000000ul;

constexpr u64 align_up(u64 v, u64 a) { return (v + a - 1) & ~(a - 1); }
constexpr u64 align_down(u64 v, u64 a) { return v & ~(a - 1); }
constexpr u64 page_align(u64 v) { return align_up(v, kPageSize); }
constexpr u64 div_round_up(u64 v, u64 d) { return (v + d - 1) / d; }

template <class T, size_t N>
constexpr size_t array_size(const T (&)[N]) {
  return N;
}
template <class T>
constexpr T min(T a, T b) {
  return a < b ? a : b;
}
template <class T>
constexpr T max(T a, T b) {
  return a > b ? a : b;
}
template <class T>
constexpr T clamp(T v, T lo, T hi) {
  return v < lo ? lo : (v > hi ? hi : v);
}
template <class T>
constexpr void swap(T& a, T& b) {
  T t = a;
  a = b;
  b = t;
}

// Device numbers as Linux's user space packs them (huge encoding for 64 bits, same bits for our 32: 12 major, 20
// minor).
constexpr dev_t make_dev(u32 major, u32 minor) { return (major << 20) | minor; }
constexpr u32 major_of(dev_t d) { return d >> 20; }
constexpr u32 minor_of(dev_t d) { return d & 0xfffff; }
constexpr u64 encode_dev(dev_t d) {
  const u64 major = major_of(d), minor = minor_of(d);
  return (minor & 0xff) | (major << 8) | ((minor & ~0xffull) << 12);
}
constexpr dev_t decode_dev(u64 d) { return make_dev((d >> 8) & 0xfff, (d & 0xff) | ((d >> 12) & 0xfff00)); }

struct NoCopy {
  constexpr NoCopy() = default;
  NoCopy(const NoCopy&) = delete;
  NoCopy& operator=(const NoCopy&) = delete;
};

}  // namespace xm::os

#define container_of(pointer, type, member) \
  reinterpret_cast<type*>(reinterpret_cast<char*>(pointer) - __builtin_offsetof(type, member))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#if !__STDC_HOSTED__
inline void* operator new(size_t, void* p) noexcept { return p; }
#endif
