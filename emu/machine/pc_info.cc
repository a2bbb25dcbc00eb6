// SPDX-License-Identifier: GPL-2.0-or-later
// The board's part of the monitor's `info`.
#include <cstdarg>
#include <cstdio>

#include "emu/machine/pc_parts.h"
#include "emu/machine/pc_platform.h"

namespace xm::machine {

namespace {

std::string format(const char* text, ...) __attribute__((format(printf, 1, 2)));
std::string format(const char* text, ...) {
  char buffer[256];
  va_list args;
  va_start(args, text);
  std::vsnprintf(buffer, sizeof buffer, text, args);
  va_end(args);
  return buffer;
}

}  // namespace

std::string Pc::info(const std::string& topic) {
  if (topic == "pci") return info_pci();
  if (topic == "irq") return info_irq();
  if (topic == "pic") return info_pic();
  if (topic == "block") return info_block();
  if (topic == "network") return info_network();
  return "";
}

std::string Pc::info_pci() const {
  std::string text;
  for (unsigned device = 0; device < devices::PciBus::kDevices; device++) {
    for (unsigned number = 0; number < devices::PciBus::kFunctions; number++) {
      const devices::PciFunction* function = pci_->function(device, number);
      if (function == nullptr) continue;
      text += format("  Bus  0, device %3u, function %u: %s, PCI device %04x:%04x\n", device, number,
                     std::string(function->name()).c_str(), function->config16(devices::pci_reg::kVendorId),
                     function->config16(devices::pci_reg::kDeviceId));
      for (unsigned bar = 0; bar < devices::PciFunction::kBarCount; bar++) {
        if (!function->bar_mapped(bar)) continue;
        text += format("      BAR%u: at 0x%llx [%llu bytes]\n", bar,
                       static_cast<unsigned long long>(function->bar_address(bar)),
                       static_cast<unsigned long long>(function->bar_size(bar)));
      }
    }
  }
  return text;
}

std::string Pc::info_irq() const {
  std::string text;
  for (unsigned irq = 0; irq < 16; irq++) {
    if (interrupts_.count(irq) > 0) {
      text += format("%2u: %llu\n", irq, static_cast<unsigned long long>(interrupts_.count(irq)));
    }
  }
  return text;
}

std::string Pc::info_pic() const {
  std::string text;
  const devices::Pic8259* chips[] = {&pic_.master(), &pic_.slave()};
  for (unsigned i = 0; i < 2; i++) {
    text += format("pic%u: irr=%02x imr=%02x isr=%02x elcr=%02x\n", i, chips[i]->request_register(),
                   chips[i]->mask_register(), chips[i]->service_register(), chips[i]->level_triggered());
  }
  for (unsigned pin = 0; pin < devices::IoApic::kInputs; pin++) {
    text += format("ioapic pin %2u: %016llx %s\n", pin, static_cast<unsigned long long>(ioapic_.redirection(pin)),
                   ioapic_.input_level(pin) ? "high" : "low");
  }
  for (std::size_t cpu = 0; cpu < sockets_.size(); cpu++) {
    devices::LocalApic& apic = sockets_[cpu]->apic();
    text += format("lapic %zu: id=%u base=%llx tpr=%02x irr=", cpu, apic.id(),
                   static_cast<unsigned long long>(apic.apic_base()), apic.cr8() << 4);
    for (unsigned word = 8; word-- > 0;) text += format("%08x", apic.request_bits(word));
    text += " isr=";
    for (unsigned word = 8; word-- > 0;) text += format("%08x", apic.service_bits(word));
    text += "\n";
  }
  return text;
}

}  // namespace xm::machine
