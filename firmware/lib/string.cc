// SPDX-License-Identifier: GPL-2.0-or-later
// The memory and string functions the compiler may call.
#include "lib/types.h"

using xm::fw::u8;
using xm::fw::usize;

void* memset(void* to, int byte, usize length) {
  void* at = to;
  asm volatile("cld\n rep stosb" : "+D"(at), "+c"(length) : "a"(byte) : "memory", "cc");
  return to;
}

void* memcpy(void* to, const void* from, usize length) {
  void* at = to;
  asm volatile("cld\n rep movsb" : "+D"(at), "+S"(from), "+c"(length) : : "memory", "cc");
  return to;
}

void* memmove(void* to, const void* from, usize length) {
  if (to <= from) return memcpy(to, from, length);
  u8* at = static_cast<u8*>(to) + length - 1;
  const u8* source = static_cast<const u8*>(from) + length - 1;
  asm volatile("std\n rep movsb\n cld" : "+D"(at), "+S"(source), "+c"(length) : : "memory", "cc");
  return to;
}

int memcmp(const void* a, const void* b, usize length) {
  const u8* x = static_cast<const u8*>(a);
  const u8* y = static_cast<const u8*>(b);
  for (usize i = 0; i < length; i++) {
    if (x[i] != y[i]) return x[i] - y[i];
  }
  return 0;
}

usize strlen(const char* text) {
  usize length = 0;
  while (text[length]) length++;
  return length;
}

int strcmp(const char* a, const char* b) {
  while (*a && *a == *b) a++, b++;
  return static_cast<u8>(*a) - static_cast<u8>(*b);
}
