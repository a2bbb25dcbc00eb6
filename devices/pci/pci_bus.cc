// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/pci/pci_bus.h"

#include "emu/base/bits.h"

namespace xm::devices {

bool PciBus::attach(unsigned device, unsigned function, PciFunction& chip) {
  if (device >= kDevices || function >= kFunctions || functions_[device][function] != nullptr) return false;
  functions_[device][function] = &chip;
  const u8 pin = chip.config8(pci_reg::kInterruptPin);
  if (pin != 0) chip.connect_intx(*this, device * 32 + function * 4 + (pin - 1) % kPirqs);
  if (function != 0 && functions_[device][0] != nullptr) functions_[device][0]->mark_multifunction();
  if (function == 0) {
    for (unsigned f = 1; f < kFunctions; f++) {
      if (functions_[device][f] != nullptr) chip.mark_multifunction();
    }
  }
  return true;
}

void PciBus::detach(PciFunction& chip) {
  for (auto& device : functions_) {
    for (PciFunction*& slot : device) {
      if (slot == &chip) slot = nullptr;
    }
  }
}

unsigned PciBus::first_free_device(unsigned from) const {
  for (unsigned device = from; device < kDevices; device++) {
    bool free = true;
    for (const PciFunction* chip : functions_[device]) free &= chip == nullptr;
    if (free) return device;
  }
  return kDevices;
}

PciFunction* PciBus::function(unsigned device, unsigned function) const {
  return device < kDevices && function < kFunctions ? functions_[device][function] : nullptr;
}

u32 PciBus::config_read(unsigned bus, unsigned device, unsigned fn, u8 offset, unsigned size_bytes) const {
  PciFunction* chip = bus == 0 ? function(device, fn) : nullptr;
  return chip != nullptr ? chip->config_read(offset, size_bytes) : static_cast<u32>(mask_of_bytes(size_bytes));
}

void PciBus::config_write(unsigned bus, unsigned device, unsigned fn, u8 offset, u32 value, unsigned size_bytes) {
  PciFunction* chip = bus == 0 ? function(device, fn) : nullptr;
  if (chip != nullptr) chip->config_write(offset, value, size_bytes);
}

void PciBus::set_input(unsigned input, bool level) {
  const unsigned device = input / 32;
  const unsigned pin = input % 4;
  u32& asserted = asserted_[device % kDevices][input / 4 % kFunctions];
  if (has_bit(asserted, pin) == level) return;
  asserted ^= static_cast<u32>(bit(pin));
  const unsigned pirq = (device + kPirqs - 1 + pin) % kPirqs;
  asserted_count_[pirq] += level ? 1u : ~0u;
  pirq_.set_input(pirq, asserted_count_[pirq] != 0);
}

}  // namespace xm::devices
