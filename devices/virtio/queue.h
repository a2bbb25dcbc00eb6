// SPDX-License-Identifier: GPL-2.0-or-later
// VirtQueue: the device's side of a split virtqueue [VIRTIO 2.7], with indirect descriptors and event index.
//
//   descriptor table   16-byte entries: address, length, flags (1 next, 2 device-writable, 4 indirect), next
//   available ring     flags, idx, ring[size], used_event       written by the driver
//   used ring          flags, idx, ring[size] of {id, length}, avail_event      written by the device
//
// Everything in these structures comes from the guest and is checked: indexes against the queue size, chains against
// loops, buffers against guest memory. A ring that lies makes the queue `broken`: it yields nothing more until reset.
// GAP: packed virtqueues are not offered.
#pragma once

#include "devices/virtio/chain.h"
#include "emu/bus/archive.h"

namespace xm::devices {

class VirtQueue {
 public:
  static constexpr u16 kMaxSize = 1024;

  // Power-on state; `size` is what the device offers (a power of two), or 0 if the queue does not exist.
  void reset(u16 size);
  void exchange(bus::Archive& archive);

  // Set-up by the transport.
  u16 max_size() const { return max_size_; }
  u16 size() const { return size_; }
  bool set_size(u16 size);
  void set_addresses(GuestPhys descriptors, GuestPhys available, GuestPhys used);
  // The legacy layout: one contiguous area with the used ring on its own page [VIRTIO 2.7.2].
  void set_legacy_address(GuestPhys base);
  GuestPhys descriptors() const { return descriptors_; }
  GuestPhys available() const { return available_; }
  GuestPhys used() const { return used_; }
  bool enabled() const { return enabled_; }
  void set_enabled(bool enabled) { enabled_ = enabled; }
  void set_event_index(bool on) { event_index_ = on; }
  u16 vector() const { return vector_; }
  void set_vector(u16 vector) { vector_ = vector; }

  // The device's work. pop() takes the next available chain; false if there is none or the ring is broken.
  bool pop(bus::GuestMemory& memory, Chain& chain);
  bool empty(bus::GuestMemory& memory) const;
  // Puts back the chain popped last, as if it had never been taken.
  void unpop() { next_available_--; }
  // Returns a chain with `written` bytes of answer. Chains may be returned in any order.
  void push(bus::GuestMemory& memory, const Chain& chain, u32 written);
  // The same in two steps, for answers that span several chains: the driver sees them all at publish().
  void stage(bus::GuestMemory& memory, const Chain& chain, u32 written);
  void publish(bus::GuestMemory& memory);
  // Whether the driver wants an interrupt for what was pushed since the last call.
  bool take_interrupt_need(bus::GuestMemory& memory);
  // Asks the driver to notify (or not to bother) when it adds buffers. After turning notifications on, look again.
  void set_notifications(bus::GuestMemory& memory, bool on);

  bool broken() const { return broken_ != nullptr; }
  const char* broken_reason() const { return broken_; }

 private:
  struct Descriptor {
    u64 address;
    u32 length;
    u16 flags;
    u16 next;
  };
  struct Table {
    GuestPhys base;
    u32 count;
  };
  bool fail(const char* reason) {
    broken_ = reason;
    return false;
  }
  bool walk(bus::GuestMemory& memory, Chain& chain);
  bool add_buffer(bus::GuestMemory& memory, Chain& chain, const Descriptor& descriptor);

  u16 max_size_ = 0;
  u16 size_ = 0;
  bool enabled_ = false;
  bool event_index_ = false;
  bool notifications_ = true;
  u16 vector_ = 0xFFFF;
  GuestPhys descriptors_{}, available_{}, used_{};
  u16 next_available_ = 0;  // free-running, like the ring indexes
  u16 next_used_ = 0;
  u16 staged_ = 0;
  u16 signalled_used_ = 0;
  bool signalled_valid_ = false;
  const char* broken_ = nullptr;
};

}  // namespace xm::devices
