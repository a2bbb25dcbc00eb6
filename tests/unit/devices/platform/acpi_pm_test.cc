// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/platform/acpi_pm.h"

#include <gtest/gtest.h>

#include "devices/platform/debugcon.h"
#include "devices/platform/isa_debug_exit.h"
#include "devices/platform/pc_testdev.h"
#include "devices/platform/port92.h"
#include "devices/platform/pvpanic.h"

namespace xm::devices {
namespace {

class AcpiPmTest : public ::testing::Test, protected PowerControl {
 protected:
  AcpiPmTest() { pm.reset(); }
  void power_off() override { said = "off"; }
  void suspend_to_ram() override { said = "s3"; }
  void suspend_to_disk() override { said = "s4"; }
  u32 in(u16 at, unsigned size) { return pm.ports().port_read(Port{at}, size); }
  void out(u16 at, u32 value, unsigned size) { pm.ports().port_write(Port{at}, value, size); }

  std::string said;
  bus::ManualClock source;
  bus::VirtualClock clock{source};
  bus::IrqLine sci;
  AcpiPm pm{sci, clock, *this};
};

TEST_F(AcpiPmTest, TimerRunsAt3579545Hz) {
  EXPECT_EQ(in(8, 4), 0u);
  source.advance(1'000'000'000);
  EXPECT_EQ(in(8, 4), 3'579'545u);
  source.advance(4'000'000'000);
  EXPECT_EQ(in(8, 4), 17'897'727u & 0xFFFFFF);
}

TEST_F(AcpiPmTest, AcpiModeByApmPort) {
  pm.apm_ports().port_write(Port{0xB2}, AcpiPm::kAcpiEnable, 1);
  EXPECT_EQ(in(4, 2) & 1, 1u);
  pm.apm_ports().port_write(Port{0xB2}, AcpiPm::kAcpiDisable, 1);
  EXPECT_EQ(in(4, 2) & 1, 0u);
}

TEST_F(AcpiPmTest, PowerButtonRaisesSciUntilCleared) {
  out(2, 0x0100, 2);
  pm.press_power_button();
  EXPECT_FALSE(sci.level());  // not in ACPI mode
  out(4, 1, 2);
  EXPECT_TRUE(sci.level());
  out(0, 0x0100, 2);
  EXPECT_FALSE(sci.level());
}

TEST_F(AcpiPmTest, TimerOverflowInterrupts) {
  out(4, 1, 2);
  out(2, 1, 2);
  source.set(clock.next_deadline());
  EXPECT_EQ(source.now().value / 1'000'000, 2343);  // 2^23 ticks
  clock.run_due();
  EXPECT_TRUE(sci.level());
  EXPECT_EQ(in(0, 2) & 1, 1u);
  out(0, 1, 2);
  EXPECT_FALSE(sci.level());
}

TEST_F(AcpiPmTest, GeneralPurposeEvents) {
  out(4, 1, 2);
  pm.raise_gpe(2);
  EXPECT_FALSE(sci.level());
  out(0x0E, 0x0004, 2);
  EXPECT_TRUE(sci.level());
  out(0x0C, 0x0004, 2);
  EXPECT_FALSE(sci.level());
}

TEST_F(AcpiPmTest, SleepStates) {
  out(4, 0x0001 | AcpiPm::kSleepTypeS3 << 10, 2);
  EXPECT_EQ(said, "");  // without SLP_EN nothing happens
  out(4, 0x2001 | AcpiPm::kSleepTypeS3 << 10, 2);
  EXPECT_EQ(said, "s3");
  pm.wake_up();
  EXPECT_EQ(in(0, 2), 0x8000u);
  out(4, 0x2001 | AcpiPm::kSleepTypeS5 << 10, 2);
  EXPECT_EQ(said, "off");
  EXPECT_EQ(in(4, 2) & 0x2000, 0u);
}

TEST(SmallPlatformDevices, DebugExitAndPanic) {
  int status = 0;
  IsaDebugExit exit([&](int s) { status = s; });
  exit.port_write(Port{0xF4}, 0x10, 4);
  EXPECT_EQ(status, 33);
  u8 events = 0;
  Pvpanic panic([&](u8 e) { events = e; });
  EXPECT_EQ(panic.port_read(Port{0x505}, 1), 3u);
  panic.port_write(Port{0x505}, 1, 1);
  EXPECT_EQ(events, Pvpanic::kPanicked);
}

TEST(SmallPlatformDevices, DebugconHoldsWhatTheBackendRefuses) {
  struct Slow final : CharBackend {
    void attach(CharFrontend*) override {}
    std::size_t write(std::span<const u8> bytes) override {
      if (!open) return 0;
      text.append(bytes.begin(), bytes.end());
      return bytes.size();
    }
    bool open = false;
    std::string text;
  } backend;
  Debugcon con(backend);
  EXPECT_EQ(con.port_read(Port{0xE9}, 1), 0xE9u);
  con.port_write(Port{0xE9}, 'o', 1);
  backend.open = true;
  con.port_write(Port{0xE9}, 'k', 1);
  EXPECT_EQ(backend.text, "ok");
}

TEST(SmallPlatformDevices, A20IsTheOrOfItsDrivers) {
  bus::IrqLine a20, from_port92, from_8042, reset;
  A20Gate gate(a20);
  from_port92.connect(gate, 0);
  from_8042.connect(gate, 1);
  Port92 port(from_port92, reset);
  port.reset();
  from_8042.raise();
  EXPECT_TRUE(a20.level());
  from_8042.lower();
  EXPECT_FALSE(a20.level());
  port.port_write(Port{0x92}, 2, 1);
  EXPECT_TRUE(a20.level());
  EXPECT_EQ(port.port_read(Port{0x92}, 1), 2u);
}

TEST(SmallPlatformDevices, TestdevRegisterAndLines) {
  struct Lines final : bus::IrqSink {
    void set_input(unsigned input, bool level) override { last = {input, level}; }
    std::pair<unsigned, bool> last;
  } lines;
  PcTestdev dev(lines);
  dev.ports().port_write(Port{0xE0}, 0x11223344, 4);
  dev.ports().port_write(Port{0xE1}, 0x55, 1);
  EXPECT_EQ(dev.ports().port_read(Port{0xE0}, 4), 0x11225544u);
  dev.irq_ports().port_write(Port{0x200E}, 1, 1);
  EXPECT_EQ(lines.last, std::pair(14u, true));
  dev.mmio_write(0xFFF8, 0x0123456789ABCDEF, 8);
  EXPECT_EQ(dev.mmio_read(0xFFFC, 4), 0x01234567u);
  EXPECT_EQ(dev.mmio_read(0xFFFF, 8), 0u);
}

}  // namespace
}  // namespace xm::devices
