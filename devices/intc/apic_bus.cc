// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/intc/apic_bus.h"

#include "devices/intc/ioapic.h"
#include "devices/intc/lapic.h"
#include "devices/intc/pic8259.h"
#include "emu/base/bits.h"

namespace xm::devices {

LocalApic* ApicBus::lowest_priority_target(const ApicMessage& message) {
  LocalApic* best = nullptr;
  std::size_t best_index = 0;
  for (std::size_t i = 1; i <= apics_.size(); i++) {
    const std::size_t index = (last_arbitration_ + i) % apics_.size();
    LocalApic* apic = apics_[index];
    if (!apic->software_enabled() || !apic->matches(message)) continue;
    if (best == nullptr || apic->processor_priority() < best->processor_priority()) {
      best = apic;
      best_index = index;
    }
  }
  if (best != nullptr) last_arbitration_ = best_index;
  return best;
}

bool ApicBus::send(const ApicMessage& message) {
  if (message.mode == DeliveryMode::LowestPriority ||
      (message.lowest_priority_hint && message.mode == DeliveryMode::Fixed)) {
    LocalApic* target = lowest_priority_target(message);
    if (target != nullptr) target->accept(message);
    return target != nullptr;
  }
  bool taken = false;
  for (LocalApic* apic : apics_) {
    if (!apic->matches(message)) continue;
    apic->accept(message);
    taken = true;
  }
  return taken;
}

void ApicBus::send_to_all(const ApicMessage& message, const LocalApic* except) {
  for (LocalApic* apic : apics_) {
    if (apic != except && apic->globally_enabled()) apic->accept(message);
  }
}

void ApicBus::send_msi(u64 address, u32 data) {
  if (bits(address, 63, 20) != 0xFEE) return;
  ApicMessage message;
  message.destination = static_cast<u32>(bits(address, 19, 12));
  message.lowest_priority_hint = has_bit(address, 3);
  message.logical = has_bit(address, 2);
  message.vector = static_cast<u8>(data);
  message.mode = static_cast<DeliveryMode>(bits(data, 10, 8));
  message.level_triggered = has_bit(data, 15);
  if (message.level_triggered && !has_bit(data, 14)) return;  // deassert
  send(message);
}

void ApicBus::end_of_interrupt(u8 vector) {
  for (IoApic* ioapic : ioapics_) ioapic->end_of_interrupt(vector);
}

int ApicBus::acknowledge_ext_int() { return pic_ != nullptr && pic_->has_interrupt() ? pic_->acknowledge() : -1; }

void ApicBus::set_input(unsigned input, bool level) {
  for (LocalApic* apic : apics_) apic->set_input(input, level);
}

}  // namespace xm::devices
