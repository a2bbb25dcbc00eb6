// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/intc/lapic.h"

#include <gtest/gtest.h>

#include "tests/unit/devices/intc/apic_bench.h"

namespace xm::devices {
namespace {

using namespace lapic;

constexpr u32 kSelf = 1u << 18;
constexpr u32 kAll = 2u << 18;
constexpr u32 kOthers = 3u << 18;
constexpr u32 kLogical = 1u << 11;

TEST(LocalApic, SelfIpiIsDeliveredAndEnded) {
  ApicBench b(1);
  b.command(0, kSelf | 0x45);
  EXPECT_TRUE(b.pins[0]->intr);
  EXPECT_EQ(b.read(0, kRequest + 0x20), 1u << 5);
  EXPECT_EQ(b.apics[0]->acknowledge(), 0x45);
  EXPECT_FALSE(b.pins[0]->intr);
  EXPECT_EQ(b.read(0, kInService + 0x20), 1u << 5);
  EXPECT_EQ(b.read(0, kProcessorPriority), 0x40u);
  b.write(0, kEoi, 0);
  EXPECT_EQ(b.read(0, kInService + 0x20), 0u);
  EXPECT_EQ(b.apics[0]->acknowledge(), -1);
}

TEST(LocalApic, HigherClassPreemptsSameClassWaits) {
  ApicBench b(1);
  b.command(0, kSelf | 0x45);
  EXPECT_EQ(b.apics[0]->acknowledge(), 0x45);
  b.command(0, kSelf | 0x4F);
  EXPECT_FALSE(b.pins[0]->intr);
  b.command(0, kSelf | 0x51);
  EXPECT_EQ(b.apics[0]->acknowledge(), 0x51);
  b.write(0, kEoi, 0);
  EXPECT_FALSE(b.pins[0]->intr);
  b.write(0, kEoi, 0);
  EXPECT_EQ(b.apics[0]->acknowledge(), 0x4F);
}

TEST(LocalApic, TaskPriorityAndCr8AreOneRegister) {
  ApicBench b(1);
  b.apics[0]->set_cr8(5);
  EXPECT_EQ(b.read(0, kTaskPriority), 0x50u);
  b.command(0, kSelf | 0x5E);
  EXPECT_FALSE(b.pins[0]->intr);
  b.write(0, kTaskPriority, 0x4F);
  EXPECT_TRUE(b.pins[0]->intr);
  EXPECT_EQ(b.apics[0]->cr8(), 4);
}

TEST(LocalApic, PhysicalLogicalAndShorthandDestinations) {
  ApicBench b(3);
  for (unsigned i = 0; i < 3; i++) b.write(i, kLogicalDestination, (1u << i) << 24);
  b.command(0, 0x60, 1);
  EXPECT_EQ(b.apics[1]->acknowledge(), 0x60);
  EXPECT_FALSE(b.pins[2]->intr);
  b.command(0, kLogical | 0x61, 0x06);
  EXPECT_FALSE(b.pins[0]->intr);
  EXPECT_EQ(b.apics[1]->acknowledge(), -1);  // 0x60 is in service: same class
  EXPECT_EQ(b.apics[2]->acknowledge(), 0x61);
  b.command(0, kOthers | 0x71);
  EXPECT_FALSE(b.pins[0]->intr);
  EXPECT_EQ(b.apics[1]->acknowledge(), 0x71);
  EXPECT_EQ(b.apics[2]->acknowledge(), 0x71);
  b.command(2, kAll | 0x81);
  EXPECT_EQ(b.apics[0]->acknowledge(), 0x81);
  EXPECT_EQ(b.apics[2]->acknowledge(), 0x81);
  b.command(2, 0x91, 0xFF);  // physical broadcast includes the sender
  for (auto& apic : b.apics) EXPECT_EQ(apic->acknowledge(), 0x91);
}

TEST(LocalApic, ClusterModel) {
  ApicBench b(2);
  for (unsigned i = 0; i < 2; i++) b.write(i, kDestinationFormat, 0);
  b.write(0, kLogicalDestination, 0x11u << 24);
  b.write(1, kLogicalDestination, 0x21u << 24);
  b.command(0, kLogical | 0x40, 0x21);
  EXPECT_FALSE(b.pins[0]->intr);
  EXPECT_TRUE(b.pins[1]->intr);
}

TEST(LocalApic, LowestPriorityPrefersTheIdleAndTakesTurns) {
  ApicBench b(2);
  for (unsigned i = 0; i < 2; i++) b.write(i, kLogicalDestination, (1u << i) << 24);
  b.apics[0]->set_cr8(8);
  b.command(0, kLogical | 0x100 | 0x40, 0x03);
  EXPECT_EQ(b.apics[1]->acknowledge(), 0x40);
  b.write(1, kEoi, 0);
  b.apics[0]->set_cr8(0);
  b.command(0, kLogical | 0x100 | 0x41, 0x03);
  b.command(0, kLogical | 0x100 | 0x42, 0x03);
  EXPECT_TRUE(b.pins[0]->intr);
  EXPECT_TRUE(b.pins[1]->intr);
}

TEST(LocalApic, InitSipiNmiSmi) {
  ApicBench b(2);
  b.write(1, kTaskPriority, 0x20);
  b.command(0, 0xC500, 1);  // INIT, level assert
  EXPECT_EQ(b.pins[1]->inits, 1);
  EXPECT_EQ(b.read(1, kTaskPriority), 0u);
  EXPECT_EQ(b.read(1, kSpuriousVector), 0xFFu);
  b.command(0, 0x8500, 1);  // de-assert: nothing
  EXPECT_EQ(b.pins[1]->inits, 1);
  b.command(0, 0x0600 | 0x9A, 1);  // also to a software-disabled APIC
  EXPECT_EQ(b.pins[1]->sipis, std::vector<u8>{0x9A});
  b.command(0, 0x0400, 1);
  EXPECT_EQ(b.pins[1]->nmis, 1);
  b.command(0, 0x0200, 1);
  EXPECT_EQ(b.pins[1]->smis, 1);
}

TEST(LocalApic, SoftwareDisableDropsFixedAndMasksLvt) {
  ApicBench b(1);
  b.write(0, kLvtTimer, 0x40);
  b.write(0, kSpuriousVector, 0xFF);
  EXPECT_EQ(b.read(0, kLvtTimer), kLvtMasked | 0x40u);
  b.write(0, kLvtTimer, 0x40);
  EXPECT_EQ(b.read(0, kLvtTimer), kLvtMasked | 0x40u);
  b.command(0, kSelf | 0x45);
  EXPECT_FALSE(b.pins[0]->intr);
}

TEST(LocalApic, IllegalVectorsAreErrors) {
  ApicBench b(1);
  b.write(0, kLvtError, 0xFE);
  b.command(0, kSelf | 0x0F);
  EXPECT_EQ(b.read(0, kErrorStatus), 0u);  // latched by a write
  b.write(0, kErrorStatus, 0);
  EXPECT_EQ(b.read(0, kErrorStatus), kErrorSendIllegalVector);
  EXPECT_EQ(b.apics[0]->acknowledge(), 0xFE);
  b.bus.send_msi(0xFEE00000, 0x05);
  b.write(0, kErrorStatus, 0);
  EXPECT_EQ(b.read(0, kErrorStatus), kErrorReceiveIllegalVector);
}

TEST(LocalApic, MsiDestinations) {
  ApicBench b(2);
  b.bus.send_msi(0xFEE01000, 0x4041);
  EXPECT_EQ(b.apics[1]->acknowledge(), 0x41);
  EXPECT_FALSE(b.pins[0]->intr);
  b.bus.send_msi(0xFED00000, 0x42);
  b.bus.send_msi(0x1FEE00000, 0x42);
  EXPECT_FALSE(b.pins[0]->intr);
  b.bus.send_msi(0xFEE00000, 0x0400);
  EXPECT_EQ(b.pins[0]->nmis, 1);
}

TEST(LocalApic, OneShotTimer) {
  ApicBench b(1);
  b.write(0, kDivide, 0xB);  // by 1
  b.write(0, kLvtTimer, 0xEF);
  b.write(0, kInitialCount, 1000);
  b.advance(400);
  EXPECT_EQ(b.read(0, kCurrentCount), 600u);
  EXPECT_FALSE(b.pins[0]->intr);
  b.advance(600);
  EXPECT_EQ(b.apics[0]->acknowledge(), 0xEF);
  EXPECT_EQ(b.read(0, kCurrentCount), 0u);
  b.write(0, kEoi, 0);
  b.advance(10'000);
  EXPECT_FALSE(b.pins[0]->intr);
}

TEST(LocalApic, DividerScalesTheCount) {
  ApicBench b(1);
  b.write(0, kDivide, 0x3);  // by 16
  b.write(0, kInitialCount, 1000);
  b.advance(1600);
  EXPECT_EQ(b.read(0, kCurrentCount), 900u);
  b.write(0, kDivide, 0xA);  // by 128
  b.advance(1280);
  EXPECT_EQ(b.read(0, kCurrentCount), 890u);
}

TEST(LocalApic, PeriodicTimerCoalescesLostTicks) {
  ApicBench b(1);
  b.write(0, kDivide, 0xB);
  b.write(0, kLvtTimer, 0x20000 | 0x30);
  b.write(0, kInitialCount, 1000);
  int ticks = 0;
  for (int i = 0; i < 20; i++) {
    b.advance(500);
    if (b.apics[0]->acknowledge() == 0x30) {
      ticks++;
      b.write(0, kEoi, 0);
    }
  }
  EXPECT_EQ(ticks, 10);
  b.advance(1'000'300);
  EXPECT_EQ(b.apics[0]->acknowledge(), 0x30);
  b.write(0, kEoi, 0);
  b.clock.run_due();
  EXPECT_FALSE(b.pins[0]->intr);
  EXPECT_EQ(b.read(0, kCurrentCount), 700u);
  b.advance(700);
  EXPECT_TRUE(b.pins[0]->intr);
}

TEST(LocalApic, ModeChangesKeepTheCount) {
  ApicBench b(1);
  b.write(0, kDivide, 0xB);
  b.write(0, kLvtTimer, kLvtMasked | 0x20000 | 0x30);
  b.write(0, kInitialCount, 1000);
  b.advance(2300);
  EXPECT_EQ(b.read(0, kCurrentCount), 700u);
  b.write(0, kLvtTimer, kLvtMasked | 0x30);
  EXPECT_EQ(b.read(0, kCurrentCount), 700u);
  b.advance(800);
  EXPECT_EQ(b.read(0, kCurrentCount), 0u);
  b.write(0, kLvtTimer, kLvtMasked | 0x20000 | 0x30);
  EXPECT_EQ(b.read(0, kCurrentCount), 0u);  // an expired one-shot does not come back to life
  EXPECT_EQ(b.read(0, kInitialCount), 1000u);
}

TEST(LocalApic, UnmaskingDoesNotReplayExpiries) {
  ApicBench b(1);
  b.write(0, kDivide, 0xB);
  b.write(0, kLvtTimer, kLvtMasked | 0x20000 | 0x30);
  b.write(0, kInitialCount, 1000);
  b.advance(5100);
  b.write(0, kLvtTimer, 0x20000 | 0x30);
  b.clock.run_due();
  EXPECT_FALSE(b.pins[0]->intr);
  b.advance(900);
  EXPECT_TRUE(b.pins[0]->intr);
}

TEST(LocalApic, TscDeadline) {
  ApicBench b(1);
  u64 value = 1;
  EXPECT_TRUE(b.apics[0]->write_msr(0x6E0, 5000));  // ignored in another mode
  EXPECT_TRUE(b.apics[0]->read_msr(0x6E0, value));
  EXPECT_EQ(value, 0u);
  b.write(0, kLvtTimer, 0x40000 | 0x33);
  b.apics[0]->write_msr(0x6E0, 5000);
  b.write(0, kInitialCount, 10);
  b.advance(2499);
  EXPECT_FALSE(b.pins[0]->intr);
  b.advance(1);
  EXPECT_EQ(b.apics[0]->acknowledge(), 0x33);
  b.apics[0]->read_msr(0x6E0, value);
  EXPECT_EQ(value, 0u);
  b.write(0, kEoi, 0);
  b.apics[0]->write_msr(0x6E0, 100);  // past: at once
  EXPECT_TRUE(b.pins[0]->intr);
}

TEST(LocalApic, ExtIntThroughLint0) {
  ApicBench b(2);
  b.intr.connect(b.bus, ApicBus::kLint0);
  auto& master = b.pics.master_ports();
  for (auto [a0, v] : {std::pair{0, 0x11}, {1, 0x20}, {1, 4}, {1, 1}, {1, 0}}) {
    master.port_write(Port{static_cast<u16>(a0)}, static_cast<u32>(v), 1);
  }
  b.pics.set_input(1, true);
  EXPECT_TRUE(b.pins[0]->intr);  // the boot processor is in virtual wire mode
  EXPECT_FALSE(b.pins[1]->intr);
  b.write(0, kLvtTimer + 0x30, kLvtMasked | 0x700);
  EXPECT_FALSE(b.pins[0]->intr);
  b.write(0, kLvtTimer + 0x30, 0x700);
  EXPECT_EQ(b.apics[0]->acknowledge(), 0x21);
  EXPECT_EQ(b.apics[0]->acknowledge(), -1);
  EXPECT_EQ(b.read(0, kInService + 0x10), 0u);  // not the local APIC's to end
}

TEST(LocalApic, Lint1IsNmiWhenProgrammedSo) {
  ApicBench b(1);
  b.bus.set_input(ApicBus::kLint1, true);
  EXPECT_EQ(b.pins[0]->nmis, 0);
  b.bus.set_input(ApicBus::kLint1, false);
  b.write(0, kLvtTimer + 0x40, 0x400);
  b.bus.set_input(ApicBus::kLint1, true);
  EXPECT_EQ(b.pins[0]->nmis, 1);
}

TEST(LocalApic, BaseMsrTransitions) {
  ApicBench b(1);
  LocalApic& a = *b.apics[0];
  const u64 xapic = kBaseDefault | kBaseBootProcessor | kBaseEnable;
  EXPECT_EQ(a.apic_base(), xapic);
  EXPECT_FALSE(a.set_apic_base(xapic | 1));
  EXPECT_FALSE(a.set_apic_base(xapic | u64{1} << 40));
  EXPECT_FALSE(a.set_apic_base((xapic & ~kBaseEnable) | kBaseX2));
  EXPECT_TRUE(a.set_apic_base(xapic | kBaseX2));
  EXPECT_FALSE(a.set_apic_base(xapic));
  EXPECT_EQ(a.mmio_read(kVersion, 4), 0xFFFF'FFFFu);
  EXPECT_TRUE(a.set_apic_base(xapic & ~kBaseEnable));
  EXPECT_FALSE(a.set_apic_base(xapic | kBaseX2));
  a.set_cr8(7);
  EXPECT_EQ(a.cr8(), 7);
  EXPECT_TRUE(a.set_apic_base(xapic));
  EXPECT_EQ(a.mmio_read(kVersion, 4), 0x01050014u);
}

TEST(LocalApic, X2ApicRegistersAndIpis) {
  ApicBench b(2);
  b.enable_x2(0);
  b.enable_x2(1);
  LocalApic& a = *b.apics[0];
  u64 value = 0;
  EXPECT_TRUE(b.apics[1]->read_msr(0x802, value));
  EXPECT_EQ(value, 1u);
  EXPECT_TRUE(b.apics[1]->read_msr(0x80D, value));
  EXPECT_EQ(value, 2u);
  EXPECT_TRUE(a.write_msr(0x830, u64{1} << 32 | 0x50));
  EXPECT_EQ(b.apics[1]->acknowledge(), 0x50);
  EXPECT_TRUE(a.write_msr(0x830, u64{2} << 32 | 0x800 | 0x60));  // logical, cluster 0
  EXPECT_EQ(b.apics[1]->acknowledge(), 0x60);
  EXPECT_TRUE(a.write_msr(0x830, 0xFFFF'FFFF'0000'0070));
  EXPECT_EQ(a.acknowledge(), 0x70);
  EXPECT_TRUE(a.write_msr(0x83F, 0x80));
  EXPECT_EQ(a.acknowledge(), 0x80);
  EXPECT_TRUE(a.write_msr(0x80B, 0));
  for (u32 invalid : {0x80Eu, 0x831u, 0x83Fu, 0x80Bu, 0x82Fu, 0x840u})
    EXPECT_FALSE(a.read_msr(invalid, value)) << invalid;
  for (u32 read_only : {0x802u, 0x803u, 0x80Au, 0x80Du, 0x810u, 0x820u, 0x839u}) {
    EXPECT_FALSE(a.write_msr(read_only, 0)) << read_only;
  }
  EXPECT_FALSE(a.write_msr(0x80B, 1));
  EXPECT_FALSE(a.write_msr(0x808, u64{1} << 32));
  EXPECT_FALSE(a.write_msr(0x830, 1u << 13));
}

TEST(LocalApic, X2MsrsFaultInXapicMode) {
  ApicBench b(1);
  u64 value = 0;
  EXPECT_FALSE(b.apics[0]->read_msr(0x802, value));
  EXPECT_FALSE(b.apics[0]->write_msr(0x808, 0));
}

}  // namespace
}  // namespace xm::devices
