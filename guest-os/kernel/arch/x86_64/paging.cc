// SPDX-License-Identifier: GPL-2.0-or-later
// Builds the kernel's page tables. Text is read-only and executable, constants read-only, everything else no-execute;
// CR0.WP makes that hold for the kernel too. GAP: PCID and 1 GiB pages are not used.
#include "kernel/arch/x86_64/paging.h"

#include "kernel/arch/x86_64/bootinfo.h"
#include "kernel/init/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/gfp.h"
#include "kernel/mm/memblock.h"

extern "C" char kernel_text[], kernel_text_end[], kernel_rodata_end[], kernel_end[];

namespace xm::os {

constinit u64 kPteNx = 0;
constinit u64* kernel_pgd = nullptr;

namespace {

u64* new_table() {
  if (mem_map == nullptr) return static_cast<u64*>(phys_to_virt(memblock_alloc(kPageSize, kPageSize)));
  page* p = alloc_page(GFP_KERNEL | GFP_ZERO);
  if (p == nullptr) return nullptr;
  count_vm(NR_PAGETABLE);
  return static_cast<u64*>(page_to_virt(p));
}

u64* table_of(u64 entry) { return static_cast<u64*>(phys_to_virt(entry & kPteAddress)); }

// Another thread of the same mm may be adding the same table: the loser gives its page back.
u64* next_table(u64* slot, u64 flags) {
  u64 entry = __atomic_load_n(slot, __ATOMIC_ACQUIRE);
  if ((entry & kPtePresent) != 0) return table_of(entry);
  u64* table = new_table();
  if (table == nullptr) return nullptr;
  u64 expected = 0;
  if (__atomic_compare_exchange_n(slot, &expected, virt_to_phys(table) | flags, false, __ATOMIC_SEQ_CST,
                                  __ATOMIC_SEQ_CST))
    return table;
  count_vm(NR_PAGETABLE, -1);
  free_page(table);
  return table_of(expected);
}

u64* walk(u64* pgd, u64 address, bool make, u64 flags) {
  u64* table = pgd;
  for (int shift = 39; shift > 12; shift -= 9) {
    u64* slot = &table[(address >> shift) & 511];
    if (make) {
      table = next_table(slot, flags);
      if (table == nullptr) return nullptr;
    } else {
      if ((*slot & kPtePresent) == 0 || (*slot & kPteHuge) != 0) return nullptr;
      table = table_of(*slot);
    }
  }
  return &table[(address >> 12) & 511];
}

void map_direct(phys_addr_t start, phys_addr_t end) {
  for (phys_addr_t p = align_down(start, 2ul << 20); p < end; p += 2ul << 20) {
    u64* table = kernel_pgd;
    const u64 address = p + kDirectMap;
    for (int shift = 39; shift > 21; shift -= 9)
      table = next_table(&table[(address >> shift) & 511], kPtePresent | kPteWrite);
    table[(address >> 21) & 511] =
        p | kPtePresent | kPteWrite | kPteHuge | kPteGlobal | kPteAccessed | kPteDirty | kPteNx;
  }
}

void map_image(const char* from, const char* to, u64 flags) {
  for (u64 a = reinterpret_cast<u64>(from); a < reinterpret_cast<u64>(to); a += kPageSize) {
    map_kernel_page(a, a - kKernelBase, flags | kPtePresent | kPteGlobal | kPteAccessed | kPteDirty);
  }
}

}  // namespace

void paging_init() {
  kernel_pgd = new_table();
  map_direct(0, 1ul << 20);
  for (u32 i = 0; i < boot_info.map_count; ++i) {
    const E820Entry& e = boot_info.map[i];
    const bool ram = e.type == E820Type::Ram || e.type == E820Type::Acpi || e.type == E820Type::Nvs;
    if (ram) map_direct(e.base, e.base + e.size);
  }
  map_image(kernel_text, kernel_text_end, 0);
  map_image(kernel_text_end, kernel_rodata_end, kPteNx);
  map_image(kernel_rodata_end, kernel_end, kPteNx | kPteWrite);
  for (u32 i = 256; i < 512;
       ++i) {  // vmalloc and the direct map get their second level now, so that every mm shares it for good
    const bool vmalloc = i >= ((kVmallocStart >> 39) & 511) && i <= ((kVmallocEnd >> 39) & 511);
    if (vmalloc) next_table(&kernel_pgd[i], kPtePresent | kPteWrite);
  }
  // The identity map of low memory stays for the trampoline of the other processors; smp.cc removes it.
  kernel_pgd[0] = *static_cast<u64*>(phys_to_virt(read_cr3() & kPteAddress));
  load_pgd(kernel_pgd);
}

u64* pgd_alloc() {
  u64* pgd = new_table();
  if (pgd != nullptr) memcpy(pgd + 256, kernel_pgd + 256, kPageSize / 2);
  return pgd;
}

void pgd_free(u64* pgd) {
  count_vm(NR_PAGETABLE, -1);
  free_page(pgd);
}

pte_t* pte_find(u64* pgd, u64 address) { return walk(pgd, address, false, 0); }
pte_t* pte_alloc(u64* pgd, u64 address) { return walk(pgd, address, true, kPtePresent | kPteWrite | kPteUser); }

void free_user_tables(u64* pgd) {
  for (u32 i = 0; i < 256; ++i) {
    if ((pgd[i] & kPtePresent) == 0) continue;
    u64* pud = table_of(pgd[i]);
    for (u32 j = 0; j < 512; ++j) {
      if ((pud[j] & kPtePresent) == 0) continue;
      u64* pmd = table_of(pud[j]);
      for (u32 k = 0; k < 512; ++k) {
        if ((pmd[k] & kPtePresent) != 0) pgd_free(table_of(pmd[k]));
      }
      pgd_free(pmd);
    }
    pgd_free(pud);
    pgd[i] = 0;
  }
}

bool map_kernel_page(u64 address, phys_addr_t phys, u64 flags) {
  pte_t* pte = walk(kernel_pgd, address, true, kPtePresent | kPteWrite);
  if (pte == nullptr) return false;
  *pte = phys | flags;
  return true;
}

phys_addr_t unmap_kernel_page(u64 address) {
  pte_t* pte = walk(kernel_pgd, address, false, 0);
  if (pte == nullptr || (*pte & kPtePresent) == 0) return 0;
  const phys_addr_t phys = *pte & kPteAddress;
  *pte = 0;
  return phys;
}

}  // namespace xm::os
