// SPDX-License-Identifier: GPL-2.0-or-later
// Block devices as INT 13h and the boot code see them, and the drivers behind them.
#pragma once

#include "services/bda.h"
#include "services/frame.h"

namespace xm::fw {

// INT 13h status codes [IBM AT BIOS; EDD 3].
enum class DiskStatus : u8 {
  Ok = 0x00,
  BadCommand = 0x01,
  NoAddressMark = 0x02,
  WriteProtected = 0x03,
  SectorNotFound = 0x04,
  DiskChanged = 0x06,
  DmaBoundary = 0x09,
  MediaTypeNotFound = 0x0C,
  ControllerFailure = 0x20,
  SeekFailed = 0x40,
  Timeout = 0x80,
  NotReady = 0xAA,
  NotRemovable = 0xB2,
};

enum class DriveKind : u8 { Floppy, Ata, AtapiCd, VirtioBlock };

struct Geometry {
  u16 cylinders;
  u16 heads;
  u8 sectors;
};

struct Drive {
  DriveKind kind;
  u8 unit;           // floppy: unit; ATA: 0 master, 1 slave; virtio: index of its queue
  u8 channel;        // ATA: primary or secondary
  u8 order;          // position in the order of discovery, for the boot order
  u16 block_bytes;   // 512, or 2048 for a CD
  u16 command_port;  // ATA
  u16 control_port;  // ATA
  PciAddress pci;
  bool lba48;
  u8 multiple;  // sectors an interrupt in READ MULTIPLE, or 0
  u64 blocks;
  Geometry physical;  // as the drive reports it
  Geometry logical;   // as INT 13h functions 02-08 use it
  char model[41];
  u16 priority;  // boot order, lower first
};

constexpr u8 kMaxDrives = 16;
extern Drive g_drives[kMaxDrives];
extern u8 g_drive_count;
// Drive numbers: index into g_drives for 0x00+n, 0x80+n, 0xE0+n.
extern u8 g_floppies[2], g_floppy_count;
extern u8 g_hard_disks[kMaxDrives], g_hard_disk_count;
extern u8 g_cds[kMaxDrives], g_cd_count;

Drive* add_drive(DriveKind kind);
void choose_geometry(Drive& drive);
void number_drives();
Drive* drive_of_number(u8 number);

enum class Direction : u8 { Read, Write };
// Moves blocks; the buffer is a real-mode address, count * block_bytes may be at most 64 KiB less one paragraph.
DiskStatus transfer(Drive& drive, Direction direction, u64 block, u16 count, FarPointer buffer);
// The same for any length, to a physical address below 1 MiB; used by the boot code.
DiskStatus read_blocks(Drive& drive, u64 block, u32 count, u32 to);

void probe_ata();
DiskStatus ata_transfer(Drive& drive, Direction direction, u64 block, u16 count, FarPointer buffer);
DiskStatus atapi_read(Drive& drive, u64 block, u16 count, FarPointer buffer);
// Waits for a medium and reads its size; false if there is none.
bool atapi_prepare(Drive& drive);
void probe_virtio_block();
DiskStatus virtio_transfer(Drive& drive, Direction direction, u64 block, u16 count, FarPointer buffer);
void probe_floppies();
DiskStatus floppy_transfer(Drive& drive, Direction direction, u64 block, u16 count, FarPointer buffer);
void int13_floppy(Frame& f, Drive& drive);

// El Torito emulation: a part of a CD that looks like a floppy or hard disk [El Torito 2].
struct CdEmulation {
  bool active;
  u8 media;   // boot catalog's media type
  u8 number;  // the drive number it took
  u8 cd;      // index into g_drives
  u8 controller;
  u32 image_block;  // in 2048-byte blocks
  u32 sectors;      // in 512-byte sectors
  u16 load_segment;
  u16 load_sectors;
  Geometry geometry;
};
extern CdEmulation g_emulation;
DiskStatus emulation_read(u32 sector, u16 count, FarPointer buffer);

// Milliseconds by counting refresh toggles of port 61; works with interrupts off.
class Deadline {
 public:
  explicit Deadline(u32 milliseconds);
  bool passed();

 private:
  u32 toggles_left_;
  u8 last_;
};

}  // namespace xm::fw
