// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/storage/ide_channel.h"

#include <algorithm>

#include "devices/block/guest_buffers.h"
#include "emu/base/bits.h"

namespace xm::devices {

namespace {

constexpr u8 kNoInterrupt = 0x02, kSoftReset = 0x04, kHighOrder = 0x80;  // device control
constexpr u8 kStart = 0x01;
constexpr u8 kActive = 0x01, kError = 0x02, kInterrupt = 0x04, kCapable = 0x60;
constexpr u8 kDiagnostic = 0x90;
constexpr unsigned kMaxDescriptors = 8192;  // a table is at most 64 KiB

}  // namespace

void IdeChannel::attach(unsigned unit, std::unique_ptr<AtaDevice> device) {
  device->connect(*this);
  devices_[unit & 1] = std::move(device);
}

void IdeChannel::reset() {
  for (const auto& device : devices_) {
    if (device != nullptr) device->reset(true);
  }
  unit_ = 0;
  control_ = bm_command_ = bm_status_ = 0;
  bm_table_ = 0;
  table_used_up_ = false;
  dma_ranges_.clear();
  intrq_changed();
}

void IdeChannel::exchange(bus::Archive& archive) {
  archive.begin("channel");
  archive.field("unit", unit_);
  archive.field("control", control_);
  archive.field("bm_command", bm_command_);
  archive.field("bm_status", bm_status_);
  archive.field("bm_table", bm_table_);
  for (const auto& device : devices_) {
    if (device != nullptr) device->exchange(archive);
  }
  archive.end();
  if (archive.loading()) intrq_changed();
}

void IdeChannel::intrq_changed() {
  const AtaDevice* device = selected();
  const bool level = device != nullptr && device->intrq() && (control_ & kNoInterrupt) == 0;
  if (level && !irq_.level()) bm_status_ |= kInterrupt;
  irq_.set(level);
}

// Task file.

u32 IdeChannel::read(unsigned index, unsigned size_bytes) {
  AtaDevice* device = selected();
  if (device == nullptr) {
    // A lone device 0 answers for the missing one with status 0 [ATA/ATAPI-7 volume 2, 5.2.9]; an empty cable too.
    return 0;
  }
  if (index == 0) return device->read_data(size_bytes);
  if (index < 7) return device->read_register(index, (control_ & kHighOrder) != 0);
  const u8 status = device->status();
  device->clear_intrq();
  intrq_changed();
  return status;
}

void IdeChannel::write(unsigned index, u32 value, unsigned size_bytes) {
  if (index == 0) {
    if (selected() != nullptr) selected()->write_data(value, size_bytes);
    return;
  }
  control_ &= static_cast<u8>(~kHighOrder);  // any write to the task file ends reading of previous contents
  if (index == 7) return write_command(static_cast<u8>(value));
  // Both devices listen to every register [ATA/ATAPI-7 volume 2, 5.3].
  for (const auto& device : devices_) {
    if (device != nullptr && (device->status() & AtaDevice::kBusy) == 0) {
      device->write_register(index, static_cast<u8>(value));
    }
  }
  if (index != 6) return;
  unit_ = has_bit(value, 4) ? 1 : 0;
  intrq_changed();
}

void IdeChannel::write_command(u8 code) {
  if (code == kDiagnostic) {
    // Both devices carry it out, device 0 reports; the interrupt comes from device 0.
    for (const auto& device : devices_) {
      if (device != nullptr) device->reset(false);
    }
    unit_ = 0;
    if (devices_[0] != nullptr) devices_[0]->command(kDiagnostic);
    return intrq_changed();
  }
  if (selected() == nullptr) return;
  selected()->command(code);
  intrq_changed();
}

u8 IdeChannel::read_alternate_status() const { return selected() != nullptr ? selected()->status() : u8{0}; }

void IdeChannel::write_control(u8 value) {
  const bool reset_ends = (control_ & kSoftReset) != 0 && (value & kSoftReset) == 0;
  const bool reset_starts = (control_ & kSoftReset) == 0 && (value & kSoftReset) != 0;
  control_ = value;
  if (reset_starts) {
    for (const auto& device : devices_) {
      if (device != nullptr) device->reset(false);
    }
    bm_status_ &= static_cast<u8>(~kActive);
  }
  if (reset_ends) unit_ = 0;
  intrq_changed();
}

// Bus master.

void IdeChannel::dma_requested(AtaDevice&) { try_dma(); }

void IdeChannel::dma_finished(AtaDevice&) {
  for (const auto& [address, length] : dma_ranges_) host_.ide_memory().wrote(address, length);
  dma_ranges_.clear();
  // Descriptors left over: the engine stays active until software stops it [BMIDE 3.1].
  if (table_used_up_) bm_status_ &= static_cast<u8>(~kActive);
}

void IdeChannel::try_dma() {
  if ((bm_command_ & kStart) == 0 || (bm_status_ & kActive) == 0 || !host_.may_master()) return;
  AtaDevice* device = selected();
  if (device == nullptr || !device->dma_waiting()) return;
  IoBuffers buffers;
  if (!gather(device->dma_length(), device->dma_to_memory(), buffers)) {
    bm_status_ = static_cast<u8>((bm_status_ & ~kActive) | kError);
    return device->dma_failed();
  }
  device->start_dma(std::move(buffers));
}

// Follows the descriptors: address, byte count (0 is 64 KiB), end-of-table in bit 31 of the second dword.
bool IdeChannel::gather(u64 length, bool to_memory, IoBuffers& buffers) {
  bus::GuestMemory& memory = host_.ide_memory();
  u64 left = length;
  table_used_up_ = false;
  dma_ranges_.clear();
  for (unsigned i = 0; left != 0 && i < kMaxDescriptors; i++) {
    const GuestPhys at = GuestPhys{bm_table_} + i * 8u;
    const u32 address = memory.load<u32>(at) & ~1u;
    const u32 second = memory.load<u32>(at + 4);
    const u64 count = (second & 0xFFFE) == 0 ? 0x10000 : second & 0xFFFE;
    const u64 size = std::min(left, count);
    if (!append_guest_buffers(memory, GuestPhys{address}, size, to_memory, buffers)) return false;
    if (to_memory) dma_ranges_.emplace_back(GuestPhys{address}, size);
    left -= size;
    if (has_bit(second, 31)) {
      table_used_up_ = size == count || left != 0;
      break;
    }
  }
  return true;
}

u32 IdeChannel::read_bus_master(unsigned offset, unsigned size_bytes) const {
  std::array<u8, 12> image{};
  image[0] = bm_command_;
  image[2] = bm_status_;
  store_le(&image[4], bm_table_);
  return static_cast<u32>(load_le_sized(&image[offset & 7], size_bytes));
}

void IdeChannel::write_bus_master(unsigned offset, u32 value, unsigned size_bytes) {
  for (unsigned i = 0; i < size_bytes; i++) write_bus_master_byte(offset + i, static_cast<u8>(value >> (8 * i)));
}

void IdeChannel::write_bus_master_byte(unsigned offset, u8 value) {
  switch (offset) {
    case 0: {
      const bool starts = (value & kStart) != 0 && (bm_command_ & kStart) == 0;
      bm_command_ = value & 0x09;
      if ((value & kStart) == 0) bm_status_ &= static_cast<u8>(~kActive);
      if (!starts) return;
      bm_status_ |= kActive;
      return try_dma();
    }
    case 2:
      bm_status_ = static_cast<u8>((bm_status_ & ~(value & (kError | kInterrupt)) & ~kCapable) | (value & kCapable));
      return;
    case 4: bm_table_ = (bm_table_ & ~0xFFu) | (value & 0xFCu); return;
    case 5:
    case 6:
    case 7: bm_table_ = static_cast<u32>(with_bits(bm_table_, (offset - 4) * 8 + 7, (offset - 4) * 8, value)); return;
    default: return;
  }
}

}  // namespace xm::devices
