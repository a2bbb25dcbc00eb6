// SPDX-License-Identifier: GPL-2.0-or-later
// The buddy system proper. A free block is marked on its first page: PG_buddy, order in private_.
#include "kernel/mm/buddy.h"

namespace xm::os {
namespace {

void put_block(zone& z, page* p, u32 order) {
  p->set(PG_buddy);
  p->private_ = order;
  list_add(&p->lru, &z.areas[order].free_list);
  ++z.areas[order].nr_free;
}

void take_block(zone& z, page* p, u32 order) {
  list_del(&p->lru);
  p->clear(PG_buddy);
  p->private_ = 0;
  --z.areas[order].nr_free;
}

}  // namespace

page* buddy_alloc_locked(zone& z, u32 order) {
  for (u32 o = order; o < kMaxOrder; ++o) {
    page* p = list_first<&page::lru>(&z.areas[o].free_list);
    if (p == nullptr) continue;
    take_block(z, p, o);
    while (o > order) {  // give back the upper halves
      --o;
      put_block(z, p + (1ul << o), o);
    }
    z.free_pages -= 1ul << order;
    return p;
  }
  return nullptr;
}

void buddy_free_locked(zone& z, page* p, u32 order) {
  z.free_pages += 1ul << order;
  pfn_t pfn = page_to_pfn(p);
  while (order < kMaxOrder - 1) {
    const pfn_t buddy_pfn = pfn ^ (1ul << order);
    if (buddy_pfn < z.start_pfn || buddy_pfn + (1ul << order) > z.end_pfn) break;
    page* buddy = pfn_to_page(buddy_pfn);
    if (!buddy->test(PG_buddy) || buddy->private_ != order) break;
    take_block(z, buddy, order);
    pfn &= ~(1ul << order);
    ++order;
  }
  put_block(z, pfn_to_page(pfn), order);
}

void buddy_add_range(zone& z, pfn_t start, pfn_t end) {
  z.managed_pages += end - start;
  while (start < end) {
    u32 order = kMaxOrder - 1;
    while ((start & ((1ul << order) - 1)) != 0 || start + (1ul << order) > end) --order;
    buddy_free_locked(z, pfn_to_page(start), order);
    start += 1ul << order;
  }
}

void zone_set_watermarks(zone& z) {
  z.watermark_min = z.managed_pages / 256;
  z.watermark_low = z.watermark_min + z.watermark_min / 4;
  z.watermark_high = z.watermark_min + z.watermark_min / 2;
}

}  // namespace xm::os
