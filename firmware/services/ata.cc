// SPDX-License-Identifier: GPL-2.0-or-later
// ATA disks and ATAPI CD drives by programmed I/O [ATA/ATAPI-6; SFF-8020i; MMC-3]. Interrupts of the drives stay off:
// every wait looks at the status register. GAP: bus-master DMA; programmed I/O moves a sector in one string
// instruction, which emulators do in bulk.
#include "services/disk.h"

namespace xm::fw {
namespace {

constexpr u8 kBusy = 0x80, kReady = 0x40, kFault = 0x20, kDataRequest = 0x08, kError = 0x01;
constexpr u16 kData = 0, kErrorRegister = 1, kFeatures = 1, kCount = 2, kLow = 3, kMid = 4, kHigh = 5, kDevice = 6,
              kStatus = 7, kCommand = 7;
constexpr u8 kReadSectors = 0x20, kReadSectorsExt = 0x24, kReadMultiple = 0xC4, kReadMultipleExt = 0x29;
constexpr u8 kWriteSectors = 0x30, kWriteSectorsExt = 0x34;
constexpr u8 kPacket = 0xA0, kIdentifyPacket = 0xA1, kIdentify = 0xEC, kSetMultiple = 0xC6;

u16 reg(const Drive& d, u16 index) { return static_cast<u16>(d.command_port + index); }

bool wait_not_busy(const Drive& d, u32 milliseconds = 5000) {
  if (!(in8(reg(d, kStatus)) & kBusy)) return true;
  Deadline deadline(milliseconds);
  do {
    if (!(in8(reg(d, kStatus)) & kBusy)) return true;
  } while (!deadline.passed());
  return false;
}

// Selects the drive and leaves 400 ns for it to answer [ATA 6, DEVICE register].
bool select_drive(const Drive& d, u8 extra) {
  if (!wait_not_busy(d)) return false;
  out8(reg(d, kDevice), static_cast<u8>(0xA0 | d.unit << 4 | extra));
  for (int i = 0; i < 4; i++) in8(d.control_port);
  return wait_not_busy(d);
}

bool data_requested(const Drive& d, u32 milliseconds = 5000) {
  if (!wait_not_busy(d, milliseconds)) return false;
  return (in8(reg(d, kStatus)) & (kDataRequest | kError | kFault)) == kDataRequest;
}

bool identify(const Drive& d, u8 command, u16 (&data)[256]) {
  if (!select_drive(d, 0)) return false;
  out8(reg(d, kCommand), command);
  if (!data_requested(d, 500)) return false;
  in16_block(reg(d, kData), {near_offset(data), kDataSegment}, 256);
  return true;
}

void copy_model(Drive& d, const u16 (&data)[256]) {
  for (u32 i = 0; i < 20; i++) {
    d.model[2 * i] = static_cast<char>(data[27 + i] >> 8);
    d.model[2 * i + 1] = static_cast<char>(data[27 + i]);
  }
  u32 end = 40;
  while (end && d.model[end - 1] == ' ') end--;
  d.model[end] = 0;
}

void add_disk(const Drive& found, const u16 (&data)[256]) {
  Drive* d = add_drive(DriveKind::Ata);
  if (!d) return;
  const u8 order = d->order;
  *d = found;
  d->order = order;
  copy_model(*d, data);
  d->block_bytes = 512;
  d->physical = {data[1], data[3], static_cast<u8>(data[6])};
  d->blocks = u32{data[60]} | u32{data[61]} << 16;
  d->lba48 = data[83] & 0x400;
  if (d->lba48)
    d->blocks = u64{u32{data[100]} | u32{data[101]} << 16} | u64{u32{data[102]} | u32{data[103]} << 16} << 32;
  choose_geometry(*d);
  const u8 multiple = static_cast<u8>(data[47]);
  if (multiple < 2) return;
  out8(reg(*d, kCount), multiple);
  out8(reg(*d, kCommand), kSetMultiple);
  if (wait_not_busy(*d) && !(in8(reg(*d, kStatus)) & kError)) d->multiple = multiple;
}

void add_cd(const Drive& found, const u16 (&data)[256]) {
  if ((data[0] >> 8 & 0x1F) != 5) return;  // CD-ROM command set only
  Drive* d = add_drive(DriveKind::AtapiCd);
  if (!d) return;
  const u8 order = d->order;
  *d = found;
  d->order = order;
  d->kind = DriveKind::AtapiCd;
  d->block_bytes = 2048;
  copy_model(*d, data);
}

void probe_drive(u16 command_port, u16 control_port, u8 channel, u8 unit, PciAddress pci) {
  static u16 data[256];
  Drive d{};
  d.kind = DriveKind::Ata;
  d.command_port = command_port;
  d.control_port = control_port;
  d.channel = channel;
  d.unit = unit;
  d.pci = pci;
  out8(reg(d, kDevice), static_cast<u8>(0xA0 | unit << 4));
  for (int i = 0; i < 4; i++) in8(control_port);
  const u8 status = in8(reg(d, kStatus));
  if (status == 0xFF) return;
  out8(reg(d, kCount), 0x55);
  out8(reg(d, kLow), 0xAA);
  if (in8(reg(d, kCount)) != 0x55 || in8(reg(d, kLow)) != 0xAA) return;
  if (status == 0 && unit == 1) return;  // the master answers for an absent slave, with a status of zero
  if (identify(d, kIdentify, data)) {
    add_disk(d, data);
  } else if (identify(d, kIdentifyPacket, data)) {
    add_cd(d, data);
  }
}

void probe_channel(u16 command_port, u16 control_port, u8 channel, PciAddress pci) {
  if (in8(static_cast<u16>(command_port + kStatus)) == 0xFF) return;
  out8(control_port, 0x02);  // nIEN
  for (u8 unit = 0; unit < 2; unit++) probe_drive(command_port, control_port, channel, unit, pci);
}

void load_address(const Drive& d, u64 block, u16 count, bool extended) {
  if (extended) {
    out8(reg(d, kCount), static_cast<u8>(count >> 8));
    out8(reg(d, kLow), static_cast<u8>(block >> 24));
    out8(reg(d, kMid), static_cast<u8>(block >> 32));
    out8(reg(d, kHigh), static_cast<u8>(block >> 40));
  }
  out8(reg(d, kCount), static_cast<u8>(count));
  out8(reg(d, kLow), static_cast<u8>(block));
  out8(reg(d, kMid), static_cast<u8>(block >> 8));
  out8(reg(d, kHigh), static_cast<u8>(block >> 16));
}

DiskStatus status_of(const Drive& d) {
  const u8 status = in8(reg(d, kStatus));
  if (status & kBusy) return DiskStatus::Timeout;
  if (!(status & (kError | kFault))) return DiskStatus::Ok;
  return in8(reg(d, kErrorRegister)) & 0x10 ? DiskStatus::SectorNotFound : DiskStatus::ControllerFailure;
}

FarPointer advance(FarPointer p, u32 bytes) {
  const u32 offset = p.offset + bytes;
  return {static_cast<u16>(offset & 15), static_cast<u16>(p.segment + (offset >> 4))};
}

bool packet_in(const Drive& d, const u8 (&packet)[12], u32 limit, u32* received, FarPointer to) {
  if (!select_drive(d, 0)) return false;
  out8(reg(d, kFeatures), 0);
  out8(reg(d, kMid), static_cast<u8>(limit));
  out8(reg(d, kHigh), static_cast<u8>(limit >> 8));
  out8(reg(d, kCommand), kPacket);
  if (!data_requested(d)) return false;
  out16_block(reg(d, kData), {near_offset(packet), kDataSegment}, 6);
  *received = 0;
  for (;;) {
    if (!wait_not_busy(d, 10000)) return false;
    const u8 status = in8(reg(d, kStatus));
    if (status & (kError | kFault)) return false;
    if (!(status & kDataRequest)) return true;
    const u32 bytes = in8(reg(d, kMid)) | u32{in8(reg(d, kHigh))} << 8;
    if (bytes == 0 || *received + bytes > limit) return false;
    in16_block(reg(d, kData), advance(to, *received), (bytes + 1) / 2);
    *received += bytes;
  }
}

u8 sense_key(const Drive& d) {
  u8 sense[18] = {};
  u32 received;
  const u8 packet[12] = {0x03, 0, 0, 0, sizeof sense};
  if (!packet_in(d, packet, sizeof sense, &received, {near_offset(sense), kDataSegment})) return 0xFF;
  // Key in bits 0-3; "medium not present" told apart from "becoming ready" by the additional code.
  return sense[12] == 0x3A ? u8{0xFE} : static_cast<u8>(sense[2] & 0x0F);
}

}  // namespace

void probe_ata() {
  bool any_pci = false;
  for (u32 i = 0; i < g_boot_info.pci_count; i++) {
    const PciFunction& f = g_boot_info.pci[i];
    if (f.base_class != 1 || f.sub_class != 1) continue;
    any_pci = true;
    for (u8 channel = 0; channel < 2; channel++) {
      // Interface bits 0 and 2: the channel's ports are in base address registers, not at their old places.
      const bool native = f.interface & (1 << (channel * 2));
      u16 command = channel ? 0x170 : 0x1F0, control = channel ? 0x376 : 0x3F6;
      if (native) {
        command = static_cast<u16>(pci_read32(f.address, 0x10u + channel * 8) & 0xFFF8);
        control = static_cast<u16>((pci_read32(f.address, 0x14u + channel * 8) & 0xFFFC) + 2);
      } else if (f.vendor == 0x8086) {
        pci_write16(f.address, 0x40u + channel * 2, 0x8000);  // PIIX: decode the channel
      }
      if (command) probe_channel(command, control, channel, f.address);
    }
  }
  if (any_pci) return;
  probe_channel(0x1F0, 0x3F6, 0, 0);
  probe_channel(0x170, 0x376, 1, 0);
}

DiskStatus ata_transfer(Drive& d, Direction direction, u64 block, u16 count, FarPointer buffer) {
  const bool write = direction == Direction::Write;
  const bool extended = block + count > 0x0FFFFFFF;
  if (extended && !d.lba48) return DiskStatus::SectorNotFound;
  while (count) {
    const u16 part = min<u16>(count, 128);
    out8(d.control_port, 0x02);
    if (!select_drive(d, static_cast<u8>(0x40 | (extended ? 0 : block >> 24 & 0x0F)))) return DiskStatus::Timeout;
    load_address(d, block, part, extended);
    const bool multiple = d.multiple && !write;
    const u8 command = write      ? (extended ? kWriteSectorsExt : kWriteSectors)
                       : multiple ? (extended ? kReadMultipleExt : kReadMultiple)
                                  : (extended ? kReadSectorsExt : kReadSectors);
    out8(reg(d, kCommand), command);
    const u16 burst = multiple ? d.multiple : u16{1};
    for (u16 left = part; left;) {
      if (!data_requested(d)) return status_of(d) == DiskStatus::Ok ? DiskStatus::Timeout : status_of(d);
      const u16 now = min(burst, left);
      if (write) {
        out32_block(reg(d, kData), buffer, now * 128u);
      } else {
        in32_block(reg(d, kData), buffer, now * 128u);
      }
      buffer = advance(buffer, now * 512u);
      left = static_cast<u16>(left - now);
    }
    if (!wait_not_busy(d)) return DiskStatus::Timeout;
    if (status_of(d) != DiskStatus::Ok) return status_of(d);
    block += part;
    count = static_cast<u16>(count - part);
  }
  return DiskStatus::Ok;
}

bool atapi_prepare(Drive& d) {
  out8(d.control_port, 0x02);
  const u8 test_ready[12] = {};
  u8 capacity[8];
  u32 received;
  Deadline deadline(5000);
  while (!packet_in(d, test_ready, 0, &received, {0, kDataSegment})) {
    const u8 key = sense_key(d);
    if (key == 0xFE || key == 0xFF || deadline.passed()) return false;
  }
  const u8 read_capacity[12] = {0x25};
  if (!packet_in(d, read_capacity, 8, &received, {near_offset(capacity), kDataSegment}) || received != 8) return false;
  d.blocks = u64{u32{capacity[0]} << 24 | u32{capacity[1]} << 16 | u32{capacity[2]} << 8 | capacity[3]} + 1;
  return true;
}

DiskStatus atapi_read(Drive& d, u64 block, u16 count, FarPointer buffer) {
  out8(d.control_port, 0x02);
  while (count) {
    const u16 part = min<u16>(count, 16);
    const u32 at = static_cast<u32>(block);
    const u8 packet[12] = {
        0x28, 0, static_cast<u8>(at >> 24), static_cast<u8>(at >> 16), static_cast<u8>(at >> 8), static_cast<u8>(at),
        0,    0, static_cast<u8>(part)};
    u32 received;
    bool done = packet_in(d, packet, part * 2048u, &received, buffer);
    constexpr u8 kUnitAttention = 6;  // after a reset or medium change the second try counts
    if (!done && sense_key(d) == kUnitAttention) done = packet_in(d, packet, part * 2048u, &received, buffer);
    if (!done) return DiskStatus::NotReady;
    if (received != part * 2048u) return DiskStatus::ControllerFailure;
    buffer = advance(buffer, part * 2048u);
    block += part;
    count = static_cast<u16>(count - part);
  }
  return DiskStatus::Ok;
}

}  // namespace xm::fw
