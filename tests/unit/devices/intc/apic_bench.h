// SPDX-License-Identifier: GPL-2.0-or-later
// A board of 8259s, an IOAPIC and some local APICs with recording processors, for tests.
#pragma once

#include <memory>
#include <vector>

#include "devices/intc/ioapic.h"
#include "devices/intc/lapic.h"
#include "devices/intc/pic8259.h"

namespace xm::devices {

struct RecordingPins final : bus::CpuPins {
  void set_intr(bool level) override { intr = level; }
  void raise_nmi() override { nmis++; }
  void raise_smi() override { smis++; }
  void raise_init() override { inits++; }
  void raise_sipi(u8 vector) override { sipis.push_back(vector); }
  bool intr = false;
  int nmis = 0;
  int smis = 0;
  int inits = 0;
  std::vector<u8> sipis;
};

// A time-stamp counter at 2 GHz.
struct TwoGigahertz final : TscView {
  Nanos time_of_tsc(u64 tsc) const override { return Nanos{static_cast<i64>(tsc / 2)}; }
};

struct ApicBench {
  explicit ApicBench(unsigned processors) {
    policy.set_minimum_spacing_ns(0);
    pics.reset();
    for (unsigned i = 0; i < processors; i++) {
      pins.push_back(std::make_unique<RecordingPins>());
      apics.push_back(std::make_unique<LocalApic>(LocalApic::Config{.id = i, .boot_processor = i == 0}, bus, *pins[i],
                                                  clock, policy, tsc));
      write(i, lapic::kSpuriousVector, 0x1FF);
    }
  }
  void write(unsigned cpu, u32 reg, u32 value) { apics[cpu]->mmio_write(reg, value, 4); }
  u32 read(unsigned cpu, u32 reg) { return static_cast<u32>(apics[cpu]->mmio_read(reg, 4)); }
  void command(unsigned cpu, u32 low, u8 destination = 0) {
    write(cpu, lapic::kCommandHigh, u32{destination} << 24);
    write(cpu, lapic::kCommandLow, low);
  }
  void enable_x2(unsigned cpu) { apics[cpu]->set_apic_base(apics[cpu]->apic_base() | lapic::kBaseX2); }
  void redirect(unsigned pin, u64 entry) {
    for (unsigned half = 0; half < 2; half++) {
      ioapic.mmio_write(0x00, 0x11 + 2 * pin - half, 4);
      ioapic.mmio_write(0x10, half == 0 ? entry >> 32 : entry & 0xFFFF'FFFF, 4);
    }
  }
  u32 redirection_low(unsigned pin) {
    ioapic.mmio_write(0x00, 0x10 + 2 * pin, 4);
    return static_cast<u32>(ioapic.mmio_read(0x10, 4));
  }
  void advance(i64 ns) {
    source.advance(ns);
    clock.run_due();
  }

  bus::ManualClock source;
  bus::VirtualClock clock{source};
  TickPolicy policy;
  TwoGigahertz tsc;
  bus::IrqLine intr;
  PicPair pics{intr};
  ApicBus bus{&pics};
  IoApic ioapic{0, bus};
  std::vector<std::unique_ptr<RecordingPins>> pins;
  std::vector<std::unique_ptr<LocalApic>> apics;
};

}  // namespace xm::devices
