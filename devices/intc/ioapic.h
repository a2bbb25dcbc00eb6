// SPDX-License-Identifier: GPL-2.0-or-later
// I/O APIC with 24 inputs [82093AA], with the EOI register of later chips (version 20h) [ICH9 13.5.1].
// Registers are reached through an index and a data window in the page that the machine maps (MmioHandler).
#pragma once

#include <array>

#include "devices/intc/apic_bus.h"
#include "emu/bus/address_space.h"
#include "emu/bus/device.h"

namespace xm::devices {

class IoApic final : public bus::Device, public bus::MmioHandler, public bus::IrqSink {
 public:
  static constexpr unsigned kInputs = 24;

  IoApic(u8 id, ApicBus& bus) : bus_(bus), power_on_id_(id) {
    bus_.add(*this);
    reset();
  }

  std::string_view name() const override { return "ioapic"; }
  void reset() override;
  void exchange(bus::Archive& archive) override;
  u64 mmio_read(u64 offset, unsigned size_bytes) override;
  void mmio_write(u64 offset, u64 value, unsigned size_bytes) override;
  void set_input(unsigned input, bool level) override;
  // A local APIC finished a level-triggered interrupt.
  void end_of_interrupt(u8 vector);

  // For the monitor.
  u64 redirection(unsigned input) const { return input < kInputs ? redirection_[input] : 0; }
  bool input_level(unsigned input) const { return inputs_ >> input & 1; }

 private:
  u32 read_register() const;
  void write_register(u32 value);
  // Sends the message of an input; marks a level-triggered one as waiting for its end.
  void send(unsigned input);
  // A level-triggered input that is high, open and not in service asks again.
  void service_level(unsigned input);

  ApicBus& bus_;
  const u8 power_on_id_;
  u8 id_ = 0;
  u8 index_ = 0;
  u32 inputs_ = 0;  // present level of the pins
  std::array<u64, kInputs> redirection_{};
};

}  // namespace xm::devices
