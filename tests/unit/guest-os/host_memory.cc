// SPDX-License-Identifier: GPL-2.0-or-later
// Stands in for the parts below the tested ones: page allocation without zones' fallback, vmalloc as plain memory.
#include "tests/unit/guest-os/host_memory.h"

#include <stdlib.h>
#include <string.h>

#include "kernel/mm/slab.h"
#include "kernel/mm/vmalloc.h"

namespace xm::os {

u64 kDirectMap = 0;
page* mem_map = nullptr;
pfn_t max_pfn = 0;
Atomic<s64> vm_stat[NR_VM_STATS];

zone& host_zone() {
  static zone* z = nullptr;
  if (z != nullptr) return *z;
  void* memory = aligned_alloc(kPageSize << 10, kHostPages * kPageSize);
  kDirectMap = reinterpret_cast<u64>(memory);
  mem_map = new page[kHostPages];
  max_pfn = kHostPages;
  z = new zone;
  z->end_pfn = kHostPages;
  buddy_add_range(*z, 0, kHostPages);
  kmem_cache_init();
  return *z;
}

page* alloc_pages(gfp_t gfp, u32 order) {
  page* p = buddy_alloc_locked(host_zone(), order);
  if (p == nullptr) return nullptr;
  p->flags.store(order > 0 ? static_cast<u64>(PG_head) : 0ul);
  p->private_ = order;
  for (u64 i = 1; i < 1ul << order; ++i) {
    p[i].flags.store(PG_tail);
    p[i].head = p;
  }
  if ((gfp & GFP_ZERO) != 0) memset(page_to_virt(p), 0, kPageSize << order);
  return p;
}
void free_pages(page* p, u32 order) {
  for (u64 i = 0; i < 1ul << order; ++i) p[i].flags.store(0);
  buddy_free_locked(host_zone(), p, order);
}
void* vmalloc(size_t size) { return calloc(1, size); }
void vfree(const void* address) { free(const_cast<void*>(address)); }

}  // namespace xm::os
