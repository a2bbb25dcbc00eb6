// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/storage/ata_device.h"

#include <algorithm>
#include <cstring>

#include "emu/base/bits.h"

namespace xm::devices {

namespace {

constexpr u8 kDiagnostic = 0x90;

}  // namespace

AtaDevice::AtaDevice(Drive& drive) : drive_(drive) { drive_.set_listener(this); }

AtaDevice::~AtaDevice() {
  settle();
  *alive_ = nullptr;
  drive_.set_listener(nullptr);
}

// Requests in flight use our buffer or the guest's memory.
void AtaDevice::settle() {
  if ((status_ & kBusy) == 0) return;
  if (const auto medium = drive_.shared_medium()) medium->drain();
}

// Whatever is under way is forgotten; the host's memory is left alone from here on.
void AtaDevice::cancel() {
  epoch_++;
  settle();
  pio_ = Pio::None;
  pio_buffer_.clear();
  pio_position_ = pio_block_end_ = 0;
  dma_waiting_ = false;
}

void AtaDevice::reset(bool power_on) {
  (void)power_on;
  cancel();
  intrq_ = false;
  previous_ = {};
  error_ = 0x01;  // diagnostic code: no error
  show_signature();
  status_ = is_atapi() ? 0 : kReady | kSeekComplete;
}

// [ATA8-ACS 9.3]
void AtaDevice::show_signature() {
  now_.count = 1;
  now_.lba_low = 1;
  now_.lba_mid = is_atapi() ? 0x14 : 0;
  now_.lba_high = is_atapi() ? 0xEB : 0;
  device_ &= 0x10;
}

void AtaDevice::exchange(bus::Archive& archive) {
  archive.begin("ata");
  archive.field("now", std::span<u8>(reinterpret_cast<u8*>(&now_), sizeof now_));
  archive.field("previous", std::span<u8>(reinterpret_cast<u8*>(&previous_), sizeof previous_));
  archive.field("device", device_);
  archive.field("status", status_);
  archive.field("error", error_);
  archive.field("intrq", intrq_);
  archive.field("pio", pio_);
  archive.field("pio_buffer", pio_buffer_);
  archive.field("pio_position", pio_position_);
  archive.field("pio_block_end", pio_block_end_);
  archive.field("pio_block", pio_block_);
  archive.field("dma_waiting", dma_waiting_);
  archive.field("dma_to_memory", dma_to_memory_);
  archive.field("dma_length", dma_length_);
  archive.end();
}

u8 AtaDevice::read_register(unsigned index, bool previous) const {
  const TaskFile& file = previous ? previous_ : now_;
  switch (index) {
    case 1: return previous ? previous_.features : error_;
    case 2: return file.count;
    case 3: return file.lba_low;
    case 4: return file.lba_mid;
    case 5: return file.lba_high;
    case 6: return device_ | 0xA0;
    default: return status_;
  }
}

void AtaDevice::write_register(unsigned index, u8 value) {
  const auto shift = [value](u8& now, u8& before) {
    before = now;
    now = value;
  };
  switch (index) {
    case 1: return shift(now_.features, previous_.features);
    case 2: return shift(now_.count, previous_.count);
    case 3: return shift(now_.lba_low, previous_.lba_low);
    case 4: return shift(now_.lba_mid, previous_.lba_mid);
    case 5: return shift(now_.lba_high, previous_.lba_high);
    case 6: device_ = value; return;
    default: return;
  }
}

void AtaDevice::command(u8 code) {
  if ((status_ & kBusy) != 0 && !allowed_while_busy(code)) return;
  cancel();
  intrq_ = false;
  error_ = 0;
  status_ = kReady | kSeekComplete;
  if (code != kDiagnostic) return execute(code);
  error_ = 0x01;  // passed
  show_signature();
  if (is_atapi()) status_ = 0;
  raise_intrq();
}

void AtaDevice::raise_intrq() {
  intrq_ = true;
  if (cable_ != nullptr) cable_->intrq_changed();
}

void AtaDevice::complete() {
  pio_ = Pio::None;
  status_ = static_cast<u8>((status_ & kErr) | kReady | kSeekComplete);
  raise_intrq();
}

void AtaDevice::fail_command(u8 error) {
  pio_ = Pio::None;
  error_ = error;
  status_ = kReady | kSeekComplete | kErr;
  raise_intrq();
}

void AtaDevice::abort_command(u8 error) { fail_command(error); }

void AtaDevice::start_pio_in(std::size_t block) {
  pio_ = Pio::In;
  pio_position_ = 0;
  pio_block_ = std::max<std::size_t>(block, 2);
  next_pio_block();
}

void AtaDevice::next_pio_block() {
  pio_block_end_ = std::min(pio_buffer_.size(), pio_position_ + pio_block_);
  status_ = kReady | kSeekComplete | kDataRequest;
  pio_in_next_block();
  raise_intrq();
}

void AtaDevice::start_pio_out(std::size_t length, bool interrupt) {
  pio_ = Pio::Out;
  pio_buffer_.assign(length, 0);
  pio_position_ = 0;
  pio_block_end_ = length;
  status_ = kReady | kSeekComplete | kDataRequest;
  if (interrupt) raise_intrq();
}

u32 AtaDevice::read_data(unsigned size_bytes) {
  if (pio_ != Pio::In || (status_ & kDataRequest) == 0) return static_cast<u32>(mask_of_bytes(size_bytes));
  u32 value = 0;
  const std::size_t size = std::min<std::size_t>(size_bytes, pio_block_end_ - pio_position_);
  std::memcpy(&value, pio_buffer_.data() + pio_position_, size);
  pio_position_ += size;
  if (pio_position_ < pio_block_end_) return value;
  status_ &= static_cast<u8>(~kDataRequest);
  if (pio_position_ < pio_buffer_.size()) {
    next_pio_block();
  } else {
    pio_ = Pio::None;
    pio_in_done();
  }
  return value;
}

void AtaDevice::write_data(u32 value, unsigned size_bytes) {
  if (pio_ != Pio::Out || (status_ & kDataRequest) == 0) return;
  const std::size_t size = std::min<std::size_t>(size_bytes, pio_block_end_ - pio_position_);
  std::memcpy(pio_buffer_.data() + pio_position_, &value, size);
  pio_position_ += size;
  if (pio_position_ < pio_block_end_) return;
  status_ &= static_cast<u8>(~kDataRequest);
  pio_ = Pio::None;
  pio_out_done();
}

void AtaDevice::request_dma(bool to_memory, u64 length) {
  dma_waiting_ = true;
  dma_to_memory_ = to_memory;
  dma_length_ = length;
  status_ = kReady | kSeekComplete | kDataRequest;
  if (cable_ != nullptr) cable_->dma_requested(*this);
}

void AtaDevice::start_dma(IoBuffers buffers) {
  dma_waiting_ = false;
  status_ = kBusy;
  run_dma(std::move(buffers));
}

void AtaDevice::dma_failed() {
  dma_waiting_ = false;
  fail_command(kAborted);
  finish_dma();
}

void AtaDevice::finish_dma() {
  if (cable_ != nullptr) cable_->dma_finished(*this);
}

}  // namespace xm::devices
