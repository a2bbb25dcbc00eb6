// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/platform/fw_cfg.h"

#include <gtest/gtest.h>

#include "emu/base/bits.h"

namespace xm::devices {
namespace {

class FwCfgTest : public ::testing::Test {
 protected:
  FwCfgTest() {
    ram = std::move(bus::RamBlock::create("ram", 0x10000)).value();
    space.add_ram(GuestPhys{0}, 0x10000, *ram, 0, 0, "ram");
    cfg.reset();
  }
  void select(u16 key) { cfg.ports().port_write(Port{0x510}, key, 2); }
  std::string read(std::size_t count) {
    std::string text;
    while (count-- > 0) text += static_cast<char>(cfg.ports().port_read(Port{0x511}, 1));
    return text;
  }
  // Runs a DMA request at guest address 0x100; returns the control word it leaves.
  u32 dma(u32 control, u32 length, u64 address) {
    store_le(ram->host() + 0x100, byte_swap(control));
    store_le(ram->host() + 0x104, byte_swap(length));
    store_le(ram->host() + 0x108, byte_swap(address));
    cfg.dma_ports().port_write(Port{0x514}, 0, 4);
    cfg.dma_ports().port_write(Port{0x518}, byte_swap(u32{0x100}), 4);
    return byte_swap(load_le<u32>(ram->host() + 0x100));
  }

  bus::AddressSpace space;
  std::unique_ptr<bus::RamBlock> ram;
  bus::GuestMemory memory{space};
  FwCfg cfg{memory};
};

TEST_F(FwCfgTest, SignatureIdAndZerosBehind) {
  select(0);
  EXPECT_EQ(read(6), std::string("QEMU\0\0", 6));
  select(1);
  EXPECT_EQ(read(4), std::string("\x03\0\0\0", 4));
  select(0x1234);
  EXPECT_EQ(read(2), std::string("\0\0", 2));
}

TEST_F(FwCfgTest, DirectoryIsSortedAndBigEndian) {
  const u16 b = cfg.set_file("etc/b", {1, 2, 3});
  cfg.set_file("etc/a", {9});
  select(FwCfg::kFileDirectory);
  const std::string d = read(4 + 2 * 64);
  EXPECT_EQ(d.substr(0, 4), std::string("\0\0\0\2", 4));
  EXPECT_STREQ(d.c_str() + 4 + 8, "etc/a");
  EXPECT_STREQ(d.c_str() + 68 + 8, "etc/b");
  EXPECT_EQ(d[68 + 3], 3);
  EXPECT_EQ(d[68 + 5], static_cast<char>(b));
  EXPECT_EQ(cfg.set_file("etc/b", {7}), b);  // replaced, same selector
  EXPECT_EQ(cfg.file("etc/b")->size(), 1u);
  EXPECT_EQ(cfg.file("etc/c"), nullptr);
}

TEST_F(FwCfgTest, DmaSignature) {
  EXPECT_EQ(cfg.dma_ports().port_read(Port{0x514}, 4), 0x554D4551u);
  EXPECT_EQ(cfg.dma_ports().port_read(Port{0x518}, 4), 0x47464320u);
}

TEST_F(FwCfgTest, DmaSelectsSkipsAndReads) {
  const u16 key = cfg.set_file("file", {'a', 'b', 'c', 'd'});
  EXPECT_EQ(dma(u32{key} << 16 | 0x08 | 0x04, 1, 0), 0u);
  EXPECT_EQ(dma(0x02, 2, 0x200), 0u);
  EXPECT_EQ(std::memcmp(ram->host() + 0x200, "bc", 2), 0);
  ram->host()[0x301] = 0xFF;
  EXPECT_EQ(dma(0x02, 2, 0x300), 0u);  // one byte and a zero
  EXPECT_EQ(ram->host()[0x300], 'd');
  EXPECT_EQ(ram->host()[0x301], 0);
}

TEST_F(FwCfgTest, DmaOutsideMemoryIsAnError) {
  const u16 key = cfg.set_file("file", {'a', 'b'});
  EXPECT_EQ(dma(u32{key} << 16 | 0x0A, 2, 0xFFFFFFFFFFFFFFFF), 1u);
  EXPECT_EQ(dma(u32{key} << 16 | 0x0A, 0xFFFFFFFF, 0xFF00), 1u);
}

TEST_F(FwCfgTest, OnlyWritableFilesTakeWritesWithinTheirSize) {
  std::vector<u8> seen;
  const u16 plain = cfg.set_file("plain", {0});
  const u16 key =
      cfg.set_writable_file("slot", {0, 0, 0, 0}, [&](std::span<const u8> b) { seen.assign(b.begin(), b.end()); });
  std::memcpy(ram->host() + 0x400, "wxyz", 4);
  EXPECT_EQ(dma(u32{plain} << 16 | 0x18, 1, 0x400), 1u);
  EXPECT_EQ(dma(u32{key} << 16 | 0x18, 5, 0x400), 1u);
  EXPECT_EQ(dma(u32{key} << 16 | 0x18, 4, 0x400), 0u);
  EXPECT_EQ(seen, (std::vector<u8>{'w', 'x', 'y', 'z'}));
}

}  // namespace
}  // namespace xm::devices
