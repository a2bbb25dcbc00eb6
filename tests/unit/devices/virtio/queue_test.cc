// SPDX-License-Identifier: GPL-2.0-or-later
// Rings that lie: whatever the driver writes, the queue yields checked chains or breaks, and never touches the host.
#include "devices/virtio/queue.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/unit/devices/pci/pci_bench.h"

namespace xm::devices {
namespace {

constexpr u64 kDescriptors = 0x1000, kAvailable = 0x2000, kUsed = 0x3000;

struct VirtQueueTest : ::testing::Test {
  VirtQueueTest() {
    queue.reset(256);
    EXPECT_TRUE(queue.set_size(8));
    queue.set_addresses(GuestPhys{kDescriptors}, GuestPhys{kAvailable}, GuestPhys{kUsed});
    queue.set_enabled(true);
  }
  void descriptor(u64 table, u16 index, u64 address, u32 length, u16 flags, u16 next) {
    const GuestPhys at{table + index * 16u};
    memory.store(at, address);
    memory.store(at + 8, length);
    memory.store(at + 12, flags);
    memory.store(at + 14, next);
  }
  void publish(u16 head) {
    memory.store(GuestPhys{kAvailable + 4 + 2 * (published++ % 8u)}, head);
    memory.store(GuestPhys{kAvailable + 2}, published);
  }
  void expect_broken() {
    EXPECT_FALSE(queue.pop(memory, chain));
    EXPECT_TRUE(queue.broken());
    EXPECT_FALSE(queue.pop(memory, chain));
  }
  testing::PciBench bench;
  bus::GuestMemory& memory = bench.guest;
  VirtQueue queue;
  Chain chain;
  u16 published = 0;
};

TEST_F(VirtQueueTest, ChainSplitsIntoReadableAndWritable) {
  memory.store(GuestPhys{0x8000}, u64{0x1122334455667788});
  descriptor(kDescriptors, 3, 0x8000, 5, 1, 5);
  descriptor(kDescriptors, 5, 0x8005, 3, 1, 0);
  descriptor(kDescriptors, 0, 0x9000, 16, 2, 0);
  publish(3);
  ASSERT_TRUE(queue.pop(memory, chain));
  EXPECT_EQ(chain.head(), 3);
  EXPECT_EQ(chain.readable_bytes(), 8u);
  EXPECT_EQ(chain.writable_bytes(), 16u);
  u64 value = 0;
  EXPECT_TRUE(chain.read_at(0, value));
  EXPECT_EQ(value, 0x1122334455667788u);
  EXPECT_FALSE(chain.read_at(1, value));
  EXPECT_TRUE(chain.write_at(8, u64{42}));
  EXPECT_FALSE(chain.write_at(9, u64{42}));
  queue.push(memory, chain, 16);
  EXPECT_EQ(memory.load<u16>(GuestPhys{kUsed + 2}), 1);
  EXPECT_EQ(memory.load<u32>(GuestPhys{kUsed + 4}), 3u);
  EXPECT_EQ(memory.load<u32>(GuestPhys{kUsed + 8}), 16u);
  EXPECT_FALSE(queue.pop(memory, chain));
  EXPECT_FALSE(queue.broken());
}

TEST_F(VirtQueueTest, IndirectTableIsFollowed) {
  descriptor(0x5000, 0, 0x8000, 10, 1, 1);
  descriptor(0x5000, 1, 0x9000, 20, 2, 0);
  descriptor(kDescriptors, 1, 0x5000, 32, 4, 0);
  publish(1);
  ASSERT_TRUE(queue.pop(memory, chain));
  EXPECT_EQ(chain.readable_bytes(), 10u);
  EXPECT_EQ(chain.writable_bytes(), 20u);
  EXPECT_EQ(chain.head(), 1);
}

TEST_F(VirtQueueTest, LoopBreaks) {
  descriptor(kDescriptors, 0, 0x8000, 1, 1, 1);
  descriptor(kDescriptors, 1, 0x8000, 1, 1, 0);
  publish(0);
  expect_broken();
}

TEST_F(VirtQueueTest, LoopInIndirectTableBreaks) {
  descriptor(0x5000, 0, 0x8000, 1, 1, 0);
  descriptor(kDescriptors, 0, 0x5000, 16, 4, 0);
  publish(0);
  expect_broken();
}

TEST_F(VirtQueueTest, NestedIndirectBreaks) {
  descriptor(0x5000, 0, 0x6000, 16, 4, 0);
  descriptor(kDescriptors, 0, 0x5000, 16, 4, 0);
  publish(0);
  expect_broken();
}

TEST_F(VirtQueueTest, IndirectTableOfOddSizeBreaks) {
  descriptor(kDescriptors, 0, 0x5000, 17, 4, 0);
  publish(0);
  expect_broken();
}

TEST_F(VirtQueueTest, HeadOutsideTableBreaks) {
  publish(8);
  expect_broken();
}

TEST_F(VirtQueueTest, NextOutsideTableBreaks) {
  descriptor(kDescriptors, 0, 0x8000, 1, 1, 9);
  publish(0);
  expect_broken();
}

TEST_F(VirtQueueTest, AvailableIndexTooFarAheadBreaks) {
  memory.store(GuestPhys{kAvailable + 2}, u16{9});
  expect_broken();
}

TEST_F(VirtQueueTest, BufferOutsideMemoryBreaks) {
  descriptor(kDescriptors, 0, testing::PciBench::kRamSize - 4, 8, 0, 0);
  publish(0);
  expect_broken();
}

TEST_F(VirtQueueTest, BufferThatWrapsTheAddressSpaceBreaks) {
  descriptor(kDescriptors, 0, ~u64{0} - 4, 0xFFFFFFFF, 2, 0);
  publish(0);
  expect_broken();
}

TEST_F(VirtQueueTest, HugeLengthBreaks) {
  descriptor(kDescriptors, 0, 0x8000, 0xFFFFFFFF, 2, 0);
  publish(0);
  expect_broken();
}

TEST_F(VirtQueueTest, ReadableAfterWritableBreaks) {
  descriptor(kDescriptors, 0, 0x8000, 4, 3, 1);
  descriptor(kDescriptors, 1, 0x8000, 4, 0, 0);
  publish(0);
  expect_broken();
}

TEST_F(VirtQueueTest, RingsOutsideMemoryBreak) {
  queue.set_addresses(GuestPhys{~u64{0} - 7}, GuestPhys{0x7000000000}, GuestPhys{~u64{0}});
  expect_broken();
}

TEST_F(VirtQueueTest, EventIndexInterruptsOnlyWhenPassed) {
  queue.set_event_index(true);
  descriptor(kDescriptors, 0, 0x8000, 4, 2, 0);
  const auto serve = [&] {
    publish(0);
    EXPECT_TRUE(queue.pop(memory, chain));
    queue.push(memory, chain, 4);
    return queue.take_interrupt_need(memory);
  };
  memory.store(GuestPhys{kAvailable + 4 + 16}, u16{0});  // used_event
  EXPECT_TRUE(serve());
  EXPECT_FALSE(serve());
  memory.store(GuestPhys{kAvailable + 4 + 16}, u16{3});
  EXPECT_FALSE(serve());
  EXPECT_TRUE(serve());
  EXPECT_EQ(memory.load<u16>(GuestPhys{kUsed + 4 + 64}), 4);  // avail_event follows
}

TEST_F(VirtQueueTest, NoInterruptFlagIsObeyed) {
  descriptor(kDescriptors, 0, 0x8000, 4, 2, 0);
  publish(0);
  memory.store(GuestPhys{kAvailable}, u16{1});
  ASSERT_TRUE(queue.pop(memory, chain));
  queue.push(memory, chain, 4);
  EXPECT_FALSE(queue.take_interrupt_need(memory));
}

TEST_F(VirtQueueTest, RandomRingsNeverEscape) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 20000; round++) {
    queue.reset(256);
    queue.set_size(8);
    queue.set_addresses(GuestPhys{kDescriptors}, GuestPhys{kAvailable}, GuestPhys{kUsed});
    queue.set_enabled(true);
    for (u16 i = 0; i < 8; i++) {
      const u64 kind = random();
      const u64 address = kind % 3 == 0 ? random() : kind % 3 == 1 ? kDescriptors : random() % (20 << 20);
      const u32 length = kind % 5 == 0 ? static_cast<u32>(random()) : static_cast<u32>(random() % 4096);
      descriptor(kDescriptors, i, address, length, static_cast<u16>(random() % 8), static_cast<u16>(random() % 9));
    }
    memory.store(GuestPhys{kAvailable + 2}, static_cast<u16>(random() % 10));
    for (u64 i = 0; i < 8; i++) memory.store(GuestPhys{kAvailable + 4 + 2 * i}, static_cast<u16>(random() % 9));
    while (queue.pop(memory, chain)) {
      u64 total = 0;
      for (const std::span<u8> part : chain.writable()) {
        total += part.size();
        ASSERT_GE(part.data(), bench.ram->host());
        ASSERT_LE(part.data() + part.size(), bench.ram->host() + testing::PciBench::kRamSize);
      }
      ASSERT_EQ(total, chain.writable_bytes());
      queue.push(memory, chain, static_cast<u32>(total));
    }
  }
}

}  // namespace
}  // namespace xm::devices
