// SPDX-License-Identifier: GPL-2.0-or-later
#include <gtest/gtest.h>

#include <map>

#include "devices/pci/i440fx.h"
#include "devices/pci/piix3_isa.h"
#include "devices/pci/piix4_pm.h"
#include "tests/unit/devices/pci/pci_bench.h"

namespace xm::devices {
namespace {

struct FakeController final : MemoryController {
  void set_pam(GuestPhys first, u64 size_bytes, bool reads, bool writes) override {
    pam[first.value] = {size_bytes, reads, writes};
  }
  void set_smram(bool is_enabled, bool is_open) override {
    enabled = is_enabled;
    open = is_open;
  }
  std::map<u64, std::tuple<u64, bool, bool>> pam;
  bool enabled = false, open = false;
};

struct FakePm final : bus::PortHandler {
  u32 port_read(Port port, unsigned) override { return 0x5000u + port.value; }
  void port_write(Port port, u32, unsigned) override { written = port.value; }
  unsigned written = 0;
};

struct ChipsetTest : ::testing::Test {
  ChipsetTest() {
    bench.pci.attach(0, 0, host);
    bench.pci.attach(1, 0, isa);
    bench.pci.attach(1, 3, pm);
    host.reset();
    isa.reset();
    pm.reset();
  }
  void address(u32 value) { bench.ports.write(Port{0xCF8}, value, 4); }
  testing::PciBench bench;
  FakeController controller;
  FakePm acpi;
  testing::RecordingSink irq;
  unsigned resets = 0;
  I440fx host{bench.environment, bench.pci, controller};
  Piix3Isa isa{bench.environment, {irq, [this] { resets++; }}};
  Piix4Pm pm{bench.environment, acpi};
};

TEST_F(ChipsetTest, MechanismOneReadsBytesWordsAndDwords) {
  address(0x80000000);
  EXPECT_EQ(bench.ports.read(Port{0xCF8}, 4), 0x80000000u);
  EXPECT_EQ(bench.ports.read(Port{0xCFC}, 4), 0x12378086u);
  EXPECT_EQ(bench.ports.read(Port{0xCFE}, 2), 0x1237u);
  EXPECT_EQ(bench.ports.read(Port{0xCFD}, 1), 0x80u);
  address(0x80000800);
  EXPECT_EQ(bench.ports.read(Port{0xCFC}, 4), 0x70008086u);
  address(0x80000B00);
  EXPECT_EQ(bench.ports.read(Port{0xCFC}, 4), 0x71138086u);
  address(0x8000080C);
  EXPECT_EQ(bench.ports.read(Port{0xCFE}, 1), 0x80u);  // multifunction
  address(0x80001000);
  EXPECT_EQ(bench.ports.read(Port{0xCFC}, 4), 0xFFFFFFFFu);
  address(0x80010000);  // bus 1
  EXPECT_EQ(bench.ports.read(Port{0xCFC}, 4), 0xFFFFFFFFu);
  address(0);
  EXPECT_EQ(bench.ports.read(Port{0xCFC}, 4), 0xFFFFFFFFu);
}

TEST_F(ChipsetTest, ByteWritesToCf8AreNoConfigurationCycles) {
  address(0x80000000);
  bench.ports.write(Port{0xCF8}, 0x12, 1);
  bench.ports.write(Port{0xCFA}, 0x1234, 2);
  EXPECT_EQ(bench.ports.read(Port{0xCF8}, 4), 0x80000000u);
}

TEST_F(ChipsetTest, PamSteersSegments) {
  EXPECT_EQ(controller.pam.size(), 13u);
  EXPECT_EQ(controller.pam[0xF0000], std::tuple(u64{0x10000}, false, false));
  address(0x80000058);
  bench.ports.write(Port{0xCFD}, 0x30, 1);
  EXPECT_EQ(controller.pam[0xF0000], std::tuple(u64{0x10000}, true, true));
  address(0x8000005C);
  bench.ports.write(Port{0xCFC}, 0x21, 1);  // PAM3: D0000h and D4000h
  EXPECT_EQ(controller.pam[0xD0000], std::tuple(u64{0x4000}, true, false));
  EXPECT_EQ(controller.pam[0xD4000], std::tuple(u64{0x4000}, false, true));
}

TEST_F(ChipsetTest, SmramLockHoldsUntilReset) {
  address(0x80000070);
  bench.ports.write(Port{0xCFE}, 0x4A, 1);
  EXPECT_TRUE(controller.enabled);
  EXPECT_TRUE(controller.open);
  bench.ports.write(Port{0xCFE}, 0x1A, 1);
  bench.ports.write(Port{0xCFE}, 0x4A, 1);
  EXPECT_FALSE(controller.open);
  EXPECT_TRUE(controller.enabled);
  host.reset();
  EXPECT_FALSE(controller.enabled);
}

TEST_F(ChipsetTest, PirqRoutesShareAndMove) {
  bench.write_config(1, 0x60, 0x8B0B0A0A, 4);
  isa.set_input(0, true);
  isa.set_input(1, true);
  EXPECT_TRUE(irq.level(10));
  isa.set_input(0, false);
  EXPECT_TRUE(irq.level(10));
  bench.write_config(1, 0x61, 11, 1);
  EXPECT_FALSE(irq.level(10));
  EXPECT_TRUE(irq.level(11));
  bench.write_config(1, 0x61, 0x80, 1);
  EXPECT_FALSE(irq.level(11));
  isa.set_input(3, true);  // disabled
  EXPECT_FALSE(irq.level(11));
}

TEST_F(ChipsetTest, ResetControlRegister) {
  bench.ports.write(Port{0xCF9}, 0x02, 1);
  EXPECT_EQ(resets, 0u);
  bench.ports.write(Port{0xCF9}, 0x06, 1);
  EXPECT_EQ(resets, 1u);
}

TEST_F(ChipsetTest, PmBlockAppearsWherePmbaseSays) {
  bench.write_config(1, 0x40, 0x0601, 4, 3);
  EXPECT_EQ(bench.ports.read(Port{0x604}, 2), 0xFFFFu);
  bench.write_config(1, 0x80, 1, 1, 3);
  EXPECT_EQ(bench.ports.read(Port{0x604}, 2), 0x5004u);
  bench.ports.write(Port{0x63F}, 0, 1);
  EXPECT_EQ(acpi.written, 0x3Fu);
  bench.write_config(1, 0x40, 0xB001, 4, 3);
  EXPECT_EQ(bench.ports.read(Port{0x604}, 2), 0xFFFFu);
  EXPECT_EQ(bench.ports.read(Port{0xB008}, 4), 0x5008u);
}

}  // namespace
}  // namespace xm::devices
