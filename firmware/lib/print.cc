// SPDX-License-Identifier: GPL-2.0-or-later
// Message formatting for POST and boot.
#include "lib/platform.h"

namespace xm::fw {
namespace {

void put_text(const char* text) {
  while (*text) put_character(*text++);
}

void put_hex(u32 value, int digits) {
  for (int shift = (digits - 1) * 4; shift >= 0; shift -= 4) put_character("0123456789abcdef"[(value >> shift) & 15]);
}

void put_decimal(u32 value) {
  char text[11];
  int at = 10;
  text[at] = 0;
  do {
    text[--at] = static_cast<char>('0' + value % 10);
    value /= 10;
  } while (value);
  put_text(text + at);
}

int hex_digits(u32 value) {
  int digits = 1;
  while (value >>= 4) digits++;
  return digits;
}

}  // namespace

void print_arguments(const char* format, __builtin_va_list arguments) {
  for (; *format; format++) {
    if (*format != '%') {
      put_character(*format);
      continue;
    }
    switch (*++format) {
      case 's': put_text(__builtin_va_arg(arguments, const char*)); break;
      case 'c': put_character(static_cast<char>(__builtin_va_arg(arguments, int))); break;
      case 'u': put_decimal(__builtin_va_arg(arguments, u32)); break;
      case 'p': put_hex(__builtin_va_arg(arguments, u32), 8); break;
      case 'w': put_hex(__builtin_va_arg(arguments, u32), 4); break;
      case 'b': put_hex(__builtin_va_arg(arguments, u32), 2); break;
      case 'x': {
        const u32 value = __builtin_va_arg(arguments, u32);
        put_hex(value, hex_digits(value));
        break;
      }
      case 0: return;
      default: put_character(*format);
    }
  }
}

void print(const char* format, ...) {
  __builtin_va_list arguments;
  __builtin_va_start(arguments, format);
  print_arguments(format, arguments);
  __builtin_va_end(arguments);
}

}  // namespace xm::fw
