// SPDX-License-Identifier: GPL-2.0-or-later
// The list of drives: adding, geometry, numbering, and transfers by kind.
#include "services/disk.h"

namespace xm::fw {

Drive g_drives[kMaxDrives];
u8 g_drive_count;
u8 g_floppies[2], g_floppy_count;
u8 g_hard_disks[kMaxDrives], g_hard_disk_count;
u8 g_cds[kMaxDrives], g_cd_count;

// Port 61 bit 4 toggles with every refresh request: about 66,287 changes a second [IBM AT, port B].
Deadline::Deadline(u32 milliseconds)
    : toggles_left_(milliseconds * 66u + 1), last_(static_cast<u8>(in8(0x61) & 0x10)) {}

bool Deadline::passed() {
  const u8 now = in8(0x61) & 0x10;
  if (now != last_ && toggles_left_) toggles_left_--;
  last_ = now;
  return toggles_left_ == 0;
}

Drive* add_drive(DriveKind kind) {
  if (g_drive_count == kMaxDrives) return nullptr;
  Drive& d = g_drives[g_drive_count];
  d.kind = kind;
  d.order = g_drive_count++;
  return &d;
}

// The usual translation: as few heads as reach the size with 63 sectors and at most 1024 cylinders ("LBA assist").
void choose_geometry(Drive& d) {
  constexpr u16 kHeads[] = {16, 32, 64, 128, 255};
  d.logical.sectors = 63;
  for (u16 heads : kHeads) {
    d.logical.heads = heads;
    const u64 cylinders = divide(d.blocks, heads * 63u);
    d.logical.cylinders = static_cast<u16>(min<u64>(max<u64>(cylinders, 1), 1024));
    if (cylinders <= 1024) break;
  }
  if (!d.physical.sectors) d.physical = d.logical;
}

void number_drives() {
  g_floppy_count = g_hard_disk_count = g_cd_count = 0;
  // Insertion by priority keeps the order of discovery among equals.
  auto insert = [](u8* list, u8& count, u8 index) {
    u8 at = count++;
    while (at > 0 && g_drives[list[at - 1]].priority > g_drives[index].priority) {
      list[at] = list[at - 1];
      at--;
    }
    list[at] = index;
  };
  for (u8 i = 0; i < g_drive_count; i++) {
    switch (g_drives[i].kind) {
      case DriveKind::Floppy:
        if (g_floppy_count < 2) insert(g_floppies, g_floppy_count, i);
        break;
      case DriveKind::AtapiCd: insert(g_cds, g_cd_count, i); break;
      case DriveKind::Ata:
      case DriveKind::VirtioBlock: insert(g_hard_disks, g_hard_disk_count, i); break;
    }
  }
  set_bda<u8>(bda_at::kDiskCount, g_hard_disk_count);
}

Drive* drive_of_number(u8 number) {
  if (g_emulation.active && number < 0xE0 && (number & 0x80) == (g_emulation.number & 0x80)) {
    if (number == g_emulation.number) return nullptr;
    number--;  // the emulated drive pushed the real ones up by one
  }
  if (number >= 0xE0) return number - 0xE0 < g_cd_count ? &g_drives[g_cds[number - 0xE0]] : nullptr;
  if (number >= 0x80) return number - 0x80 < g_hard_disk_count ? &g_drives[g_hard_disks[number - 0x80]] : nullptr;
  return number < g_floppy_count ? &g_drives[g_floppies[number]] : nullptr;
}

DiskStatus transfer(Drive& drive, Direction direction, u64 block, u16 count, FarPointer buffer) {
  if (!count) return DiskStatus::Ok;
  if (drive.kind != DriveKind::AtapiCd && (block >= drive.blocks || drive.blocks - block < count)) {
    return DiskStatus::SectorNotFound;
  }
  switch (drive.kind) {
    case DriveKind::Floppy: return floppy_transfer(drive, direction, block, count, buffer);
    case DriveKind::Ata: return ata_transfer(drive, direction, block, count, buffer);
    case DriveKind::VirtioBlock: return virtio_transfer(drive, direction, block, count, buffer);
    case DriveKind::AtapiCd:
      return direction == Direction::Read ? atapi_read(drive, block, count, buffer) : DiskStatus::WriteProtected;
  }
  return DiskStatus::BadCommand;
}

DiskStatus read_blocks(Drive& drive, u64 block, u32 count, u32 to) {
  const u16 most = static_cast<u16>(0x8000 / drive.block_bytes);
  while (count) {
    const u16 part = static_cast<u16>(min<u32>(count, most));
    const FarPointer buffer{static_cast<u16>(to & 15), static_cast<u16>(to >> 4)};
    const DiskStatus status = transfer(drive, Direction::Read, block, part, buffer);
    if (status != DiskStatus::Ok) return status;
    block += part;
    count -= part;
    to += u32{part} * drive.block_bytes;
  }
  return DiskStatus::Ok;
}

}  // namespace xm::fw
