// SPDX-License-Identifier: GPL-2.0-or-later
// Fdc82077: commands that move sectors [290166 5.1]. Parameters: drive and head, C, H, R, N, EOT, GPL, DTL. A read is
// fetched from the medium up to the end of the track and then handed over; a write is collected and then stored.
#include <algorithm>

#include "devices/storage/fdc82077.h"
#include "emu/base/bits.h"

namespace xm::devices {

namespace {

constexpr u8 kAbnormal = 0x40;                                                                      // ST0
constexpr u8 kNoAddressMark = 0x01, kNotWritable = 0x02, kNoData = 0x04, kCrc = 0x20, kEnd = 0x80;  // ST1
constexpr i64 kDmaRetry = 100'000;                                                                  // ns

}  // namespace

bool Fdc82077::begin_transfer(bool write) {
  cylinder_ = command_[2];
  head_ = command_[3] & 1;
  record_ = command_[4];
  const auto fail = [this](u8 st1) {
    finish_transfer(kAbnormal, st1, 0);
    return false;
  };
  if (medium() == nullptr) return fail(kNoAddressMark);
  if (command_[5] != 2) return fail(kNoData);  // all formats have 512-byte sectors
  const FloppyGeometry& disk = geometry();
  if (cylinder_ >= disk.cylinders || head_ >= disk.heads || record_ == 0 || record_ > disk.sectors)
    return fail(kNoData);
  if (offset() + kSectorSize > medium()->size_bytes()) return fail(kNoData);
  if (write && medium()->read_only()) return fail(kNotWritable);
  unit().track = cylinder_;
  return true;
}

u64 Fdc82077::offset() const {
  const FloppyGeometry& disk = geometry();
  return ((u64{cylinder_} * disk.heads + head_) * disk.sectors + record_ - 1u) * kSectorSize;
}

// How far the command may run: to EOT, or with MT to EOT on the second side. A disk's sectors of one cylinder are
// contiguous, and EOT beyond the track's end is cut.
u64 Fdc82077::sectors_to_end() const {
  const FloppyGeometry& disk = geometry();
  const u64 end = std::min<u64>(std::max(command_[6], record_), disk.sectors);
  u64 count = end - record_ + 1;
  const bool both_sides = has_bit(command_[0], 7) && head_ == 0 && disk.heads == 2 && end == disk.sectors;
  if (both_sides) count += disk.sectors;
  return std::min<u64>(count, (medium()->size_bytes() - offset()) / kSectorSize);
}

// The address in the result: the sector after the last one [290166 table 5-6].
void Fdc82077::advance(u64 sectors) {
  const u8 last = command_[6];
  for (u64 i = 0; i < sectors; i++) {
    if (record_ < std::min(last, geometry().sectors)) {
      record_++;
      continue;
    }
    record_ = 1;
    if (has_bit(command_[0], 7)) {
      if (head_ == 1) cylinder_++;
      head_ ^= 1;
    } else {
      cylinder_++;
    }
  }
}

void Fdc82077::read_data() {
  if (!begin_transfer(false)) return;
  data_.assign(sectors_to_end() * kSectorSize, 0);
  data_position_ = data_.size();  // nothing for the host yet
  medium()->read(offset(), {std::span(data_)}, when_done([this](IoStatus status) { data_fetched(status); }));
}

void Fdc82077::verify() {
  if (!begin_transfer(false)) return;
  // With EC set, DTL holds the number of sectors; else the count comes from EOT.
  const u64 wanted = has_bit(command_[1], 7) ? command_[8] : sectors_to_end();
  const bool fits = wanted <= sectors_to_end();
  advance(std::min(wanted, sectors_to_end()));
  finish_transfer(fits ? 0 : kAbnormal, fits ? 0 : kEnd, 0);
}

void Fdc82077::data_fetched(IoStatus status) {
  data_position_ = 0;
  if (status != IoStatus::Ok) return finish_transfer(kAbnormal, kCrc, 0x20);
  direction_ = Direction::ToHost;
  pump();
}

void Fdc82077::write_data() {
  if (!begin_transfer(true)) return;
  ask_for_bytes(sectors_to_end() * kSectorSize);
}

void Fdc82077::format_track() {
  cylinder_ = unit().track;
  record_ = 1;
  if (medium() == nullptr || medium()->read_only()) {
    return finish_transfer(kAbnormal, medium() == nullptr ? kNoAddressMark : kNotWritable, 0);
  }
  if (command_[2] != 2 || command_[3] == 0) return finish_transfer(kAbnormal, kNoData, 0);
  formatting_ = true;
  ask_for_bytes(std::size_t{command_[3]} * 4);  // C, H, R, N of each sector
}

void Fdc82077::ask_for_bytes(std::size_t length) {
  data_.assign(length, 0);
  data_position_ = 0;
  direction_ = Direction::FromHost;
  pump();
}

// Moves what the DMA channel takes or gives. By programmed I/O the host does it through the FIFO, called by IRQ.
void Fdc82077::pump() {
  if (direction_ == Direction::None || data_position_ == data_.size()) return;
  if (has_bit(timings_[1], 0)) return raise_irq();
  if (!wires_.dma.ready()) return dma_timer_.arm(clock_.now() + kDmaRetry);
  if (direction_ == Direction::ToHost) {
    pump_to_host();
  } else {
    pump_from_host();
  }
}

void Fdc82077::pump_to_host() {
  const DmaChannel::Outcome outcome = wires_.dma.to_memory(std::span(data_).subspan(data_position_));
  data_position_ += outcome.bytes;
  const bool end = data_position_ == data_.size();
  if (!outcome.terminal_count && !end) return dma_timer_.arm(clock_.now() + kDmaRetry);
  advance((data_position_ + kSectorSize - 1) / kSectorSize);
  if (outcome.terminal_count) return finish_transfer(0, 0, 0);
  finish_transfer(kAbnormal, kEnd, 0);
}

void Fdc82077::pump_from_host() {
  const DmaChannel::Outcome outcome = wires_.dma.from_memory(std::span(data_).subspan(data_position_));
  data_position_ += outcome.bytes;
  if (!outcome.terminal_count && data_position_ != data_.size()) return dma_timer_.arm(clock_.now() + kDmaRetry);
  store_written(outcome.terminal_count);
}

// Everything is here: to the medium. A sector cut short by terminal count is filled up with zeroes [290166 5.1.3].
void Fdc82077::store_written(bool terminal_count) {
  lower_irq();
  if (formatting_) return format_sectors();
  direction_ = Direction::None;
  const u64 sectors = (data_position_ + kSectorSize - 1) / kSectorSize;
  data_.resize(sectors * kSectorSize);
  if (medium() == nullptr) return finish_transfer(kAbnormal, kNoAddressMark, 0);
  medium()->write(offset(), {std::span(data_)}, when_done([this, sectors, terminal_count](IoStatus status) {
                    if (status != IoStatus::Ok) return finish_transfer(kAbnormal, kCrc, 0x20);
                    advance(sectors);
                    finish_transfer(terminal_count ? 0 : kAbnormal, terminal_count ? 0 : kEnd, 0);
                  }));
}

// Fills the sectors the host has named. Only the disk's own format can be made: it has no room for another.
void Fdc82077::format_sectors() {
  direction_ = Direction::None;
  const FloppyGeometry& disk = geometry();
  const std::size_t count = data_position_ / 4;
  const u64 track = (u64{cylinder_} * disk.heads + head_) * disk.sectors * kSectorSize;
  const u64 size = u64{disk.sectors} * kSectorSize;
  if (count > disk.sectors || cylinder_ >= disk.cylinders || head_ >= disk.heads || medium() == nullptr ||
      track + size > medium()->size_bytes()) {
    return finish_transfer(kAbnormal, kNoData, 0);
  }
  data_.assign(size, command_[5]);
  medium()->write(track, {std::span(data_)}, when_done([this](IoStatus status) {
                    finish_transfer(status == IoStatus::Ok ? 0 : kAbnormal, status == IoStatus::Ok ? 0 : kCrc, 0);
                  }));
}

}  // namespace xm::devices
