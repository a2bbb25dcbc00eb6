// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/virtio/console.h"

#include <algorithm>

namespace xm::devices {

namespace {

constexpr u64 kEmergencyWrite = 1 << 2;
constexpr u64 kEmergencyOffset = 8;
constexpr unsigned kReceive = 0, kTransmit = 1;

}  // namespace

const VirtioDevice::Type& VirtioConsole::type() const {
  static constexpr Type kType{"virtio-console", 3, 0x1003, 0x078000};
  return kType;
}

u64 VirtioConsole::features() const { return kEmergencyWrite; }

void VirtioConsole::config_written(u64 offset, u64 value, unsigned) {
  if (offset != kEmergencyOffset) return;
  const u8 byte = static_cast<u8>(value);
  backend_.write({&byte, 1});
}

void VirtioConsole::reset() {
  has_pending_ = false;
  sent_ = 0;
}

// A chain that was sent in part is sent again from its start after a load: its buffers are not part of the state.
void VirtioConsole::exchange(bus::Archive& archive) {
  archive.begin("console");
  archive.end();
  if (archive.loading()) reset();
}

void VirtioConsole::started() {
  backend_.receive_ready();
  transmit();
}

void VirtioConsole::notified(unsigned queue) {
  if (queue == kReceive) return backend_.receive_ready();
  transmit();
}

void VirtioConsole::transmit() {
  bool any = false;
  for (;;) {
    if (!has_pending_) {
      if (!pop(kTransmit, pending_)) break;
      has_pending_ = true;
      sent_ = 0;
    }
    while (sent_ < pending_.readable_bytes()) {
      const IoBuffers rest = Chain::slice(pending_.readable(), sent_, pending_.readable_bytes() - sent_);
      const std::size_t taken = backend_.write(rest.front());
      sent_ += taken;
      if (taken < rest.front().size()) {
        if (any) transport().signal_queue(kTransmit);
        return;  // writable() goes on
      }
    }
    has_pending_ = false;
    push(kTransmit, pending_, 0);
    any = true;
  }
  if (any) transport().signal_queue(kTransmit);
}

// Room of the next chain; one byte is enough to be called, receive() takes what fits.
std::size_t VirtioConsole::can_receive() {
  Chain chain;
  if (!pop(kReceive, chain)) return 0;
  transport().queue(kReceive).unpop();
  return chain.writable_bytes();
}

void VirtioConsole::receive(std::span<const u8> bytes) {
  bool any = false;
  Chain chain;
  while (!bytes.empty() && pop(kReceive, chain)) {
    const u64 taken = chain.copy_in(0, bytes);
    bytes = bytes.subspan(taken);
    push(kReceive, chain, static_cast<u32>(taken));
    any = true;
    if (taken == 0) break;
  }
  if (any) transport().signal_queue(kReceive);
}

}  // namespace xm::devices
