// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/bus/port_space.h"

#include <algorithm>

#include "emu/base/bits.h"

namespace xm::bus {

PortSpace::Handle PortSpace::add(Port first, unsigned count, PortHandler& handler, unsigned max_size_bytes,
                                 const char* name) {
  const u32 end = std::min<u32>(first.value + count, 65536);
  claims_.push_back({first.value, end - first.value, &handler, max_size_bytes, name});
  const auto handle = static_cast<Handle>(claims_.size() - 1);
  paint(handle);
  return handle;
}

void PortSpace::paint(Handle handle) {
  const Claim& claim = claims_[handle];
  std::fill_n(owner_.begin() + claim.first, claim.count, handle);
}

void PortSpace::remove(Handle handle) {
  if (handle == 0 || handle >= claims_.size()) return;
  claims_[handle].handler = nullptr;
  owner_.fill(0);
  while (claims_.size() > 1 && claims_.back().handler == nullptr) claims_.pop_back();
  for (Handle h = 1; h < claims_.size(); h++) {
    if (claims_[h].handler != nullptr) paint(h);
  }
}

// The widest power-of-two piece at `port` that its owner takes and that does not reach into another owner.
unsigned PortSpace::piece(u32 port, unsigned size_bytes) const {
  const Handle owner = owner_[port];
  unsigned size = std::min(size_bytes, claims_[owner].max_size_bytes);
  while (size > 1 && (port + size > 65536 || owner_[port + size - 1] != owner)) size /= 2;
  return size == 3 ? 2 : size;
}

u32 PortSpace::read(Port port, unsigned size_bytes) {
  u32 value = 0;
  for (unsigned done = 0; done < size_bytes;) {
    const u32 at = (port.value + done) & 0xFFFF;
    const unsigned size = piece(at, size_bytes - done);
    const Handle owner = owner_[at];
    u32 part = ~u32{0};
    if (owner != 0) {
      part = claims_[owner].handler->port_read(Port{static_cast<u16>(at)}, size);
    } else if (log_ != nullptr) {
      log_->line(LogItem::GuestErrors, "port read: nothing at 0x%x size %u", at, size);
    }
    value |= static_cast<u32>((part & mask_of_bytes(size)) << (8 * done));
    done += size;
  }
  return value;
}

void PortSpace::write(Port port, u32 value, unsigned size_bytes) {
  for (unsigned done = 0; done < size_bytes;) {
    const u32 at = (port.value + done) & 0xFFFF;
    const unsigned size = piece(at, size_bytes - done);
    const Handle owner = owner_[at];
    const auto part = static_cast<u32>((value >> (8 * done)) & mask_of_bytes(size));
    if (owner != 0) {
      claims_[owner].handler->port_write(Port{static_cast<u16>(at)}, part, size);
    } else if (log_ != nullptr) {
      log_->line(LogItem::GuestErrors, "port write: nothing at 0x%x size %u value 0x%x", at, size, part);
    }
    done += size;
  }
}

}  // namespace xm::bus
