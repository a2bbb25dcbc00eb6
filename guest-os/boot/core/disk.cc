// SPDX-License-Identifier: GPL-2.0-or-later
// INT 13h: extensions [EDD 3.0] where they are, cylinder-head-sector otherwise; CDs have sectors of 2048 bytes. Data
// goes through a buffer that real mode can reach, so reads end up anywhere in memory.
#include "boot/core/disk.h"

#include "boot/core/bios.h"
#include "boot/core/memory.h"
#include "boot/core/report.h"

namespace xm::boot {
namespace {

// What is known of the drive that was used last; asked anew when another one is read.
struct Drive {
  int number = -1;
  bool extended = false;
  u32 shift = 9;  // bytes of a sector, as a power of two
  u32 heads = 0, track = 0;
  u64 sectors = 0;
};
Drive drive;

bool by_extension(u8 number, Drive& d) {
  BiosRegs r{};
  r.eax = 0x4100;
  r.ebx = 0x55aa;
  r.edx = number;
  bios_call(0x13, r);
  if (r.carry() || (r.ebx & 0xffff) != 0xaa55 || (r.ecx & 1) == 0) return false;
  u8* parameters = physical(kPacket + 32);
  memset(parameters, 0, 0x1e);
  poke<u16>(parameters, 0, 0x1a);
  r = {};
  r.eax = 0x4800;
  r.edx = number;
  r.esi = kPacket + 32;
  bios_call(0x13, r);
  if (r.carry()) return false;
  d.extended = true;
  d.shift = peek<u16>(parameters, 0x18) == 2048 ? 11 : peek<u16>(parameters, 0x18) == 4096 ? 12 : 9;
  d.sectors = peek<u64>(parameters, 0x10);
  return true;
}

bool by_geometry(u8 number, Drive& d) {
  BiosRegs r{};
  r.eax = 0x0800;
  r.edx = number;
  bios_call(0x13, r);
  if (r.carry() || (r.ecx & 0x3f) == 0) return false;
  d.track = r.ecx & 0x3f;
  d.heads = (r.edx >> 8 & 0xff) + 1;
  d.sectors = static_cast<u64>((r.ecx >> 8 & 0xff) | (r.ecx & 0xc0) << 2) + 1;
  d.sectors *= d.heads * d.track;
  return true;
}

bool select(u8 number) {
  if (drive.number == number) return true;
  Drive found;
  found.number = number;
  if (!by_extension(number, found) && !by_geometry(number, found)) return fail("no BIOS drive %x", number);
  drive = found;
  return true;
}

// One BIOS call: `count` sectors of the drive's size into the bounce buffer.
bool read_once(u64 sector, u32 count) {
  BiosRegs r{};
  r.edx = static_cast<u32>(drive.number);
  if (drive.extended) {
    u8* packet = physical(kPacket);
    poke<u16>(packet, 0, 16);
    poke<u16>(packet, 2, static_cast<u16>(count));
    poke<u32>(packet, 4, kBounce >> 4 << 16);
    poke<u64>(packet, 8, sector);
    r.eax = 0x4200;
    r.esi = kPacket;
    bios_call(0x13, r);
    return !r.carry();
  }
  const u32 lba = static_cast<u32>(sector);
  const u32 cylinder = lba / drive.track / drive.heads;
  if (cylinder > 1023) return false;
  r.eax = 0x0200 | count;
  r.ecx = (cylinder & 0xff) << 8 | (cylinder >> 2 & 0xc0) | (lba % drive.track + 1);
  r.edx |= lba / drive.track % drive.heads << 8;
  r.es = kBounce >> 4;
  bios_call(0x13, r);
  return !r.carry();
}

bool read_sectors(u64 sector, u32 count) {
  for (int attempt = 0; attempt < 3; ++attempt) {
    if (read_once(sector, count)) return true;
    BiosRegs r{};  // reset the drive, then once more
    r.edx = static_cast<u32>(drive.number);
    bios_call(0x13, r);
  }
  return fail("cannot read sector %u of BIOS drive %x", static_cast<u32>(sector), static_cast<u32>(drive.number));
}

}  // namespace

bool open_disk(u8 number, Volume& disk) {
  if (!select(number)) return false;
  disk = {};
  disk.drive = number;
  disk.sectors = drive.sectors << (drive.shift - 9);
  return true;
}

bool read_volume(const Volume& volume, u64 offset, void* to, u32 length) {
  if (!select(volume.drive)) return false;
  if (volume.sectors != 0 && (offset + length + 511) >> 9 > volume.sectors)
    return fail("the file system points outside its partition (sector %u)", static_cast<u32>(offset >> 9));
  u64 at = (volume.start << 9) + offset;
  u8* out = static_cast<u8*>(to);
  while (length > 0) {
    const u64 sector = at >> drive.shift;
    const u32 skip = static_cast<u32>(at) & ((1u << drive.shift) - 1);
    u32 count = (skip + length + (1u << drive.shift) - 1) >> drive.shift;
    if (count > kBounceSize >> drive.shift) count = kBounceSize >> drive.shift;
    if (!drive.extended) {  // not across a track
      const u32 left = drive.track - static_cast<u32>(sector) % drive.track;
      if (count > left) count = left;
    }
    if (!read_sectors(sector, count)) return false;
    u32 bytes = (count << drive.shift) - skip;
    if (bytes > length) bytes = length;
    memcpy(out, physical(kBounce + skip), bytes);
    out += bytes;
    at += bytes;
    length -= bytes;
  }
  return true;
}

namespace {

constexpr u8 kProtective = 0xee;
bool extended_type(u8 type) { return type == 0x05 || type == 0x0f || type == 0x85; }

bool open_gpt(const Volume& disk, u32 number, Volume& partition) {
  u8 header[92], entry[128];
  if (!read_volume(disk, 512, header, sizeof header)) return false;
  if (memcmp(header, "EFI PART", 8) != 0) return fail("a protective MBR, but no GPT behind it");
  const u32 size = peek<u32>(header, 84);
  if (number > peek<u32>(header, 80) || size < 128) return fail("no partition %u", number);
  if (!read_volume(disk, (peek<u64>(header, 72) << 9) + static_cast<u64>(number - 1) * size, entry, sizeof entry))
    return false;
  partition.start = peek<u64>(entry, 32);
  partition.sectors = peek<u64>(entry, 40) - partition.start + 1;
  if (peek<u64>(entry, 0) == 0 && peek<u64>(entry, 8) == 0) return fail("no partition %u", number);
  return true;
}

// Logical partitions: a chain of small tables, each relative to the extended partition or to itself.
bool open_logical(const Volume& disk, u64 extended, u32 number, Volume& partition) {
  u64 table = extended;
  u8 sector[512];
  for (u32 n = 5; n <= kMaxPartitions; ++n) {
    if (!read_volume(disk, table << 9, sector, sizeof sector)) return false;
    if (peek<u16>(sector, 510) != 0xaa55) break;
    if (n == number) {
      memcpy(partition.entry, sector + 446, 16);
      partition.start = table + peek<u32>(sector, 446 + 8);
      partition.sectors = peek<u32>(sector, 446 + 12);
      return partition.sectors != 0 || fail("no partition %u", number);
    }
    if (!extended_type(sector[446 + 16 + 4])) break;
    table = extended + peek<u32>(sector, 446 + 16 + 8);
  }
  return fail("no partition %u", number);
}

}  // namespace

bool open_partition(const Volume& disk, u32 number, Volume& partition) {
  u8 sector[512];
  partition = disk;
  partition.partition = static_cast<u8>(number);
  if (!read_volume(disk, 0, sector, sizeof sector)) return false;
  if (number == 0 || peek<u16>(sector, 510) != 0xaa55) return fail("no partition table");
  u64 extended = 0;
  for (u32 i = 0; i < 4; ++i) {
    const u8* entry = sector + 446 + 16 * i;
    if (entry[4] == kProtective) return open_gpt(disk, number, partition);
    if (extended_type(entry[4])) extended = peek<u32>(entry, 8);
    if (i + 1 != number) continue;
    memcpy(partition.entry, entry, 16);
    partition.start = peek<u32>(entry, 8);
    partition.sectors = peek<u32>(entry, 12);
    return (entry[4] != 0 && partition.sectors != 0) || fail("no partition %u", number);
  }
  return extended != 0 ? open_logical(disk, extended, number, partition) : fail("no partition %u", number);
}

bool parse_volume(const char* name, size_t length, Volume& volume) {
  const char* at = name;
  const char* end = name + length;
  if (at < end && *at == '(') ++at;
  if (at < end && end[-1] == ')') --end;
  const bool hard = end - at >= 3 && starts_with(at, "hd"), floppy = end - at >= 3 && starts_with(at, "fd");
  u32 numbers[2] = {0, 0};
  u32 count = 0;
  for (const char* p = at + 2; (hard || floppy) && p < end; ++count) {
    if (count == 2 || *p < '0' || *p > '9') return fail("a volume is named hdN, hdN,PARTITION or fdN");
    while (p < end && *p >= '0' && *p <= '9') numbers[count] = numbers[count] * 10 + static_cast<u32>(*p++ - '0');
    if (p < end && *p == ',') ++p;
  }
  if (count == 0 || numbers[0] > 127) return fail("a volume is named hdN, hdN,PARTITION or fdN");
  Volume disk;
  if (!open_disk(static_cast<u8>((hard ? 0x80 : 0) + numbers[0]), disk)) return false;
  volume = disk;
  return count == 1 || open_partition(disk, numbers[1], volume);
}

void volume_name(const Volume& volume, char* text, size_t size) {
  const u32 number = volume.drive & 0x7f;
  const char* kind = volume.drive < 0x80 ? "fd" : "hd";
  if (volume.partition == 0)
    print_to(text, size, "(%s%u)", kind, number);
  else
    print_to(text, size, "(%s%u,%u)", kind, number, static_cast<u32>(volume.partition));
}

}  // namespace xm::boot
