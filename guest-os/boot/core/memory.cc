// SPDX-License-Identifier: GPL-2.0-or-later
// The BIOS's memory map [ACPI 6.4, section 15.1] and a downward allocator for what must lie high.
#include "boot/core/memory.h"

#include "boot/core/bios.h"

namespace xm::boot {
namespace {

MemoryMap map;
bool asked;
u64 high_limit = ~0ull;

void add(u64 base, u64 size, u32 type) {
  if (map.count < kMaxRanges && size != 0) map.ranges[map.count++] = {base, size, type};
}

bool ask_e820() {
  constexpr u32 kSignature = 0x534d4150;  // "SMAP"
  u32 next = 0;
  do {
    BiosRegs r{};
    r.eax = 0xe820;
    r.ebx = next;
    r.ecx = 20;
    r.edx = kSignature;
    r.edi = kMemoryMapEntry;
    bios_call(0x15, r);
    if (r.carry() || r.eax != kSignature) break;
    const u8* entry = physical(kMemoryMapEntry);
    add(peek<u64>(entry, 0), peek<u64>(entry, 8), peek<u32>(entry, 16));
    next = r.ebx;
  } while (next != 0 && map.count < kMaxRanges);
  return map.count != 0;
}

void ask_sizes() {
  BiosRegs r{};
  r.eax = 0xe801;
  bios_call(0x15, r);
  u32 low = r.ecx & 0xffff, high = r.edx & 0xffff;
  if (low == 0 && high == 0) low = r.eax & 0xffff, high = r.ebx & 0xffff;
  if (r.carry() || low == 0) {
    r = {};
    r.eax = 0x8800;
    bios_call(0x15, r);
    low = r.eax & 0xffff;
    high = 0;
  }
  add(0, static_cast<u64>(map.conventional_kib) << 10, 1);
  add(0x100000, static_cast<u64>(low) << 10, 1);
  add(0x1000000, static_cast<u64>(high) << 16, 1);
}

}  // namespace

const MemoryMap& memory_map() {
  if (asked) return map;
  asked = true;
  BiosRegs r{};
  bios_call(0x12, r);
  map.conventional_kib = r.eax & 0xffff;
  if (!ask_e820()) ask_sizes();
  for (u32 i = 0; i < map.count; ++i) {
    const MemoryRange& m = map.ranges[i];
    if (m.type == 1 && m.base <= 0x100000 && m.base + m.size > 0x100000)
      map.extended_kib = static_cast<u32>((m.base + m.size - 0x100000) >> 10);
  }
  return map;
}

bool usable_memory(u64 base, u64 size) {
  if (base < 0x100000 || base + size < base) return false;
  const MemoryMap& m = memory_map();
  for (u32 i = 0; i < m.count; ++i) {
    const MemoryRange& range = m.ranges[i];
    if (range.type == 1 && range.base <= base && base + size <= range.base + range.size) return true;
  }
  return false;
}

u32 allocate_high(u64 size, u64 floor, u64 limit) {
  constexpr u64 kPage = 4096;
  const MemoryMap& m = memory_map();
  if (limit > high_limit) limit = high_limit;
  u64 best = 0;
  for (u32 i = 0; i < m.count; ++i) {
    const MemoryRange& range = m.ranges[i];
    if (range.type != 1) continue;
    const u64 end = range.base + range.size < limit ? range.base + range.size : limit;
    if (end < size) continue;
    const u64 base = align_down(end - size, kPage);
    if (base >= range.base && base >= floor && base > best) best = base;
  }
  if (best != 0) high_limit = best;
  return static_cast<u32>(best);
}

void release_high() { high_limit = ~0ull; }

}  // namespace xm::boot
