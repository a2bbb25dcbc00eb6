// SPDX-License-Identifier: GPL-2.0-or-later
// Memory outside the services' own segment. Real-mode addresses go through FS; physical addresses above 1 MiB go
// through an FS whose limit was raised to 4 GiB by a short visit to protected mode, which virtual-8086 callers cannot
// make.
#pragma once

#include "lib/types.h"

namespace xm::fw {

struct [[gnu::packed]] FarPointer {
  u16 offset;
  u16 segment;
  u32 linear() const { return (u32{segment} << 4) + offset; }
};

template <class T>
inline T peek(u16 segment, u32 offset) {
  T value;
  if constexpr (sizeof(T) == 1) {
    asm volatile("movw %1, %%fs\n movb %%fs:(%2), %0" : "=q"(value) : "r"(segment), "r"(offset) : "memory");
  } else if constexpr (sizeof(T) == 2) {
    asm volatile("movw %1, %%fs\n movw %%fs:(%2), %0" : "=r"(value) : "r"(segment), "r"(offset) : "memory");
  } else {
    static_assert(sizeof(T) == 4);
    asm volatile("movw %1, %%fs\n movl %%fs:(%2), %k0" : "=r"(value) : "r"(segment), "r"(offset) : "memory");
  }
  return value;
}

template <class T>
inline void poke(u16 segment, u32 offset, T value) {
  if constexpr (sizeof(T) == 1) {
    asm volatile("movw %1, %%fs\n movb %0, %%fs:(%2)" : : "q"(value), "r"(segment), "r"(offset) : "memory");
  } else if constexpr (sizeof(T) == 2) {
    asm volatile("movw %1, %%fs\n movw %0, %%fs:(%2)" : : "r"(value), "r"(segment), "r"(offset) : "memory");
  } else {
    static_assert(sizeof(T) == 4);
    asm volatile("movw %1, %%fs\n movl %k0, %%fs:(%2)" : : "r"(value), "r"(segment), "r"(offset) : "memory");
  }
}

// Block copies and fills; both ends must stay inside their segments.
void copy_far(u16 to_segment, u16 to_offset, u16 from_segment, u16 from_offset, u32 bytes);
void fill_far16(u16 segment, u16 offset, u16 value, u32 words);
inline void copy_to_far(u16 segment, u16 offset, const void* from, u32 bytes);
inline void copy_from_far(void* to, u16 segment, u16 offset, u32 bytes);

// Port block transfers to and from real-mode addresses; offsets are normalised, so a transfer may be 64 KiB long.
void in16_block(u16 port, FarPointer to, u32 words);
void in32_block(u16 port, FarPointer to, u32 dwords);
void out16_block(u16 port, FarPointer from, u32 words);
void out32_block(u16 port, FarPointer from, u32 dwords);

// Raises FS's limit and sets its base to 0.
extern "C" void open_flat_fs();

template <class T>
inline T read_physical(u32 address) {
  open_flat_fs();
  T value;
  if constexpr (sizeof(T) == 1) {
    asm volatile("movb %%fs:(%1), %0" : "=q"(value) : "r"(address) : "memory");
  } else if constexpr (sizeof(T) == 2) {
    asm volatile("movw %%fs:(%1), %0" : "=r"(value) : "r"(address) : "memory");
  } else {
    asm volatile("movl %%fs:(%1), %0" : "=r"(value) : "r"(address) : "memory");
  }
  return value;
}
template <class T>
inline void write_physical(u32 address, T value) {
  open_flat_fs();
  if constexpr (sizeof(T) == 1) {
    asm volatile("movb %0, %%fs:(%1)" : : "q"(value), "r"(address) : "memory");
  } else if constexpr (sizeof(T) == 2) {
    asm volatile("movw %0, %%fs:(%1)" : : "r"(value), "r"(address) : "memory");
  } else {
    asm volatile("movl %0, %%fs:(%1)" : : "r"(value), "r"(address) : "memory");
  }
}

inline u16 near_offset(const void* p) { return static_cast<u16>(reinterpret_cast<u32>(p)); }
inline void copy_to_far(u16 segment, u16 offset, const void* from, u32 bytes) {
  copy_far(segment, offset, 0xE000, near_offset(from), bytes);
}
inline void copy_from_far(void* to, u16 segment, u16 offset, u32 bytes) {
  copy_far(0xE000, near_offset(to), segment, offset, bytes);
}

// BIOS data area [IBM AT BIOS, segment 40].
template <class T>
inline T bda(u32 offset) {
  return peek<T>(0x40, offset);
}
template <class T>
inline void set_bda(u32 offset, T value) {
  poke<T>(0x40, offset, value);
}
inline void set_vector(u8 vector, u16 segment, u16 offset) {
  poke<u32>(0, u32{vector} * 4, u32{segment} << 16 | offset);
}
inline FarPointer get_vector(u8 vector) {
  const u32 value = peek<u32>(0, u32{vector} * 4);
  return {static_cast<u16>(value), static_cast<u16>(value >> 16)};
}

}  // namespace xm::fw
