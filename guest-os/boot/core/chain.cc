// SPDX-License-Identifier: GPL-2.0-or-later
// Chain loading: the first sector of a disk or partition, as the BIOS or an MBR would start it.
#include "boot/core/memory.h"
#include "boot/core/report.h"
#include "boot/core/system.h"

namespace xm::boot {

extern "C" [[noreturn]] void start_sector(u32 drive);

namespace {
Volume target;
constexpr u32 kSectorAddress = 0x7c00, kPartitionEntry = 0x7be;
}  // namespace

bool load_sector(const Volume& volume) {
  u8 sector[512];
  char name[24];
  volume_name(volume, name, sizeof name);
  if (!read_volume(volume, 0, sector, sizeof sector)) return fail("%s: %s", name, failure());
  if (peek<u16>(sector, 510) != 0xaa55) return fail("%s has no boot sector", name);
  memcpy(physical(kSectorAddress), sector, sizeof sector);
  target = volume;
  return true;
}

void start_sector_now() {
  memcpy(physical(kPartitionEntry), target.entry, sizeof target.entry);
  start_sector(target.drive);
}

}  // namespace xm::boot
