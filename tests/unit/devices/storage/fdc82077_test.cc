// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/storage/fdc82077.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/unit/devices/block_bench.h"
#include "tests/unit/devices/pci/pci_bench.h"

namespace xm::devices {
namespace {

using Bytes = std::vector<u8>;

// A DMA channel with a buffer of its own.
struct FakeDma final : DmaChannel {
  bool ready() const override { return count != 0; }
  Outcome move(std::size_t wanted) {
    const u32 bytes = static_cast<u32>(std::min<std::size_t>(wanted, count));
    count -= bytes;
    return {bytes, count == 0};
  }
  Outcome to_memory(std::span<const u8> from) override {
    const Outcome outcome = move(from.size());
    memory.insert(memory.end(), from.begin(), from.begin() + outcome.bytes);
    return outcome;
  }
  Outcome from_memory(std::span<u8> to) override {
    const Outcome outcome = move(to.size());
    for (u32 i = 0; i < outcome.bytes; i++) to[i] = source[(position++) % source.size()];
    return outcome;
  }
  Bytes memory, source{0};
  std::size_t position = 0, count = 0;
};

struct FdcTest : ::testing::Test {
  FdcTest() {
    for (std::size_t i = 0; i < disk->bytes.size(); i++) disk->bytes[i] = static_cast<u8>(i / 512);
    fdc.port_write(Port{0x3F2}, 0x00, 1);
    fdc.port_write(Port{0x3F2}, 0x1C, 1);
    for (int i = 0; i < 4; i++) EXPECT_EQ(command({0x08}, 2)[0], 0xC0 | i);
    command({0x03, 0xAF, 0x02}, 0);
  }
  u8 in(u16 port) { return static_cast<u8>(fdc.port_read(Port{port}, 1)); }
  void send(const Bytes& bytes) {
    for (const u8 byte : bytes) {
      ASSERT_EQ(in(0x3F4) & 0xC0, 0x80);
      fdc.port_write(Port{0x3F5}, byte, 1);
    }
    executor.run();
  }
  Bytes result(std::size_t length) {
    Bytes bytes;
    while (bytes.size() < length && (in(0x3F4) & 0xC0) == 0xC0) bytes.push_back(in(0x3F5));
    EXPECT_EQ(bytes.size(), length);
    EXPECT_EQ(in(0x3F4) & 0xD0, 0x80);
    bytes.resize(length);
    return bytes;
  }
  Bytes command(const Bytes& bytes, std::size_t length) {
    send(bytes);
    return result(length);
  }
  void run_clock(i64 ns) {
    source.advance(ns);
    clock.run_due();
    executor.run();
  }
  testing::ManualExecutor executor;
  bus::ManualClock source;
  bus::VirtualClock clock{source};
  bus::PortSpace ports;
  testing::RecordingSink irq;
  FakeDma dma;
  std::shared_ptr<testing::MemoryDisk> disk = std::make_shared<testing::MemoryDisk>(executor, 2880 * 512);
  Drive drive{disk};
  Fdc82077 fdc{ports, {bus::IrqLine(irq, 6), dma}, clock, {&drive, nullptr}};
};

TEST_F(FdcTest, ResetInterruptsAndSenseClearsIt) {
  fdc.port_write(Port{0x3F2}, 0x00, 1);
  EXPECT_EQ(in(0x3F4), 0);
  fdc.port_write(Port{0x3F2}, 0x0C, 1);
  EXPECT_TRUE(irq.level(6));
  EXPECT_EQ(command({0x08}, 2)[0], 0xC0);
  EXPECT_FALSE(irq.level(6));
}

TEST_F(FdcTest, IdentifiesAndRejects) {
  EXPECT_EQ(command({0x10}, 1), (Bytes{0x90}));
  EXPECT_EQ(command({0x1F}, 1), (Bytes{0x80}));
  EXPECT_EQ(command({0x08}, 1), (Bytes{0x80}));
  EXPECT_EQ(command({0x94}, 1), (Bytes{0x10}));
  EXPECT_EQ(command({0x13, 0, 0x57, 0}, 0).size(), 0u);
  EXPECT_EQ(command({0x0E}, 10)[8], 0x57);
}

TEST_F(FdcTest, SeekTakesTimeAndClearsDiskChange) {
  EXPECT_EQ(in(0x3F7), 0x80);
  send({0x0F, 0x00, 40});
  EXPECT_EQ(in(0x3F4) & 1, 1);
  EXPECT_FALSE(irq.level(6));
  run_clock(2'000'000);
  EXPECT_TRUE(irq.level(6));
  EXPECT_EQ(command({0x08}, 2), (Bytes{0x20, 40}));
  EXPECT_EQ(in(0x3F7), 0);
  send({0x07, 0x00});
  run_clock(2'000'000);
  EXPECT_EQ(command({0x08}, 2), (Bytes{0x20, 0}));
  EXPECT_EQ(command({0x04, 0x00}, 1)[0] & 0x10, 0x10);
  drive.insert(disk);
  EXPECT_EQ(in(0x3F7), 0x80);
}

TEST_F(FdcTest, ReadsByDmaUntilTerminalCount) {
  dma.count = 1024;
  EXPECT_EQ(command({0xE6, 0x00, 1, 0, 3, 2, 18, 0x1B, 0xFF}, 7), (Bytes{0x00, 0, 0, 1, 0, 5, 2}));
  ASSERT_EQ(dma.memory.size(), 1024u);
  EXPECT_EQ(dma.memory[0], 38);
  EXPECT_EQ(dma.memory[1023], 39);
}

TEST_F(FdcTest, MultiTrackCrossesTheHead) {
  dma.count = 36 * 512;
  EXPECT_EQ(command({0xE6, 0x00, 2, 0, 1, 2, 18, 0x1B, 0xFF}, 7), (Bytes{0x04 & 0, 0, 0, 3, 0, 1, 2}));
  EXPECT_EQ(dma.memory[18 * 512], 90);
}

TEST_F(FdcTest, EndOfTrackWithoutTerminalCountIsAbnormal) {
  dma.count = 65536;
  const Bytes outcome = command({0x46, 0x00, 0, 0, 17, 2, 18, 0x1B, 0xFF}, 7);
  EXPECT_EQ(outcome[0] & 0xC0, 0x40);
  EXPECT_EQ(outcome[1], 0x80);
  EXPECT_EQ(dma.memory.size(), 1024u);
}

TEST_F(FdcTest, WritesByDma) {
  dma.source = {0x5A};
  dma.count = 512;
  EXPECT_EQ(command({0xC5, 0x04, 79, 1, 18, 2, 18, 0x1B, 0xFF}, 7)[0], 0x00);
  EXPECT_EQ(disk->bytes[2879 * 512], 0x5A);
  EXPECT_EQ(disk->bytes.back(), 0x5A);
  disk->is_read_only = true;
  EXPECT_EQ(command({0xC5, 0x00, 0, 0, 1, 2, 18, 0x1B, 0xFF}, 7)[1], 0x02);
}

TEST_F(FdcTest, MaskedChannelIsTriedAgain) {
  send({0x46, 0x00, 0, 0, 1, 2, 18, 0x1B, 0xFF});
  EXPECT_EQ(in(0x3F4) & 0x90, 0x10);
  dma.count = 512;
  run_clock(1'000'000);
  EXPECT_EQ(result(7)[0], 0);
}

TEST_F(FdcTest, ReadsByProgrammedIo) {
  command({0x03, 0xAF, 0x03}, 0);
  send({0x46, 0x00, 0, 0, 18, 2, 18, 0x1B, 0xFF});
  EXPECT_TRUE(irq.level(6));
  Bytes bytes;
  while ((in(0x3F4) & 0xE0) == 0xE0) bytes.push_back(in(0x3F5));
  ASSERT_EQ(bytes.size(), 512u);
  EXPECT_EQ(bytes[0], 17);
  EXPECT_EQ(result(7)[1], 0x80);
}

TEST_F(FdcTest, FormatFillsTheTrack) {
  dma.source = {5, 0, 1, 2};
  dma.count = 18 * 4;
  send({0x0F, 0x00, 5});
  run_clock(2'000'000);
  command({0x08}, 2);
  EXPECT_EQ(command({0x4D, 0x00, 2, 18, 0x54, 0xF6}, 7)[0], 0);
  EXPECT_EQ(disk->bytes[5 * 36 * 512], 0xF6);
  EXPECT_EQ(disk->bytes[(5 * 36 + 18) * 512 - 1], 0xF6);
  EXPECT_EQ(disk->bytes[(5 * 36 + 18) * 512], static_cast<u8>(5 * 36 + 18));
}

TEST_F(FdcTest, ImpossibleSectorsAndMissingMediaFail) {
  EXPECT_EQ(command({0x46, 0x00, 80, 0, 1, 2, 18, 0x1B, 0xFF}, 7)[1], 0x04);
  EXPECT_EQ(command({0x46, 0x00, 0, 0, 19, 2, 18, 0x1B, 0xFF}, 7)[1], 0x04);
  EXPECT_EQ(command({0x46, 0x00, 0, 0, 0, 2, 18, 0x1B, 0xFF}, 7)[1], 0x04);
  drive.eject(true);
  EXPECT_EQ(command({0x46, 0x00, 0, 0, 1, 2, 18, 0x1B, 0xFF}, 7)[1], 0x01);
  EXPECT_EQ(command({0x4A, 0x01}, 7)[0] & 0xC0, 0x40);
}

TEST_F(FdcTest, RandomTrafficIsHarmless) {
  std::mt19937 random(5);
  for (int i = 0; i < 100000; i++) {
    dma.count = random() % 3000;
    const u16 port = static_cast<u16>(0x3F0 + random() % 8);
    switch (random() % 4) {
      case 0: in(port); break;
      case 1: run_clock(1'000'000); break;
      default: fdc.port_write(Port{random() % 3 == 0 ? port : u16{0x3F5}}, static_cast<u32>(random() % 256), 1); break;
    }
    dma.memory.clear();
  }
}

TEST(FloppyGeometry, FollowsTheSize) {
  EXPECT_EQ(floppy_geometry(1474560).sectors, 18);
  EXPECT_EQ(floppy_geometry(2949120).drive_type, 5);
  EXPECT_EQ(floppy_geometry(1228800).drive_type, 2);
  EXPECT_EQ(floppy_geometry(737280).sectors, 9);
  EXPECT_EQ(floppy_geometry(368640).cylinders, 40);
  EXPECT_EQ(floppy_geometry(512 * 100).sectors, 18);
}

}  // namespace
}  // namespace xm::devices
