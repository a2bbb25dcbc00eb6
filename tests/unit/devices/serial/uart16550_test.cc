// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/serial/uart16550.h"

#include <gtest/gtest.h>

#include <string>

namespace xm::devices {
namespace {

struct TestBackend final : CharBackend {
  void attach(CharFrontend* f) override { frontend = f; }
  std::size_t write(std::span<const u8> bytes) override {
    const std::size_t n = std::min(room, bytes.size());
    sent.append(reinterpret_cast<const char*>(bytes.data()), n);
    room -= n;
    return n;
  }
  void receive_ready() override { ready++; }
  void set_line(const LineSettings& l) override { line = l; }
  void set_break(bool on) override { breaks += on; }
  CharFrontend* frontend = nullptr;
  std::size_t room = 1'000'000;
  std::string sent;
  int ready = 0;
  int breaks = 0;
  LineSettings line;
};

class UartTest : public ::testing::Test {
 protected:
  UartTest() { uart.reset(); }
  u8 in(u16 r) { return static_cast<u8>(uart.port_read(Port{static_cast<u16>(0x3F8 + r)}, 1)); }
  void out(u16 r, u8 v) { uart.port_write(Port{static_cast<u16>(0x3F8 + r)}, v, 1); }
  void receive(std::string_view text) { uart.receive({reinterpret_cast<const u8*>(text.data()), text.size()}); }

  bus::ManualClock source;
  bus::VirtualClock clock{source};
  bus::IrqLine irq;
  TestBackend backend;
  Uart16550 uart{irq, clock, backend};
};

TEST_F(UartTest, SendsAndReportsEmpty) {
  EXPECT_EQ(in(5), 0x60);
  out(0, 'h');
  out(0, 'i');
  EXPECT_EQ(backend.sent, "hi");
  EXPECT_EQ(in(5), 0x60);
}

TEST_F(UartTest, SlowBackendHoldsBytesInFifo) {
  out(2, 0x01);
  out(1, 0x02);
  EXPECT_EQ(in(2), 0xC2);
  EXPECT_FALSE(irq.level());
  backend.room = 1;
  out(0, 'a');
  EXPECT_TRUE(irq.level());
  out(0, 'b');
  EXPECT_FALSE(irq.level());
  EXPECT_EQ(in(5) & 0x60, 0);
  for (int i = 0; i < 20; i++) out(0, 'c');  // overruns a 16-byte FIFO
  backend.room = 100;
  backend.frontend->writable();
  EXPECT_EQ(backend.sent, "ab" + std::string(15, 'c'));
  EXPECT_TRUE(irq.level());
  EXPECT_EQ(in(2), 0xC2);
  EXPECT_EQ(in(2), 0xC1);
}

TEST_F(UartTest, DivisorLatch) {
  out(3, 0x9B);  // DLAB, 8 bits, even parity
  out(0, 0x03);
  out(1, 0x00);
  EXPECT_EQ(in(0), 3);
  EXPECT_EQ(backend.line.baud, 38400u);
  EXPECT_EQ(backend.line.parity, 'E');
  out(3, 0x03);
  EXPECT_EQ(in(1), 0);
}

TEST_F(UartTest, WithoutFifoHoldsOneByte) {
  EXPECT_EQ(uart.can_receive(), 1u);
  receive("x");
  EXPECT_EQ(uart.can_receive(), 0u);
  receive("y");
  EXPECT_EQ(in(5) & 0x03, 0x03);  // data ready, overrun
  EXPECT_EQ(in(5) & 0x02, 0);     // cleared by the read
  EXPECT_EQ(in(0), 'y');
  EXPECT_EQ(backend.ready, 1);
}

TEST_F(UartTest, TriggerLevelThenTimeout) {
  out(2, 0x81);  // trigger at 8
  out(1, 0x01);
  EXPECT_EQ(uart.can_receive(), 16u);
  receive("1234567");
  EXPECT_FALSE(irq.level());
  receive("8");
  EXPECT_EQ(in(2), 0xC4);
  EXPECT_EQ(in(0), '1');
  EXPECT_FALSE(irq.level());
  source.advance(3'900'000);
  clock.run_due();
  EXPECT_EQ(in(2), 0xCC);  // four characters at 9600 baud have passed
  for (char c = '2'; c <= '8'; c++) EXPECT_EQ(in(0), c);
  EXPECT_EQ(in(2), 0xC1);
}

TEST_F(UartTest, InterruptPriorities) {
  out(1, 0x0F);
  EXPECT_EQ(in(2), 0x02);  // enabling with an empty holding register raises it
  receive("a");
  receive("b");
  out(4, 0x12);  // loopback: CTS only, so DSR and DCD fall
  out(0, 'z');
  EXPECT_EQ(in(2), 0x06);
  EXPECT_EQ(in(5) & 0x02, 0x02);
  EXPECT_EQ(in(2), 0x04);
  in(0);
  EXPECT_EQ(in(2), 0x02);
  EXPECT_EQ(in(2), 0x00);
  EXPECT_EQ(in(6), 0x1A);
  EXPECT_EQ(in(2), 0x01);
}

TEST_F(UartTest, LoopbackMapsModemControl) {
  out(4, 0x1F);
  EXPECT_EQ(in(6) & 0xF0, 0xF0);
  out(4, 0x1A);  // as Linux probes
  EXPECT_EQ(in(6) & 0xF0, 0x90);
  out(0, 0x55);
  EXPECT_EQ(in(0), 0x55);
  EXPECT_EQ(backend.sent, "");
  EXPECT_EQ(uart.can_receive(), 0u);
}

TEST_F(UartTest, BreakInBothDirections) {
  out(1, 0x04);
  uart.event(CharEvent::Break);
  EXPECT_TRUE(irq.level());
  EXPECT_EQ(in(5) & 0x11, 0x11);
  EXPECT_FALSE(irq.level());
  EXPECT_EQ(in(0), 0);
  out(3, 0x43);
  EXPECT_EQ(backend.breaks, 1);
}

TEST_F(UartTest, FifoResetEmptiesReceiver) {
  out(2, 0x01);
  receive("abc");
  out(2, 0x03);
  EXPECT_EQ(in(5) & 1, 0);
  EXPECT_EQ(in(2), 0xC1);
}

TEST_F(UartTest, ScratchAndIdentification) {
  out(7, 0xA5);
  EXPECT_EQ(in(7), 0xA5);
  out(2, 0x00);
  EXPECT_EQ(in(2), 0x01);
  out(2, 0xE7);
  EXPECT_EQ(in(2), 0xC1);  // 16550A, not 16750
}

}  // namespace
}  // namespace xm::devices
