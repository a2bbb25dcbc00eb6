// SPDX-License-Identifier: GPL-2.0-or-later
// PCI enumeration: bus numbers, base addresses for functions and bridge windows, interrupt lines [PCI 6, PCI Bridge 3].
// Depth first for bus numbers; then each bus's needs are summed bottom-up and addresses given top-down, largest first.
// 64-bit prefetchable memory moves above 4 GiB only if the hole below cannot hold everything.
#include "lib/fw_cfg.h"
#include "post/post.h"

namespace xm::fw {
namespace {

enum class Space : u8 { Io, Memory, Prefetch };
constexpr u32 kSpaces = 3;
constexpr u64 k4GiB = 0x100000000;

// A base address register, or a bridge's window on a child bus.
struct Claim {
  PciAddress address;
  u8 bus;         // the bus it is decoded on
  u8 child_bus;   // bridge window: the bus behind; else 0
  u8 bar_offset;  // 0 for a window
  Space space;
  bool is_64bit;
  bool placed;
  u64 size;
  u64 alignment;
};

constexpr u32 kMaxClaims = 512;
Claim g_claims[kMaxClaims];
u32 g_claim_count;
u32 g_bus_count;

struct Cursor {
  u64 next;
  u64 end;
};

void add_claim(const Claim& claim) {
  if (g_claim_count < kMaxClaims) g_claims[g_claim_count++] = claim;
}

// Sizes one register by writing ones [PCI 6.2.5.1]. Returns how many registers it takes.
u32 size_bar(PciAddress address, u8 bus, u8 offset) {
  const u32 original = pci_read32(address, offset);
  const bool is_rom = offset == 0x30 || offset == 0x38;
  pci_write32(address, offset, is_rom ? 0xFFFFF800 : 0xFFFFFFFF);
  const u32 probe = pci_read32(address, offset);
  pci_write32(address, offset, original);
  if (!probe) return 1;
  Claim claim{address, bus, 0, offset, Space::Memory, false, false, 0, 0};
  if (!is_rom && (probe & 1)) {
    u32 mask = probe & ~3u;
    if (!(mask >> 16)) mask |= 0xFFFF0000;  // devices may leave the upper half of an I/O register unwired
    claim.space = Space::Io;
    claim.size = ~mask + 1u;
  } else {
    const bool wide = !is_rom && (probe & 6) == 4;
    u64 mask = probe & (is_rom ? 0xFFFFF800u : ~15u);
    if (wide) {
      const u32 upper = pci_read32(address, offset + 4u);
      pci_write32(address, offset + 4u, 0xFFFFFFFF);
      mask |= u64{pci_read32(address, offset + 4u)} << 32;
      pci_write32(address, offset + 4u, upper);
    } else {
      mask |= 0xFFFFFFFF00000000;
    }
    claim.is_64bit = wide;
    claim.size = ~mask + 1;
    // Only a 64-bit register may follow its neighbours above 4 GiB; on the root bus prefetching does not matter.
    if (wide && ((probe & 8) || bus == 0)) claim.space = Space::Prefetch;
  }
  claim.alignment = claim.space == Space::Io ? claim.size : max<u64>(claim.size, 0x1000);
  if (claim.size) add_claim(claim);
  return claim.is_64bit ? 2 : 1;
}

void record(PciAddress address, u8 header) {
  BootInfo& info = boot_info();
  if (info.pci_count == count_of(info.pci)) return;
  const u32 id = pci_read32(address, 0), class_code = pci_read32(address, 8);
  info.pci[info.pci_count++] = {address,
                                static_cast<u16>(id),
                                static_cast<u16>(id >> 16),
                                static_cast<u8>(class_code >> 24),
                                static_cast<u8>(class_code >> 16),
                                static_cast<u8>(class_code >> 8),
                                header};
}

void scan_bus(u8 bus);

void scan_bridge(PciAddress address, u8 bus) {
  if (g_bus_count == 255) return;
  const u8 child = static_cast<u8>(++g_bus_count);
  pci_write32(address, 0x18, 0xFF0000u | u32{child} << 8 | bus);
  scan_bus(child);
  pci_write8(address, 0x1A, static_cast<u8>(g_bus_count));
  for (u32 space = 0; space < kSpaces; space++) {
    const Space kind = static_cast<Space>(space);
    add_claim(
        {address, bus, child, 0, kind, kind == Space::Prefetch, false, 0, kind == Space::Io ? 0x1000u : 0x100000u});
  }
}

void scan_function(PciAddress address, u8 bus, u8 header) {
  record(address, header);
  pci_write16(address, 0x04, static_cast<u16>(pci_read16(address, 0x04) & ~7));
  const bool is_bridge = (header & 0x7F) == 1;
  const u8 last = is_bridge ? 0x14 : 0x24;
  for (u32 offset = 0x10; offset <= last;) offset += 4 * size_bar(address, bus, static_cast<u8>(offset));
  size_bar(address, bus, is_bridge ? 0x38 : 0x30);
  if (is_bridge) scan_bridge(address, bus);
}

void scan_bus(u8 bus) {
  for (u32 device = 0; device < 32; device++) {
    for (u32 function = 0; function < 8; function++) {
      const PciAddress address = pci_address(bus, device, function);
      const u16 vendor = pci_read16(address, 0);
      if (vendor == 0xFFFF || vendor == 0) {
        if (function == 0) break;
        continue;
      }
      const u8 header = pci_read8(address, 0x0E);
      scan_function(address, bus, header);
      if (function == 0 && !(header & 0x80)) break;
    }
  }
}

// A slot of a bridge where devices can be plugged in later gets windows even when it is empty.
bool is_hotplug_bridge(PciAddress bridge) {
  const u32 express = pci_find_capability(bridge, 0x10);
  if (express) return (pci_read16(bridge, express + 2) & 0x100) && (pci_read32(bridge, express + 0x14) & 0x40);
  return pci_find_capability(bridge, 0x0C) != 0;
}

// What a bus needs of one space, with the claims of its own bridges already summed (children have higher numbers).
void sum_bus(u8 bus) {
  for (u32 w = 0; w < g_claim_count; w++) {
    Claim& window = g_claims[w];
    if (window.child_bus != bus) continue;
    u64 total = 0, alignment = window.alignment;
    for (u32 i = 0; i < g_claim_count; i++) {
      const Claim& claim = g_claims[i];
      if (claim.bus != bus || claim.space != window.space || !claim.size) continue;
      total += align_up(claim.size, claim.alignment);
      alignment = max(alignment, claim.alignment);
    }
    const u64 unit = window.space == Space::Io ? 0x1000 : 0x100000;
    if (!total && is_hotplug_bridge(window.address)) total = window.space == Space::Io ? 0x1000 : 0x200000;
    window.size = align_up(total, unit);
    window.alignment = alignment;
  }
}

void program_window(const Claim& window, u64 base) {
  const u64 limit = base + window.size - 1;
  switch (window.space) {
    case Space::Io:
      pci_write16(window.address, 0x1C, static_cast<u16>((base >> 8 & 0xF0) | (limit & 0xF000)));
      pci_write32(window.address, 0x30, 0);
      break;
    case Space::Memory:
      pci_write32(window.address, 0x20, static_cast<u32>(base >> 16 & 0xFFF0) | static_cast<u32>(limit & 0xFFF00000));
      break;
    case Space::Prefetch:
      pci_write32(window.address, 0x24, static_cast<u32>(base >> 16 & 0xFFF0) | static_cast<u32>(limit & 0xFFF00000));
      pci_write32(window.address, 0x28, static_cast<u32>(base >> 32));
      pci_write32(window.address, 0x2C, static_cast<u32>(limit >> 32));
      break;
  }
}

void close_window(const Claim& window) {
  switch (window.space) {
    case Space::Io: pci_write16(window.address, 0x1C, 0x00F0); break;
    case Space::Memory: pci_write32(window.address, 0x20, 0x0000FFF0); break;
    case Space::Prefetch: pci_write32(window.address, 0x24, 0x0000FFF0); break;
  }
}

void place(Claim& claim, u64 base);

// Gives every claim of one bus and space its address, largest alignment first.
void place_bus(u8 bus, Space space, Cursor cursor) {
  for (;;) {
    Claim* best = nullptr;
    for (u32 i = 0; i < g_claim_count; i++) {
      Claim& claim = g_claims[i];
      if (claim.bus != bus || claim.space != space || claim.placed) continue;
      if (!best || claim.alignment > best->alignment) best = &claim;
    }
    if (!best) return;
    best->placed = true;
    const u64 base = best->size ? align_up(cursor.next, best->alignment) : 0;
    if (!best->size || base + best->size > cursor.end) {
      if (best->child_bus) close_window(*best);
      if (best->size) print("pci: no room for %w bar %b\n", best->address, best->bar_offset);
      continue;
    }
    cursor.next = base + best->size;
    place(*best, base);
  }
}

void place(Claim& claim, u64 base) {
  if (claim.child_bus) {
    program_window(claim, base);
    place_bus(claim.child_bus, claim.space, {base, base + claim.size});
    return;
  }
  const bool is_rom = claim.bar_offset == 0x30 || claim.bar_offset == 0x38;
  pci_write32(claim.address, claim.bar_offset, static_cast<u32>(base));
  if (claim.is_64bit) pci_write32(claim.address, claim.bar_offset + 4u, static_cast<u32>(base >> 32));
  if (is_rom) return;
  const u16 enable = claim.space == Space::Io ? 1 : 2;
  pci_write16(claim.address, 0x04, static_cast<u16>(pci_read16(claim.address, 0x04) | enable));
}

u64 root_need(Space space) {
  u64 total = 0;
  for (u32 i = 0; i < g_claim_count; i++) {
    const Claim& claim = g_claims[i];
    if (claim.bus == 0 && claim.space == space && claim.size) total += align_up(claim.size, claim.alignment);
  }
  return total;
}

u64 high_memory_base() {
  u64 base = 0;
  if (boot_info().fw_cfg_features) fw_cfg_read_file("etc/reserved-memory-end", &base, sizeof base);
  base = max(base, k4GiB + boot_info().ram_above_4g);
  return align_up<u64>(base, u64{1} << 30);
}

void place_everything() {
  for (u32 bus = g_bus_count; bus > 0; bus--) sum_bus(static_cast<u8>(bus));
  place_bus(0, Space::Io, {root_need(Space::Io) <= 0x4000 ? 0xC000u : 0x1000u, 0x10000});
  const u64 hole_start = max<u64>(boot_info().is_q35 ? 0xC0000000 : 0xE0000000, boot_info().ram_below_4g);
  constexpr u64 kHoleEnd = 0xFEC00000;
  const u64 need = root_need(Space::Memory), wide_need = root_need(Space::Prefetch);
  // The larger sum first wastes the least on alignment; both fit below 4 GiB on most machines.
  if (need + wide_need + 0x2000000 <= kHoleEnd - hole_start) {
    const u64 middle = align_up<u64>(hole_start + wide_need, 0x1000000);
    place_bus(0, Space::Prefetch, {hole_start, middle});
    place_bus(0, Space::Memory, {middle, kHoleEnd});
  } else {
    place_bus(0, Space::Prefetch, {high_memory_base(), u64{1} << 39});
    place_bus(0, Space::Memory, {hole_start, kHoleEnd});
  }
}

constexpr u8 kLinkIrqs[4] = {10, 10, 11, 11};

// The root bus's slot and pin decide the link; each bridge on the way rotates the pin by the slot [PCI Bridge 9.1].
u8 irq_of(PciAddress address, u8 pin) {
  const BootInfo& info = boot_info();
  u32 index = pin - 1u;
  PciAddress at = address;
  while (pci_bus(at) != 0) {
    index = (index + pci_device(at)) & 3;
    bool found = false;
    for (u32 i = 0; i < info.pci_count && !found; i++) {
      const PciFunction& f = info.pci[i];
      if ((f.header_type & 0x7F) != 1 || pci_read8(f.address, 0x19) != pci_bus(at)) continue;
      at = f.address;
      found = true;
    }
    if (!found) return 0xFF;
  }
  if (info.is_q35) return kLinkIrqs[(pci_device(at) == 31 ? index : index + pci_device(at)) & 3];
  return kLinkIrqs[(index + pci_device(at) - 1) & 3];
}

void route_interrupts() {
  const BootInfo& info = boot_info();
  for (u32 i = 0; i < info.pci_count; i++) {
    const PciFunction& f = info.pci[i];
    const bool is_isa_bridge = f.base_class == 6 && f.sub_class == 1;
    if (is_isa_bridge && f.vendor == 0x8086) {
      for (u32 link = 0; link < 4; link++) pci_write8(f.address, 0x60 + link, kLinkIrqs[link]);
      for (u32 link = 0; info.is_q35 && link < 4; link++) pci_write8(f.address, 0x68 + link, kLinkIrqs[link]);
    }
    const u8 pin = pci_read8(f.address, 0x3D);
    if (pin >= 1 && pin <= 4) pci_write8(f.address, 0x3C, irq_of(f.address, pin));
    if ((f.header_type & 0x7F) == 1) {
      pci_write16(f.address, 0x04, static_cast<u16>(pci_read16(f.address, 0x04) | 0x107));
    }
  }
  out8(0x4D0, 0x00);  // edge/level register: IRQ 10 and 11 are PCI's, level
  out8(0x4D1, 0x0C);
}

// VGA behind a bridge: every bridge on its path forwards the legacy ranges [PCI Bridge 3.2.5.18].
void route_vga() {
  const BootInfo& info = boot_info();
  for (u32 i = 0; i < info.pci_count; i++) {
    if (info.pci[i].base_class != 3 || info.pci[i].sub_class != 0) continue;
    u32 bus = pci_bus(info.pci[i].address);
    for (u32 b = info.pci_count; b-- > 0 && bus != 0;) {
      const PciFunction& f = info.pci[b];
      if ((f.header_type & 0x7F) != 1 || pci_read8(f.address, 0x19) != bus) continue;
      pci_write16(f.address, 0x3E, static_cast<u16>(pci_read16(f.address, 0x3E) | 8));
      bus = pci_bus(f.address);
    }
    return;
  }
}

}  // namespace

u8 pci_irq_of_link(u32 link) { return kLinkIrqs[link & 3]; }

void initialise_pci() {
  if (pci_read16(0, 0) == 0xFFFF) return;
  if (boot_info().is_q35) {
    pci_write32(0, 0x64, 0);
    pci_write32(0, 0x60, 0xB0000001);  // extended configuration space, 256 MiB [Q35 5.1.16]
  }
  scan_bus(0);
  place_everything();
  route_interrupts();
  route_vga();
  print("pci: %u functions on %u buses\n", boot_info().pci_count, g_bus_count + 1);
}

}  // namespace xm::fw
