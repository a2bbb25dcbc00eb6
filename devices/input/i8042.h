// SPDX-License-Identifier: GPL-2.0-or-later
// 8042 keyboard controller of a PC/AT with the PS/2 auxiliary port [IBM PS/2 Technical Reference, Keyboard and
// Auxiliary Device Controller]. Two ports, one byte wide each: 60h data, 64h command and status, told apart by bit 2.
//
// Wires: IRQ 1 and 12 follow the output buffer; `a20` is output port bit 1 (high after reset, as in every PC whose
// firmware lies below 4 GiB); `reset` is pulsed. Between two bytes of a device lie 500 us, as on a real cable: programs
// that read port 60h twice for one interrupt see the same byte.
#pragma once

#include <array>

#include "devices/input/ps2_device.h"
#include "devices/input/ps2_keyboard.h"
#include "devices/input/ps2_mouse.h"
#include "emu/bus/device.h"
#include "emu/bus/irq_line.h"
#include "emu/bus/port_space.h"
#include "emu/bus/virtual_clock.h"

namespace xm::devices {

class I8042 final : public bus::Device, public bus::PortHandler, public Ps2Host {
 public:
  struct Wires {
    bus::IrqLine& keyboard_irq;
    bus::IrqLine& mouse_irq;
    bus::IrqLine& a20;
    bus::IrqLine& reset;
  };
  I8042(Wires wires, bus::VirtualClock& clock);

  std::string_view name() const override { return "i8042"; }
  void reset() override;
  void exchange(bus::Archive& archive) override;
  u32 port_read(Port port, unsigned size_bytes) override;
  void port_write(Port port, u32 value, unsigned size_bytes) override;

  Ps2Keyboard& keyboard() { return keyboard_; }
  Ps2Mouse& mouse() { return mouse_; }
  void ps2_data_ready() override { fill_output(); }

 private:
  enum class Source : u8 { Controller, Keyboard, Mouse };

  u8 read_data();
  u8 read_status() const;
  void write_command(u8 command);
  void write_data(u8 value);
  // Puts the controller's own answer into the output buffer, before a device's byte.
  void answer(u8 value, Source source = Source::Controller);
  void load_output(u8 value, Source source);
  // Moves the next byte of a device to the output buffer if that is free and the pause is over.
  void fill_output();
  void fetch_keyboard();
  void set_output_port(u8 value);
  u8 output_port() const;
  void update_interrupts();

  const Wires wires_;
  bus::VirtualClock& clock_;
  bus::Timer pause_timer_;
  Ps2Keyboard keyboard_;
  Ps2Mouse mouse_;

  std::array<u8, 32> ram_{};  // byte 0 is the controller command byte
  u8 output_ = 0;             // output buffer
  bool output_full_ = false;
  Source output_source_ = Source::Controller;
  bool displaced_ = false;  // a device's byte that an answer pushed out of the buffer
  u8 displaced_output_ = 0;
  Source displaced_source_ = Source::Controller;
  bool last_write_command_ = false;
  u8 command_waits_ = 0;  // command whose data byte comes next
  bool a20_ = true;
  bool break_prefix_ = false;  // translation saw F0
};

}  // namespace xm::devices
