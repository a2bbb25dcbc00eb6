// SPDX-License-Identifier: GPL-2.0-or-later
// Early memory: two sorted arrays. The E820 map may overlap or be unsorted; RAM that any other type claims is not used.
#include "kernel/mm/memblock.h"

#include "kernel/arch/x86_64/bootinfo.h"
#include "kernel/init/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/buddy.h"
#include "kernel/mm/gfp.h"

extern "C" char kernel_end[];

namespace xm::os {
namespace {

struct Range {
  u64 start, end;
};
constinit Range ram[128]{};
constinit u32 ram_count = 0;
constinit Range reserved[192]{};
constinit u32 reserved_count = 0;

void insert_sorted(Range* list, u32& count, u32 capacity, Range r) {
  BUG_ON(count == capacity);
  u32 i = count++;
  for (; i > 0 && list[i - 1].start > r.start; --i) list[i] = list[i - 1];
  list[i] = r;
}

u64 memory_limit() {
  char text[32];
  if (!command_line_value("mem", text, sizeof text)) return ~0ul;
  const char* end;
  u64 n = parse_number(text, &end, 0);
  switch (*end | 0x20) {
    case 'k': return n << 10;
    case 'm': return n << 20;
    case 'g': return n << 30;
    default: return n;
  }
}

// First address >= at that no reservation covers, and where the next reservation begins.
u64 skip_reserved(u64 at, u64& next) {
  next = ~0ul;
  for (u32 i = 0; i < reserved_count; ++i) {
    if (reserved[i].start <= at && at < reserved[i].end) at = reserved[i].end;
  }
  for (u32 i = 0; i < reserved_count; ++i) {
    if (reserved[i].start >= at && reserved[i].end > reserved[i].start) next = min(next, reserved[i].start);
  }
  return at;
}

ZoneType zone_of(pfn_t pfn) {
  if (pfn < (16ul << 20) >> kPageShift) return ZONE_DMA;
  return pfn < (4ul << 30) >> kPageShift ? ZONE_DMA32 : ZONE_NORMAL;
}

void give_to_buddy(phys_addr_t start, phys_addr_t end) {
  pfn_t pfn = page_align(start) >> kPageShift;
  const pfn_t last = end >> kPageShift;
  while (pfn < last) {
    zone& z = node_data.node_zones[zone_of(pfn)];
    const pfn_t stop = min(last, z.end_pfn);
    for (pfn_t p = pfn; p < stop; ++p) mem_map[p].clear(PG_reserved);
    buddy_add_range(z, pfn, stop);
    pfn = stop;
  }
}

}  // namespace

void memblock_reserve(phys_addr_t base, u64 size) {
  insert_sorted(reserved, reserved_count, array_size(reserved), {align_down(base, kPageSize), page_align(base + size)});
}

void memblock_init() {
  const u64 limit = memory_limit();
  for (u32 i = 0; i < boot_info.map_count; ++i) {
    const E820Entry& e = boot_info.map[i];
    printk(KERN_INFO "BIOS-e820: [mem %#018lx-%#018lx] type %u\n", e.base, e.base + e.size - 1,
           static_cast<u32>(e.type));
    const Range r{e.base, e.base + e.size};
    if (e.type == E820Type::Ram) {
      if (r.start < limit) insert_sorted(ram, ram_count, array_size(ram), {r.start, min(r.end, limit)});
    } else if (r.start < (1ul << 46)) {
      insert_sorted(reserved, reserved_count, array_size(reserved),
                    {align_down(r.start, kPageSize), page_align(r.end)});
    }
  }
  memblock_reserve(0, 0x10000);        // BIOS data, AP trampoline
  memblock_reserve(0x9f000, 0x61000);  // EBDA, video, ROMs
  memblock_reserve(0x100000, virt_to_phys(kernel_end) - 0x100000);
  if (boot_info.initrd_size != 0) memblock_reserve(boot_info.initrd, boot_info.initrd_size);
}

phys_addr_t memblock_end_of_ram() {
  u64 end = 0;
  for (u32 i = 0; i < ram_count; ++i) end = max(end, ram[i].end);
  return align_down(end, kPageSize);
}

void memblock_for_each_free(void (*visit)(phys_addr_t, phys_addr_t)) {
  for (u32 i = 0; i < ram_count; ++i) {
    u64 at = ram[i].start;
    while (at < ram[i].end) {
      u64 next;
      at = skip_reserved(at, next);
      if (at >= ram[i].end) break;
      visit(at, min(next, ram[i].end));
      at = next;
    }
  }
}

phys_addr_t memblock_alloc(u64 size, u64 align) {
  size = page_align(size);
  for (u32 i = ram_count; i-- > 0;) {
    u64 at = ram[i].start;
    while (at < ram[i].end) {
      u64 next;
      at = skip_reserved(at, next);
      const u64 start = align_up(at, max(align, kPageSize));
      const u64 stop = min(next, min(ram[i].end, 4ul << 30));
      if (start >= 0x100000 && start < stop && stop - start >= size) {
        memblock_reserve(start, size);
        memset(phys_to_virt(start), 0, size);
        return start;
      }
      at = next;
    }
  }
  panic("out of early memory: %lu bytes", size);
}

void mem_init() {
  max_pfn = memblock_end_of_ram() >> kPageShift;
  mem_map = static_cast<page*>(phys_to_virt(memblock_alloc(max_pfn * sizeof(page), kPageSize)));
  for (pfn_t pfn = 0; pfn < max_pfn; ++pfn) {
    page* p = new (&mem_map[pfn]) page{};
    p->flags.store(PG_reserved);
    p->zone_id = static_cast<u8>(zone_of(pfn));
  }
  static const char* const names[] = {"DMA", "DMA32", "Normal", "Movable"};
  const pfn_t borders[] = {0, (16ul << 20) >> kPageShift, (4ul << 30) >> kPageShift, ~0ul};
  for (u32 i = 0; i < MAX_NR_ZONES; ++i) {
    zone& z = node_data.node_zones[i];
    z.name = names[i];
    z.start_pfn = i < 3 ? min(borders[i], max_pfn) : max_pfn;
    z.end_pfn = i < 3 ? min(borders[i + 1], max_pfn) : max_pfn;
    z.present_pages = z.end_pfn - z.start_pfn;
  }
  memblock_for_each_free(give_to_buddy);
  for (zone& z : node_data.node_zones) zone_set_watermarks(z);
  printk(KERN_INFO "Memory: %luK/%luK available\n", total_ram_pages() * 4, max_pfn * 4);
}

}  // namespace xm::os
