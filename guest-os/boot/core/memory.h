// SPDX-License-Identifier: GPL-2.0-or-later
// Where things lie while the loader runs, and the memory map of the BIOS.
//
//   0x00500  real-mode stack of BIOS calls (below 0x7000)
//   0x07800  packet and buffers of BIOS calls
//   0x07c00  boot sector of a chain-loaded system
//   0x10000  boot_params or Multiboot information, command line behind (the packed core, no longer needed, lay here)
//   0x20000  loader core, stack below 0x70000
//   0x70000  bounce buffer of disk reads
//   1 MiB    the system to start; its initrd at the top of memory
#pragma once

#include "boot/core/types.h"

namespace xm::boot {

constexpr u32 kBootParams = 0x10000, kCommandLine = 0x11000, kCommandLineSize = 0x1000, kModuleList = 0x12000;
constexpr u32 kPacket = 0x7800, kMemoryMapEntry = 0x7880;  // reached by real mode with DS = ES = 0
constexpr u32 kBounce = 0x70000, kBounceSize = 0xfe00;     // 127 sectors: some BIOSes take no more

struct MemoryRange {
  u64 base, size;
  u32 type;  // 1: usable
};
constexpr u32 kMaxRanges = 128;
struct MemoryMap {
  u32 count = 0;
  MemoryRange ranges[kMaxRanges];
  u32 conventional_kib = 0;  // INT 12h
  u32 extended_kib = 0;      // above 1 MiB, up to the first hole
};

// Asks the BIOS once: INT 15h E820h, else E801h, else 88h.
const MemoryMap& memory_map();
// True if all of the range is usable memory at or above 1 MiB.
bool usable_memory(u64 base, u64 size);
// The highest place for `size` bytes below `limit`, not below `floor`, page aligned, and below what was handed out
// before; 0 if none.
u32 allocate_high(u64 size, u64 floor, u64 limit);
// Gives back all that allocate_high gave.
void release_high();

}  // namespace xm::boot
