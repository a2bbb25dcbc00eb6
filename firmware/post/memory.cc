// SPDX-License-Identifier: GPL-2.0-or-later
// RAM sizes and the E820 map [ACPI 15.1]. The machine describes its RAM in fw_cfg file etc/e820; without it the CMOS
// bytes of the PC count: 34/35 (64 KiB units above 16 MiB), 30/31 (KiB above 1 MiB), 5B-5D (64 KiB units above 4 GiB).
#include "lib/fw_cfg.h"
#include "post/post.h"

namespace xm::fw {
namespace {

constexpr u64 k4GiB = 0x100000000;
constexpr u32 kPoolSize = 0x20000;

u32 g_high_top;   // end of the RAM below 4 GiB
u32 g_high_next;  // allocations grow downwards from there

void remove_range(MemoryRange* list, u16& count, u16 index) {
  count--;
  for (u16 i = index; i < count; i++) list[i] = list[i + 1];
}

void insert_range(MemoryRange* list, u16& count, u16 index, const MemoryRange& range) {
  if (count == count_of(boot_info().memory) || !range.length) return;
  for (u16 i = count; i > index; i--) list[i] = list[i - 1];
  list[index] = range;
  count++;
}

void detect_from_cmos() {
  u32 low = u32{cmos_read(0x34)} << 16 | u32{cmos_read(0x35)} << 24;
  if (low) {
    low += 16u << 20;
  } else {
    low = (u32{cmos_read(0x30)} << 10 | u32{cmos_read(0x31)} << 18) + (1u << 20);
  }
  const u64 high = u64{cmos_read(0x5B)} << 16 | u64{cmos_read(0x5C)} << 24 | u64{cmos_read(0x5D)} << 32;
  add_memory_range(0, low, MemoryKind::Ram);
  if (high) add_memory_range(k4GiB, high, MemoryKind::Ram);
}

bool detect_from_fw_cfg() {
  FwCfgFile file;
  if (!boot_info().fw_cfg_features || !fw_cfg_find("etc/e820", &file)) return false;
  const u32 count = min<u32>(file.size / sizeof(MemoryRange), 32);
  if (!count) return false;
  MemoryRange ranges[32];
  fw_cfg_read(file.key, ranges, count * sizeof(MemoryRange));
  bool any_ram = false;
  for (u32 i = 0; i < count; i++) any_ram |= ranges[i].kind == MemoryKind::Ram;
  if (!any_ram) return false;
  for (u32 i = 0; i < count; i++) add_memory_range(ranges[i].base, ranges[i].length, ranges[i].kind);
  return true;
}

}  // namespace

// The last word on an address wins: older ranges are cut, split or swallowed, equal neighbours grow together.
void add_memory_range(u64 base, u64 length, MemoryKind kind) {
  if (!length) return;
  BootInfo& info = boot_info();
  MemoryRange* list = info.memory;
  u16& count = info.memory_count;
  u64 end = base + length;
  u16 i = 0;
  while (i < count) {
    const MemoryRange old = list[i];
    const u64 old_end = old.base + old.length;
    if (old_end < base || old.base > end || (old.kind != kind && (old_end == base || old.base == end))) {
      i++;
      continue;
    }
    remove_range(list, count, i);
    if (old.kind == kind) {
      base = min(base, old.base);
      end = max(end, old_end);
      continue;
    }
    if (old.base < base) insert_range(list, count, i++, {old.base, base - old.base, old.kind});
    if (old_end > end) insert_range(list, count, i, {end, old_end - end, old.kind});
  }
  u16 at = 0;
  while (at < count && list[at].base < base) at++;
  insert_range(list, count, at, {base, end - base, kind});
}

void detect_memory() {
  BootInfo& info = boot_info();
  if (!detect_from_fw_cfg()) detect_from_cmos();
  for (u32 i = 0; i < info.memory_count; i++) {
    const MemoryRange& range = info.memory[i];
    if (range.kind != MemoryKind::Ram) continue;
    const u64 end = range.base + range.length;
    if (end <= k4GiB) {
      info.ram_below_4g = max(info.ram_below_4g, static_cast<u32>(end == k4GiB ? end - 0x10000 : end));
    } else {
      info.ram_above_4g = end - k4GiB;
    }
  }
  g_high_top = g_high_next = info.ram_below_4g & ~0xFFFu;
  info.pool_base = allocate_high(kPoolSize, 0x1000);
  info.pool_end = info.pool_base ? info.pool_base + kPoolSize : 0;
  info.option_rom_next = 0xC0000;
}

u32 allocate_high(u32 size, u32 alignment) {
  constexpr u32 kLowest = 0x200000;  // leave the first MiB above 1 MiB to loaders
  if (size > g_high_next || g_high_next - size < kLowest) return 0;
  const u32 address = (g_high_next - size) & ~(alignment - 1);
  if (address < kLowest) return 0;
  g_high_next = address;
  return address;
}

u32 allocate_fseg(u32 size, u32 alignment) {
  BootInfo& info = boot_info();
  for (auto& zone : info.fseg) {
    const u32 offset = align_up<u32>(zone.free, max<u32>(alignment, 16));
    if (offset + size > zone.end) continue;
    zone.free = static_cast<u16>(offset + size);
    memset(bytes_at(kCodeSegmentBase + offset), 0, size);
    return kCodeSegmentBase + offset;
  }
  return 0;
}

void finish_memory_map() {
  BootInfo& info = boot_info();
  // A0000-FFFFF is not RAM for the operating system, whatever the machine says; only our part of it is listed.
  constexpr MemoryKind kHole = MemoryKind::Bad;
  add_memory_range(0xA0000, 0x60000, kHole);
  for (u16 i = 0; i < info.memory_count; i++) {
    if (info.memory[i].base == 0xA0000) {
      remove_range(info.memory, info.memory_count, i);
      break;
    }
  }
  add_memory_range(kEbdaBase, 0xA0000 - kEbdaBase, MemoryKind::Reserved);
  add_memory_range(kDataSegmentBase, 0x100000 - kDataSegmentBase, MemoryKind::Reserved);
  g_high_next &= ~0xFFFu;
  info.high_free = g_high_next;
  if (g_high_next < g_high_top) add_memory_range(g_high_next, g_high_top - g_high_next, MemoryKind::Reserved);
  if (info.is_q35) add_memory_range(0xB0000000, 0x10000000, MemoryKind::Reserved);
  // KVM keeps its identity map and task state segment here, and the ROM follows.
  add_memory_range(0xFEFFC000, 0x4000, MemoryKind::Reserved);
  add_memory_range(0xFFFC0000, 0x40000, MemoryKind::Reserved);
}

}  // namespace xm::fw
