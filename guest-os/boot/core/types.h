// SPDX-License-Identifier: GPL-2.0-or-later
// Integer types and the few memory and string functions that the freestanding loader needs.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace xm::boot {

using u8 = uint8_t;
using u16 = uint16_t;
using u32 = uint32_t;
using u64 = uint64_t;
using s32 = int32_t;

extern "C" {
void* memcpy(void* to, const void* from, size_t count);
void* memmove(void* to, const void* from, size_t count);
void* memset(void* to, int value, size_t count);
int memcmp(const void* a, const void* b, size_t count);
size_t strlen(const char* text);
int strcmp(const char* a, const char* b);
}
bool starts_with(const char* text, const char* start);
// Copies as much as fits and always ends the text with a zero.
void copy_text(char* to, const char* from, size_t size);

// Reads little-endian fields of structures on disk, wherever they lie.
template <class T>
T peek(const void* base, u32 offset) {
  T value;
  memcpy(&value, static_cast<const u8*>(base) + offset, sizeof value);
  return value;
}
template <class T>
void poke(void* base, u32 offset, T value) {
  memcpy(static_cast<u8*>(base) + offset, &value, sizeof value);
}
// A physical address as a pointer: the loader runs without paging.
inline u8* physical(u32 address) { return reinterpret_cast<u8*>(address); }

constexpr u64 align_up(u64 value, u64 to) { return (value + to - 1) & ~(to - 1); }
constexpr u64 align_down(u64 value, u64 to) { return value & ~(to - 1); }

}  // namespace xm::boot
