// SPDX-License-Identifier: GPL-2.0-or-later
// Memory and string functions; the compiler also calls the first four by itself.
#include "boot/core/types.h"

namespace xm::boot {

extern "C" void* memcpy(void* to, const void* from, size_t count) {
  void* at = to;
  size_t words = count / 4, rest = count % 4;
  asm volatile("rep movsl" : "+D"(at), "+S"(from), "+c"(words) : : "memory");
  asm volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(rest) : : "memory");
  return to;
}

extern "C" void* memmove(void* to, const void* from, size_t count) {
  u8* d = static_cast<u8*>(to);
  const u8* s = static_cast<const u8*>(from);
  if (d <= s || d >= s + count) return memcpy(to, from, count);
  while (count-- > 0) asm volatile("movb %1, %0" : "=m"(d[count]) : "q"(s[count]));
  return to;
}

extern "C" void* memset(void* to, int value, size_t count) {
  void* at = to;
  asm volatile("rep stosb" : "+D"(at), "+c"(count) : "a"(value) : "memory");
  return to;
}

extern "C" int memcmp(const void* a, const void* b, size_t count) {
  const u8 *x = static_cast<const u8*>(a), *y = static_cast<const u8*>(b);
  for (; count > 0; --count, ++x, ++y) {
    if (*x != *y) return *x - *y;
  }
  return 0;
}

extern "C" size_t strlen(const char* text) {
  const char* end = text;
  while (*end != 0) ++end;
  return static_cast<size_t>(end - text);
}

extern "C" int strcmp(const char* a, const char* b) {
  while (*a != 0 && *a == *b) ++a, ++b;
  return static_cast<u8>(*a) - static_cast<u8>(*b);
}

bool starts_with(const char* text, const char* start) {
  while (*start != 0) {
    if (*text++ != *start++) return false;
  }
  return true;
}

void copy_text(char* to, const char* from, size_t size) {
  size_t n = 0;
  for (; n + 1 < size && from[n] != 0; ++n) to[n] = from[n];
  to[n] = 0;
}

}  // namespace xm::boot
