// SPDX-License-Identifier: GPL-2.0-or-later
// Zones and the buddy allocator: free blocks of 2^order pages in 11 lists; freeing a block joins it with its buddy (the
// block whose number differs in one bit) as far as possible. Single pages go through lists of each processor. Free of
// hardware: unit-tested on the host.
#pragma once

#include "kernel/lib/spinlock.h"
#include "kernel/mm/page.h"

namespace xm::os {

constexpr u32 kMaxOrder = 11;  // orders 0..10

struct free_area {
  list_head free_list;
  u64 nr_free = 0;
};

struct per_cpu_pages {
  list_head list;
  u32 count = 0;
};
constexpr u32 kPcpHigh = 96, kPcpBatch = 32;

struct zone {
  const char* name = "";
  pfn_t start_pfn = 0, end_pfn = 0;  // spanned
  u64 present_pages = 0, managed_pages = 0;
  u64 free_pages = 0;
  u64 watermark_min = 0, watermark_low = 0, watermark_high = 0;
  spinlock_t lock{LockRank::Zone};
  free_area areas[kMaxOrder];
  per_cpu_pages pageset[kMaxCpus];
};

enum ZoneType : u32 { ZONE_DMA, ZONE_DMA32, ZONE_NORMAL, ZONE_MOVABLE, MAX_NR_ZONES };
struct pglist_data {
  int node_id = 0;
  zone node_zones[MAX_NR_ZONES];
};
extern pglist_data node_data;  // GAP: one node; NUMA nodes of SRAT are not split yet

page* buddy_alloc_locked(zone& z, u32 order);
void buddy_free_locked(zone& z, page* p, u32 order);
// Hands [start, end) to the zone in blocks as large as fit.
void buddy_add_range(zone& z, pfn_t start, pfn_t end);
void zone_set_watermarks(zone& z);

}  // namespace xm::os
