// SPDX-License-Identifier: GPL-2.0-or-later
// Boots a CD by El Torito: boot record in sector 17, catalog, then no emulation, or a floppy or hard disk made of a
// part of the CD [El Torito 2]. GAP: of a catalog with several sections only the default entry is offered.
#include "boot/boot.h"

namespace xm::fw {
namespace {

u8 g_sector[2048];

bool read_sector(Drive& drive, u32 sector) {
  return transfer(drive, Direction::Read, sector, 1, {near_offset(g_sector), kDataSegment}) == DiskStatus::Ok;
}

u32 le32(const u8* p) { return p[0] | u32{p[1]} << 8 | u32{p[2]} << 16 | u32{p[3]} << 24; }
u16 le16(const u8* p) { return static_cast<u16>(p[0] | p[1] << 8); }

// Geometry of the emulated drive: floppies by their media type, a hard disk by its partition table's end.
void choose_emulated_geometry(CdEmulation& e) {
  constexpr Geometry kFloppies[] = {{80, 2, 15}, {80, 2, 18}, {80, 2, 36}};
  if (e.media >= 1 && e.media <= 3) {
    e.geometry = kFloppies[e.media - 1];
    e.sectors = u32{e.geometry.cylinders} * e.geometry.heads * e.geometry.sectors;
    return;
  }
  u8 mbr[512];
  e.sectors = 1;
  emulation_read(0, 1, {near_offset(mbr), kDataSegment});
  const u8* partition = mbr + 446;
  e.geometry = {static_cast<u16>((partition[7] | (partition[6] & 0xC0) << 2) + 1), static_cast<u16>(partition[5] + 1),
                static_cast<u8>(partition[6] & 0x3F)};
  if (!e.geometry.sectors) e.geometry.sectors = 63;
  e.sectors = le32(partition + 8) + le32(partition + 12);
}

}  // namespace

void boot_cd(u8 drive_index) {
  Drive& drive = g_drives[drive_index];
  if (!atapi_prepare(drive)) return print("No disc.\n");
  constexpr char kSystem[] = "EL TORITO SPECIFICATION";
  if (!read_sector(drive, 17) || memcmp(g_sector, "\0CD001\1", 7) != 0 ||
      memcmp(g_sector + 7, kSystem, sizeof kSystem - 1) != 0) {
    return print("Not a bootable disc.\n");
  }
  if (!read_sector(drive, le32(g_sector + 0x47))) return print("Cannot read the boot catalog.\n");
  const u8* entry = g_sector + 32;
  if (g_sector[0] != 1 || g_sector[30] != 0x55 || g_sector[31] != 0xAA || entry[0] != 0x88) {
    return print("The boot catalog has no default entry.\n");
  }
  CdEmulation e{};
  e.media = entry[1] & 0x0F;
  e.load_segment = le16(entry + 2) ? le16(entry + 2) : u16{0x07C0};
  e.load_sectors = le16(entry + 6) ? le16(entry + 6) : u16{1};
  e.image_block = le32(entry + 8);
  e.cd = drive_index;
  u8 place = 0;
  while (place < g_cd_count && g_cds[place] != drive_index) place++;
  e.number = e.media == 0 ? static_cast<u8>(0xE0 + place) : e.media == 4 ? u8{0x80} : u8{0x00};
  g_emulation = e;
  const u32 to = u32{e.load_segment} << 4;
  if (to + e.load_sectors * 512u > 0xA0000) return print("The boot image is too large.\n");
  if (e.media == 0) {
    if (read_blocks(drive, e.image_block, (e.load_sectors + 3u) / 4, to) != DiskStatus::Ok) {
      return print("Cannot read the boot image.\n");
    }
  } else {
    choose_emulated_geometry(g_emulation);
    g_emulation.active = true;
    if (emulation_read(0, e.load_sectors, {0, e.load_segment}) != DiskStatus::Ok) {
      g_emulation.active = false;
      return print("Cannot read the boot image.\n");
    }
    if (e.media != 4) set_bda<u16>(bda_at::kEquipment, bda<u16>(bda_at::kEquipment) | 0x41);
  }
  FarCall jump;
  jump.dx = e.number;
  jump.ax = 0xAA55;
  // 07C0:0 is entered as 0000:7C00, which old boot sectors count on.
  const bool usual = e.load_segment == 0x07C0;
  jump.cs = usual ? u16{0} : e.load_segment;
  jump.ip = usual ? 0x7C00 : 0;
  jump.flags = kInterruptFlag | 2;
  jump.arguments[1] = 0x7C00;
  jump_out(&jump);
}

}  // namespace xm::fw
