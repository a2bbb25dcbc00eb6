// SPDX-License-Identifier: GPL-2.0-or-later
// The PC's interrupt wiring: ISA devices and PCI interrupts share sixteen lines, which reach the 8259 pair and the
// IOAPIC alike (the timer's line comes to IOAPIC pin 2, as the MADT tells).
#pragma once

#include <array>

#include "devices/intc/ioapic.h"
#include "devices/intc/pic8259.h"
#include "emu/bus/irq_line.h"

namespace xm::machine {

class PcInterrupts final {
 public:
  PcInterrupts(devices::PicPair& pic, devices::IoApic& ioapic) : pic_(pic), ioapic_(ioapic) {}

  // Where ISA devices and the south bridge's PIRQ outputs drive the lines; each line is the OR of both.
  bus::IrqSink& isa() { return isa_; }  // inputs from 16 on are the IOAPIC's own pins
  bus::IrqSink& pirq() { return pirq_; }
  u64 count(unsigned irq) const { return counts_[irq & 15]; }  // rising edges, for the monitor

 private:
  struct Side final : public bus::IrqSink {
    explicit Side(PcInterrupts& owner) : interrupts(owner) {}
    void set_input(unsigned input, bool level) override {
      if (input >= 16) return interrupts.ioapic_.set_input(input, level);  // no 8259 has these
      levels = static_cast<u16>((levels & ~(1u << input)) | (unsigned{level} << input));
      interrupts.update(input);
    }
    PcInterrupts& interrupts;
    u16 levels = 0;
  };

  void update(unsigned irq) {
    // Written with masks: g++ 12.2 miscompiles the comparison of two bits that are picked by shifts
    // (docs/decisions.md).
    const u16 mask = static_cast<u16>(1u << irq);
    const u16 wanted = (isa_.levels | pirq_.levels) & mask;
    if ((output_ & mask) == wanted) return;
    output_ ^= mask;
    const bool level = wanted != 0;
    if (level) counts_[irq]++;
    pic_.set_input(irq, level);
    ioapic_.set_input(irq == 0 ? 2 : irq, level);
  }

  devices::PicPair& pic_;
  devices::IoApic& ioapic_;
  Side isa_{*this};
  Side pirq_{*this};
  u16 output_ = 0;
  std::array<u64, 16> counts_{};
};

}  // namespace xm::machine
