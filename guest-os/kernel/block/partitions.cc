// SPDX-License-Identifier: GPL-2.0-or-later
// The partition table of a PC disk: four entries in the MBR, logical partitions as a chain of extended boot records.
// Free of hardware: unit-tested on the host. GAP: GPT is not read (a protective entry shows as one partition).
#include "kernel/block/partitions.h"

#include "kernel/lib/string.h"

namespace xm::os {
namespace {

constexpr u32 kTableOffset = 446, kEntrySize = 16, kSignatureOffset = 440;

struct RawEntry {
  u8 type;
  u32 start, sectors;
};
RawEntry entry_at(const u8* sector, u32 index) {
  const u8* e = sector + kTableOffset + index * kEntrySize;
  RawEntry raw{e[4], 0, 0};
  memcpy(&raw.start, e + 8, 4);
  memcpy(&raw.sectors, e + 12, 4);
  return raw;
}
bool is_extended(u8 type) { return type == 0x05 || type == 0x0f || type == 0x85; }
bool has_magic(const u8* sector) { return sector[510] == 0x55 && sector[511] == 0xaa; }

// A FAT or NTFS boot sector also ends in 55 AA: a real table has boot flags of 00 or 80 only.
bool is_table(const u8* sector) {
  for (u32 i = 0; i < 4; ++i) {
    if ((sector[kTableOffset + i * kEntrySize] & 0x7f) != 0) return false;
  }
  return has_magic(sector);
}

}  // namespace

u32 scan_mbr(const partition_reader& reader, u64 disk_sectors, partition_entry* out, u32 limit, u32* signature) {
  u8 sector[512];
  if (!reader.read(0, sector) || !is_table(sector)) return 0;
  memcpy(signature, sector + kSignatureOffset, 4);
  u32 count = 0;
  u64 extended = 0;
  const auto add = [&](u32 number, u64 start, u64 sectors) {
    if (count < limit && start < disk_sectors) out[count++] = {number, start, min(sectors, disk_sectors - start)};
  };
  for (u32 i = 0; i < 4; ++i) {
    const RawEntry e = entry_at(sector, i);
    if (e.type == 0 || e.sectors == 0 || e.start == 0) continue;
    if (is_extended(e.type) && extended == 0) extended = e.start;
    add(i + 1, e.start, is_extended(e.type) ? 2 : e.sectors);
  }
  u64 record = extended;
  for (u32 number = 5; record != 0 && record < disk_sectors && number < 5 + limit; ++number) {
    if (!reader.read(record, sector) || !has_magic(sector)) break;
    const RawEntry logical = entry_at(sector, 0), following = entry_at(sector, 1);
    if (logical.type != 0 && logical.sectors != 0) add(number, record + logical.start, logical.sectors);
    record = is_extended(following.type) && following.start != 0 ? extended + following.start : 0;
  }
  return count;
}

}  // namespace xm::os
