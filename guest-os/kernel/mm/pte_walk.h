// SPDX-License-Identifier: GPL-2.0-or-later
// for_each_pte visits the existing page-table entries of a range of user addresses, skipping absent tables whole.
#pragma once

#include "kernel/arch/x86_64/paging.h"

namespace xm::os {

template <class Visit>
void for_each_pte(u64* pgd, u64 start, u64 end, Visit visit) {
  u64 address = start;
  while (address < end) {
    u64* table = pgd;
    int shift = 39;
    bool absent = false;
    for (; shift > 12; shift -= 9) {
      const u64 entry = table[(address >> shift) & 511];
      if ((entry & kPtePresent) == 0) {
        absent = true;
        break;
      }
      table = static_cast<u64*>(phys_to_virt(entry & kPteAddress));
    }
    if (absent) {
      address = ((address >> shift) + 1) << shift;
      continue;
    }
    const u64 stop = min(end, ((address >> 21) + 1) << 21);
    for (; address < stop; address += kPageSize) {
      pte_t* pte = &table[(address >> 12) & 511];
      if (*pte != 0) visit(pte, address);
    }
  }
}

}  // namespace xm::os
