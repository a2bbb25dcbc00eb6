// SPDX-License-Identifier: GPL-2.0-or-later
// Virtio over PCI [VIRTIO 4.1]: the modern interface (common, notify, ISR and device configuration in a memory region
// found by vendor capabilities, plus access through configuration space) and, for transitional devices, the legacy
// registers in I/O region 0. Interrupts by MSI-X or INTx.
//
//   BAR 0  legacy registers (transitional)     BAR 1  MSI-X table and pending bits
//   BAR 4  0000 common   1000 ISR   2000 device   3000 notify, 4 bytes a queue      (the places QEMU uses)
//
// GAP: no shared memory regions, no VIRTIO_F_RING_RESET, no notification data.
#pragma once

#include <memory>
#include <vector>

#include "devices/pci/pci_device.h"
#include "devices/virtio/device.h"

namespace xm::devices {

class VirtioPci final : public PciFunction, private VirtioTransport {
 public:
  struct Options {
    bool legacy = true;  // disable-legacy=on clears it: PCI id 1040h + type, revision 1
    bool modern = true;
    u16 vectors = 0;  // MSI-X vectors; 0: one a queue and one for configuration
  };

  VirtioPci(const PciEnvironment& environment, std::unique_ptr<VirtioDevice> device, Options options);
  VirtioPci(const PciEnvironment& environment, std::unique_ptr<VirtioDevice> device)
      : VirtioPci(environment, std::move(device), Options{}) {}

  void reset() override;
  void exchange(bus::Archive& archive) override;
  u32 config_read(u8 offset, unsigned size_bytes) override;
  VirtioDevice& device() { return *device_; }

 protected:
  u64 bar_read(unsigned bar, u64 offset, unsigned size_bytes) override;
  void bar_write(unsigned bar, u64 offset, u64 value, unsigned size_bytes) override;
  void on_config_written(u8 offset, unsigned size_bytes) override;

 private:
  // VirtioTransport
  VirtQueue& queue(unsigned index) override { return queues_[index]; }
  bus::GuestMemory& guest_memory() override { return memory(); }
  void signal_queue(unsigned index) override;
  void signal_config() override;
  void needs_reset(const char* reason) override;
  bool driver_ok() const override;

  void add_vendor_capabilities();
  u64 offered_features() const;
  void set_driver_features(u64 features);
  void set_status(u8 status);
  void device_reset();
  void notify(u64 queue);
  void raise(u16 vector, u8 isr_bit);
  u8 take_isr();
  bool legacy_driver() const { return (driver_features_ & virtio_feature::kVersion1) == 0; }

  u64 modern_read(u64 offset, unsigned size_bytes);
  void modern_write(u64 offset, u64 value, unsigned size_bytes);
  u64 common_read(u64 offset, unsigned size_bytes);
  void common_write(u64 offset, u64 value, unsigned size_bytes);
  void common_write_queue(u64 offset, u64 value);
  u64 legacy_read(u64 offset, unsigned size_bytes);
  void legacy_write(u64 offset, u64 value, unsigned size_bytes);
  u64 device_config_read(u64 offset, unsigned size_bytes);
  u64 legacy_config_offset() const { return msix_enabled() ? 24 : 20; }
  VirtQueue* selected();

  std::unique_ptr<VirtioDevice> device_;
  Options options_;
  std::vector<VirtQueue> queues_;
  // Driver-visible state; field names as in struct virtio_pci_common_cfg.
  u32 device_feature_select_ = 0;
  u32 driver_feature_select_ = 0;
  u64 driver_features_ = 0;
  u16 config_vector_ = 0xFFFF;
  u8 status_ = 0;
  u8 config_generation_ = 0;
  u16 queue_select_ = 0;
  u8 isr_ = 0;
  u8 access_capability_ = 0;  // offset of the configuration access capability
};

}  // namespace xm::devices
