// SPDX-License-Identifier: GPL-2.0-or-later
// Intel 82371SB (PIIX3) function 0, the PCI-to-ISA bridge [290550]: the PIRQ route control registers that steer the
// four PCI interrupt lines to ISA interrupts, and the reset control register at port CF9h. ELCR lives in the 8259 pair.
//
// GAP: ISA timing, MBIRQ and APIC base registers only keep what is written.
#pragma once

#include <functional>

#include "devices/pci/pci_device.h"

namespace xm::devices {

class Piix3Isa final : public PciFunction, public bus::IrqSink, public bus::PortHandler {
 public:
  struct Wires {
    bus::IrqSink& isa_irq;  // inputs 0-15: the ISA interrupt as driven by PIRQs (the board ORs it with ISA devices)
    std::function<void()> reset;  // RCR asks for a system reset
  };

  // Claims port CF9h: construct it after the host bridge, whose claim it shadows. Attach at 01.0.
  Piix3Isa(const PciEnvironment& environment, Wires wires);
  ~Piix3Isa() override;

  void reset() override;
  void exchange(bus::Archive& archive) override;

  // PIRQA-PIRQD, inputs 0-3.
  void set_input(unsigned input, bool level) override;
  u32 port_read(Port port, unsigned size_bytes) override;
  void port_write(Port port, u32 value, unsigned size_bytes) override;

 protected:
  void on_config_written(u8 offset, unsigned size_bytes) override;

 private:
  void update_routes();

  Wires wires_;
  bus::PortSpace::Handle ports_;
  std::array<bool, 4> pirq_{};
  u16 driven_ = 0;  // ISA interrupts held high by PIRQs
  u8 reset_control_ = 0;
};

}  // namespace xm::devices
