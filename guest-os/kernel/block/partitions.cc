// SPDX-License-Identifier: GPL-2.0-or-later
// The partition table of a PC disk: a GUID partition table [UEFI 5.3], or four entries in the MBR and logical
// partitions as a chain of extended boot records. Free of hardware: unit-tested on the host.
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

struct GptHeader {
  u64 signature;
  u32 revision, size, header_crc, reserved;
  u64 this_lba, other_lba, first_usable, last_usable;
  u8 disk_guid[16];
  u64 entries_lba;
  u32 entry_count, entry_size, entries_crc;
} __attribute__((packed));
struct GptEntry {
  u8 type[16], guid[16];
  u64 first, last;  // both included
};
constexpr u64 kGptSignature = 0x5452415020494645;  // "EFI PART"

u32 crc32(u32 crc, const u8* data, u32 n) {
  for (u32 i = 0; i < n; ++i) {
    crc ^= data[i];
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ ((crc & 1) != 0 ? 0xedb88320 : 0);
  }
  return crc;
}

bool read_gpt_header(const partition_reader& reader, u64 lba, GptHeader& h) {
  u8 sector[512];
  if (!reader.read(lba, sector)) return false;
  memcpy(&h, sector, sizeof h);
  if (h.signature != kGptSignature || h.this_lba != lba || h.size < sizeof h || h.size > sizeof sector) return false;
  memset(sector + offsetof(GptHeader, header_crc), 0, 4);
  return ~crc32(~0u, sector, h.size) == h.header_crc && h.entry_size >= sizeof(GptEntry) && h.entry_size <= 512 &&
         512 % h.entry_size == 0 && h.entry_count <= 1024;
}

}  // namespace

u32 scan_gpt(const partition_reader& reader, u64 disk_sectors, partition_entry* out, u32 limit) {
  GptHeader h;
  if (disk_sectors < 34) return 0;
  if (!read_gpt_header(reader, 1, h) && !read_gpt_header(reader, disk_sectors - 1, h)) return 0;
  u32 count = 0, crc = ~0u;
  const u32 per_sector = 512 / h.entry_size;
  for (u32 i = 0; i < h.entry_count; ++i) {
    u8 sector[512];
    if (i % per_sector != 0) continue;
    if (!reader.read(h.entries_lba + i / per_sector, sector)) return 0;
    const u32 here = min(per_sector, h.entry_count - i);
    crc = crc32(crc, sector, here * h.entry_size);
    for (u32 k = 0; k < here; ++k) {
      GptEntry e;
      memcpy(&e, sector + k * h.entry_size, sizeof e);
      static constexpr u8 kUnused[16]{};
      const bool used = memcmp(e.type, kUnused, 16) != 0 && e.first <= e.last && e.last < disk_sectors;
      if (used && count < limit) out[count++] = {i + k + 1, e.first, e.last - e.first + 1};
    }
  }
  return ~crc == h.entries_crc ? count : 0;
}

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
