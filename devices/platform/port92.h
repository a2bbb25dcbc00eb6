// SPDX-License-Identifier: GPL-2.0-or-later
// PS/2 system control port A (92h, one byte wide): bit 1 A20, bit 0 fast reset on its rising edge [82371AB 7.3.3], and
// the gate that joins it with the 8042's A20 output: the processor sees A20 if either drives it.
#pragma once

#include "emu/bus/device.h"
#include "emu/bus/irq_line.h"
#include "emu/bus/port_space.h"

namespace xm::devices {

class Port92 final : public bus::Device, public bus::PortHandler {
 public:
  Port92(bus::IrqLine& a20, bus::IrqLine& reset_line) : a20_(a20), reset_(reset_line) {}

  std::string_view name() const override { return "port92"; }
  void reset() override {
    value_ = 0;
    a20_.lower();
  }
  void exchange(bus::Archive& archive) override {
    archive.field("value", value_);
    if (archive.loading()) a20_.set(value_ & kA20);
  }

  u32 port_read(Port, unsigned) override { return value_; }
  void port_write(Port, u32 value, unsigned) override {
    const bool reset_now = (value & kReset) && !(value_ & kReset);
    value_ = static_cast<u8>(value & 0xDB);  // bits 2 and 5 are reserved
    a20_.set(value_ & kA20);
    if (reset_now) reset_.pulse();
  }

 private:
  static constexpr u8 kReset = 0x01;
  static constexpr u8 kA20 = 0x02;
  bus::IrqLine& a20_;
  bus::IrqLine& reset_;
  u8 value_ = 0;
};

// Inputs: any number below 8; the output is their OR.
class A20Gate final : public bus::IrqSink {
 public:
  explicit A20Gate(bus::IrqLine& output) : output_(output) {}
  void set_input(unsigned input, bool level) override {
    const auto mask = static_cast<u8>(1u << (input & 7));
    inputs_ = static_cast<u8>(level ? inputs_ | mask : inputs_ & ~mask);
    output_.set(inputs_ != 0);
  }

 private:
  bus::IrqLine& output_;
  u8 inputs_ = 0;
};

}  // namespace xm::devices
