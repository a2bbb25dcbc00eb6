// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/pci/pci_device.h"

#include <gtest/gtest.h>

#include "tests/unit/devices/pci/pci_bench.h"

namespace xm::devices {
namespace {

class Chip final : public PciFunction {
 public:
  explicit Chip(const PciEnvironment& environment)
      : PciFunction(environment, "chip",
                    {.vendor_id = 0x1234, .device_id = 0x5678, .revision = 1, .class_code = 0x020304}) {
    set_interrupt_pin(1);
    add_io_bar(0, 32);
    add_memory_bar(1, 0x1000);
    add_memory_bar(2, 0x100000, Width::Bits64, true);
    add_msi(4, true);
    add_msix(3, 1, 0x0, 0x800);
  }
  using PciFunction::dma_read;
  using PciFunction::dma_write;
  using PciFunction::msi_notify;
  using PciFunction::msix_notify;
  using PciFunction::set_intx;
  u64 bar_read(unsigned bar, u64 offset, unsigned) override { return bar << 8 | offset; }
  void bar_write(unsigned bar, u64 offset, u64 value, unsigned) override {
    last_bar = bar;
    last_offset = offset;
    last_value = value;
  }
  unsigned last_bar = 99;
  u64 last_offset = 0, last_value = 0;
};

struct PciDeviceTest : ::testing::Test {
  PciDeviceTest() {
    EXPECT_TRUE(bench.pci.attach(3, 0, chip));
    chip.reset();
  }
  u8 capability(u8 id) {
    for (u8 at = static_cast<u8>(bench.read_config(3, 0x34, 1)); at != 0;) {
      if (bench.read_config(3, at, 1) == id) return at;
      at = static_cast<u8>(bench.read_config(3, static_cast<u8>(at + 1), 1));
    }
    return 0;
  }
  testing::PciBench bench;
  Chip chip{bench.environment};
};

TEST_F(PciDeviceTest, IdentityIsReadOnly) {
  bench.write_config(3, 0, 0xFFFFFFFF, 4);
  EXPECT_EQ(bench.read_config(3, 0, 4), 0x56781234u);
  EXPECT_EQ(bench.read_config(3, 8, 4), 0x02030401u);
  EXPECT_EQ(bench.read_config(4, 0, 4), 0xFFFFFFFFu);
}

TEST_F(PciDeviceTest, BaseRegistersReportTheirSize) {
  for (u8 at = 0x10; at < 0x20; at = static_cast<u8>(at + 4)) bench.write_config(3, at, 0xFFFFFFFF, 4);
  EXPECT_EQ(bench.read_config(3, 0x10, 4), 0xFFFFFFE1u);
  EXPECT_EQ(bench.read_config(3, 0x14, 4), 0xFFFFF000u);
  EXPECT_EQ(bench.read_config(3, 0x18, 4), 0xFFF0000Cu);
  EXPECT_EQ(bench.read_config(3, 0x1C, 4), 0xFFFFFFFFu);
  EXPECT_EQ(bench.read_config(3, 0x24, 4), 0u);
}

TEST_F(PciDeviceTest, RegionsFollowCommandRegister) {
  bench.write_config(3, 0x10, 0xC000, 4);
  bench.write_config(3, 0x14, 0xE0000000, 4);
  bench.write_config(3, 0x1C, 0x8, 4);
  EXPECT_EQ(bench.ports.read(Port{0xC004}, 1), 0xFFu);
  bench.write_config(3, 0x04, 3, 2);
  EXPECT_EQ(bench.ports.read(Port{0xC004}, 1), 4u);
  EXPECT_EQ(bench.read_memory(0xE0000900, 4), 0x900u | 0x100u);
  EXPECT_EQ(bench.read_memory(0x800000010, 4), 0x210u);
  bench.write_memory(0xE0000904, 0x1234, 2);
  EXPECT_EQ(chip.last_bar, 1u);
  EXPECT_EQ(chip.last_offset, 0x904u);
  bench.write_config(3, 0x10, 0xD000, 4);
  EXPECT_EQ(bench.ports.read(Port{0xC004}, 1), 0xFFu);
  EXPECT_EQ(bench.ports.read(Port{0xD001}, 1), 1u);
  chip.reset();
  EXPECT_EQ(bench.ports.read(Port{0xD001}, 1), 0xFFu);
  EXPECT_EQ(bench.read_memory(0x800000010, 4), 0xFFFFFFFFu);
}

TEST_F(PciDeviceTest, SizeProbeWithDecodingOnMapsNothing) {
  bench.write_config(3, 0x04, 3, 2);
  bench.write_config(3, 0x10, 0xFFFFFFFF, 4);
  bench.write_config(3, 0x14, 0xFFFFFFFF, 4);
  EXPECT_FALSE(chip.bar_mapped(1));
  bench.write_config(3, 0x10, 0xC000, 4);
  EXPECT_TRUE(chip.bar_mapped(0));
}

TEST_F(PciDeviceTest, IntxGoesToTheSlotsPirqAndObeysDisable) {
  chip.set_intx(true);
  EXPECT_TRUE(bench.pirq.level(2));  // slot 3, INTA
  EXPECT_EQ(bench.read_config(3, 6, 2) & 8, 8u);
  bench.write_config(3, 4, 1 << 10, 2);
  EXPECT_FALSE(bench.pirq.level(2));
  EXPECT_EQ(bench.read_config(3, 6, 2) & 8, 8u);
  bench.write_config(3, 4, 0, 2);
  EXPECT_TRUE(bench.pirq.level(2));
  chip.set_intx(false);
  EXPECT_FALSE(bench.pirq.level(2));
}

TEST_F(PciDeviceTest, MsiSendsTheMessageAndHoldsMaskedVectors) {
  const u8 msi = capability(5);
  ASSERT_NE(msi, 0);
  bench.write_config(3, 4, 4, 2);
  bench.write_config(3, static_cast<u8>(msi + 4), 0xFEE01000, 4);
  bench.write_config(3, static_cast<u8>(msi + 12), 0x41, 2);
  bench.write_config(3, static_cast<u8>(msi + 2), 0x21, 2);  // enable, 4 vectors
  chip.msi_notify(2);
  ASSERT_EQ(bench.msi.sent.size(), 1u);
  EXPECT_EQ(bench.msi.sent[0], std::pair(u64{0xFEE01000}, u32{0x42}));
  bench.write_config(3, static_cast<u8>(msi + 16), 0x2, 4);
  chip.msi_notify(1);
  EXPECT_EQ(bench.msi.sent.size(), 1u);
  EXPECT_EQ(bench.read_config(3, static_cast<u8>(msi + 20), 4), 2u);
  bench.write_config(3, static_cast<u8>(msi + 16), 0, 4);
  ASSERT_EQ(bench.msi.sent.size(), 2u);
  EXPECT_EQ(bench.msi.sent[1].second, 0x41u);
}

TEST_F(PciDeviceTest, MsixSendsPendsAndMasks) {
  const u8 msix = capability(0x11);
  ASSERT_NE(msix, 0);
  EXPECT_EQ(bench.read_config(3, static_cast<u8>(msix + 2), 2), 2u);
  bench.write_config(3, 0x14, 0xE0000000, 4);
  bench.write_config(3, 4, 6, 2);
  bench.write_config(3, static_cast<u8>(msix + 2), 0x8000, 2);
  bench.write_memory(0xE0000010, 0xFEE00000, 4);
  bench.write_memory(0xE0000018, 0x77, 4);
  chip.msix_notify(1);
  EXPECT_TRUE(bench.msi.sent.empty());
  EXPECT_EQ(bench.read_memory(0xE0000800, 4), 2u);
  bench.write_memory(0xE000001C, 0, 4);
  ASSERT_EQ(bench.msi.sent.size(), 1u);
  EXPECT_EQ(bench.msi.sent[0].second, 0x77u);
  EXPECT_EQ(bench.read_memory(0xE0000800, 4), 0u);
  bench.write_memory(0xE00007FC, ~u64{0}, 4);  // between table and pending bits: the chip's own
  chip.msix_notify(200);                       // no such vector
  EXPECT_EQ(bench.msi.sent.size(), 1u);
}

TEST_F(PciDeviceTest, DmaNeedsBusMaster) {
  u8 bytes[4] = {1, 2, 3, 4};
  EXPECT_FALSE(chip.dma_write(GuestPhys{0x1000}, bytes));
  EXPECT_FALSE(chip.dma_read(GuestPhys{0x1000}, bytes));
  EXPECT_EQ(bytes[0], 0xFF);
  bench.write_config(3, 4, 4, 2);
  EXPECT_TRUE(chip.dma_write(GuestPhys{0x1000}, bytes));
}

}  // namespace
}  // namespace xm::devices
