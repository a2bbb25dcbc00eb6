// SPDX-License-Identifier: GPL-2.0-or-later
// Floppy drives: 82077AA-class controller with DMA channel 2 [82077AA; 8237A; IBM AT BIOS, DISKETTE_IO]. Completion is
// seen in the main status register; the interrupt only leaves its mark in the BIOS data area, as programs expect.
#include "services/disk.h"

namespace xm::fw {
namespace {

constexpr u16 kOutput = 0x3F2, kMainStatus = 0x3F4, kFifo = 0x3F5, kRate = 0x3F7, kInput = 0x3F7;
constexpr u8 kRequest = 0x80, kToHost = 0x40;
constexpr u8 kSpecify = 0x03, kSenseInterrupt = 0x08, kRecalibrate = 0x07, kSeek = 0x0F, kRead = 0xE6, kWrite = 0xC5,
             kFormat = 0x4D;

struct Medium {
  u8 cylinders, heads, sectors, rate, gap;
};
// From the densest to the thinnest: 2.88M; 1.68M, 1.6M, 1.44M; 1.2M; 800K, 720K, 640K; 360K, 180K, 320K, 160K. A drive
// of CMOS type t reads from kFirstOfType[t] on; kUsualOfType[t] is what it was made for.
constexpr Medium kMedia[] = {{80, 2, 36, 3, 0x1B}, {80, 2, 21, 0, 0x0C}, {80, 2, 20, 0, 0x1B}, {80, 2, 18, 0, 0x1B},
                             {80, 2, 15, 0, 0x1B}, {80, 2, 10, 2, 0x1B}, {80, 2, 9, 2, 0x1B},  {80, 2, 8, 2, 0x1B},
                             {40, 2, 9, 2, 0x2A},  {40, 1, 9, 2, 0x2A},  {40, 2, 8, 2, 0x2A},  {40, 1, 8, 2, 0x2A}};
constexpr u8 kFirstOfType[] = {0, 8, 4, 5, 1, 0};
constexpr u8 kUsualOfType[] = {3, 8, 4, 6, 3, 0};

struct Unit {
  const Medium* medium;
  const Medium* to_format;  // chosen by function 18h
  u8 type;                  // CMOS drive type
  u8 cylinder;              // where the head is
  bool ready;               // recalibrated since the last reset
};
Unit g_units[2];

bool put(u8 byte) {
  Deadline deadline(500);
  while ((in8(kMainStatus) & (kRequest | kToHost)) != kRequest) {
    if (deadline.passed()) return false;
  }
  out8(kFifo, byte);
  return true;
}

bool get(u8* byte, u32 milliseconds) {
  Deadline deadline(milliseconds);
  while ((in8(kMainStatus) & (kRequest | kToHost)) != (kRequest | kToHost)) {
    if (deadline.passed()) return false;
  }
  *byte = in8(kFifo);
  return true;
}

bool put_all(const u8* bytes, u32 count) {
  for (u32 i = 0; i < count; i++) {
    if (!put(bytes[i])) return false;
  }
  return true;
}

void motor_on(u8 unit) {
  const u8 motors = bda<u8>(bda_at::kFloppyMotor);
  set_bda<u8>(bda_at::kFloppyTimeout, 0xFF);
  out8(kOutput, static_cast<u8>(0x1C | unit | (unit ? 0x20 : 0)));
  set_bda<u8>(bda_at::kFloppyMotor, static_cast<u8>((motors & 0xF0) | 1 << unit));
}

void motor_timeout() { set_bda<u8>(bda_at::kFloppyTimeout, 0x25); }

// With nothing to sense, as while the head still moves, the controller answers one byte: invalid command (80h).
bool sense_interrupt(u8* status, u8* cylinder) {
  if (!put(kSenseInterrupt) || !get(status, 500)) return false;
  return *status == 0x80 || get(cylinder, 500);
}

bool reset_controller() {
  out8(kOutput, 0x08);
  out8(kOutput, 0x0C);
  Deadline deadline(500);
  while (!(in8(kMainStatus) & kRequest)) {
    if (deadline.passed()) return false;
  }
  u8 status, cylinder;
  for (int i = 0; i < 4; i++) {
    if (!sense_interrupt(&status, &cylinder)) return false;
  }
  const u8 specify[] = {kSpecify, 0xAF, 0x02};
  for (Unit& unit : g_units) unit.ready = false;
  return put_all(specify, sizeof specify);
}

bool finish_seek(u8 wanted) {
  Deadline deadline(3000);
  u8 status = 0x80, cylinder = 0;
  do {
    if (!sense_interrupt(&status, &cylinder)) return false;
  } while (status == 0x80 && !deadline.passed());
  return (status & 0xE0) == 0x20 && cylinder == wanted;
}

bool seek(u8 unit, u8 cylinder, u8 head) {
  Unit& u = g_units[unit];
  if (!u.ready) {
    const u8 recalibrate[] = {kRecalibrate, unit};
    if (!put_all(recalibrate, sizeof recalibrate) || !finish_seek(0)) return false;
    u.ready = true;
    u.cylinder = 0;
  }
  if (u.cylinder == cylinder) return true;
  const u8 command[] = {kSeek, static_cast<u8>(head << 2 | unit), cylinder};
  if (!put_all(command, sizeof command) || !finish_seek(cylinder)) return false;
  u.cylinder = cylinder;
  return true;
}

void program_dma(u32 address, u32 bytes, bool write) {
  out8(0x0A, 0x06);  // mask channel 2
  out8(0x0C, 0);
  out8(0x0B, write ? 0x4A : 0x46);
  out8(0x04, static_cast<u8>(address));
  out8(0x04, static_cast<u8>(address >> 8));
  out8(0x81, static_cast<u8>(address >> 16));
  out8(0x05, static_cast<u8>(bytes - 1));
  out8(0x05, static_cast<u8>((bytes - 1) >> 8));
  out8(0x0A, 0x02);
}

DiskStatus status_of_result(const u8 (&result)[7]) {
  if ((result[0] & 0xC0) == 0) return DiskStatus::Ok;
  if (result[1] & 0x02) return DiskStatus::WriteProtected;
  if (result[1] & 0x01) return DiskStatus::NoAddressMark;
  if (result[1] & 0x04) return DiskStatus::SectorNotFound;
  if (result[1] & 0x20) return DiskStatus::ControllerFailure;
  return DiskStatus::ControllerFailure;
}

DiskStatus finish_command(const u8* command, u32 bytes) {
  u8 result[7];
  if (!put_all(command, bytes)) return DiskStatus::Timeout;
  for (u8& byte : result) {
    if (!get(&byte, 3000)) return DiskStatus::Timeout;
  }
  copy_to_far(0x40, bda_at::kFloppyResult, result, sizeof result);
  return status_of_result(result);
}

// Sectors of one track and side.
DiskStatus move(u8 unit, bool write, const Medium& medium, u8 cylinder, u8 head, u8 sector, u8 count, u32 address) {
  const u32 bytes = count * 512u;
  if ((address & 0xFFFF) + bytes > 0x10000) return DiskStatus::DmaBoundary;
  out8(kRate, medium.rate);
  if (!seek(unit, cylinder, head)) return DiskStatus::SeekFailed;
  program_dma(address, bytes, write);
  const u8 command[] = {write ? kWrite : kRead,
                        static_cast<u8>(head << 2 | unit),
                        cylinder,
                        head,
                        sector,
                        2,
                        static_cast<u8>(sector + count - 1),
                        medium.gap,
                        0xFF};
  return finish_command(command, sizeof command);
}

// Finds the format of the inserted disk by reading the last sector of a cylinder of that format.
DiskStatus find_medium(u8 unit) {
  static u8 sector[512];
  Unit& u = g_units[unit];
  DiskStatus last = DiskStatus::NotReady;
  for (const Medium* medium = kMedia + kFirstOfType[u.type]; medium < kMedia + count_of(kMedia); medium++) {
    last =
        move(unit, false, *medium, 0, static_cast<u8>(medium->heads - 1), medium->sectors, 1, physical_address(sector));
    if (last == DiskStatus::Ok) {
      u.medium = medium;
      return last;
    }
    if (last == DiskStatus::Timeout && !reset_controller()) return last;
  }
  return last == DiskStatus::Ok ? last : DiskStatus::NotReady;
}

DiskStatus prepare(Drive& drive) {
  const u8 unit = drive.unit;
  motor_on(unit);
  if (in8(kInput) & 0x80) g_units[unit].medium = nullptr;  // change line; a seek clears it
  if (!g_units[unit].medium) {
    const DiskStatus status = find_medium(unit);
    if (status != DiskStatus::Ok) return status;
  }
  const Medium& medium = *g_units[unit].medium;
  drive.logical = {medium.cylinders, medium.heads, medium.sectors};
  drive.blocks = u32{medium.cylinders} * medium.heads * medium.sectors;
  return DiskStatus::Ok;
}

void set_geometry_of_type(Drive& drive) {
  const Medium& medium = kMedia[kUsualOfType[g_units[drive.unit].type]];
  drive.physical = drive.logical = {medium.cylinders, 2, medium.sectors};
  drive.blocks = u32{medium.cylinders} * 2 * medium.sectors;
}

void finish(Frame& f, DiskStatus status) {
  motor_timeout();
  f.ah = static_cast<u8>(status);
  f.set_carry(status != DiskStatus::Ok);
  set_bda<u8>(bda_at::kFloppyStatus, f.ah);
}

void chs_transfer(Frame& f, Drive& drive) {
  DiskStatus status = prepare(drive);
  const Geometry& g = drive.logical;
  const u8 count = f.al, sector = f.cl & 0x3F;
  if (status == DiskStatus::Ok && (!count || !sector || sector > g.sectors || f.dh >= g.heads))
    status = DiskStatus::BadCommand;
  if (status == DiskStatus::Ok && f.ah != 4) {
    const u64 block = (u32{f.ch} * g.heads + f.dh) * g.sectors + sector - 1u;
    status = transfer(drive, f.ah == 3 ? Direction::Write : Direction::Read, block, count, {f.bx, f.es});
  }
  if (status != DiskStatus::Ok) f.al = 0;
  finish(f, status);
}

// 05h: writes the address fields at ES:BX (cylinder, head, record, size) and empty sectors of one track.
DiskStatus format_track(const Frame& f, const Drive& drive) {
  Unit& u = g_units[drive.unit];
  const Medium* medium = u.to_format ? u.to_format : u.medium ? u.medium : &kMedia[kUsualOfType[u.type]];
  const FarPointer fields{f.bx, f.es};
  const u32 bytes = medium->sectors * 4u;
  if (f.ch >= medium->cylinders || f.dh >= medium->heads) return DiskStatus::BadCommand;
  if ((fields.linear() & 0xFFFF) + bytes > 0x10000) return DiskStatus::DmaBoundary;
  motor_on(drive.unit);
  out8(kRate, medium->rate);
  if (!seek(drive.unit, f.ch, f.dh)) return DiskStatus::SeekFailed;
  program_dma(fields.linear(), bytes, true);
  const u8 command[] = {kFormat, static_cast<u8>(f.dh << 2 | drive.unit), 2, medium->sectors, 0x54, 0xF6};
  u.medium = nullptr;  // to be found anew
  return finish_command(command, sizeof command);
}

// 18h: the format to come, by its last cylinder and its sectors a track.
DiskStatus choose_format(Frame& f, const Drive& drive) {
  Unit& u = g_units[drive.unit];
  for (const Medium* medium = kMedia + kFirstOfType[u.type]; medium < kMedia + count_of(kMedia); medium++) {
    if (medium->cylinders != f.ch + 1 || medium->sectors != (f.cl & 0x3F)) continue;
    u.to_format = medium;
    f.es = kCodeSegment;
    f.di = 0xEFC7;
    return DiskStatus::Ok;
  }
  return DiskStatus::MediaTypeNotFound;
}

void parameters(Frame& f, const Drive& drive) {
  const Medium& medium = kMedia[kUsualOfType[g_units[drive.unit].type]];
  f.ax = 0;
  f.bh = 0;
  f.bl = g_units[drive.unit].type;
  f.ch = static_cast<u8>(medium.cylinders - 1);
  f.cl = medium.sectors;
  f.dh = 1;
  f.dl = g_floppy_count;
  f.es = kCodeSegment;
  f.di = 0xEFC7;
  f.set_carry(false);
}

}  // namespace

void probe_floppies() {
  const u8 types = cmos_read(0x10);
  u8 count = 0;
  for (u8 unit = 0; unit < 2; unit++) {
    const u8 type = static_cast<u8>(unit ? types & 15 : types >> 4);
    if (type == 0 || type > 5) continue;
    Drive* drive = add_drive(DriveKind::Floppy);
    if (!drive) return;
    g_units[unit].type = type;
    drive->unit = unit;
    drive->block_bytes = 512;
    memcpy(drive->model, "floppy", 7);
    set_geometry_of_type(*drive);
    count++;
  }
  if (!count) return;
  set_bda<u16>(bda_at::kEquipment, static_cast<u16>(bda<u16>(bda_at::kEquipment) | 0x01 | (count - 1) << 6));
  set_bda<u8>(bda_at::kFloppyMedia, 0x07);
  reset_controller();
}

DiskStatus floppy_transfer(Drive& drive, Direction direction, u64 block, u16 count, FarPointer buffer) {
  DiskStatus status = prepare(drive);
  u32 at = static_cast<u32>(block), address = buffer.linear();
  while (status == DiskStatus::Ok && count) {
    const u32 per_track = drive.logical.sectors, track = at / per_track, sector = at % per_track;
    const u32 heads = drive.logical.heads;
    const u8 part = static_cast<u8>(min<u32>(count, per_track - sector));
    const Medium& medium = *g_units[drive.unit].medium;
    for (int tries = 0; tries < 3; tries++) {
      status = move(drive.unit, direction == Direction::Write, medium, static_cast<u8>(track / heads),
                    static_cast<u8>(track % heads), static_cast<u8>(sector + 1), part, address);
      if (status == DiskStatus::Ok || status == DiskStatus::WriteProtected || status == DiskStatus::DmaBoundary) break;
      reset_controller();
    }
    at += part;
    address += part * 512u;
    count = static_cast<u16>(count - part);
  }
  motor_timeout();
  return status;
}

void int13_floppy(Frame& f, Drive& drive) {
  switch (f.ah) {
    case 0x00: finish(f, reset_controller() ? DiskStatus::Ok : DiskStatus::Timeout); break;
    case 0x01: {
      const u8 last = bda<u8>(bda_at::kFloppyStatus);
      f.ah = last;
      f.set_carry(last != 0);
      break;
    }
    case 0x02:
    case 0x03:
    case 0x04: chs_transfer(f, drive); break;
    case 0x08: parameters(f, drive); break;
    case 0x15:
      finish(f, DiskStatus::Ok);
      f.ah = 2;  // with change line
      break;
    case 0x16: {
      motor_on(drive.unit);
      const bool changed = in8(kInput) & 0x80;
      finish(f, changed ? DiskStatus::DiskChanged : DiskStatus::Ok);
      break;
    }
    case 0x05: finish(f, format_track(f, drive)); break;
    case 0x17:
      g_units[drive.unit].to_format = nullptr;
      finish(f, DiskStatus::Ok);
      break;
    case 0x18: finish(f, choose_format(f, drive)); break;
    default: finish(f, DiskStatus::BadCommand); break;
  }
}

}  // namespace xm::fw

// IRQ 6.
extern "C" void int0e(xm::fw::Frame*) {
  using namespace xm::fw;
  set_bda<u8>(bda_at::kFloppyRecalibrated, static_cast<u8>(bda<u8>(bda_at::kFloppyRecalibrated) | 0x80));
  out8(0x20, 0x20);
}
