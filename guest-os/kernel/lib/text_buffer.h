// SPDX-License-Identifier: GPL-2.0-or-later
// A growing text: what /proc and /sys files are made of.
#pragma once

#include "kernel/lib/types.h"

namespace xm::os {

class TextBuffer {
 public:
  TextBuffer() = default;
  ~TextBuffer();
  TextBuffer(const TextBuffer&) = delete;
  TextBuffer& operator=(const TextBuffer&) = delete;
  void print(const char* format, ...) __attribute__((format(printf, 2, 3)));
  void append(const void* bytes, size_t n);
  void put(char c) { append(&c, 1); }
  // A path or name with blanks and backslashes as octal escapes.
  void escaped(const char* text, const char* special);
  void clear() { length_ = 0; }
  const char* data() const { return data_; }
  size_t length() const { return length_; }
  bool failed() const { return failed_; }

 private:
  bool reserve(size_t n);
  char* data_ = nullptr;
  size_t length_ = 0, capacity_ = 0;
  bool failed_ = false;
};

}  // namespace xm::os
