// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/storage/ata_disk.h"

#include <algorithm>

#include "emu/base/bits.h"

namespace xm::devices {

namespace {

constexpr u32 kSectorSize = 512;
constexpr u32 kReadAhead = 256;  // sectors fetched at once for PIO
constexpr u64 kMax28 = u64{1} << 28;

}  // namespace

AtaDisk::AtaDisk(Drive& drive, unsigned unit) : AtaDevice(drive), unit_(unit) { reset(true); }

void AtaDisk::reset(bool power_on) {
  AtaDevice::reset(power_on);
  transfer_ = {};
  trimming_ = reading_ = false;
  if (!power_on) return;
  heads_ = 16;
  sectors_per_track_ = 63;
  cylinders_ = static_cast<u16>(std::min<u64>(total_sectors() / (16 * 63), 16383));
  multiple_ = 16;
  transfer_mode_ = 0x45;
  write_cache_ = look_ahead_ = smart_enabled_ = true;
}

void AtaDisk::exchange(bus::Archive& archive) {
  archive.begin("ata_disk");
  AtaDevice::exchange(archive);
  archive.field("sector", transfer_.sector);
  archive.field("sectors", transfer_.sectors);
  archive.field("block", transfer_.block);
  archive.field("extended", transfer_.extended);
  archive.field("flush_after", transfer_.flush_after);
  archive.field("trimming", trimming_);
  archive.field("reading", reading_);
  archive.field("cylinders", cylinders_);
  archive.field("heads", heads_);
  archive.field("sectors_per_track", sectors_per_track_);
  archive.field("multiple", multiple_);
  archive.field("transfer_mode", transfer_mode_);
  archive.field("write_cache", write_cache_);
  archive.field("look_ahead", look_ahead_);
  archive.field("smart_enabled", smart_enabled_);
  archive.end();
}

void AtaDisk::execute(u8 code) {
  trimming_ = reading_ = false;
  if (execute_transfer(code) || execute_control(code)) return;
  abort_command();
}

bool AtaDisk::execute_transfer(u8 code) {
  switch (code) {
    case 0x20:
    case 0x21: return start_read(false, 1), true;
    case 0x24: return start_read(true, 1), true;
    case 0x29: return start_read(true, multiple_), true;
    case 0xC4: return start_read(false, multiple_), true;
    case 0x30:
    case 0x31: return start_write(false, 1, false), true;
    case 0x34: return start_write(true, 1, false), true;
    case 0x39: return start_write(true, multiple_, false), true;
    case 0xC5: return start_write(false, multiple_, false), true;
    case 0xCE: return start_write(true, multiple_, true), true;
    case 0xC8:
    case 0xC9: return start_dma_command(false, true, false), true;
    case 0x25: return start_dma_command(true, true, false), true;
    case 0xCA:
    case 0xCB: return start_dma_command(false, false, false), true;
    case 0x35: return start_dma_command(true, false, false), true;
    case 0x3D: return start_dma_command(true, false, true), true;
    case 0x40:
    case 0x41: return verify(false), true;
    case 0x42: return verify(true), true;
    case 0x06: return trim(), true;
    default: return false;
  }
}

bool AtaDisk::execute_control(u8 code) {
  if ((code & 0xF0) == 0x10 || (code & 0xF0) == 0x70) return complete(), true;  // RECALIBRATE, SEEK
  switch (code) {
    case 0x91: return initialize_parameters(), true;
    case 0xC6:
      // SET MULTIPLE MODE: a power of two up to 16; 0 switches it off.
      if (now_.count > 16 || (now_.count & (now_.count - 1)) != 0) return false;
      multiple_ = now_.count;
      return complete(), true;
    case 0xE7:
    case 0xEA: return flush(), true;
    case 0xEC: return identify(), true;
    case 0xA1: return show_signature(), abort_command(), true;  // IDENTIFY PACKET DEVICE: not here
    case 0xEF: return set_features(), true;
    case 0xB0: return smart(), true;
    case 0xF8: return read_native_max(false), true;
    case 0x27: return read_native_max(true), true;
    case 0xE5:
    case 0x98:
      now_.count = 0xFF;  // CHECK POWER MODE: active
      return complete(), true;
    case 0x94:
    case 0x95:
    case 0x96:
    case 0x97:
    case 0x99:
    case 0xE0:
    case 0xE1:
    case 0xE2:
    case 0xE3:
    case 0xE6: return complete(), true;  // STANDBY, IDLE, SLEEP: nothing spins
    default: return false;
  }
}

// The start sector and count of the task file [ATA/ATAPI-7 6.2]; false if the range is not on the disk.
bool AtaDisk::decode_address(bool extended) {
  transfer_ = {.extended = extended};
  if (extended) {
    transfer_.sector = u64{now_.lba_low} | u64{now_.lba_mid} << 8 | u64{now_.lba_high} << 16 |
                       u64{previous_.lba_low} << 24 | u64{previous_.lba_mid} << 32 | u64{previous_.lba_high} << 40;
    const u32 count = u32{now_.count} | u32{previous_.count} << 8;
    transfer_.sectors = count == 0 ? 65536 : count;
  } else {
    transfer_.sectors = now_.count == 0 ? 256 : now_.count;
    const u32 cylinder = u32{now_.lba_mid} | u32{now_.lba_high} << 8;
    if ((device_ & 0x40) != 0) {
      transfer_.sector = u64{now_.lba_low} | u64{cylinder} << 8 | u64{device_ & 0xFu} << 24;
    } else {
      const u32 head = device_ & 0xF;
      if (now_.lba_low == 0 || now_.lba_low > sectors_per_track_ || head >= heads_) return false;
      transfer_.sector = (u64{cylinder} * heads_ + head) * sectors_per_track_ + now_.lba_low - 1u;
    }
  }
  const u64 total = total_sectors();
  return transfer_.sector < total && transfer_.sectors <= total - transfer_.sector;
}

// Where the command stands, in the form in which it was addressed.
void AtaDisk::encode_address(u64 sector) {
  if (!transfer_.extended && (device_ & 0x40) == 0) {
    const u64 track = sector / sectors_per_track_;
    now_.lba_low = static_cast<u8>(sector % sectors_per_track_ + 1);
    now_.lba_mid = static_cast<u8>(track / heads_);
    now_.lba_high = static_cast<u8>(track / heads_ >> 8);
    device_ = static_cast<u8>((device_ & 0xF0) | (track % heads_));
    return;
  }
  now_.lba_low = static_cast<u8>(sector);
  now_.lba_mid = static_cast<u8>(sector >> 8);
  now_.lba_high = static_cast<u8>(sector >> 16);
  if (transfer_.extended) {
    previous_.lba_low = static_cast<u8>(sector >> 24);
    previous_.lba_mid = static_cast<u8>(sector >> 32);
    previous_.lba_high = static_cast<u8>(sector >> 40);
  } else {
    device_ = static_cast<u8>((device_ & 0xF0) | ((sector >> 24) & 0xF));
  }
}

void AtaDisk::finish_io(IoStatus status) {
  if (status == IoStatus::Ok) return complete();
  encode_address(transfer_.sector);
  fail_command(status == IoStatus::OutOfRange ? kIdNotFound : status == IoStatus::ReadOnly ? kAborted : kUncorrectable);
}

void AtaDisk::start_read(bool extended, u32 block) {
  if (block == 0) return abort_command();  // multiple mode is off
  if (!decode_address(extended)) return fail_command(kIdNotFound);
  transfer_.block = block;
  reading_ = true;
  read_ahead();
}

void AtaDisk::read_ahead() {
  if (medium() == nullptr) return abort_command();
  set_busy();
  const u32 chunk = std::min(transfer_.sectors, kReadAhead);
  pio_buffer_.resize(u64{chunk} * kSectorSize);
  medium()->read(transfer_.sector * kSectorSize, {std::span(pio_buffer_)}, when_done([this, chunk](IoStatus status) {
                   if (status != IoStatus::Ok) return finish_io(status);
                   transfer_.sector += chunk;
                   transfer_.sectors -= chunk;
                   start_pio_in(std::size_t{transfer_.block} * kSectorSize);
                 }));
}

void AtaDisk::pio_in_done() {
  if (reading_ && transfer_.sectors != 0) return read_ahead();
  if (reading_) {
    encode_address(transfer_.sector - 1);
    now_.count = 0;
  }
  // The last block was announced by its own interrupt; none follows it.
  status_ = kReady | kSeekComplete;
}

void AtaDisk::start_write(bool extended, u32 block, bool force_flush) {
  if (block == 0) return abort_command();
  if (!decode_address(extended)) return fail_command(kIdNotFound);
  if (medium() == nullptr || medium()->read_only()) return abort_command();
  transfer_.block = block;
  transfer_.flush_after = force_flush || !write_back();
  start_pio_out(std::size_t{std::min(block, transfer_.sectors)} * kSectorSize, false);
}

void AtaDisk::pio_out_done() {
  if (medium() == nullptr) return abort_command();
  set_busy();
  medium()->write(transfer_.sector * kSectorSize, {std::span(pio_buffer_)},
                  when_done([this](IoStatus status) { wrote_block(status); }));
}

void AtaDisk::wrote_block(IoStatus status) {
  if (status != IoStatus::Ok) return finish_io(status);
  const auto done = static_cast<u32>(pio_buffer_.size() / kSectorSize);
  transfer_.sector += done;
  transfer_.sectors -= done;
  if (transfer_.sectors != 0) {
    return start_pio_out(std::size_t{std::min(transfer_.block, transfer_.sectors)} * kSectorSize, true);
  }
  encode_address(transfer_.sector - 1);
  now_.count = 0;
  if (transfer_.flush_after) return flush();
  complete();
}

void AtaDisk::start_dma_command(bool extended, bool read, bool force_flush) {
  if (!decode_address(extended)) return fail_command(kIdNotFound);
  if (medium() == nullptr || (!read && medium()->read_only())) return abort_command();
  transfer_.flush_after = !read && (force_flush || !write_back());
  request_dma(read, u64{transfer_.sectors} * kSectorSize);
}

void AtaDisk::run_dma(IoBuffers buffers) {
  if (medium() == nullptr) return dma_failed();
  if (trimming_) return trim_ranges(buffers);
  const u64 given = total_bytes(buffers) / kSectorSize * kSectorSize;
  const auto sectors = static_cast<u32>(given / kSectorSize);
  const bool whole = sectors == transfer_.sectors;
  // Descriptors that end inside a sector: only whole sectors move.
  u64 surplus = total_bytes(buffers) - given;
  while (surplus != 0) {
    const u64 cut = std::min<u64>(surplus, buffers.back().size());
    buffers.back() = buffers.back().first(buffers.back().size() - cut);
    if (buffers.back().empty()) buffers.pop_back();
    surplus -= cut;
  }
  auto done = when_done([this, sectors, whole](IoStatus status) { dma_done(status, sectors, whole); });
  const u64 offset = transfer_.sector * kSectorSize;
  if (dma_to_memory()) {
    medium()->read(offset, std::move(buffers), std::move(done));
  } else {
    medium()->write(offset, std::move(buffers), std::move(done));
  }
}

void AtaDisk::dma_done(IoStatus status, u32 sectors, bool whole) {
  if (status == IoStatus::Ok) {
    transfer_.sector += sectors;
    transfer_.sectors -= sectors;
    if (sectors != 0) encode_address(transfer_.sector - 1);
    now_.count = 0;
    if (!whole) {
      fail_command(kAborted);
    } else if (transfer_.flush_after) {
      return medium()->flush(when_done([this](IoStatus flushed) {
        finish_io(flushed);
        finish_dma();
      }));
    } else {
      complete();
    }
  } else {
    finish_io(status);
  }
  finish_dma();
}

void AtaDisk::verify(bool extended) {
  if (!decode_address(extended)) return fail_command(kIdNotFound);
  encode_address(transfer_.sector + transfer_.sectors - 1);
  complete();
}

void AtaDisk::flush() {
  if (medium() == nullptr) return abort_command();
  set_busy();
  medium()->flush(when_done([this](IoStatus status) { finish_io(status); }));
}

void AtaDisk::initialize_parameters() {
  // Another translation of the same sectors [ATA-5 8.16].
  if (now_.count == 0) return abort_command();
  sectors_per_track_ = now_.count;
  heads_ = static_cast<u8>((device_ & 0xF) + 1);
  cylinders_ = static_cast<u16>(std::min<u64>(total_sectors() / (u64{heads_} * sectors_per_track_), 65535));
  complete();
}

void AtaDisk::read_native_max(bool extended) {
  transfer_ = {.extended = extended};
  device_ |= 0x40;
  encode_address(extended ? total_sectors() - 1 : std::min(total_sectors(), kMax28) - 1);
  complete();
}

void AtaDisk::set_features() {
  switch (now_.features) {
    case 0x02: write_cache_ = true; return complete();
    case 0x82: write_cache_ = false; return flush();
    case 0x03: {
      const u8 mode = now_.count & 0xF8;
      if (mode == 0x20 || (mode == 0x40 && (now_.count & 7) <= 5)) transfer_mode_ = now_.count;
      const bool known =
          mode <= 0x08 || (mode == 0x20 && (now_.count & 7) <= 2) || (mode == 0x40 && (now_.count & 7) <= 5);
      return known ? complete() : abort_command();
    }
    case 0x55: look_ahead_ = false; return complete();
    case 0xAA: look_ahead_ = true; return complete();
    case 0x05:
    case 0x85:
    case 0x42:
    case 0xC2:
    case 0x66:
    case 0xCC: return complete();
    default: return abort_command();
  }
}

// Enough for smartctl to say "PASSED": no attributes, no errors, no self-tests.
void AtaDisk::smart() {
  if (now_.lba_mid != 0x4F || now_.lba_high != 0xC2) return abort_command();
  if (!smart_enabled_ && now_.features != 0xD8) return abort_command();
  switch (now_.features) {
    case 0xD0:    // READ DATA
    case 0xD1: {  // READ THRESHOLDS
      pio_buffer_.assign(kSectorSize, 0);
      pio_buffer_[0] = 1;
      u8 sum = 0;
      for (unsigned i = 0; i < kSectorSize - 1; i++) sum = static_cast<u8>(sum + pio_buffer_[i]);
      pio_buffer_[kSectorSize - 1] = static_cast<u8>(-sum);
      return start_pio_in(kSectorSize);
    }
    case 0xD2:
    case 0xD4: return complete();
    case 0xD8: smart_enabled_ = true; return complete();
    case 0xD9: smart_enabled_ = false; return complete();
    case 0xDA: return complete();  // RETURN STATUS: 4F C2 stay, all is well
    default: return abort_command();
  }
}

// DATA SET MANAGEMENT with TRIM: the ranges come by DMA [ATA8-ACS 7.10].
void AtaDisk::trim() {
  if ((now_.features & 1) == 0 || medium() == nullptr || medium()->read_only()) return abort_command();
  const u32 blocks = u32{now_.count} | u32{previous_.count} << 8;
  if (blocks == 0 || blocks > 8) return abort_command();
  trimming_ = true;
  request_dma(false, u64{blocks} * kSectorSize);
}

void AtaDisk::trim_ranges(const IoBuffers& buffers) {
  std::vector<u8> list;
  for (const std::span<u8> part : buffers) list.insert(list.end(), part.begin(), part.end());
  for (std::size_t at = 0; at + 8 <= list.size(); at += 8) {
    const u64 entry = load_le<u64>(&list[at]);
    const u64 sector = bits(entry, 47, 0);
    const u64 count = bits(entry, 63, 48);
    if (count == 0 || sector > total_sectors() || count > total_sectors() - sector) continue;
    medium()->discard(sector * kSectorSize, count * kSectorSize, [](IoStatus) {});
  }
  complete();
  finish_dma();
}

void AtaDisk::identify() {
  const std::array<u8, 512> data = identify_data();
  pio_buffer_.assign(data.begin(), data.end());
  start_pio_in(kSectorSize);
}

}  // namespace xm::devices
