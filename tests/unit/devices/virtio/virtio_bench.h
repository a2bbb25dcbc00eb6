// SPDX-License-Identifier: GPL-2.0-or-later
// The driver's side of virtio over PCI, as tests need it: rings in guest memory, set up through the modern registers.
#pragma once

#include <gtest/gtest.h>

#include "devices/virtio/transport_pci.h"
#include "tests/unit/devices/pci/pci_bench.h"

namespace xm::devices::testing {

struct VirtioBench : PciBench {
  static constexpr u64 kModern = 0xE0000000, kMsix = 0xE1000000;
  static constexpr u16 kLegacyPort = 0xC000;
  static constexpr u16 kSize = 16;
  struct Part {
    u64 address;
    u32 length;
    bool writable;
  };

  void install(std::unique_ptr<VirtioDevice> device, VirtioPci::Options options = {}) {
    function = std::make_unique<VirtioPci>(environment, std::move(device), options);
    EXPECT_TRUE(pci.attach(4, 0, *function));
    function->reset();
    write_config(4, 0x10, kLegacyPort, 4);
    write_config(4, 0x14, kMsix, 4);
    write_config(4, 0x20, kModern, 4);
    write_config(4, 0x24, 0, 4);
    write_config(4, 0x04, 7, 2);
  }
  u64 common(u64 offset, unsigned size) { return read_memory(kModern + offset, size); }
  void set_common(u64 offset, u64 value, unsigned size) { write_memory(kModern + offset, value, size); }
  u8 status() { return static_cast<u8>(common(20, 1)); }
  u64 device_config(u64 offset, unsigned size) { return read_memory(kModern + 0x2000 + offset, size); }

  u64 offered() {
    set_common(0, 0, 4);
    u64 features = common(4, 4);
    set_common(0, 1, 4);
    return features | common(4, 4) << 32;
  }
  // Reset to DRIVER_OK with every queue set up at ring(q).
  void start(u64 features) {
    set_common(20, 0, 1);
    set_common(20, 3, 1);
    set_common(8, 0, 4);
    set_common(12, features & 0xFFFFFFFF, 4);
    set_common(8, 1, 4);
    set_common(12, features >> 32, 4);
    set_common(20, 11, 1);
    EXPECT_EQ(status(), 11);
    const u64 queues = common(18, 2);
    available.assign(queues, 0);
    seen_used.assign(queues, 0);
    next_descriptor.assign(queues, 0);
    for (u64 q = 0; q < queues; q++) {
      set_common(22, q, 2);
      set_common(24, kSize, 2);
      guest.fill(GuestPhys{ring(q)}, 0, 0x4000);
      set_common(32, ring(q), 8);
      set_common(40, ring(q) + 0x1000, 8);
      set_common(48, ring(q) + 0x2000, 8);
      set_common(28, 1, 2);
    }
    set_common(20, 15, 1);
  }
  static u64 ring(u64 queue) { return 0x100000 + queue * 0x4000; }
  void put_descriptor(u64 queue, u16 index, u64 address, u32 length, u16 flags, u16 next) {
    const GuestPhys at{ring(queue) + index * 16u};
    guest.store(at, address);
    guest.store(at + 8, length);
    guest.store(at + 12, flags);
    guest.store(at + 14, next);
  }
  void publish(u64 queue, u16 head) {
    guest.store(GuestPhys{ring(queue) + 0x1000 + 4 + 2 * (available[queue] % kSize)}, head);
    available[queue]++;
    guest.store(GuestPhys{ring(queue) + 0x1002}, available[queue]);
  }
  void kick(u64 queue) { write_memory(kModern + 0x3000 + 4 * queue, queue, 2); }
  // Adds one chain; returns its head.
  u16 add(u64 queue, const std::vector<Part>& parts) {
    const u16 head = next_descriptor[queue];
    for (std::size_t i = 0; i < parts.size(); i++) {
      const u16 index = next_descriptor[queue];
      next_descriptor[queue] = static_cast<u16>((index + 1) % kSize);
      const bool last = i + 1 == parts.size();
      put_descriptor(queue, index, parts[i].address, parts[i].length,
                     static_cast<u16>((parts[i].writable ? 2 : 0) | (last ? 0 : 1)), next_descriptor[queue]);
    }
    publish(queue, head);
    return head;
  }
  u16 used_index(u64 queue) { return guest.load<u16>(GuestPhys{ring(queue) + 0x2002}); }
  // The next used element as {id, length}; fails the test if there is none.
  std::pair<u32, u32> take_used(u64 queue) {
    EXPECT_NE(used_index(queue), seen_used[queue]);
    const u64 at = ring(queue) + 0x2004 + 8 * (seen_used[queue]++ % kSize);
    return {guest.load<u32>(GuestPhys{at}), guest.load<u32>(GuestPhys{at + 4})};
  }

  std::unique_ptr<VirtioPci> function;
  std::vector<u16> available, seen_used, next_descriptor;
};

}  // namespace xm::devices::testing
