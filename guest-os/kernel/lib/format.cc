// SPDX-License-Identifier: GPL-2.0-or-later
// The formatter behind printk and /proc.
#include "kernel/lib/format.h"

#include "kernel/lib/string.h"

namespace xm::os {
namespace {

struct Sink {
  char* to;
  size_t size;
  size_t length = 0;
  void put(char c) {
    if (length + 1 < size) to[length] = c;
    ++length;
  }
  void pad(char c, long n) {
    for (; n > 0; --n) put(c);
  }
};

struct Spec {
  bool left = false, zero = false, plus = false, space = false, alternate = false;
  long width = 0;
  long precision = -1;
  int longs = 0;
  int shorts = 0;
};

void put_text(Sink& sink, const Spec& spec, const char* text, size_t n) {
  const long fill = spec.width - static_cast<long>(n);
  if (!spec.left) sink.pad(' ', fill);
  for (size_t i = 0; i < n; ++i) sink.put(text[i]);
  if (spec.left) sink.pad(' ', fill);
}

void put_number(Sink& sink, const Spec& spec, u64 value, int base, bool negative, bool upper) {
  char digits[24];
  long n = 0;
  const char* alphabet = upper ? "0123456789ABCDEF" : "0123456789abcdef";
  const bool zero_value = value == 0;
  do {
    digits[n++] = alphabet[value % static_cast<u64>(base)];
    value /= static_cast<u64>(base);
  } while (value != 0);
  if (zero_value && spec.precision == 0) n = 0;
  char prefix[3];
  int prefix_length = 0;
  if (negative) {
    prefix[prefix_length++] = '-';
  } else if (spec.plus || spec.space) {
    prefix[prefix_length++] = spec.plus ? '+' : ' ';
  }
  if (spec.alternate && base == 16 && !zero_value) {
    prefix[prefix_length++] = '0';
    prefix[prefix_length++] = upper ? 'X' : 'x';
  }
  if (spec.alternate && base == 8 && !zero_value) prefix[prefix_length++] = '0';
  long zeros = spec.precision > n ? spec.precision - n : 0;
  long fill = spec.width - n - zeros - prefix_length;
  if (spec.zero && !spec.left && spec.precision < 0 && fill > 0) {
    zeros += fill;
    fill = 0;
  }
  if (!spec.left) sink.pad(' ', fill);
  for (int i = 0; i < prefix_length; ++i) sink.put(prefix[i]);
  sink.pad('0', zeros);
  while (n > 0) sink.put(digits[--n]);
  if (spec.left) sink.pad(' ', fill);
}

const char* parse_spec(const char* f, Spec& spec, va_list* args) {
  for (;; ++f) {
    if (*f == '-')
      spec.left = true;
    else if (*f == '0')
      spec.zero = true;
    else if (*f == '+')
      spec.plus = true;
    else if (*f == ' ')
      spec.space = true;
    else if (*f == '#')
      spec.alternate = true;
    else
      break;
  }
  if (*f == '*') {
    spec.width = va_arg(*args, int);
    if (spec.width < 0) {
      spec.left = true;
      spec.width = -spec.width;
    }
    ++f;
  } else {
    spec.width = static_cast<long>(parse_number(f, &f, 10));
  }
  if (*f == '.') {
    ++f;
    if (*f == '*') {
      spec.precision = va_arg(*args, int);
      ++f;
    } else {
      spec.precision = static_cast<long>(parse_number(f, &f, 10));
    }
  }
  for (;; ++f) {
    if (*f == 'l' || *f == 'z' || *f == 'j' || *f == 't')
      ++spec.longs;
    else if (*f == 'h')
      ++spec.shorts;
    else
      return f;
  }
}

void put_conversion(Sink& sink, Spec& spec, char conversion, va_list* args) {
  switch (conversion) {
    case 'd':
    case 'i': {
      s64 v = spec.longs != 0 ? va_arg(*args, long) : va_arg(*args, int);
      if (spec.shorts == 1) v = static_cast<s16>(v);
      if (spec.shorts == 2) v = static_cast<s8>(v);
      return put_number(sink, spec, v < 0 ? 0 - static_cast<u64>(v) : static_cast<u64>(v), 10, v < 0, false);
    }
    case 'u':
    case 'x':
    case 'X':
    case 'o': {
      u64 v = spec.longs != 0 ? va_arg(*args, unsigned long) : va_arg(*args, unsigned);
      if (spec.shorts == 1) v = static_cast<u16>(v);
      if (spec.shorts == 2) v = static_cast<u8>(v);
      spec.plus = spec.space = false;
      return put_number(sink, spec, v, conversion == 'u' ? 10 : (conversion == 'o' ? 8 : 16), false, conversion == 'X');
    }
    case 'p':
      spec.precision = 16;
      return put_number(sink, spec, reinterpret_cast<u64>(va_arg(*args, void*)), 16, false, false);
    case 'c': {
      const char c = static_cast<char>(va_arg(*args, int));
      return put_text(sink, spec, &c, 1);
    }
    case 's': {
      const char* s = va_arg(*args, const char*);
      if (s == nullptr) s = "(null)";
      return put_text(sink, spec, s, spec.precision >= 0 ? strnlen(s, static_cast<size_t>(spec.precision)) : strlen(s));
    }
    default: sink.put(conversion);
  }
}

}  // namespace

int format_v(char* to, size_t size, const char* f, va_list source) {
  Sink sink{to, size};
  va_list args;
  va_copy(args, source);
  for (; *f != 0; ++f) {
    if (*f != '%') {
      sink.put(*f);
      continue;
    }
    Spec spec;
    f = parse_spec(f + 1, spec, &args);
    if (*f == 0) break;
    put_conversion(sink, spec, *f, &args);
  }
  va_end(args);
  if (size > 0) to[min(sink.length, size - 1)] = 0;
  return static_cast<int>(sink.length);
}

int format(char* to, size_t size, const char* f, ...) {
  va_list args;
  va_start(args, f);
  const int n = format_v(to, size, f, args);
  va_end(args);
  return n;
}

}  // namespace xm::os
