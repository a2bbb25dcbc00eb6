// SPDX-License-Identifier: GPL-2.0-or-later
// What the local APICs, the IOAPIC and MSI-capable devices are connected to: takes interrupt messages, finds the local
// APICs they are meant for [SDM3 11.6.2] and carries end-of-interrupt messages back to the IOAPICs. Also fans out the
// two local interrupt wires of a board: LINT0 (the 8259's INTR) and LINT1 (NMI).
#pragma once

#include <vector>

#include "emu/bus/irq_line.h"

namespace xm::devices {

class IoApic;
class LocalApic;
class PicPair;

enum class DeliveryMode : u8 { Fixed = 0, LowestPriority = 1, Smi = 2, Nmi = 4, Init = 5, StartUp = 6, ExtInt = 7 };

struct ApicMessage {
  u32 destination = 0;
  u8 vector = 0;
  DeliveryMode mode = DeliveryMode::Fixed;
  bool logical = false;  // destination mode
  bool level_triggered = false;
  bool lowest_priority_hint = false;  // MSI redirection hint
  bool wide = false;                  // a 32-bit x2APIC destination; else 8 bits, FFh is everybody
};

class ApicBus final : public bus::MsiSink, public bus::IrqSink {
 public:
  static constexpr unsigned kLint0 = 0;
  static constexpr unsigned kLint1 = 1;

  // `pic` answers ExtINT acknowledge cycles; null on a board without 8259s.
  explicit ApicBus(PicPair* pic) : pic_(pic) {}

  void add(LocalApic& apic) { apics_.push_back(&apic); }
  void add(IoApic& ioapic) { ioapics_.push_back(&ioapic); }
  const std::vector<LocalApic*>& local_apics() const { return apics_; }

  // Returns whether any local APIC took it.
  bool send(const ApicMessage& message);
  void send_to_all(const ApicMessage& message, const LocalApic* except);
  // A write to FEExxxxxh [SDM3 11.11].
  void send_msi(u64 address, u32 data) override;
  void end_of_interrupt(u8 vector);
  // INTA cycle on the 8259s: the vector, or -1 if they do not ask.
  int acknowledge_ext_int();
  void set_input(unsigned input, bool level) override;

 private:
  LocalApic* lowest_priority_target(const ApicMessage& message);

  PicPair* pic_;
  std::vector<LocalApic*> apics_;
  std::vector<IoApic*> ioapics_;
  std::size_t last_arbitration_ = 0;  // breaks ties of lowest-priority delivery in turn
};

}  // namespace xm::devices
