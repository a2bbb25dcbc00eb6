// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/intc/pic8259.h"

#include <gtest/gtest.h>

namespace xm::devices {
namespace {

class PicTest : public ::testing::Test {
 protected:
  PicTest() {
    pics.reset();
    init(0x08, 0x70, 0x01);
  }
  void init(u8 master_base, u8 slave_base, u8 icw4) {
    for (auto [ports, base, icw3] :
         {std::tuple{&pics.master_ports(), master_base, 4}, {&pics.slave_ports(), slave_base, 2}}) {
      out(*ports, 0, 0x11);
      out(*ports, 1, base);
      out(*ports, 1, static_cast<u8>(icw3));
      out(*ports, 1, icw4);
      out(*ports, 1, 0);
    }
  }
  static void out(bus::PortHandler& h, u16 a0, u8 v) { h.port_write(Port{a0}, v, 1); }
  static u8 in(bus::PortHandler& h, u16 a0) { return static_cast<u8>(h.port_read(Port{a0}, 1)); }
  void m(u16 a0, u8 v) { out(pics.master_ports(), a0, v); }
  void s(u16 a0, u8 v) { out(pics.slave_ports(), a0, v); }
  void pulse(unsigned n) {
    pics.set_input(n, true);
    pics.set_input(n, false);
  }

  bus::IrqLine intr;
  PicPair pics{intr};
};

TEST_F(PicTest, LowerInputWinsAndBlocksUntilEoi) {
  pulse(4);
  pulse(1);
  EXPECT_TRUE(intr.level());
  EXPECT_EQ(pics.acknowledge(), 0x09);
  EXPECT_FALSE(intr.level());  // IRQ4 waits behind IRQ1
  m(0, 0x20);
  EXPECT_TRUE(intr.level());
  EXPECT_EQ(pics.acknowledge(), 0x0C);
  EXPECT_EQ(pics.master().service_register(), 0x10);
}

TEST_F(PicTest, SlaveVectorNeedsTwoEois) {
  pulse(8);
  EXPECT_EQ(pics.acknowledge(), 0x70);
  EXPECT_EQ(pics.master().service_register(), 0x04);
  pulse(12);
  s(0, 0x20);
  EXPECT_FALSE(intr.level());  // the master still holds IR2
  m(0, 0x20);
  EXPECT_TRUE(intr.level());
  EXPECT_EQ(pics.acknowledge(), 0x74);
}

TEST_F(PicTest, SpecialFullyNestedLetsSlavePreemptItself) {
  init(0x08, 0x70, 0x11);
  pulse(12);
  EXPECT_EQ(pics.acknowledge(), 0x74);
  pulse(9);
  EXPECT_TRUE(intr.level());
  EXPECT_EQ(pics.acknowledge(), 0x71);
}

TEST_F(PicTest, WithdrawnLevelIsSpurious) {
  out(pics.elcr_ports(), 0x4D0, 0xFF);
  EXPECT_EQ(in(pics.elcr_ports(), 0x4D0), 0xF8);  // timer, keyboard and cascade stay edge-triggered
  out(pics.elcr_ports(), 0x4D1, 0xFF);
  EXPECT_EQ(in(pics.elcr_ports(), 0x4D1), 0xDE);
  pics.set_input(5, true);
  EXPECT_TRUE(intr.level());
  pics.set_input(5, false);
  EXPECT_FALSE(intr.level());
  EXPECT_EQ(pics.acknowledge(), 0x0F);
  EXPECT_EQ(pics.master().service_register(), 0);
}

TEST_F(PicTest, LevelInputRepeatsAfterEoi) {
  out(pics.elcr_ports(), 0x4D1, 0x08);
  pics.set_input(11, true);
  EXPECT_EQ(pics.acknowledge(), 0x73);
  s(0, 0x20);
  m(0, 0x20);
  EXPECT_TRUE(intr.level());
  pics.set_input(11, false);
  EXPECT_FALSE(intr.level());
}

TEST_F(PicTest, EdgeIsRememberedWhileMasked) {
  m(1, 0xFF);
  pulse(3);
  EXPECT_FALSE(intr.level());
  EXPECT_EQ(in(pics.master_ports(), 0), 0x08);  // IRR
  m(1, 0xF7);
  EXPECT_EQ(pics.acknowledge(), 0x0B);
}

TEST_F(PicTest, HeldEdgeDoesNotRepeat) {
  pics.set_input(3, true);
  EXPECT_EQ(pics.acknowledge(), 0x0B);
  m(0, 0x20);
  EXPECT_FALSE(intr.level());
}

TEST_F(PicTest, RotateOnEoiMakesServedLevelLowest) {
  pulse(3);
  pics.acknowledge();
  m(0, 0xA0);  // rotate on non-specific EOI
  pulse(3);
  pulse(4);
  EXPECT_EQ(pics.acknowledge(), 0x0C);
}

TEST_F(PicTest, SetPriorityCommand) {
  m(0, 0xC0 | 5);  // IR5 lowest, IR6 highest
  pulse(0);
  pulse(6);
  EXPECT_EQ(pics.acknowledge(), 0x0E);
}

TEST_F(PicTest, SpecificEoiEndsNamedLevelOnly) {
  pulse(5);
  pics.acknowledge();
  pulse(1);
  pics.acknowledge();
  m(0, 0x60 | 5);
  EXPECT_EQ(pics.master().service_register(), 0x02);
}

TEST_F(PicTest, SpecialMaskModeLetsLowerPrioritiesThrough) {
  pulse(1);
  pics.acknowledge();
  m(1, 0x02);
  pulse(6);
  EXPECT_FALSE(intr.level());
  m(0, 0x68);  // set special mask mode
  EXPECT_TRUE(intr.level());
  EXPECT_EQ(pics.acknowledge(), 0x0E);
  m(0, 0x20);  // non-specific EOI passes over the masked IR1
  EXPECT_EQ(pics.master().service_register(), 0x02);
}

TEST_F(PicTest, AutoEoiLeavesNothingInService) {
  init(0x08, 0x70, 0x03);
  pulse(6);
  EXPECT_EQ(pics.acknowledge(), 0x0E);
  EXPECT_EQ(pics.master().service_register(), 0);
}

TEST_F(PicTest, PollAcknowledges) {
  pulse(6);
  m(0, 0x0C);
  EXPECT_EQ(in(pics.master_ports(), 0), 0x86);
  EXPECT_EQ(pics.master().service_register(), 0x40);
  m(0, 0x0C);
  EXPECT_EQ(in(pics.master_ports(), 0), 0x00);
}

TEST_F(PicTest, Ocw3SelectsIsr) {
  pulse(6);
  pics.acknowledge();
  m(0, 0x0B);
  EXPECT_EQ(in(pics.master_ports(), 0), 0x40);
  m(0, 0x0A);
  EXPECT_EQ(in(pics.master_ports(), 0), 0x00);
}

TEST_F(PicTest, Icw1ClearsMaskAndPriority) {
  m(1, 0xFF);
  m(0, 0xC0 | 3);
  init(0x20, 0x28, 0x01);
  EXPECT_EQ(in(pics.master_ports(), 1), 0);
  pulse(0);
  pulse(4);
  EXPECT_EQ(pics.acknowledge(), 0x20);
}

}  // namespace
}  // namespace xm::devices
