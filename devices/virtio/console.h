// SPDX-License-Identifier: GPL-2.0-or-later
// virtio-console [VIRTIO 5.3]: one byte-stream port. Receive queue 0, transmit queue 1, emergency write register.
//
// GAP: no VIRTIO_CONSOLE_F_MULTIPORT: one port, no control queues; the size is not reported.
#pragma once

#include <array>

#include "devices/char/char_backend.h"
#include "devices/virtio/device.h"

namespace xm::devices {

class VirtioConsole final : public VirtioDevice, private CharFrontend {
 public:
  explicit VirtioConsole(CharBackend& backend) : backend_(backend) { backend_.attach(this); }
  ~VirtioConsole() override { backend_.attach(nullptr); }

  const Type& type() const override;
  u64 features() const override;
  void accept_features(u64) override {}
  unsigned queue_count() const override { return 2; }
  u16 queue_size(unsigned) const override { return 128; }
  std::span<const u8> config() override { return config_; }
  void config_written(u64 offset, u64 value, unsigned size_bytes) override;
  void notified(unsigned queue) override;
  void started() override;
  void reset() override;
  void exchange(bus::Archive& archive) override;

 private:
  std::size_t can_receive() override;
  void receive(std::span<const u8> bytes) override;
  void event(CharEvent) override {}
  void writable() override { transmit(); }
  void transmit();

  CharBackend& backend_;
  std::array<u8, 12> config_{};
  // The chain that the back end has taken in part.
  Chain pending_;
  bool has_pending_ = false;
  u64 sent_ = 0;
};

}  // namespace xm::devices
