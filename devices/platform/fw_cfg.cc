// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/platform/fw_cfg.h"

#include <algorithm>

#include "emu/base/bits.h"

namespace xm::devices {
namespace {

constexpr u32 kFeatures = 0x03;                    // traditional interface, DMA
constexpr u64 kDmaSignature = 0x51454D5520434647;  // "QEMU CFG"
constexpr std::size_t kNameBytes = 56;

constexpr u32 kControlError = 0x01;
constexpr u32 kControlRead = 0x02;
constexpr u32 kControlSkip = 0x04;
constexpr u32 kControlSelect = 0x08;
constexpr u32 kControlWrite = 0x10;

constexpr u16 kKeyMask = 0xBFFF;  // bit 14 was the write channel of old versions

// What the guest builds for one DMA request; all fields big-endian.
struct DmaRequest {
  u32 control;
  u32 length;
  u64 address;
};
static_assert(sizeof(DmaRequest) == 16);

template <class T>
std::vector<u8> bytes_of(T value) {
  std::vector<u8> bytes(sizeof value);
  store_le(bytes.data(), value);
  return bytes;
}

}  // namespace

FwCfg::FwCfg(const bus::GuestMemory& memory) : memory_(memory) {
  ports_.cfg = dma_ports_.cfg = this;
  set_item(kSignature, {'Q', 'E', 'M', 'U'});
  set_u32(kId, kFeatures);
  rebuild_directory();
}

void FwCfg::reset() {
  select(kSignature);
  dma_address_ = 0;
}

// ---- contents
// --------------------------------------------------------------------------------------------------------

void FwCfg::set_item(u16 key, std::vector<u8> bytes) { items_[key & kKeyMask].bytes = std::move(bytes); }
void FwCfg::set_u16(u16 key, u16 value) { set_item(key, bytes_of(value)); }
void FwCfg::set_u32(u16 key, u32 value) { set_item(key, bytes_of(value)); }
void FwCfg::set_u64(u16 key, u64 value) { set_item(key, bytes_of(value)); }

u16 FwCfg::ensure_file(std::string_view file_name) {
  file_name = file_name.substr(0, kNameBytes - 1);
  if (const auto found = files_.find(file_name); found != files_.end()) return found->second;
  const auto key = static_cast<u16>(kFirstFile + std::min<std::size_t>(files_.size(), kMaxFiles - 1));
  files_.emplace(file_name, key);
  return key;
}

u16 FwCfg::set_file(std::string_view file_name, std::vector<u8> bytes) {
  const u16 key = ensure_file(file_name);
  items_[key] = Item{std::move(bytes), false, {}};
  rebuild_directory();
  return key;
}

u16 FwCfg::set_writable_file(std::string_view file_name, std::vector<u8> bytes,
                             std::function<void(std::span<const u8>)> written) {
  const u16 key = ensure_file(file_name);
  items_[key] = Item{std::move(bytes), true, std::move(written)};
  rebuild_directory();
  return key;
}

const std::vector<u8>* FwCfg::file(std::string_view file_name) const {
  const auto found = files_.find(file_name);
  return found == files_.end() ? nullptr : &items_.at(found->second).bytes;
}

// Count, then an entry a file: size, selector, reserved, name; numbers big-endian.
void FwCfg::rebuild_directory() {
  constexpr std::size_t kEntryBytes = 8 + kNameBytes;
  std::vector<u8> directory(4 + files_.size() * kEntryBytes);
  store_le(directory.data(), byte_swap(static_cast<u32>(files_.size())));
  u8* entry = directory.data() + 4;
  for (const auto& [file_name, key] : files_) {
    store_le(entry, byte_swap(static_cast<u32>(items_[key].bytes.size())));
    store_le(entry + 4, byte_swap(key));
    std::copy(file_name.begin(), file_name.end(), entry + 8);
    entry += kEntryBytes;
  }
  set_item(kFileDirectory, std::move(directory));
}

// ---- port interface
// --------------------------------------------------------------------------------------------------

void FwCfg::select(u16 key) {
  key_ = key & kKeyMask;
  offset_ = 0;
}

FwCfg::Item* FwCfg::selected() {
  const auto found = items_.find(key_);
  return found == items_.end() ? nullptr : &found->second;
}

u8 FwCfg::next_byte() {
  const Item* item = selected();
  return item != nullptr && offset_ < item->bytes.size() ? item->bytes[offset_++] : 0;
}

u32 FwCfg::Ports::port_read(Port port, unsigned size_bytes) {
  return port.value & 1 && size_bytes == 1 ? cfg->next_byte() : 0;
}

void FwCfg::Ports::port_write(Port port, u32 value, unsigned size_bytes) {
  // Writes to the data port are an old interface that no longer does anything.
  if (!(port.value & 1) && size_bytes == 2) cfg->select(static_cast<u16>(value));
}

// ---- DMA interface
// ---------------------------------------------------------------------------------------------------

u32 FwCfg::DmaPorts::port_read(Port port, unsigned size_bytes) {
  u32 value = 0;
  for (unsigned i = 0; i < size_bytes; i++) {
    const unsigned at = (port.value - 4u + i) & 7;
    value |= static_cast<u32>(kDmaSignature >> (56 - 8 * at) & 0xFF) << (8 * i);
  }
  return value;
}

// The address is big-endian: its high half at the lower port; writing the low half starts the request.
void FwCfg::DmaPorts::port_write(Port port, u32 value, unsigned size_bytes) {
  if (size_bytes != 4) return;
  if ((port.value & 7) == 4) {
    cfg->dma_address_ = u64{byte_swap(value)} << 32;
  } else if ((port.value & 7) == 0) {
    cfg->dma_address_ |= byte_swap(value);
    cfg->run_dma();
    cfg->dma_address_ = 0;
  }
}

void FwCfg::run_dma() {
  const GuestPhys at{dma_address_};
  DmaRequest request{};
  u32 result = kControlError;
  if (memory_.read(at, {reinterpret_cast<u8*>(&request), sizeof request}) &&
      dma_transfer(byte_swap(request.control), byte_swap(request.address), byte_swap(request.length))) {
    result = 0;
  }
  memory_.store(at, byte_swap(result));
}

bool FwCfg::dma_transfer(u32 control, u64 address, u32 length) {
  if (control & kControlSelect) select(static_cast<u16>(control >> 16));
  if (control & kControlRead) return dma_read(address, length);
  if (control & kControlWrite) return dma_write(address, length);
  if (control & kControlSkip) offset_ = static_cast<u32>(std::min<u64>(u64{offset_} + length, ~u32{0}));
  return true;
}

// Reads beyond the end give zeros.
bool FwCfg::dma_read(u64 address, u32 length) {
  const Item* item = selected();
  u32 count = 0;
  if (item != nullptr && offset_ < item->bytes.size()) {
    count = static_cast<u32>(std::min<u64>(length, item->bytes.size() - offset_));
    if (!memory_.write(GuestPhys{address}, {item->bytes.data() + offset_, count})) return false;
    offset_ += count;
  }
  // Piece by piece, so that a length of 4 GiB into nowhere ends at once.
  while (count < length) {
    const auto piece = std::min<u32>(length - count, kPageSize);
    if (!memory_.fill(GuestPhys{address + count}, 0, piece)) return false;
    count += piece;
  }
  return true;
}

bool FwCfg::dma_write(u64 address, u32 length) {
  Item* item = selected();
  if (item == nullptr || !item->writable || offset_ > item->bytes.size() || length > item->bytes.size() - offset_) {
    return false;
  }
  if (!memory_.read(GuestPhys{address}, {item->bytes.data() + offset_, length})) return false;
  offset_ += length;
  if (item->written) item->written(item->bytes);
  return true;
}

void FwCfg::exchange(bus::Archive& archive) {
  archive.field("key", key_);
  archive.field("offset", offset_);
  archive.field("dma_address", dma_address_);
  for (auto& [file_name, key] : files_) {
    Item& item = items_[key];
    if (item.writable) archive.field(file_name, std::span<u8>(item.bytes));
  }
}

}  // namespace xm::devices
