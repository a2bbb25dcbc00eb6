// SPDX-License-Identifier: GPL-2.0-or-later
// Stands in for the parts below the file system: memory from malloc, messages to stderr.
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "kernel/init/printk.h"
#include "kernel/mm/slab.h"
#include "kernel/mm/vmalloc.h"

namespace xm::os {

void* kmalloc(size_t size, gfp_t gfp) { return (gfp & GFP_ZERO) ? calloc(1, size) : malloc(size); }
void kfree(const void* p) { free(const_cast<void*>(p)); }
void* vmalloc(size_t size) { return calloc(1, size); }
void vfree(const void* a) { free(const_cast<void*>(a)); }
int printk(const char* format, ...) {
  va_list a;
  va_start(a, format);
  int n = vfprintf(stderr, format, a);
  va_end(a);
  return n;
}
}  // namespace xm::os
