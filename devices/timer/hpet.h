// SPDX-License-Identifier: GPL-2.0-or-later
// High Precision Event Timer [HPET 1.0a]: a 64-bit counter at 100 MHz and three comparators, in a page of registers
// (MmioHandler; the machine maps 1 KiB, accesses of four or eight bytes).
//
// Wires: with legacy replacement timers 0 and 1 drive `legacy_timer` (IRQ 0) and `legacy_rtc` (IRQ 8), and
// on_legacy(true) tells the board to cut off PIT and RTC; otherwise a timer drives the I/O APIC input that the guest
// chose, of those in kRoutes. Periodic timers follow the lost-tick policy of docs/time.md.
// Not modelled: FSB (MSI) delivery, which is announced as absent.
#pragma once

#include <array>
#include <functional>
#include <memory>

#include "devices/timer/tick_policy.h"
#include "emu/bus/address_space.h"
#include "emu/bus/device.h"
#include "emu/bus/irq_line.h"
#include "emu/bus/virtual_clock.h"

namespace xm::devices {

class Hpet final : public bus::Device, public bus::MmioHandler {
 public:
  static constexpr u64 kMmioBytes = 0x400;
  static constexpr u32 kRoutes = 0x00FF'0104;  // I/O APIC inputs 2, 8, 16-23
  // Event timer block ID for the ACPI HPET table.
  static constexpr u32 kBlockId = 0x8086'A201;

  struct Wires {
    bus::IrqLine& legacy_timer;
    bus::IrqLine& legacy_rtc;
    bus::IrqSink& ioapic;
    std::function<void(bool enabled)> on_legacy;
  };
  Hpet(Wires wires, bus::VirtualClock& clock, const TickPolicy& policy);

  std::string_view name() const override { return "hpet"; }
  void reset() override;
  void exchange(bus::Archive& archive) override;
  u64 mmio_read(u64 offset, unsigned size_bytes) override;
  void mmio_write(u64 offset, u64 value, unsigned size_bytes) override;

 private:
  static constexpr unsigned kTimers = 3;
  struct Comparator {
    u64 config = 0;
    u64 value = 0;  // comparator; of a periodic timer the next match
    u64 period = 0;
  };

  u64 read_register(u64 offset) const;
  void write_register(u64 offset, u64 value, u64 written_mask);
  void write_general_config(u64 value);
  void write_timer_config(unsigned index, u64 value);
  void write_comparator(unsigned index, u64 value, u64 written_mask);
  void write_status(u64 value);
  bool enabled() const;
  u64 counter() const;
  u64 width_mask(unsigned index) const;
  bool periodic(unsigned index) const;
  void arm(unsigned index);
  void match(unsigned index);
  // Next match of a periodic timer after one delivered now.
  void advance(unsigned index);
  void deliver(unsigned index);
  void set_line(unsigned index, bool level);

  Wires wires_;
  bus::VirtualClock& clock_;
  const TickPolicy& policy_;
  std::array<std::unique_ptr<bus::Timer>, kTimers> alarms_;
  std::array<Comparator, kTimers> timers_;
  u64 config_ = 0;
  u64 status_ = 0;
  u64 counter_offset_ = 0;  // counter minus ticks of guest time while running; the counter itself while halted
};

}  // namespace xm::devices
