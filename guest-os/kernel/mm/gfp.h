// SPDX-License-Identifier: GPL-2.0-or-later
// The page allocator as callers see it. GFP flags say from where and how hard.
#pragma once

#include "kernel/mm/page.h"

namespace xm::os {

enum gfp_t : u32 {
  GFP_KERNEL = 0,  // may sleep and reclaim
  GFP_ATOMIC = 1,  // must not sleep; may use the reserve
  GFP_DMA = 2,     // below 16 MiB
  GFP_DMA32 = 4,   // below 4 GiB
  GFP_ZERO = 8,
  GFP_NOFS = 16,  // called from a file system: do not write pages back
  GFP_NOFAIL = 32,
  GFP_USER = 64,  // for user memory: the OOM killer may act
};
constexpr gfp_t operator|(gfp_t a, gfp_t b) { return static_cast<gfp_t>(static_cast<u32>(a) | static_cast<u32>(b)); }

page* alloc_pages(gfp_t gfp, u32 order);  // null: none
void free_pages(page* p, u32 order);
inline page* alloc_page(gfp_t gfp) { return alloc_pages(gfp, 0); }

inline void get_page(page* p) { compound_head(p)->refcount.inc(); }
void put_page(page* p);          // frees at the last reference
void* get_free_page(gfp_t gfp);  // direct-map address of one page
void free_page(const void* address);

// Counters of /proc/meminfo and /proc/vmstat, in pages.
enum VmStat : u32 {
  NR_FILE_PAGES,
  NR_ANON_PAGES,
  NR_FILE_MAPPED,
  NR_SHMEM,
  NR_SLAB,
  NR_PAGETABLE,
  NR_KERNEL_STACK_KB,
  NR_FILE_DIRTY,
  NR_WRITEBACK,
  PGFAULT,
  PGMAJFAULT,
  PGALLOC,
  PGFREE,
  PGPGIN,
  PGPGOUT,
  OOM_KILL,
  NR_VM_STATS,
};
extern Atomic<s64> vm_stat[NR_VM_STATS];
inline void count_vm(VmStat s, s64 n = 1) { vm_stat[s].add(n); }
u64 nr_free_pages();
void add_managed_page(page* p);  // memory that was reserved at boot joins its zone
u64 total_ram_pages();

}  // namespace xm::os
