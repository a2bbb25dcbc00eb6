// SPDX-License-Identifier: GPL-2.0-or-later
// 16550A UART [PC16550D]: eight ports, one byte wide, told apart by the low three bits of the address (COM1 is
// 0x3F8-0x3FF). Bytes go to the back end at once instead of at the baud rate; the receive FIFO, its trigger levels and
// the character time-out follow the guest's line settings.
//
// DEVIATION: OUT2 does not gate the interrupt as the wiring of a PC does; guests written on QEMU forget to set it.
// Not modelled: DMA mode pins, parity and framing errors (a back end delivers whole bytes), modem status beyond
// "connected".
#pragma once

#include <array>

#include "devices/char/char_backend.h"
#include "emu/bus/device.h"
#include "emu/bus/irq_line.h"
#include "emu/bus/port_space.h"
#include "emu/bus/virtual_clock.h"

namespace xm::devices {

class Uart16550 final : public bus::Device, public bus::PortHandler, public CharFrontend {
 public:
  Uart16550(bus::IrqLine& irq, bus::VirtualClock& clock, CharBackend& backend);
  ~Uart16550() override;

  std::string_view name() const override { return "uart16550"; }
  void reset() override;
  void exchange(bus::Archive& archive) override;

  u32 port_read(Port port, unsigned size_bytes) override;
  void port_write(Port port, u32 value, unsigned size_bytes) override;

  std::size_t can_receive() override;
  void receive(std::span<const u8> bytes) override;
  void event(CharEvent event) override;
  void writable() override;

 private:
  static constexpr unsigned kFifoDepth = 16;
  struct Fifo {
    std::array<u8, kFifoDepth> bytes{};
    u8 first = 0;
    u8 count = 0;
    void push(u8 byte) { bytes[(first + count++) % kFifoDepth] = byte; }
    u8 pop();
    void clear() { first = count = 0; }
  };

  u8 read_receive_buffer();
  u8 read_interrupt_identification();
  u8 read_line_status();
  u8 read_modem_status();
  void write_transmit(u8 value);
  void write_fifo_control(u8 value);
  void write_line_control(u8 value);
  void write_modem_control(u8 value);

  bool dlab() const { return line_control_ & 0x80; }
  bool fifo_enabled() const { return fifo_control_ & 0x01; }
  bool loopback() const { return modem_control_ & 0x10; }
  unsigned receive_depth() const { return fifo_enabled() ? kFifoDepth : 1; }
  unsigned receive_trigger() const;
  i64 character_time_ns() const;
  void push_received(u8 byte, u8 status);
  void arm_timeout();
  void flush_transmit();
  void report_line();
  void set_modem_inputs(u8 inputs);
  u8 looped_modem_inputs() const;
  u8 pending_interrupt() const;
  void update_interrupt();

  bus::IrqLine& irq_;
  bus::VirtualClock& clock_;
  CharBackend& backend_;
  bus::Timer timeout_timer_;

  Fifo received_;
  Fifo transmit_;
  u8 interrupt_enable_ = 0;
  u8 fifo_control_ = 0;
  u8 line_control_ = 0;
  u8 modem_control_ = 0;
  u8 line_status_ = 0;  // OE, PE, FE, BI; the other bits follow from the FIFOs
  u8 modem_status_ = 0;
  u8 scratch_ = 0;
  u16 divisor_ = 12;
  bool transmit_empty_pending_ = false;  // THRE interrupt not yet seen
  bool timeout_pending_ = false;         // character time-out
};

}  // namespace xm::devices
