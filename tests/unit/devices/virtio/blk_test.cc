// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/virtio/blk.h"

#include <gtest/gtest.h>

#include "tests/unit/devices/block_bench.h"
#include "tests/unit/devices/virtio/virtio_bench.h"

namespace xm::devices {
namespace {

constexpr u64 kVersion1 = virtio_feature::kVersion1;
constexpr u64 kFlushFeature = 1 << 9;
constexpr u64 kHeader = 0x200000, kData = 0x201000, kStatus = 0x300000;

struct VirtioBlkTest : ::testing::Test, testing::VirtioBench {
  VirtioBlkTest() {
    for (std::size_t i = 0; i < disk->bytes.size(); i++) disk->bytes[i] = static_cast<u8>(i / 512);
  }
  void install(VirtioBlk::Options options = {}) { VirtioBench::install(std::make_unique<VirtioBlk>(drive, options)); }
  void header(u32 type, u64 sector) {
    guest.store(GuestPhys{kHeader}, type);
    guest.store(GuestPhys{kHeader + 8}, sector);
    guest.store(GuestPhys{kStatus}, u8{0xEE});
  }
  // One request; returns its status byte.
  u8 request(u32 type, u64 sector, u32 length, bool from_device) {
    header(type, sector);
    std::vector<Part> parts{{kHeader, 16, false}};
    if (length != 0) parts.push_back({kData, length, from_device});
    parts.push_back({kStatus, 1, true});
    add(0, parts);
    kick(0);
    executor.run();
    take_used(0);
    return guest.load<u8>(GuestPhys{kStatus});
  }
  void TearDown() override { function.reset(); }  // before the drive
  testing::ManualExecutor executor;
  std::shared_ptr<testing::MemoryDisk> disk = std::make_shared<testing::MemoryDisk>(executor, 1 << 20);
  Drive drive{disk, {.serial = "SERIAL-1", .model = ""}};
};

TEST_F(VirtioBlkTest, IdentifiesAsTransitionalDisk) {
  install();
  EXPECT_EQ(read_config(4, 0, 4), 0x10011AF4u);
  EXPECT_EQ(read_config(4, 0x2E, 2), 2u);
  EXPECT_EQ(offered() & kVersion1, kVersion1);
  EXPECT_EQ(device_config(0, 8), 2048u);
}

TEST_F(VirtioBlkTest, ModernOnlyHasItsOwnId) {
  VirtioBench::install(std::make_unique<VirtioBlk>(drive, VirtioBlk::Options{}), {.legacy = false});
  EXPECT_EQ(read_config(4, 0, 4), 0x10421AF4u);
  EXPECT_EQ(read_config(4, 8, 1), 1u);
}

TEST_F(VirtioBlkTest, ReadsAndWrites) {
  install();
  start(kVersion1 | kFlushFeature);
  EXPECT_EQ(request(0, 5, 1024, true), 0);
  EXPECT_EQ(guest.load<u8>(GuestPhys{kData}), 5);
  EXPECT_EQ(guest.load<u8>(GuestPhys{kData + 512}), 6);
  guest.fill(GuestPhys{kData}, 0xAB, 512);
  EXPECT_EQ(request(1, 7, 512, false), 0);
  EXPECT_EQ(disk->bytes[7 * 512 + 511], 0xAB);
  EXPECT_EQ(disk->bytes[8 * 512], 8);
  EXPECT_EQ(disk->flushes, 0u);
  EXPECT_EQ(request(4, 0, 0, false), 0);
  EXPECT_EQ(disk->flushes, 1u);
  EXPECT_TRUE(pirq.level(3));  // slot 4
  EXPECT_EQ(read_memory(kModern + 0x1000, 1), 1u);
  EXPECT_FALSE(pirq.level(3));
}

TEST_F(VirtioBlkTest, WithoutFlushFeatureWritesGoThrough) {
  install();
  start(kVersion1);
  EXPECT_EQ(request(1, 7, 512, false), 0);
  EXPECT_EQ(disk->flushes, 1u);
}

TEST_F(VirtioBlkTest, OutOfRangeAndOddLengthsFail) {
  install();
  start(kVersion1);
  EXPECT_EQ(request(0, 2048, 512, true), 1);
  EXPECT_EQ(request(0, 2047, 1024, true), 1);
  EXPECT_EQ(request(0, ~u64{0}, 512, true), 1);
  EXPECT_EQ(request(0, 0, 100, true), 1);
  EXPECT_EQ(request(99, 0, 512, true), 2);
  disk->is_read_only = true;
  EXPECT_EQ(request(1, 0, 512, false), 1);
  disk->is_read_only = false;
  disk->fail_with = IoStatus::NoSpace;
  EXPECT_EQ(request(1, 0, 512, false), 1);
}

TEST_F(VirtioBlkTest, GetIdGivesTheSerial) {
  install();
  start(kVersion1);
  EXPECT_EQ(request(8, 0, 20, true), 0);
  EXPECT_EQ(guest.load<u64>(GuestPhys{kData}), 0x312D4C4149524553u);
}

TEST_F(VirtioBlkTest, WriteZeroesAndDiscardCheckTheirRanges) {
  install();
  start(kVersion1);
  guest.store(GuestPhys{kData}, u64{4});
  guest.store(GuestPhys{kData + 8}, u32{2});
  guest.store(GuestPhys{kData + 12}, u32{0});
  EXPECT_EQ(request(13, 0, 16, false), 0);
  EXPECT_EQ(disk->bytes[4 * 512], 0);
  EXPECT_EQ(disk->bytes[5 * 512 + 511], 0);
  EXPECT_EQ(disk->bytes[6 * 512], 6);
  EXPECT_EQ(request(11, 0, 16, false), 0);
  EXPECT_EQ(disk->discards, 1u);
  guest.store(GuestPhys{kData}, u64{2047});
  EXPECT_EQ(request(11, 0, 16, false), 1);
  EXPECT_EQ(request(13, 0, 15, false), 1);
}

TEST_F(VirtioBlkTest, ResetDropsAnswersInFlight) {
  install();
  start(kVersion1);
  header(0, 0);
  add(0, {{kHeader, 16, false}, {kData, 512, true}, {kStatus, 1, true}});
  kick(0);
  set_common(20, 0, 1);
  executor.run();
  EXPECT_EQ(guest.load<u8>(GuestPhys{kStatus}), 0xEE);
  EXPECT_EQ(used_index(0), 0);
}

TEST_F(VirtioBlkTest, BrokenRingAsksForReset) {
  install();
  start(kVersion1);
  publish(0, 99);
  kick(0);
  EXPECT_EQ(status() & 64, 64);
  start(kVersion1);
  EXPECT_EQ(request(0, 1, 512, true), 0);
}

TEST_F(VirtioBlkTest, FeaturesThatWereNotOfferedAreRefused) {
  install();
  set_common(20, 3, 1);
  set_common(8, 1, 4);
  set_common(12, 0x3, 4);  // VERSION_1 and bit 33
  set_common(20, 11, 1);
  EXPECT_EQ(status(), 3);
}

TEST_F(VirtioBlkTest, MsixVectorsPerQueue) {
  install({.queues = 2});
  for (u64 v = 0; v < 3; v++) {
    write_memory(kMsix + 16 * v, 0xFEE00000, 4);
    write_memory(kMsix + 16 * v + 8, 0x40 + v, 4);
    write_memory(kMsix + 16 * v + 12, 0, 4);
  }
  const u8 msix = static_cast<u8>(read_config(4, 0x34, 1));
  ASSERT_EQ(read_config(4, msix, 1), 0x11u);
  write_config(4, static_cast<u8>(msix + 2), 0x8000, 2);
  start(kVersion1);
  for (u64 q = 0; q < 2; q++) {
    set_common(22, q, 2);
    set_common(26, q + 1, 2);
    EXPECT_EQ(common(26, 2), q + 1);
  }
  set_common(26, 77, 2);
  EXPECT_EQ(common(26, 2), 0xFFFFu);
  header(0, 0);
  add(0, {{kHeader, 16, false}, {kData, 512, true}, {kStatus, 1, true}});
  kick(0);
  executor.run();
  ASSERT_EQ(msi.sent.size(), 1u);
  EXPECT_EQ(msi.sent[0].second, 0x41u);
  EXPECT_FALSE(pirq.level(3));
}

TEST_F(VirtioBlkTest, LegacyDriverWorksThroughPorts) {
  install();
  const auto out = [&](u16 at, u32 value, unsigned size) {
    ports.write(Port{static_cast<u16>(kLegacyPort + at)}, value, size);
  };
  const auto in = [&](u16 at, unsigned size) { return ports.read(Port{static_cast<u16>(kLegacyPort + at)}, size); };
  out(18, 0, 1);
  out(18, 3, 1);
  out(4, in(0, 4) & (1 << 9), 4);
  out(14, 0, 2);
  EXPECT_EQ(in(12, 2), 256u);
  EXPECT_EQ(in(8, 4), 0u);
  out(8, 0x100, 4);  // descriptors at 0x100000, available at +0x1000, used at the page after it
  EXPECT_EQ(in(8, 4), 0x100u);
  out(18, 7, 1);
  EXPECT_EQ(in(20, 4), 2048u);  // capacity
  available.assign(1, 0);
  header(0, 9);
  put_descriptor(0, 0, kHeader, 16, 1, 1);
  put_descriptor(0, 1, kData, 512, 3, 2);
  put_descriptor(0, 2, kStatus, 1, 2, 0);
  publish(0, 0);
  out(16, 0, 2);
  executor.run();
  EXPECT_EQ(guest.load<u8>(GuestPhys{kStatus}), 0);
  EXPECT_EQ(guest.load<u8>(GuestPhys{kData}), 9);
  EXPECT_EQ(guest.load<u16>(GuestPhys{0x102002}), 1);
  EXPECT_TRUE(pirq.level(3));
  EXPECT_EQ(in(19, 1), 1u);
  EXPECT_FALSE(pirq.level(3));
}

TEST_F(VirtioBlkTest, ConfigurationAccessCapabilityReachesTheRegisters) {
  install();
  u8 at = static_cast<u8>(read_config(4, 0x34, 1));
  while (at != 0 && !(read_config(4, at, 1) == 9 && read_config(4, static_cast<u8>(at + 3), 1) == 5)) {
    at = static_cast<u8>(read_config(4, static_cast<u8>(at + 1), 1));
  }
  ASSERT_NE(at, 0);
  write_config(4, static_cast<u8>(at + 4), 4, 1);
  write_config(4, static_cast<u8>(at + 8), 0x2000, 4);
  write_config(4, static_cast<u8>(at + 12), 4, 4);
  EXPECT_EQ(read_config(4, static_cast<u8>(at + 16), 4), 2048u);
  write_config(4, static_cast<u8>(at + 8), 20, 4);
  write_config(4, static_cast<u8>(at + 12), 1, 4);
  write_config(4, static_cast<u8>(at + 16), 3, 1);
  EXPECT_EQ(status(), 3);
}

}  // namespace
}  // namespace xm::devices
