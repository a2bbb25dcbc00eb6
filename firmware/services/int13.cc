// SPDX-License-Identifier: GPL-2.0-or-later
// INT 13h, disk services: CHS functions [IBM AT BIOS], extensions 41-48 [EDD 3], El Torito 4A-4B [El Torito 3].
// GAP: formatting hard disks (05-07) answers without doing anything; nothing needs it on such drives.
#include "services/disk.h"

namespace xm::fw {

CdEmulation g_emulation;

namespace {

void finish(Frame& f, DiskStatus status, u8 number) {
  f.ah = static_cast<u8>(status);
  f.set_carry(status != DiskStatus::Ok);
  set_bda<u8>(number & 0x80 ? bda_at::kDiskStatus : bda_at::kFloppyStatus, static_cast<u8>(status));
}

struct DiskAddressPacket {
  u8 size;
  u8 reserved;
  u16 count;
  FarPointer buffer;
  u64 block;
};
static_assert(sizeof(DiskAddressPacket) == 16);

// What the CHS functions see: a drive, or the emulated one.
struct Target {
  Drive* drive;
  bool emulated;
  Geometry geometry;
};

DiskStatus move_sectors(const Target& t, Direction direction, u64 sector, u16 count, FarPointer buffer) {
  if (!t.emulated) return transfer(*t.drive, direction, sector, count, buffer);
  if (direction == Direction::Write) return DiskStatus::WriteProtected;
  return emulation_read(static_cast<u32>(sector), count, buffer);
}

void chs_transfer(Frame& f, const Target& t) {
  const u8 count = f.al, sector = f.cl & 0x3F;
  const u16 cylinder = static_cast<u16>(f.ch | (f.cl & 0xC0) << 2);
  const u8 head = f.dh, number = f.dl;
  if (count == 0 || count > 128 || sector == 0 || sector > t.geometry.sectors || head >= t.geometry.heads) {
    f.al = 0;
    return finish(f, DiskStatus::BadCommand, number);
  }
  const u32 block = (u32{cylinder} * t.geometry.heads + head) * t.geometry.sectors + sector - 1u;
  DiskStatus status = DiskStatus::Ok;
  if (f.ah != 4) {
    status = move_sectors(t, f.ah == 3 ? Direction::Write : Direction::Read, block, count, {f.bx, f.es});
  }
  if (status != DiskStatus::Ok) f.al = 0;
  finish(f, status, number);
}

void parameters(Frame& f, const Target& t) {
  const u8 number = f.dl;
  const u16 last = static_cast<u16>(min<u16>(t.geometry.cylinders, 1024) - 1);
  f.ch = static_cast<u8>(last);
  f.cl = static_cast<u8>(t.geometry.sectors | (last >> 2 & 0xC0));
  f.dh = static_cast<u8>(t.geometry.heads - 1);
  f.dl = number & 0x80 ? static_cast<u8>(g_hard_disk_count + (g_emulation.active && g_emulation.number == 0x80))
                       : static_cast<u8>(g_floppy_count + (g_emulation.active && g_emulation.number == 0));
  f.al = 0;
  f.bl = number & 0x80 ? f.bl : u8{4};
  if (!(number & 0x80)) {
    f.es = kCodeSegment;
    f.di = 0xEFC7;
  }
  finish(f, DiskStatus::Ok, number);
}

void drive_type(Frame& f, const Target& t) {
  const u8 number = f.dl;
  if (!(number & 0x80)) {
    finish(f, DiskStatus::Ok, number);
    f.ah = 1;
    return;
  }
  const u32 sectors = u32{t.geometry.cylinders} * t.geometry.heads * t.geometry.sectors;
  finish(f, DiskStatus::Ok, number);
  f.ah = 3;
  f.cx = static_cast<u16>(sectors >> 16);
  f.dx = static_cast<u16>(sectors);
}

void extended_transfer(Frame& f, const Target& t) {
  const u8 number = f.dl;
  DiskAddressPacket packet;
  copy_from_far(&packet, f.ds, f.si, sizeof packet);
  if (packet.size < 16) return finish(f, DiskStatus::BadCommand, number);
  const u64 blocks = t.emulated ? g_emulation.sectors : t.drive->blocks;
  const u32 block_bytes = t.emulated ? 512u : t.drive->block_bytes;
  DiskStatus status = DiskStatus::Ok;
  u16 done = 0;
  if (packet.block >= blocks && (t.emulated || t.drive->kind != DriveKind::AtapiCd)) status = DiskStatus::BadCommand;
  const bool moves = f.ah == 0x42 || f.ah == 0x43;
  const u16 most = static_cast<u16>(0xFE00 / block_bytes);
  u32 address = packet.buffer.linear();
  while (status == DiskStatus::Ok && done < packet.count && moves) {
    const u16 part = min<u16>(static_cast<u16>(packet.count - done), most);
    const FarPointer buffer{static_cast<u16>(address & 15), static_cast<u16>(address >> 4)};
    status = move_sectors(t, f.ah == 0x43 ? Direction::Write : Direction::Read, packet.block + done, part, buffer);
    if (status != DiskStatus::Ok) break;
    done = static_cast<u16>(done + part);
    address += part * block_bytes;
  }
  if (moves) poke<u16>(f.ds, static_cast<u16>(f.si + 2), done);
  finish(f, status, number);
}

struct [[gnu::packed]] DriveParameters {
  u16 size;
  u16 flags;
  u32 cylinders, heads, sectors;
  u64 blocks;
  u16 block_bytes;
  u32 configuration;  // none
  u16 key;
  u8 path_length;
  u8 reserved0[3];
  char bus[4];
  char interface[8];
  u8 interface_path[8];
  u8 device_path[8];
  u8 reserved1;
  u8 checksum;
};
static_assert(sizeof(DriveParameters) == 66);

void extended_parameters(Frame& f, const Target& t) {
  const u8 number = f.dl;
  const u16 room = peek<u16>(f.ds, f.si);
  if (room < 26) return finish(f, DiskStatus::BadCommand, number);
  DriveParameters p{};
  const bool is_cd = !t.emulated && t.drive->kind == DriveKind::AtapiCd;
  p.size = room >= 66 ? 66 : room >= 30 ? 30 : 26;
  p.flags = is_cd ? 0x0074 : 0x0002;  // removable, lockable, change line; or valid geometry
  if (is_cd) {
    p.cylinders = p.heads = p.sectors = 0xFFFFFFFF;
  } else {
    const Geometry& g = t.emulated ? t.geometry : t.drive->physical;
    p.cylinders = g.cylinders, p.heads = g.heads, p.sectors = g.sectors;
  }
  p.blocks = t.emulated ? g_emulation.sectors : is_cd && !t.drive->blocks ? ~u64{0} : t.drive->blocks;
  p.block_bytes = t.emulated ? u16{512} : t.drive->block_bytes;
  p.configuration = 0xFFFFFFFF;
  p.key = 0xBEDD;
  p.path_length = 36;
  memcpy(p.bus, "PCI ", 4);
  if (t.drive) {
    const bool ata = t.drive->kind != DriveKind::VirtioBlock;
    memcpy(p.interface, ata ? "ATA     " : "SCSI    ", 8);
    p.interface_path[0] = static_cast<u8>(pci_bus(t.drive->pci));
    p.interface_path[1] = static_cast<u8>(pci_device(t.drive->pci));
    p.interface_path[2] = static_cast<u8>(pci_function(t.drive->pci));
    p.interface_path[3] = ata ? t.drive->channel : u8{0xFF};
    p.device_path[0] = ata ? t.drive->unit : u8{0};
  }
  u8 sum = 0;
  const u8* bytes = reinterpret_cast<const u8*>(&p);
  for (u32 i = 30; i < 65; i++) sum = static_cast<u8>(sum + bytes[i]);
  p.checksum = static_cast<u8>(-sum);
  copy_to_far(f.ds, f.si, &p, p.size);
  finish(f, DiskStatus::Ok, number);
}

// Specification packet of functions 4A, 4B and 4C.
void emulation_status(Frame& f) {
  const CdEmulation& e = g_emulation;
  struct [[gnu::packed]] {
    u8 size, media, drive, controller;
    u32 image_block;
    u16 device, buffer_segment, load_segment, load_sectors;
    u8 cylinders, sectors, heads;
  } packet{};
  static_assert(sizeof packet == 19);
  packet.size = sizeof packet;
  packet.media = e.media;
  packet.drive = e.number;
  packet.controller = e.controller;
  packet.image_block = e.image_block;
  packet.device = g_drives[e.cd].unit;
  packet.load_segment = e.load_segment;
  packet.load_sectors = e.load_sectors;
  packet.cylinders = static_cast<u8>(e.geometry.cylinders - 1);
  packet.sectors = static_cast<u8>(e.geometry.sectors | ((e.geometry.cylinders - 1) >> 2 & 0xC0));
  packet.heads = static_cast<u8>(e.geometry.heads - 1);
  copy_to_far(f.ds, f.si, &packet, sizeof packet);
  if (f.al == 0) g_emulation.active = false;
  finish(f, DiskStatus::Ok, f.dl);
}

void fixed_disk(Frame& f, const Target& t) {
  const u8 number = f.dl;
  switch (f.ah) {
    case 0x00:
    case 0x05:
    case 0x09:
    case 0x0C:
    case 0x0D:
    case 0x10:
    case 0x11:
    case 0x14:
    case 0x45:
    case 0x46: finish(f, DiskStatus::Ok, number); break;
    case 0x01: {
      const u8 last = bda<u8>(number & 0x80 ? bda_at::kDiskStatus : bda_at::kFloppyStatus);
      finish(f, DiskStatus::Ok, number);
      f.ah = last;
      f.set_carry(last != 0);
      break;
    }
    case 0x02:
    case 0x03:
    case 0x04: chs_transfer(f, t); break;
    case 0x08: parameters(f, t); break;
    case 0x15: drive_type(f, t); break;
    case 0x41:
      if (f.bx != 0x55AA) return finish(f, DiskStatus::BadCommand, number);
      f.bx = 0xAA55;
      f.cx = number >= 0xE0 ? 7 : 5;  // fixed disk access, (locking and ejecting,) enhanced support
      finish(f, DiskStatus::Ok, number);
      f.ah = 0x30;  // EDD 3
      break;
    case 0x42:
    case 0x43:
    case 0x44:
    case 0x47: extended_transfer(f, t); break;
    case 0x48: extended_parameters(f, t); break;
    case 0x49: finish(f, number >= 0xE0 ? DiskStatus::DiskChanged : DiskStatus::Ok, number); break;
    case 0x4E: finish(f, DiskStatus::Ok, number); break;
    default: finish(f, DiskStatus::BadCommand, number); break;
  }
}

}  // namespace

DiskStatus emulation_read(u32 sector, u16 count, FarPointer buffer) {
  static u8 block[2048];
  if (sector >= g_emulation.sectors || g_emulation.sectors - sector < count) return DiskStatus::SectorNotFound;
  Drive& cd = g_drives[g_emulation.cd];
  u32 address = buffer.linear();
  while (count) {
    const u32 skip = sector & 3;
    if (skip == 0 && count >= 4) {  // whole blocks need no detour
      const u16 blocks = min<u16>(count / 4, 16);
      const FarPointer direct{static_cast<u16>(address & 15), static_cast<u16>(address >> 4)};
      const DiskStatus moved = transfer(cd, Direction::Read, g_emulation.image_block + sector / 4, blocks, direct);
      if (moved != DiskStatus::Ok) return moved;
      sector += blocks * 4u;
      address += blocks * 2048u;
      count = static_cast<u16>(count - blocks * 4);
      continue;
    }
    const u16 part = static_cast<u16>(min<u32>(count, 4 - skip));
    const FarPointer to{near_offset(block), kDataSegment};
    const DiskStatus status = transfer(cd, Direction::Read, g_emulation.image_block + sector / 4, 1, to);
    if (status != DiskStatus::Ok) return status;
    copy_to_far(static_cast<u16>(address >> 4), static_cast<u16>(address & 15), block + skip * 512, part * 512u);
    sector += part;
    address += part * 512u;
    count = static_cast<u16>(count - part);
  }
  return DiskStatus::Ok;
}

}  // namespace xm::fw

using namespace xm::fw;

extern "C" void int13(Frame* frame) {
  Frame& f = *frame;
  const bool is_emulated = g_emulation.active && f.dl == g_emulation.number;
  if (f.ah == 0x4B && (is_emulated || (g_emulation.number == f.dl && f.dl >= 0xE0))) return emulation_status(f);
  if (is_emulated && f.dl < 0xE0) return fixed_disk(f, {nullptr, true, g_emulation.geometry});
  Drive* drive = drive_of_number(f.dl);
  if (!drive) {
    if (f.ah == 0x08 || f.ah == 0x15) f.cx = f.dx = 0;
    if (f.ah == 0x15) {
      f.ah = 0;
      return f.set_carry(false);
    }
    return finish(f, f.ah == 0 ? DiskStatus::Ok : DiskStatus::BadCommand, f.dl);
  }
  if (drive->kind == DriveKind::Floppy) return int13_floppy(f, *drive);
  fixed_disk(f, {drive, false, drive->logical});
}

// INT 40h is where the floppy part of INT 13h moves when hard disks are present.
extern "C" void int40(Frame* frame) { int13(frame); }
