// SPDX-License-Identifier: GPL-2.0-or-later
// PciBus: bus 0 of the machine: 32 devices of 8 functions, configuration accesses to them and the wiring of their
// INTx pins to the four PIRQ lines of the south bridge.
//
// Slots are those of QEMU's `pc` machine, so that guests configured for it find everything where they know it:
//   00.0 i440FX host bridge   01.0 PIIX3 ISA bridge   01.1 PIIX3 IDE   01.3 PIIX4 power management
//   02.0 VGA                  03.0 first NIC          04.0 and up: further devices in command-line order
// INTA# of device d goes to PIRQ (d - 1) mod 4, the pins rotate from there.
#pragma once

#include <array>

#include "devices/pci/pci_device.h"

namespace xm::devices {

class PciBus final : public bus::IrqSink {
 public:
  static constexpr unsigned kDevices = 32;
  static constexpr unsigned kFunctions = 8;
  static constexpr unsigned kPirqs = 4;

  // pirq: the south bridge's inputs 0 (PIRQA) to 3 (PIRQD).
  explicit PciBus(bus::IrqSink& pirq) : pirq_(pirq) {}

  // False if the place is taken or does not exist. The function must outlive the bus or be detached.
  bool attach(unsigned device, unsigned function, PciFunction& chip);
  void detach(PciFunction& chip);
  // The lowest device number from `from` on that has no functions, or kDevices.
  unsigned first_free_device(unsigned from = 4) const;
  PciFunction* function(unsigned device, unsigned function) const;

  // A configuration cycle; absent functions answer with all ones. Accesses that cross a dword do not occur.
  u32 config_read(unsigned bus, unsigned device, unsigned function, u8 offset, unsigned size_bytes) const;
  void config_write(unsigned bus, unsigned device, unsigned function, u8 offset, u32 value, unsigned size_bytes);

  // INTx wires of the functions: input = device * 32 + function * 4 + pin.
  void set_input(unsigned input, bool level) override;

 private:
  bus::IrqSink& pirq_;
  std::array<std::array<PciFunction*, kFunctions>, kDevices> functions_{};
  std::array<std::array<u32, kFunctions>, kDevices> asserted_{};  // bit per pin
  std::array<unsigned, kPirqs> asserted_count_{};
};

}  // namespace xm::devices
