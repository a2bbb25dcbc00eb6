// SPDX-License-Identifier: GPL-2.0-or-later
// A very small printf and the last failure.
#include "boot/core/report.h"

namespace xm::boot {
namespace {

char last_failure[240];

struct Writer {
  char* at;
  char* end;
  void put(char c) {
    if (at + 1 < end) *at++ = c;
  }
  void put(const char* text) {
    while (*text != 0) put(*text++);
  }
  void number(u32 value, u32 base) {
    char digits[12];
    u32 n = 0;
    do {
      digits[n++] = "0123456789abcdef"[value % base];
      value /= base;
    } while (value != 0);
    while (n > 0) put(digits[--n]);
  }
};

}  // namespace

void vprint_to(char* text, size_t size, const char* format, va_list args) {
  Writer out{text, text + size};
  for (; *format != 0; ++format) {
    if (*format != '%') {
      out.put(*format);
      continue;
    }
    switch (*++format) {
      case 's': out.put(va_arg(args, const char*)); break;
      case 'c': out.put(static_cast<char>(va_arg(args, int))); break;
      case 'u': out.number(va_arg(args, u32), 10); break;
      case 'x': out.number(va_arg(args, u32), 16); break;
      default: out.put(*format);
    }
  }
  *out.at = 0;
}

bool fail(const char* format, ...) {
  va_list args;
  va_start(args, format);
  char text[sizeof last_failure];  // an argument may be the failure before
  vprint_to(text, sizeof text, format, args);
  va_end(args);
  copy_text(last_failure, text, sizeof last_failure);
  return false;
}

const char* failure() { return last_failure; }

void print_to(char* text, size_t size, const char* format, ...) {
  va_list args;
  va_start(args, format);
  vprint_to(text, size, format, args);
  va_end(args);
}

}  // namespace xm::boot
