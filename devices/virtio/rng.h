// SPDX-License-Identifier: GPL-2.0-or-later
// virtio-rng [VIRTIO 5.4]: fills buffers with random bytes from an entropy source.
#pragma once

#include "devices/virtio/device.h"

namespace xm::devices {

// The one door for random bytes, so that they can be recorded and replayed.
class EntropySource {
 public:
  virtual void fill(std::span<u8> bytes) = 0;

 protected:
  ~EntropySource() = default;
};

class VirtioRng final : public VirtioDevice {
 public:
  explicit VirtioRng(EntropySource& source) : source_(source) {}

  const Type& type() const override;
  u64 features() const override { return 0; }
  void accept_features(u64) override {}
  unsigned queue_count() const override { return 1; }
  u16 queue_size(unsigned) const override { return 8; }
  std::span<const u8> config() override { return {}; }
  void notified(unsigned queue) override;
  void started() override { notified(0); }
  void reset() override {}
  void exchange(bus::Archive&) override {}

 private:
  EntropySource& source_;
};

}  // namespace xm::devices
