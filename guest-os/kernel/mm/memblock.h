// SPDX-License-Identifier: GPL-2.0-or-later
// The allocator of the first milliseconds: usable ranges from the memory map, minus reserved ones. It feeds the zones
// and retires.
#pragma once

#include "kernel/lib/types.h"

namespace xm::os {

void memblock_init();  // from boot_info, honours mem=
void memblock_reserve(phys_addr_t base, u64 size);
phys_addr_t memblock_alloc(u64 size, u64 align);  // zeroed; below 4 GiB; panics when there is none
phys_addr_t memblock_end_of_ram();
// Free ranges in ascending order: calls visit(start, end) for each.
void memblock_for_each_free(void (*visit)(phys_addr_t start, phys_addr_t end));
void mem_init();  // mem_map, zones, buddy; memblock must not be used afterwards

}  // namespace xm::os
