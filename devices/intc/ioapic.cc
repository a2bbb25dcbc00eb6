// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/intc/ioapic.h"

#include "emu/base/bits.h"

namespace xm::devices {
namespace {

// Offsets in the page.
constexpr u64 kIndexWindow = 0x00;
constexpr u64 kDataWindow = 0x10;
constexpr u64 kEoiWindow = 0x40;
// Indices.
constexpr u8 kId = 0x00;
constexpr u8 kVersion = 0x01;
constexpr u8 kArbitration = 0x02;
constexpr u8 kRedirectionFirst = 0x10;

// Redirection entry [82093AA 3.2.4].
constexpr unsigned kLogicalBit = 11;
constexpr unsigned kRemoteIrrBit = 14;
constexpr unsigned kLevelBit = 15;
constexpr unsigned kMaskBit = 16;
constexpr u64 kReadOnly = (u64{1} << 12) | (u64{1} << kRemoteIrrBit);  // delivery status, remote IRR
constexpr u64 kWritable = 0xFF00'0000'0001'AFFF;

}  // namespace

void IoApic::reset() {
  id_ = power_on_id_;
  index_ = 0;
  redirection_.fill(u64{1} << kMaskBit);
}

u64 IoApic::mmio_read(u64 offset, unsigned size_bytes) {
  u64 value = 0;
  switch (offset & 0xF0) {
    case kIndexWindow: value = index_; break;
    case kDataWindow: value = read_register(); break;
    default: break;
  }
  return value >> (8 * (offset & 3)) & mask_of_bytes(size_bytes);
}

void IoApic::mmio_write(u64 offset, u64 value, unsigned) {
  switch (offset & 0xFF) {
    case kIndexWindow: index_ = static_cast<u8>(value); break;
    case kDataWindow: write_register(static_cast<u32>(value)); break;
    case kEoiWindow: end_of_interrupt(static_cast<u8>(value)); break;
    default: break;
  }
}

u32 IoApic::read_register() const {
  switch (index_) {
    case kId:
    case kArbitration: return u32{id_} << 24;
    case kVersion: return (kInputs - 1) << 16 | 0x20;
    default: break;
  }
  const unsigned input = (index_ - kRedirectionFirst) / 2u;
  if (index_ < kRedirectionFirst || input >= kInputs) return 0;
  return static_cast<u32>(index_ & 1 ? redirection_[input] >> 32 : redirection_[input]);
}

void IoApic::write_register(u32 value) {
  if (index_ == kId) {
    id_ = bits(value, 27, 24);
    return;
  }
  const unsigned input = (index_ - kRedirectionFirst) / 2u;
  if (index_ < kRedirectionFirst || input >= kInputs) return;
  u64& entry = redirection_[input];
  const u64 wanted = index_ & 1 ? with_bits(entry, 63, 32, value) : with_bits(entry, 31, 0, value);
  entry = (entry & kReadOnly) | (wanted & kWritable);
  // Remote IRR has no meaning for edges; guests switch a pin to edge and back to be rid of a lost EOI.
  if (!has_bit(entry, kLevelBit)) entry &= ~bit(kRemoteIrrBit);
  service_level(input);
}

void IoApic::set_input(unsigned input, bool level) {
  if (input >= kInputs) return;
  const bool rising = level && !has_bit(inputs_, input);
  inputs_ = static_cast<u32>(level ? inputs_ | bit(input) : inputs_ & ~bit(input));
  const u64 entry = redirection_[input];
  if (has_bit(entry, kLevelBit)) {
    service_level(input);
  } else if (rising && !has_bit(entry, kMaskBit)) {
    send(input);  // edges on a masked pin are lost [82093AA 3.2.4]
  }
}

void IoApic::service_level(unsigned input) {
  const u64 entry = redirection_[input];
  if (!has_bit(entry, kLevelBit) || has_bit(entry, kMaskBit) || has_bit(entry, kRemoteIrrBit)) return;
  if (has_bit(inputs_, input)) send(input);
}

void IoApic::send(unsigned input) {
  u64& entry = redirection_[input];
  ApicMessage message;
  message.destination = static_cast<u32>(bits(entry, 63, 56));
  message.vector = static_cast<u8>(entry);
  message.mode = static_cast<DeliveryMode>(bits(entry, 10, 8));
  message.logical = has_bit(entry, kLogicalBit);
  message.level_triggered = has_bit(entry, kLevelBit);
  if (message.level_triggered) entry |= bit(kRemoteIrrBit);
  if (!bus_.send(message)) entry &= ~bit(kRemoteIrrBit);
}

void IoApic::end_of_interrupt(u8 vector) {
  for (unsigned input = 0; input < kInputs; input++) {
    u64& entry = redirection_[input];
    if (static_cast<u8>(entry) != vector || !has_bit(entry, kLevelBit) || !has_bit(entry, kRemoteIrrBit)) continue;
    entry &= ~bit(kRemoteIrrBit);
    service_level(input);
  }
}

void IoApic::exchange(bus::Archive& archive) {
  archive.field("id", id_);
  archive.field("index", index_);
  archive.field("inputs", inputs_);
  archive.field("redirection", redirection_);
}

}  // namespace xm::devices
