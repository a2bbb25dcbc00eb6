// SPDX-License-Identifier: GPL-2.0-or-later
// memcpy and memset use the string instructions: emulators and processors both do them in bulk (ERMS).
#include "kernel/lib/string.h"

#if !__STDC_HOSTED__
extern "C" {

void* memcpy(void* to, const void* from, size_t n) {
  void* result = to;
  size_t words = n >> 3, rest = n & 7;
  asm volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(words) : : "memory");
  asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(rest) : : "memory");
  return result;
}

void* memmove(void* to, const void* from, size_t n) {
  char* d = static_cast<char*>(to);
  const char* s = static_cast<const char*>(from);
  if (d <= s || d >= s + n) return memcpy(to, from, n);
  d += n - 1;
  s += n - 1;
  asm volatile("std; rep movsb; cld" : "+D"(d), "+S"(s), "+c"(n) : : "memory");
  return to;
}

void* memset(void* to, int byte, size_t n) {
  void* result = to;
  const size_t pattern = 0x0101010101010101ul * static_cast<unsigned char>(byte);
  size_t words = n >> 3, rest = n & 7;
  asm volatile("rep stosq" : "+D"(to), "+c"(words) : "a"(pattern) : "memory");
  asm volatile("rep stosb" : "+D"(to), "+c"(rest) : "a"(pattern) : "memory");
  return result;
}

int memcmp(const void* a, const void* b, size_t n) {
  const unsigned char* x = static_cast<const unsigned char*>(a);
  const unsigned char* y = static_cast<const unsigned char*>(b);
  for (; n >= 8; n -= 8, x += 8, y += 8) {
    size_t p, q;
    __builtin_memcpy(&p, x, 8);
    __builtin_memcpy(&q, y, 8);
    if (p != q) break;
  }
  for (; n > 0; --n, ++x, ++y) {
    if (*x != *y) return *x < *y ? -1 : 1;
  }
  return 0;
}

void* memchr(const void* p, int byte, size_t n) {
  const unsigned char* s = static_cast<const unsigned char*>(p);
  for (; n > 0; --n, ++s) {
    if (*s == static_cast<unsigned char>(byte)) return const_cast<unsigned char*>(s);
  }
  return nullptr;
}

size_t strlen(const char* s) {
  size_t n = 0;
  while (s[n] != 0) ++n;
  return n;
}

size_t strnlen(const char* s, size_t limit) {
  size_t n = 0;
  while (n < limit && s[n] != 0) ++n;
  return n;
}

int strcmp(const char* a, const char* b) {
  while (*a != 0 && *a == *b) ++a, ++b;
  return static_cast<unsigned char>(*a) - static_cast<unsigned char>(*b);
}

int strncmp(const char* a, const char* b, size_t n) {
  for (; n > 0; --n, ++a, ++b) {
    if (*a != *b || *a == 0) return static_cast<unsigned char>(*a) - static_cast<unsigned char>(*b);
  }
  return 0;
}

char* strchr(const char* s, int c) {
  for (;; ++s) {
    if (*s == static_cast<char>(c)) return const_cast<char*>(s);
    if (*s == 0) return nullptr;
  }
}

char* strrchr(const char* s, int c) {
  const char* found = nullptr;
  for (;; ++s) {
    if (*s == static_cast<char>(c)) found = s;
    if (*s == 0) return const_cast<char*>(found);
  }
}

char* strstr(const char* s, const char* word) {
  const size_t n = strlen(word);
  for (;; ++s) {
    if (strncmp(s, word, n) == 0) return const_cast<char*>(s);
    if (*s == 0) return nullptr;
  }
}
}
#endif

namespace xm::os {

size_t copy_string(char* to, const char* from, size_t size) {
  const size_t n = min(strlen(from), size - 1);
  memcpy(to, from, n);
  to[n] = 0;
  return n;
}

u64 parse_number(const char* text, const char** end, int base) {
  if ((base == 0 || base == 16) && text[0] == '0' && (text[1] | 0x20) == 'x') {
    text += 2;
    base = 16;
  }
  if (base == 0) base = text[0] == '0' ? 8 : 10;
  u64 value = 0;
  for (;; ++text) {
    int digit;
    if (*text >= '0' && *text <= '9') {
      digit = *text - '0';
    } else if ((*text | 0x20) >= 'a' && (*text | 0x20) <= 'f') {
      digit = (*text | 0x20) - 'a' + 10;
    } else {
      break;
    }
    if (digit >= base) break;
    value = value * static_cast<u64>(base) + static_cast<u64>(digit);
  }
  if (end != nullptr) *end = text;
  return value;
}

}  // namespace xm::os
