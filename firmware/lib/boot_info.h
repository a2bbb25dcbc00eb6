// SPDX-License-Identifier: GPL-2.0-or-later
// What POST (32-bit) finds out and the services and boot code (16-bit) use. It is the first thing in the services' data
// segment, at physical address E0000, and the only contract between the two images that make up the ROM.
#pragma once

#include "lib/io.h"

namespace xm::fw {

constexpr u32 kDataSegmentBase = 0xE0000;  // shadow RAM: variables, stack, constants of the services
constexpr u32 kCodeSegmentBase = 0xF0000;  // shadow RAM: code of the services, tables that must lie in the F segment
constexpr u32 kEbdaBase = 0x9FC00;         // extended BIOS data area, the last KiB of conventional memory

enum class MemoryKind : u32 { Ram = 1, Reserved = 2, AcpiReclaim = 3, AcpiNvs = 4, Bad = 5 };

struct [[gnu::packed]] MemoryRange {
  u64 base;
  u64 length;
  MemoryKind kind;
};
static_assert(sizeof(MemoryRange) == 20, "INT 15h E820 returns 20-byte entries");

struct PciFunction {
  PciAddress address;
  u16 vendor;
  u16 device;
  u8 base_class;
  u8 sub_class;
  u8 interface;
  u8 header_type;
};

struct BootInfo {
  // Free room in the F segment for tables: between code and fixed entry points, and between two of those. The linker
  // sets both, POST takes from them.
  struct {
    u16 free, end;
  } fseg[2];
  u32 ram_below_4g;
  u64 ram_above_4g;
  u32 pool_base;  // reserved RAM below 4 GiB for rings and buffers of the 16-bit drivers
  u32 pool_end;
  u32 high_free;        // end of the RAM below 4 GiB that nobody has reserved
  u32 option_rom_next;  // where the next option ROM may be copied
  u16 cpu_count;
  u16 fw_cfg_features;     // 0: no fw_cfg; else bit 0 always, bit 1: DMA interface
  u16 screen_serial_port;  // etc/sercon-port: the port that mirrors INT 10h, or 0
  u8 is_q35;
  u16 memory_count;
  MemoryRange memory[48];
  u16 pci_count;
  PciFunction pci[64];
  u16 log_length;
  char log[1536];
};
static_assert(sizeof(BootInfo) == 3188, "services/entry.S reserves this much");

}  // namespace xm::fw
