// SPDX-License-Identifier: GPL-2.0-or-later
// printf-style formatting for printk, /proc and sysfs: flags - 0 + space #, width, precision, h l ll z, and d i u x X o
// c s p %.
#pragma once

#include <stdarg.h>

#include "kernel/lib/types.h"

namespace xm::os {

// Writes at most size bytes including the NUL; returns the length the whole text would have (as C99).
int format_v(char* to, size_t size, const char* format, va_list args);
int format(char* to, size_t size, const char* format, ...) __attribute__((format(printf, 3, 4)));

}  // namespace xm::os
