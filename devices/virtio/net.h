// SPDX-License-Identifier: GPL-2.0-or-later
// virtio-net [VIRTIO 5.1]: a network card. Receive queue 0, transmit queue 1, control queue 2. Mergeable receive
// buffers, receive filter, link status; checksum and segmentation are passed on where the back end takes them over.
//
// GAP: one queue pair; no VLAN filter, no RSS, no notification coalescing, no announce.
#pragma once

#include <array>
#include <vector>

#include "devices/net/net_backend.h"
#include "devices/virtio/device.h"

namespace xm::devices {

class VirtioNet final : public VirtioDevice, private NetReceiver {
 public:
  struct Options {
    MacAddress mac{};
    u16 queue_size = 256;
  };

  VirtioNet(NetBackend& backend, Options options);
  ~VirtioNet() override;

  const Type& type() const override;
  u64 features() const override;
  void accept_features(u64 features) override;
  unsigned queue_count() const override { return 3; }
  u16 queue_size(unsigned index) const override { return index == kControl ? u16{64} : options_.queue_size; }
  std::span<const u8> config() override;
  void config_written(u64 offset, u64 value, unsigned size_bytes) override;
  void notified(unsigned queue) override;
  void started() override;
  void reset() override;
  void exchange(bus::Archive& archive) override;

 private:
  enum Queue : unsigned { kReceive = 0, kTransmit = 1, kControl = 2 };
  // Receive filter, as the control queue sets it [VIRTIO 5.1.6.5.1].
  struct Filter {
    bool promiscuous = true;
    bool all_multicast = false, all_unicast = false;
    bool no_multicast = false, no_unicast = false, no_broadcast = false;
  };

  bool can_receive() override;
  bool receive(const NetFrame& frame) override;
  void link_changed(bool up) override;

  bool wanted(const NetFrame& frame) const;
  bool collect(u64 bytes);
  void fill(const NetFrame& frame);
  void transmit();
  void control();
  bool control_command(const Chain& chain);
  bool set_receive_mode(u8 command, const Chain& chain);
  bool set_mac(u8 command, const Chain& chain);
  std::size_t header_size() const;
  void apply_offload(u64 features);

  NetBackend& backend_;
  Options options_;
  u64 features_ = 0;
  MacAddress mac_{};
  Filter filter_;
  std::vector<MacAddress> unicast_, multicast_;
  std::array<u8, 12> config_{};
  // Scratch, kept to save allocations.
  Chain transmit_chain_;
  std::vector<Chain> receive_chains_;
  std::size_t receive_count_ = 0;
  std::vector<std::span<u8>> parts_;
};

}  // namespace xm::devices
