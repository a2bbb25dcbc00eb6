// SPDX-License-Identifier: GPL-2.0-or-later
// The steps of POST, in the order post_main takes them, and what they offer each other.
#pragma once

#include "lib/platform.h"

namespace xm::fw {

void initialise_serial_log();

// Chipset: shadow RAM, A20, interrupt and DMA controllers, timer, clock.
void shadow_firmware();
void protect_firmware();
void initialise_legacy_chips();
void initialise_power_management();

// Memory: sizes, the E820 map, and reserved pieces at the top of the RAM below 4 GiB and in the F segment.
void detect_memory();
void add_memory_range(u64 base, u64 length, MemoryKind kind);
u32 allocate_high(u32 size, u32 alignment);
u32 allocate_fseg(u32 size, u32 alignment);
void finish_memory_map();

// Processors: caching attributes and the virtual wire, on all of them.
void initialise_processors();

// PCI: bus numbers, base addresses, interrupt lines; fills boot_info().pci.
void initialise_pci();
u8 pci_irq_of_link(u32 link);

// Tables for the operating system.
void load_acpi_tables();
void install_smbios();
void build_mp_table();

u8 checksum(const void* data, u32 length);

template <class T>
inline T& physical(u32 address) {
  return *reinterpret_cast<T*>(address);
}
inline u8* bytes_at(u32 address) { return reinterpret_cast<u8*>(address); }

}  // namespace xm::fw
