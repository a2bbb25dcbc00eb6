// SPDX-License-Identifier: GPL-2.0-or-later
// A disk and a CD behind PIIX3 IDE, driven through the ports as firmware and drivers do.
#include <gtest/gtest.h>

#include <random>

#include "devices/storage/piix3_ide.h"
#include "emu/base/bits.h"
#include "tests/unit/devices/block_bench.h"
#include "tests/unit/devices/pci/pci_bench.h"

namespace xm::devices {
namespace {

constexpr u16 kDisk = 0x1F0, kCd = 0x170;
constexpr u16 kBusMaster = 0xC000;
constexpr u64 kTable = 0x1000, kBuffer = 0x100000;

struct IdeTest : ::testing::Test, testing::PciBench {
  IdeTest() {
    for (std::size_t i = 0; i < disk->bytes.size(); i++) disk->bytes[i] = static_cast<u8>(i / 512);
    for (std::size_t i = 0; i < disc->bytes.size(); i++) disc->bytes[i] = static_cast<u8>(i / 2048 + 100);
    disc->is_read_only = true;
    ide.attach_disk(0, 0, disk_drive);
    ide.attach_cd(1, 0, cd_drive);
    pci.attach(1, 1, ide);
    ide.reset();
    write_config(1, 0x20, kBusMaster, 4, 1);
    write_config(1, 0x04, 5, 2, 1);
  }
  u8 in(u16 base, unsigned reg) { return static_cast<u8>(ports.read(Port{static_cast<u16>(base + reg)}, 1)); }
  void out(u16 base, unsigned reg, u8 value) { ports.write(Port{static_cast<u16>(base + reg)}, value, 1); }
  u8 alternate(u16 base) { return static_cast<u8>(ports.read(Port{static_cast<u16>(base + 0x206)}, 1)); }
  std::vector<u8> read_pio(u16 base, std::size_t bytes, unsigned width = 2) {
    std::vector<u8> data(bytes);
    for (std::size_t at = 0; at < bytes; at += width) {
      store_le_sized(&data[at], ports.read(Port{base}, width), width);
    }
    return data;
  }
  void write_pio(u16 base, const std::vector<u8>& data) {
    for (std::size_t at = 0; at < data.size(); at += 2) ports.write(Port{base}, load_le<u16>(&data[at]), 2);
  }
  void lba28(u64 sector, u8 count) {
    out(kDisk, 2, count);
    out(kDisk, 3, static_cast<u8>(sector));
    out(kDisk, 4, static_cast<u8>(sector >> 8));
    out(kDisk, 5, static_cast<u8>(sector >> 16));
    out(kDisk, 6, static_cast<u8>(0xE0 | sector >> 24));
  }
  void lba48(u64 sector, u16 count) {
    out(kDisk, 2, static_cast<u8>(count >> 8));
    out(kDisk, 2, static_cast<u8>(count));
    for (unsigned i = 0; i < 3; i++) {
      out(kDisk, 3 + i, static_cast<u8>(sector >> (24 + 8 * i)));
      out(kDisk, 3 + i, static_cast<u8>(sector >> (8 * i)));
    }
    out(kDisk, 6, 0x40);
  }
  void descriptor(unsigned index, u64 address, u16 count, bool last) {
    guest.store(GuestPhys{kTable + index * 8}, static_cast<u32>(address));
    guest.store(GuestPhys{kTable + index * 8 + 4}, u32{count} | (last ? 0x80000000u : 0u));
  }
  void start_bus_master(unsigned channel, bool to_memory) {
    const u16 at = static_cast<u16>(kBusMaster + 8 * channel);
    ports.write(Port{static_cast<u16>(at + 4)}, static_cast<u32>(kTable), 4);
    ports.write(Port{static_cast<u16>(at + 2)}, 6, 1);
    ports.write(Port{at}, to_memory ? 8 : 0, 1);
    ports.write(Port{at}, to_memory ? 9 : 1, 1);
  }
  u8 bus_master_status(unsigned channel) {
    return static_cast<u8>(ports.read(Port{static_cast<u16>(kBusMaster + 8 * channel + 2)}, 1));
  }
  // Sends a packet up to the point where the drive answers; the byte limit is that of PIO.
  void packet(std::vector<u8> bytes, u16 limit = 0xFFFE, bool dma = false) {
    bytes.resize(12);
    out(kCd, 6, 0xA0);
    out(kCd, 1, dma ? 1 : 0);
    out(kCd, 4, static_cast<u8>(limit));
    out(kCd, 5, static_cast<u8>(limit >> 8));
    out(kCd, 7, 0xA0);
    ASSERT_EQ(in(kCd, 7) & 0x88, 0x08);
    ASSERT_EQ(in(kCd, 2), 1);
    write_pio(kCd, bytes);
    executor.run();
  }
  // The data of a PIO packet command, block by block; checks the final phase.
  std::vector<u8> packet_data(std::vector<u8> bytes, u16 limit = 0xFFFE) {
    packet(std::move(bytes), limit);
    std::vector<u8> all;
    while ((in(kCd, 7) & 0x08) != 0) {
      EXPECT_EQ(in(kCd, 2), 2);
      const std::size_t size = in(kCd, 4) | in(kCd, 5) << 8;
      EXPECT_LE(size, limit);
      const std::vector<u8> part = read_pio(kCd, (size + 1) / 2 * 2);
      all.insert(all.end(), part.begin(), part.begin() + static_cast<long>(size));
      executor.run();
    }
    EXPECT_EQ(in(kCd, 2), 3);
    return all;
  }
  std::vector<u8> sense() {
    const std::vector<u8> data = packet_data({0x03, 0, 0, 0, 18});
    return {data[2], data[12], data[13]};
  }

  testing::ManualExecutor executor;
  std::shared_ptr<testing::MemoryDisk> disk = std::make_shared<testing::MemoryDisk>(executor, 40 << 20);
  std::shared_ptr<testing::MemoryDisk> disc = std::make_shared<testing::MemoryDisk>(executor, 1 << 20);
  Drive disk_drive{disk, {.serial = "ABC", .model = "TEST DISK"}};
  Drive cd_drive{disc};
  testing::RecordingSink irq;
  Piix3Ide ide{environment, {bus::IrqLine(irq, 14), bus::IrqLine(irq, 15)}};
};

TEST_F(IdeTest, SignaturesTellDiskFromCd) {
  EXPECT_EQ(in(kDisk, 7), 0x50);
  EXPECT_EQ(in(kDisk, 4) | in(kDisk, 5) << 8, 0);
  EXPECT_EQ(in(kCd, 4) | in(kCd, 5) << 8, 0xEB14);
  out(kDisk, 6, 0xB0);
  EXPECT_EQ(in(kDisk, 7), 0);  // no device 1
}

TEST_F(IdeTest, SoftResetBringsTheSignatureBack) {
  out(kCd, 4, 1);
  out(kCd, 6, 0xB0);
  out(kCd, 0x206, 4);
  out(kCd, 0x206, 0);
  EXPECT_EQ(in(kCd, 4), 0x14);
  EXPECT_EQ(in(kCd, 5), 0xEB);
  EXPECT_EQ(in(kCd, 1), 1);
}

TEST_F(IdeTest, IdentifyDescribesTheDisk) {
  out(kDisk, 6, 0xA0);
  out(kDisk, 7, 0xEC);
  EXPECT_TRUE(irq.level(14));
  EXPECT_EQ(alternate(kDisk), 0x58);
  EXPECT_TRUE(irq.level(14));
  EXPECT_EQ(in(kDisk, 7), 0x58);
  EXPECT_FALSE(irq.level(14));
  const std::vector<u8> data = read_pio(kDisk, 512);
  EXPECT_EQ(in(kDisk, 7), 0x50);
  EXPECT_EQ(load_le<u32>(&data[120]), 81920u);
  EXPECT_EQ(load_le<u64>(&data[200]), 81920u);
  EXPECT_EQ(std::string(data.begin() + 54, data.begin() + 62), "ETTSD SI");
  u8 sum = 0;
  for (const u8 byte : data) sum = static_cast<u8>(sum + byte);
  EXPECT_EQ(sum, 0);
}

TEST_F(IdeTest, ReadSectorsInterruptsPerSector) {
  lba28(5, 3);
  out(kDisk, 7, 0x20);
  EXPECT_EQ(alternate(kDisk), 0x80);
  executor.run();
  for (u8 i = 0; i < 3; i++) {
    EXPECT_TRUE(irq.level(14)) << unsigned{i};
    EXPECT_EQ(in(kDisk, 7), 0x58);
    EXPECT_EQ(read_pio(kDisk, 512, i == 1 ? 4 : 2), std::vector<u8>(512, static_cast<u8>(5 + i)));
  }
  EXPECT_FALSE(irq.level(14));
  EXPECT_EQ(in(kDisk, 7), 0x50);
}

TEST_F(IdeTest, ReadMultipleTransfersBlocks) {
  out(kDisk, 2, 4);
  out(kDisk, 7, 0xC6);
  EXPECT_EQ(in(kDisk, 7), 0x50);
  lba28(0, 6);
  out(kDisk, 7, 0xC4);
  executor.run();
  const unsigned before = irq.rises;
  EXPECT_EQ(in(kDisk, 7), 0x58);
  read_pio(kDisk, 2048);
  EXPECT_EQ(in(kDisk, 7), 0x58);
  EXPECT_EQ(irq.rises, before + 1);
  EXPECT_EQ(read_pio(kDisk, 1024)[1023], 5);
  EXPECT_EQ(in(kDisk, 7), 0x50);
  out(kDisk, 2, 3);  // no power of two
  out(kDisk, 7, 0xC6);
  EXPECT_EQ(in(kDisk, 7), 0x51);
}

TEST_F(IdeTest, LongReadsCrossTheFetchSize) {
  lba48(100, 600);
  out(kDisk, 7, 0x24);
  for (unsigned i = 0; i < 600; i++) {
    executor.run();
    ASSERT_EQ(in(kDisk, 7), 0x58) << i;
    ASSERT_EQ(read_pio(kDisk, 512)[7], static_cast<u8>(100 + i));
  }
  EXPECT_EQ(in(kDisk, 7), 0x50);
}

TEST_F(IdeTest, WritesLandAndInterrupt) {
  lba28(9, 2);
  out(kDisk, 7, 0x30);
  EXPECT_EQ(in(kDisk, 7), 0x58);
  EXPECT_FALSE(irq.level(14));
  write_pio(kDisk, std::vector<u8>(512, 0xAA));
  executor.run();
  EXPECT_TRUE(irq.level(14));
  EXPECT_EQ(in(kDisk, 7), 0x58);
  write_pio(kDisk, std::vector<u8>(512, 0xBB));
  executor.run();
  EXPECT_EQ(in(kDisk, 7), 0x50);
  EXPECT_EQ(disk->bytes[9 * 512], 0xAA);
  EXPECT_EQ(disk->bytes[10 * 512 + 511], 0xBB);
  EXPECT_EQ(disk->bytes[11 * 512], 11);
  EXPECT_EQ(disk->flushes, 0u);
  out(kDisk, 7, 0xE7);
  executor.run();
  EXPECT_EQ(disk->flushes, 1u);
}

TEST_F(IdeTest, ChsAddressesFollowTheTranslation) {
  out(kDisk, 2, 1);
  out(kDisk, 3, 1);
  out(kDisk, 4, 0);
  out(kDisk, 5, 0);
  out(kDisk, 6, 0xA1);  // cylinder 0, head 1, sector 1
  out(kDisk, 7, 0x20);
  executor.run();
  EXPECT_EQ(read_pio(kDisk, 512)[0], 63);
  out(kDisk, 2, 17);
  out(kDisk, 6, 0xA3);
  out(kDisk, 7, 0x91);  // 4 heads, 17 sectors
  out(kDisk, 2, 1);
  out(kDisk, 3, 17);
  out(kDisk, 4, 1);
  out(kDisk, 6, 0xA2);
  out(kDisk, 7, 0x20);
  executor.run();
  EXPECT_EQ(read_pio(kDisk, 512)[0], (1 * 4 + 2) * 17 + 16);
  out(kDisk, 2, 1);
  out(kDisk, 3, 0);  // there is no sector 0
  out(kDisk, 7, 0x20);
  EXPECT_EQ(in(kDisk, 7), 0x51);
  EXPECT_EQ(in(kDisk, 1), 0x10);
}

TEST_F(IdeTest, BeyondTheEndIsIdNotFound) {
  lba28(81919, 2);
  out(kDisk, 7, 0x20);
  EXPECT_EQ(in(kDisk, 7), 0x51);
  EXPECT_EQ(in(kDisk, 1), 0x10);
  lba48(~u64{0} >> 16, 1);
  out(kDisk, 7, 0x25);
  EXPECT_EQ(in(kDisk, 7), 0x51);
  lba28(0, 1);
  out(kDisk, 7, 0x20);
  disk->fail_with = IoStatus::Error;
  executor.run();
  EXPECT_EQ(in(kDisk, 7), 0x51);
  EXPECT_EQ(in(kDisk, 1), 0x40);
}

TEST_F(IdeTest, UnknownCommandsAbort) {
  for (const u8 code : {0x8E, 0xFF, 0xA0, 0xF1}) {
    out(kDisk, 7, code);
    EXPECT_EQ(in(kDisk, 7), 0x51);
    EXPECT_EQ(in(kDisk, 1), 4);
  }
}

TEST_F(IdeTest, NoInterruptWhileDisabled) {
  out(kDisk, 0x206, 2);
  out(kDisk, 7, 0xE5);
  EXPECT_FALSE(irq.level(14));
  out(kDisk, 0x206, 0);
  EXPECT_TRUE(irq.level(14));
}

TEST_F(IdeTest, HighOrderBitShowsPreviousContents) {
  lba48(0x123456789A, 0x0102);
  EXPECT_EQ(in(kDisk, 3), 0x9A);
  out(kDisk, 0x206, 0x80);
  EXPECT_EQ(in(kDisk, 3), 0x34);
  EXPECT_EQ(in(kDisk, 4), 0x12);
  EXPECT_EQ(in(kDisk, 2), 1);
}

TEST_F(IdeTest, DmaReadScatters) {
  descriptor(0, kBuffer, 1024, false);
  descriptor(1, kBuffer + 0x10000, 1024, true);
  lba28(20, 4);
  out(kDisk, 7, 0xC8);
  EXPECT_EQ(bus_master_status(0) & 7, 0);
  start_bus_master(0, true);
  EXPECT_EQ(bus_master_status(0) & 7, 1);
  executor.run();
  EXPECT_TRUE(irq.level(14));
  EXPECT_EQ(bus_master_status(0) & 7, 4);
  EXPECT_EQ(in(kDisk, 7), 0x50);
  EXPECT_EQ(guest.load<u8>(GuestPhys{kBuffer + 1023}), 21);
  EXPECT_EQ(guest.load<u8>(GuestPhys{kBuffer + 0x10000}), 22);
  EXPECT_EQ(guest.load<u8>(GuestPhys{kBuffer + 1024}), 0);
}

TEST_F(IdeTest, DmaWriteStartedBeforeTheCommand) {
  guest.fill(GuestPhys{kBuffer}, 0x77, 65536);
  descriptor(0, kBuffer, 0, true);  // 64 KiB
  start_bus_master(0, false);
  lba48(50, 128);
  out(kDisk, 7, 0x35);
  executor.run();
  EXPECT_EQ(in(kDisk, 7), 0x50);
  EXPECT_EQ(disk->bytes[50 * 512], 0x77);
  EXPECT_EQ(disk->bytes[178 * 512 - 1], 0x77);
  EXPECT_EQ(disk->bytes[178 * 512], 178);
}

TEST_F(IdeTest, DmaTableLongerThanTheTransferStaysActive) {
  descriptor(0, kBuffer, 4096, true);
  lba28(0, 1);
  out(kDisk, 7, 0xC8);
  start_bus_master(0, true);
  executor.run();
  EXPECT_EQ(bus_master_status(0) & 7, 5);
}

TEST_F(IdeTest, DmaTableShorterThanTheTransferFails) {
  descriptor(0, kBuffer, 512, true);
  lba28(3, 2);
  out(kDisk, 7, 0xC8);
  start_bus_master(0, true);
  executor.run();
  EXPECT_EQ(in(kDisk, 7), 0x51);
  EXPECT_EQ(guest.load<u8>(GuestPhys{kBuffer}), 3);
  EXPECT_EQ(guest.load<u8>(GuestPhys{kBuffer + 512}), 0);
}

TEST_F(IdeTest, DmaToNowhereSetsTheErrorBit) {
  descriptor(0, 0xF0000000, 512, true);
  lba28(3, 1);
  out(kDisk, 7, 0xC8);
  start_bus_master(0, true);
  executor.run();
  EXPECT_EQ(bus_master_status(0) & 3, 2);
  EXPECT_EQ(in(kDisk, 7), 0x51);
}

TEST_F(IdeTest, ResetDuringARequestDropsIt) {
  lba28(0, 1);
  out(kDisk, 7, 0x20);
  out(kDisk, 0x206, 4);
  out(kDisk, 0x206, 0);
  executor.run();
  EXPECT_EQ(in(kDisk, 7), 0x50);
  EXPECT_FALSE(irq.level(14));
}

TEST_F(IdeTest, TrimDiscards) {
  guest.fill(GuestPhys{kBuffer}, 0, 512);
  guest.store(GuestPhys{kBuffer}, u64{4} | u64{2} << 48);
  guest.store(GuestPhys{kBuffer + 8}, ~u64{0});  // not on the disk
  descriptor(0, kBuffer, 512, true);
  lba48(0, 1);
  out(kDisk, 1, 1);
  out(kDisk, 7, 0x06);
  start_bus_master(0, false);
  EXPECT_EQ(in(kDisk, 7), 0x50);
  EXPECT_EQ(disk->discards, 1u);
}

TEST_F(IdeTest, RandomRegisterTrafficIsHarmless) {
  std::mt19937 random(3);
  for (int i = 0; i < 200000; i++) {
    const u16 base = random() % 2 != 0 ? kDisk : kCd;
    switch (random() % 8) {
      case 0: ports.write(Port{static_cast<u16>(kBusMaster + random() % 16)}, static_cast<u32>(random()), 1); break;
      case 1: out(base, 0x206, static_cast<u8>(random())); break;
      case 2: executor.run(); break;
      case 3: ports.write(Port{base}, static_cast<u32>(random()), 4); break;
      case 4: ports.read(Port{static_cast<u16>(base + random() % 8)}, 1u << random() % 3); break;
      default: out(base, random() % 8, static_cast<u8>(random())); break;
    }
  }
}

TEST_F(IdeTest, CdIdentifiesAndInquires) {
  out(kCd, 7, 0xA1);
  EXPECT_EQ(in(kCd, 7), 0x58);
  EXPECT_EQ(load_le<u16>(read_pio(kCd, 512).data()), 0x85C0);
  out(kCd, 7, 0xEC);
  EXPECT_EQ(in(kCd, 7), 0x51);
  EXPECT_EQ(in(kCd, 5), 0xEB);
  const std::vector<u8> data = packet_data({0x12, 0, 0, 0, 36});
  ASSERT_EQ(data.size(), 36u);
  EXPECT_EQ(data[0], 5);
  EXPECT_EQ(packet_data({0x12, 0, 0, 0, 5}).size(), 5u);
}

TEST_F(IdeTest, CdReadsByPioInLimitedBlocks) {
  const std::vector<u8> data = packet_data({0x28, 0, 0, 0, 0, 3, 0, 0, 40}, 2048);
  ASSERT_EQ(data.size(), 40u * 2048);
  for (std::size_t i = 0; i < 40; i++) EXPECT_EQ(data[i * 2048 + 5], 103 + i);
  EXPECT_EQ(packet_data({0x28, 0, 0, 0, 0, 0, 0, 0, 1}, 1001).size(), 2048u);
}

TEST_F(IdeTest, CdReadsByDma) {
  descriptor(0, kBuffer, 8192, true);
  packet({0xA8, 0, 0, 0, 0, 7, 0, 0, 0, 4}, 0, true);
  start_bus_master(1, true);
  executor.run();
  EXPECT_TRUE(irq.level(15));
  EXPECT_EQ(in(kCd, 7), 0x50);
  EXPECT_EQ(in(kCd, 2), 3);
  EXPECT_EQ(guest.load<u8>(GuestPhys{kBuffer + 3 * 2048}), 110);
  EXPECT_EQ(bus_master_status(1) & 7, 4);
}

TEST_F(IdeTest, CdReadsRawSectors) {
  const std::vector<u8> data = packet_data({0xBE, 0, 0, 0, 0, 1, 0, 0, 2, 0xF8});
  ASSERT_EQ(data.size(), 2u * 2352);
  EXPECT_EQ(data[1], 0xFF);
  EXPECT_EQ(data[13], 0x02);  // 00:02:01
  EXPECT_EQ(data[14], 0x01);
  EXPECT_EQ(data[16], 101);
  EXPECT_EQ(packet_data({0xBE, 0, 0, 0, 0, 1, 0, 0, 2, 0x10}).size(), 4096u);
}

TEST_F(IdeTest, CdCapacityAndToc) {
  EXPECT_EQ(packet_data({0x25}), (std::vector<u8>{0, 0, 1, 255, 0, 0, 8, 0}));
  EXPECT_EQ(packet_data({0x43, 0, 0, 0, 0, 0, 0, 0, 100}),
            (std::vector<u8>{0, 18, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0, 0, 0x16, 0xAA, 0, 0, 0, 2, 0}));
  EXPECT_EQ(packet_data({0x43, 2, 0, 0, 0, 0, 0, 0, 12}), (std::vector<u8>{0, 18, 1, 1, 0, 0x14, 1, 0, 0, 0, 2, 0}));
  EXPECT_EQ(packet_data({0x43, 0, 1, 0, 0, 0, 0, 0, 100}).size(), 12u);
  EXPECT_EQ(packet_data({0x43, 2, 0, 0, 0, 0, 0, 0, 100, 0x80}).size(), 48u);
}

TEST_F(IdeTest, CdErrorsComeAsSense) {
  packet({0x28, 0, 0, 0, 2, 0, 0, 0, 1});
  EXPECT_EQ(in(kCd, 7), 0x51);
  EXPECT_EQ(in(kCd, 1) >> 4, 5);
  EXPECT_EQ(sense(), (std::vector<u8>{5, 0x21, 0}));
  EXPECT_EQ(sense(), (std::vector<u8>{0, 0, 0}));
  packet({0xFD});
  EXPECT_EQ(sense(), (std::vector<u8>{5, 0x20, 0}));
  disc->fail_with = IoStatus::Error;
  packet({0x28, 0, 0, 0, 0, 0, 0, 0, 1});
  disc->fail_with = IoStatus::Ok;
  EXPECT_EQ(sense(), (std::vector<u8>{3, 0x11, 0}));
}

TEST_F(IdeTest, CdMediumChangeIsNoticed) {
  packet({0x1E, 0, 0, 0, 1});
  EXPECT_FALSE(cd_drive.eject(false));
  EXPECT_EQ(packet_data({0x4A, 1, 0, 0, 0x10, 0, 0, 0, 8})[4], 1);  // eject request
  packet({0x1B, 0, 0, 0, 2});
  EXPECT_EQ(sense(), (std::vector<u8>{5, 0x53, 2}));
  packet({0x1E});
  EXPECT_TRUE(cd_drive.eject(false));
  packet({0x00});
  EXPECT_EQ(sense(), (std::vector<u8>{2, 0x3A, 2}));
  cd_drive.insert(std::make_shared<testing::MemoryDisk>(executor, 4096));
  EXPECT_EQ(packet_data({0x4A, 1, 0, 0, 0x10, 0, 0, 0, 8}), (std::vector<u8>{0, 6, 4, 16, 2, 2, 0, 0}));
  packet({0x00});
  EXPECT_EQ(in(kCd, 7) & 1, 1);
  EXPECT_EQ(sense(), (std::vector<u8>{6, 0x28, 0}));
  packet({0x00});
  EXPECT_EQ(in(kCd, 7) & 1, 0);
  EXPECT_EQ(packet_data({0x25})[3], 1);
}

TEST_F(IdeTest, CdGuestCanEject) {
  packet({0x1B, 0, 0, 0, 2});
  EXPECT_TRUE(cd_drive.tray_open());
  packet({0x1B, 0, 0, 0, 3});
  EXPECT_FALSE(cd_drive.tray_open());
}

TEST_F(IdeTest, CdConfigurationAndModePages) {
  const std::vector<u8> all = packet_data({0x46, 0, 0, 0, 0, 0, 0, 1, 0});
  EXPECT_EQ(all[7], 8);  // CD-ROM profile is current
  EXPECT_EQ(load_le<u32>(all.data()), byte_swap(static_cast<u32>(all.size() - 4)));
  const std::vector<u8> page = packet_data({0x5A, 0, 0x2A, 0, 0, 0, 0, 0, 255});
  EXPECT_EQ(page.size(), 30u);
  EXPECT_EQ(page[8], 0x2A);
  packet({0x5A, 0, 0x05, 0, 0, 0, 0, 0, 255});
  EXPECT_EQ(sense(), (std::vector<u8>{5, 0x24, 0}));
}

}  // namespace
}  // namespace xm::devices
