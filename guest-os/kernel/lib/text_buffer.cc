// SPDX-License-Identifier: GPL-2.0-or-later
// Growing text in vmalloc memory once it is larger than a page.
#include "kernel/lib/text_buffer.h"

#include "kernel/lib/format.h"
#include "kernel/lib/string.h"
#include "kernel/mm/slab.h"

namespace xm::os {

TextBuffer::~TextBuffer() { kfree(data_); }

bool TextBuffer::reserve(size_t n) {
  if (length_ + n <= capacity_) return true;
  size_t capacity = max<size_t>(capacity_ * 2, 1024);
  while (capacity < length_ + n) capacity *= 2;
  char* bigger = static_cast<char*>(kmalloc(capacity));
  if (bigger == nullptr) {
    failed_ = true;
    return false;
  }
  if (length_ != 0) memcpy(bigger, data_, length_);
  kfree(data_);
  data_ = bigger;
  capacity_ = capacity;
  return true;
}

void TextBuffer::append(const void* bytes, size_t n) {
  if (!reserve(n)) return;
  memcpy(data_ + length_, bytes, n);
  length_ += n;
}

void TextBuffer::print(const char* f, ...) {
  va_list args;
  va_start(args, f);
  if (reserve(256)) {
    va_list again;
    va_copy(again, args);
    const int n = format_v(data_ + length_, capacity_ - length_, f, args);
    if (static_cast<size_t>(n) >= capacity_ - length_ && reserve(static_cast<size_t>(n) + 1))
      format_v(data_ + length_, capacity_ - length_, f, again);
    if (!failed_) length_ += static_cast<size_t>(n);
    va_end(again);
  }
  va_end(args);
}

void TextBuffer::escaped(const char* text, const char* special) {
  for (; *text != 0; ++text) {
    if (strchr(special, *text) != nullptr) {
      print("\\%03o", static_cast<unsigned>(static_cast<u8>(*text)));
    } else {
      put(*text);
    }
  }
}

}  // namespace xm::os
