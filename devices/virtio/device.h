// SPDX-License-Identifier: GPL-2.0-or-later
// What a virtio device type (block, net, console, rng) is to its transport, and the transport to it [VIRTIO 2].
// Ring layout and PCI registers are never visible in a device type.
#pragma once

#include <span>
#include <string>

#include "devices/virtio/queue.h"
#include "emu/bus/archive.h"

namespace xm::devices {

// Feature bits that belong to the transport and the rings [VIRTIO 6].
namespace virtio_feature {
inline constexpr u64 kNotifyOnEmpty = u64{1} << 24;  // legacy
inline constexpr u64 kAnyLayout = u64{1} << 27;      // legacy
inline constexpr u64 kIndirect = u64{1} << 28;
inline constexpr u64 kEventIndex = u64{1} << 29;
inline constexpr u64 kVersion1 = u64{1} << 32;
}  // namespace virtio_feature

class VirtioTransport {
 public:
  virtual VirtQueue& queue(unsigned index) = 0;
  // The device's door to the buffers; unusable while the function is no bus master.
  virtual bus::GuestMemory& guest_memory() = 0;
  // Interrupts the driver if it wants to hear of this queue's used buffers.
  virtual void signal_queue(unsigned index) = 0;
  virtual void signal_config() = 0;
  // The driver broke the protocol: the device stops until it is reset [VIRTIO 2.1.2].
  virtual void needs_reset(const char* reason) = 0;
  // Whether the driver has finished its set-up, so that queues may be worked on.
  virtual bool driver_ok() const = 0;

 protected:
  ~VirtioTransport() = default;
};

class VirtioDevice {
 public:
  struct Type {
    const char* name;
    u16 id;          // [VIRTIO 5]
    u16 legacy_pci;  // transitional PCI device id
    u32 class_code;
  };

  virtual ~VirtioDevice() = default;
  virtual const Type& type() const = 0;
  virtual u64 features() const = 0;
  virtual void accept_features(u64 features) = 0;
  virtual unsigned queue_count() const = 0;
  virtual u16 queue_size(unsigned index) const = 0;
  // Device configuration space, as the driver reads it now.
  virtual std::span<const u8> config() = 0;
  virtual void config_written(u64 offset, u64 value, unsigned size_bytes) {
    (void)offset;
    (void)value;
    (void)size_bytes;
  }
  // The driver added buffers to a queue.
  virtual void notified(unsigned queue) = 0;
  // The driver set DRIVER_OK.
  virtual void started() {}
  // Back to the state before any driver; requests in flight must not touch the queues afterwards.
  virtual void reset() = 0;
  virtual void exchange(bus::Archive& archive) = 0;

  void connect(VirtioTransport& transport) { transport_ = &transport; }

 protected:
  VirtioTransport& transport() { return *transport_; }
  // Takes the next chain of a queue; a broken ring is reported to the transport.
  bool pop(unsigned queue, Chain& chain) {
    VirtQueue& ring = transport_->queue(queue);
    if (ring.broken() || !transport_->driver_ok()) return false;
    if (ring.pop(transport_->guest_memory(), chain)) return true;
    if (ring.broken()) transport_->needs_reset(ring.broken_reason());
    return false;
  }
  void push(unsigned queue, const Chain& chain, u32 written) {
    transport_->queue(queue).push(transport_->guest_memory(), chain, written);
  }

 private:
  VirtioTransport* transport_ = nullptr;
};

}  // namespace xm::devices
