// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/pci/msix.h"

#include "emu/base/bits.h"

namespace xm::devices {

MsixTable::MsixTable(Owner& owner, u16 vectors, u32 table_offset, u32 pending_offset)
    : owner_(owner),
      table_offset_(table_offset),
      pending_offset_(pending_offset),
      entries_(vectors),
      pending_(align_up(vectors, 64) / 8) {
  reset();
}

void MsixTable::reset() {
  for (Entry& entry : entries_) entry = {.address_low = 0, .address_high = 0, .data = 0, .vector_control = 1};
  for (u8& byte : pending_) byte = 0;
  enabled_ = false;
  function_mask_ = false;
}

void MsixTable::exchange(bus::Archive& archive) {
  archive.begin("msix");
  archive.field("entries", std::span<u8>(reinterpret_cast<u8*>(entries_.data()), entries_.size() * sizeof(Entry)));
  archive.field("pending", std::span<u8>(pending_));
  archive.field("enabled", enabled_);
  archive.field("function_mask", function_mask_);
  archive.end();
}

void MsixTable::set_control(u16 control) {
  enabled_ = has_bit(control, 15);
  function_mask_ = has_bit(control, 14);
  if (!enabled_) return;
  for (u16 vector = 0; vector < entries_.size(); vector++) flush(vector);
}

void MsixTable::notify(u16 vector) {
  if (!enabled_ || vector >= entries_.size()) return;
  pending_[vector / 8] |= static_cast<u8>(bit(vector % 8));
  flush(vector);
}

void MsixTable::flush(u16 vector) {
  if (!enabled_ || masked(vector) || !has_bit(pending_[vector / 8], vector % 8)) return;
  pending_[vector / 8] &= static_cast<u8>(~bit(vector % 8));
  const Entry& entry = entries_[vector];
  owner_.send_message(u64{entry.address_high} << 32 | entry.address_low, entry.data);
}

bool MsixTable::owns(u64 offset) const {
  return (offset >= table_offset_ && offset < table_offset_ + entries_.size() * kEntrySize) ||
         (offset >= pending_offset_ && offset < pending_offset_ + pending_.size());
}

u32 MsixTable::dword(u64 offset) const {
  if (offset >= table_offset_ && offset - table_offset_ < entries_.size() * kEntrySize) {
    return load_le<u32>(reinterpret_cast<const u8*>(entries_.data()) + align_down(offset - table_offset_, 4));
  }
  if (offset >= pending_offset_ && offset - pending_offset_ < pending_.size()) {
    return load_le<u32>(pending_.data() + align_down(offset - pending_offset_, 4));
  }
  return 0;
}

u64 MsixTable::read(u64 offset, unsigned size_bytes) const {
  if (size_bytes == 8) return u64{dword(offset)} | u64{dword(offset + 4)} << 32;
  return (dword(offset) >> (8 * (offset & 3))) & mask_of_bytes(size_bytes);
}

// Software uses aligned dwords or qwords [PCI 6.8.2]; smaller writes are merged as hardware with byte enables would.
void MsixTable::write(u64 offset, u64 value, unsigned size_bytes) {
  if (offset < table_offset_ || offset - table_offset_ + size_bytes > entries_.size() * kEntrySize) return;
  const u64 at = offset - table_offset_;
  store_le_sized(reinterpret_cast<u8*>(entries_.data()) + at, value, size_bytes);
  flush(static_cast<u16>(at / kEntrySize));
}

}  // namespace xm::devices
