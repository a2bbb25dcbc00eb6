// SPDX-License-Identifier: GPL-2.0-or-later
// Kernel mappings of pages that need not be neighbours: vmalloc, device registers (ioremap), and kernel stacks with a
// guard page below.
#pragma once

#include "kernel/lib/types.h"

namespace xm::os {

void* vmalloc(size_t size);
void vfree(const void* address);
// Maps device memory uncached; `phys` need not be page-aligned. Stays for good unless iounmap.
volatile void* ioremap(phys_addr_t phys, size_t size);
void* ioremap_cached(phys_addr_t phys, size_t size);  // firmware tables
void iounmap(volatile void* address);
void* alloc_kernel_stack();
void free_kernel_stack(void* stack);
constexpr u64 kKernelStackSize = 16384;
u64 vmalloc_used();

}  // namespace xm::os
