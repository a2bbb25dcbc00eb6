// SPDX-License-Identifier: GPL-2.0-or-later
// Page allocation: zone choice and fallback, per-CPU lists, reclaim when short. Frees check that nobody still holds the
// page.
#include "kernel/init/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/buddy.h"
#include "kernel/mm/gfp.h"
#include "kernel/mm/reclaim.h"
#include "kernel/task/task_struct.h"

namespace xm::os {

constinit page* mem_map = nullptr;
constinit pfn_t max_pfn = 0;
constinit pglist_data node_data{};
constinit Atomic<s64> vm_stat[NR_VM_STATS]{};

namespace {

page* take_from_zone(zone& z, u32 order, bool reserve) {
  const u64 floor = reserve ? z.watermark_min / 4 : z.watermark_min;
  if (order != 0) {
    IrqGuard guard(z.lock);
    if (z.free_pages < floor + (1ul << order)) return nullptr;
    return buddy_alloc_locked(z, order);
  }
  const u64 flags = local_irq_save();
  per_cpu_pages& pcp = z.pageset[smp_processor_id()];
  if (pcp.count == 0) {
    SpinGuard guard(z.lock);
    while (pcp.count < kPcpBatch && z.free_pages > floor) {
      page* p = buddy_alloc_locked(z, 0);
      if (p == nullptr) break;
      list_add_tail(&p->lru, &pcp.list);
      ++pcp.count;
    }
  }
  page* p = list_first<&page::lru>(&pcp.list);
  if (p != nullptr) {
    list_del(&p->lru);
    --pcp.count;
  }
  local_irq_restore(flags);
  return p;
}

page* take_page(gfp_t gfp, u32 order) {
  int highest = ZONE_NORMAL;
  if ((gfp & GFP_DMA32) != 0) highest = ZONE_DMA32;
  if ((gfp & GFP_DMA) != 0) highest = ZONE_DMA;
  for (int i = highest; i >= 0; --i) {
    zone& z = node_data.node_zones[i];
    if (z.managed_pages == 0) continue;
    if (page* p = take_from_zone(z, order, (gfp & GFP_ATOMIC) != 0)) return p;
  }
  return nullptr;
}

void prepare_page(page* p, u32 order, gfp_t gfp) {
  p->flags.store(order > 0 ? static_cast<u64>(PG_head) : 0ul);
  p->refcount.store(1);
  p->mapcount.store(0);
  p->mapping = nullptr;
  p->index = 0;
  p->private_ = order;
  for (u64 i = 1; i < 1ul << order; ++i) {
    p[i].flags.store(PG_tail);
    p[i].refcount.store(0);
    p[i].mapcount.store(0);
    p[i].head = p;
  }
  if ((gfp & GFP_ZERO) != 0) memset(page_to_virt(p), 0, kPageSize << order);
}

}  // namespace

// Small requests that may wait are given up only by a task that must end itself, or when there is nobody left to end:
// as long as write-back or the end of a victim brings pages, they wait. Large ones try a few times.
page* alloc_pages(gfp_t gfp, u32 order) {
  BUG_ON(order >= kMaxOrder);
  constexpr u32 kCostlyOrder = 3;
  const bool may_wait = (gfp & GFP_ATOMIC) == 0 && !in_interrupt();
  for (u32 fruitless = 0, attempt = 0;; ++attempt) {
    page* p = take_page(gfp, order);
    if (likely(p != nullptr)) {
      prepare_page(p, order, gfp);
      count_vm(PGALLOC);
      return p;
    }
    const bool dying = current != nullptr && test_tif(current, TIF_MEMDIE);
    const bool enough = order > kCostlyOrder ? attempt >= 16 : fruitless >= 64 || dying;
    if (!may_wait || (enough && (gfp & GFP_NOFAIL) == 0)) {
      p = take_page(gfp | GFP_ATOMIC, order);
      if (p != nullptr) prepare_page(p, order, gfp);
      return p;
    }
    if (try_to_free_pages(gfp, order)) {
      fruitless = 0;
    } else if (order <= kCostlyOrder) {
      ++fruitless;
      out_of_memory();
    }
  }
}

void free_pages(page* p, u32 order) {
  BUG_ON(p->test(PG_buddy) || p->test(PG_reserved) || p->test(PG_slab));
  p->flags.store(0);
  p->mapping = nullptr;
  for (u64 i = 1; i < 1ul << order; ++i) p[i].flags.store(0);
  zone& z = node_data.node_zones[p->zone_id];
  count_vm(PGFREE);
  const u64 flags = local_irq_save();
  if (order == 0) {
    per_cpu_pages& pcp = z.pageset[smp_processor_id()];
    list_add(&p->lru, &pcp.list);
    if (++pcp.count >= kPcpHigh) {
      SpinGuard guard(z.lock);
      for (u32 i = 0; i < kPcpBatch; ++i) {
        page* cold = list_entry<&page::lru>(pcp.list.prev);
        list_del(&cold->lru);
        --pcp.count;
        buddy_free_locked(z, cold, 0);
      }
    }
  } else {
    SpinGuard guard(z.lock);
    buddy_free_locked(z, p, order);
  }
  local_irq_restore(flags);
}

void put_page(page* p) {
  p = compound_head(p);
  if (!p->refcount.dec_and_test()) return;
  BUG_ON(p->test(PG_reserved));
  free_pages(p, p->test(PG_head) ? static_cast<u32>(p->private_) : 0);
}

void add_managed_page(page* p) {
  ++node_data.node_zones[p->zone_id].managed_pages;
  free_pages(p, 0);
}

void* get_free_page(gfp_t gfp) {
  page* p = alloc_page(gfp);
  return p == nullptr ? nullptr : page_to_virt(p);
}
void free_page(const void* address) { free_pages(virt_to_page(address), 0); }

u64 nr_free_pages() {
  u64 n = 0;
  for (const zone& z : node_data.node_zones) {
    n += z.free_pages;
    for (const per_cpu_pages& pcp : z.pageset) n += pcp.count;
  }
  return n;
}
u64 total_ram_pages() {
  u64 n = 0;
  for (const zone& z : node_data.node_zones) n += z.managed_pages;
  return n;
}

}  // namespace xm::os
