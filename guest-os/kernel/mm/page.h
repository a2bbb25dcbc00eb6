// SPDX-License-Identifier: GPL-2.0-or-later
// struct page: one for each page frame, in mem_map. What the words mean depends on who owns the page: the buddy
// allocator, a slab, the page cache (mapping, index) or an anonymous mapping.
#pragma once

#include "kernel/lib/atomic.h"
#include "kernel/lib/list.h"
#include "kernel/mm/layout.h"

namespace xm::os {

struct address_space;
struct kmem_cache;

enum PageFlag : u64 {
  PG_locked = 1 << 0,  // being read or written: wait on it
  PG_uptodate = 1 << 1,
  PG_dirty = 1 << 2,
  PG_writeback = 1 << 3,
  PG_error = 1 << 4,
  PG_referenced = 1 << 5,
  PG_lru = 1 << 6,
  PG_slab = 1 << 7,
  PG_buddy = 1 << 8,     // free, head of a block of order `private_`
  PG_reserved = 1 << 9,  // not the allocator's
  PG_head = 1 << 10,     // first page of a block of order `private_` > 0
  PG_tail = 1 << 11,     // `head` points to the first one
  PG_anon = 1 << 12,
  PG_swapbacked = 1 << 13,
  PG_private = 1 << 14,  // a file system keeps something in private_
  PG_zero = 1 << 15,     // the shared page of zeros
};

struct page {
  Atomic<u64> flags;
  Atomic<s32> refcount;
  Atomic<s32> mapcount;
  list_head lru;  // buddy list, per-CPU list, slab list or LRU list
  union {
    address_space* mapping;
    kmem_cache* slab_cache;
    page* head;
  };
  union {
    u64 index;       // page cache: offset in pages
    void* freelist;  // slab: first free object
  };
  union {
    u64 private_;  // order of a free or compound block; the file system's word in the page cache
    struct {
      u32 slab_inuse, slab_objects;
    };
  };
  u8 zone_id;
  u8 node_id;

  bool test(PageFlag f) const { return (flags.load() & f) != 0; }
  void set(PageFlag f) { flags.fetch_or(f); }
  void clear(PageFlag f) { flags.fetch_and(~static_cast<u64>(f)); }
  bool test_and_set(PageFlag f) { return (flags.fetch_or(f) & f) != 0; }
  bool test_and_clear(PageFlag f) { return (flags.fetch_and(~static_cast<u64>(f)) & f) != 0; }
};

extern page* mem_map;
extern pfn_t max_pfn;
inline pfn_t page_to_pfn(const page* p) { return static_cast<pfn_t>(p - mem_map); }
inline page* pfn_to_page(pfn_t pfn) { return mem_map + pfn; }
inline bool pfn_valid(pfn_t pfn) { return pfn < max_pfn; }
inline phys_addr_t page_to_phys(const page* p) { return page_to_pfn(p) << kPageShift; }
inline page* phys_to_page(phys_addr_t a) { return pfn_to_page(a >> kPageShift); }
inline void* page_to_virt(const page* p) { return phys_to_virt(page_to_phys(p)); }
inline page* virt_to_page(const void* v) { return phys_to_page(virt_to_phys(v)); }
inline page* compound_head(page* p) { return p->test(PG_tail) ? p->head : p; }

}  // namespace xm::os
