// SPDX-License-Identifier: GPL-2.0-or-later
// Page tables: four levels, entries as u64 with the bits of [SDM3 4.5]. The upper half of every address space is the
// kernel's and shared.
#pragma once

#include "kernel/arch/x86_64/asm.h"
#include "kernel/mm/layout.h"

namespace xm::os {

struct mm_struct;
using pte_t = u64;
constexpr u64 kPtePresent = 1, kPteWrite = 2, kPteUser = 4, kPtePwt = 8, kPtePcd = 0x10, kPteAccessed = 0x20,
              kPteDirty = 0x40, kPteHuge = 0x80, kPteGlobal = 0x100,
              kPteSpecial = 0x200;  // Special: no struct page behind it
extern u64 kPteNx;                  // bit 63 if the processor has it
constexpr u64 kPteAddress = 0x000ffffffffff000;

extern u64* kernel_pgd;  // the kernel's own top-level table
void paging_init();      // direct map, kernel image with W^X, and the shared top-level entries

u64* pgd_alloc();  // a fresh top-level table with the kernel half
void pgd_free(u64* pgd);
// The entry for an address: null if a table is missing (find), or tables are made (alloc; null when memory is short).
pte_t* pte_find(u64* pgd, u64 address);
pte_t* pte_alloc(u64* pgd, u64 address);
// Frees the tables below user addresses [start, end) that are empty of use (the whole user half at exit).
void free_user_tables(u64* pgd);

bool map_kernel_page(u64 address, phys_addr_t phys, u64 flags);
phys_addr_t unmap_kernel_page(u64 address);

inline void load_pgd(u64* pgd) { write_cr3(virt_to_phys(pgd)); }

}  // namespace xm::os
