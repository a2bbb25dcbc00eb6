// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/platform/i8237.h"

#include <gtest/gtest.h>

#include <cstring>
#include <numeric>
#include <vector>

namespace xm::devices {
namespace {

class DmaTest : public ::testing::Test {
 protected:
  DmaTest() {
    ram = std::move(bus::RamBlock::create("ram", 0x100000)).value();
    space.add_ram(GuestPhys{0}, 0x100000, *ram, 0, 0, "ram");
    dma.reset();
    data.resize(512);
    std::iota(data.begin(), data.end(), u8{1});
  }
  void out(u16 port, u8 value) {
    auto& handler = port < 0x10 ? dma.first_ports() : port < 0x90 ? dma.page_ports() : dma.second_ports();
    handler.port_write(Port{port}, value, 1);
  }
  u8 in(u16 port) {
    auto& handler = port < 0x10 ? dma.first_ports() : port < 0x90 ? dma.page_ports() : dma.second_ports();
    return static_cast<u8>(handler.port_read(Port{port}, 1));
  }
  // As a BIOS sets up channel 2 for the floppy.
  void program(u8 mode, u32 address, u16 count) {
    out(0x0A, 0x06);
    out(0x0C, 0);
    out(0x0B, mode);
    out(0x04, static_cast<u8>(address));
    out(0x04, static_cast<u8>(address >> 8));
    out(0x81, static_cast<u8>(address >> 16));
    out(0x05, static_cast<u8>(count));
    out(0x05, static_cast<u8>(count >> 8));
    out(0x0A, 0x02);
  }

  bus::AddressSpace space;
  std::unique_ptr<bus::RamBlock> ram;
  bus::GuestMemory memory{space};
  I8237Pair dma{memory};
  std::vector<u8> data;
};

TEST_F(DmaTest, WritesASectorToMemoryInPieces) {
  program(0x46, 0x12300, 511);
  auto outcome = dma.channel(2).to_memory(std::span(data).first(100));
  EXPECT_EQ(outcome.bytes, 100u);
  EXPECT_FALSE(outcome.terminal_count);
  outcome = dma.channel(2).to_memory(std::span(data).subspan(100));
  EXPECT_EQ(outcome.bytes, 412u);
  EXPECT_TRUE(outcome.terminal_count);
  EXPECT_EQ(0, std::memcmp(ram->host() + 0x12300, data.data(), 512));
  EXPECT_EQ(in(0x08), 0x04);
  EXPECT_EQ(in(0x08), 0x00);
  EXPECT_FALSE(dma.channel(2).ready());  // masked at terminal count
  EXPECT_EQ(dma.channel(2).to_memory(data).bytes, 0u);
}

TEST_F(DmaTest, CountLimitsTheTransfer) {
  program(0x4A, 0x2000, 9);
  ram->host()[0x2000] = 0xAA;
  std::vector<u8> to(512);
  const auto outcome = dma.channel(2).from_memory(to);
  EXPECT_EQ(outcome.bytes, 10u);
  EXPECT_TRUE(outcome.terminal_count);
  EXPECT_EQ(to[0], 0xAA);
}

TEST_F(DmaTest, AddressWrapsWithinItsPage) {
  program(0x46, 0x1FFFE, 3);
  dma.channel(2).to_memory(std::span(data).first(4));
  EXPECT_EQ(ram->host()[0x1FFFF], 2);
  EXPECT_EQ(ram->host()[0x10000], 3);
  EXPECT_EQ(ram->host()[0x20000], 0);
}

TEST_F(DmaTest, AutoInitializeStartsOver) {
  program(0x56, 0x3000, 3);
  EXPECT_TRUE(dma.channel(2).to_memory(std::span(data).first(4)).terminal_count);
  EXPECT_TRUE(dma.channel(2).ready());
  dma.channel(2).to_memory(std::span(data).subspan(4, 1));
  EXPECT_EQ(ram->host()[0x3000], 5);
}

TEST_F(DmaTest, VerifyCountsWithoutWriting) {
  program(0x42, 0x4000, 3);
  EXPECT_TRUE(dma.channel(2).to_memory(std::span(data).first(4)).terminal_count);
  EXPECT_EQ(ram->host()[0x4000], 0);
}

TEST_F(DmaTest, WordChannelsAddressWords) {
  out(0xD4, 0x05);
  out(0xD8, 0);
  out(0xD6, 0x45);
  out(0xC4, 0x00);
  out(0xC4, 0x10);
  out(0x8B, 0x02);
  out(0xC6, 0x01);
  out(0xC6, 0x00);
  out(0xD4, 0x01);
  const auto outcome = dma.channel(5).to_memory(data);
  EXPECT_EQ(outcome.bytes, 4u);
  EXPECT_EQ(ram->host()[0x22000 + 3], 4);
}

TEST_F(DmaTest, RegistersReadBackByFlipFlop) {
  program(0x46, 0x12345, 0x678);
  out(0x0C, 0);
  EXPECT_EQ(in(0x04), 0x45);
  EXPECT_EQ(in(0x04), 0x23);
  EXPECT_EQ(in(0x05), 0x78);
  EXPECT_EQ(in(0x05), 0x06);
  out(0x80, 0x42);
  EXPECT_EQ(dma.post_code(), 0x42);
  EXPECT_EQ(in(0x80), 0x42);
}

}  // namespace
}  // namespace xm::devices
