// SPDX-License-Identifier: GPL-2.0-or-later
// Errors as values: a function that can fail returns bool and leaves one line that says what, where and why.
#pragma once

#include <stdarg.h>

#include "boot/core/types.h"

namespace xm::boot {

// Records the reason and returns false. Knows %s, %c, %u, %x and %%.
[[gnu::format(printf, 1, 2)]] bool fail(const char* format, ...);
const char* failure();
// The same words as fail, into `text`.
[[gnu::format(printf, 3, 4)]] void print_to(char* text, size_t size, const char* format, ...);
void vprint_to(char* text, size_t size, const char* format, va_list args);

}  // namespace xm::boot
