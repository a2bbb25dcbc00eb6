// SPDX-License-Identifier: GPL-2.0-or-later
// String and memory functions of the freestanding kernel (C linkage, so that the compiler's own calls find them), and
// number parsing.
#pragma once

#if __STDC_HOSTED__
#include <string.h>
#endif

#include "kernel/lib/types.h"

#if !__STDC_HOSTED__
extern "C" {
void* memcpy(void* to, const void* from, size_t n);
void* memmove(void* to, const void* from, size_t n);
void* memset(void* to, int byte, size_t n);
int memcmp(const void* a, const void* b, size_t n);
void* memchr(const void* p, int byte, size_t n);
size_t strlen(const char* s);
size_t strnlen(const char* s, size_t limit);
int strcmp(const char* a, const char* b);
int strncmp(const char* a, const char* b, size_t n);
char* strchr(const char* s, int c);
char* strrchr(const char* s, int c);
char* strstr(const char* s, const char* word);
}
#endif

namespace xm::os {

// Copies at most size-1 bytes and always ends with NUL; returns the length copied.
size_t copy_string(char* to, const char* from, size_t size);
// Unsigned number in base (0: by 0x/0 prefix); *end is the first byte not used.
u64 parse_number(const char* text, const char** end, int base);
inline bool starts_with(const char* s, const char* prefix) { return strncmp(s, prefix, strlen(prefix)) == 0; }

// A view of bytes with a length: path components, cmdline words.
struct qstr {
  const char* name = "";
  u32 len = 0;
  bool equals(const char* s) const { return strlen(s) == len && memcmp(name, s, len) == 0; }
  bool equals(const qstr& o) const { return o.len == len && memcmp(name, o.name, len) == 0; }
};

}  // namespace xm::os
