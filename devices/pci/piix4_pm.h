// SPDX-License-Identifier: GPL-2.0-or-later
// Intel 82371AB (PIIX4) function 3, power management [290562]: configuration registers that place the ACPI register
// block (PMBASE) and the SMBus host controller in I/O space. The registers themselves are devices/acpi's.
//
// GAP: the SMBus host has no slaves: every transaction ends with a device error, as on an empty bus.
#pragma once

#include "devices/pci/pci_device.h"

namespace xm::devices {

class Piix4Pm final : public PciFunction {
 public:
  static constexpr unsigned kPmBlockSize = 64;

  // pm: the ACPI register block; it is called with port numbers relative to PMBASE (0-63), up to 4 bytes wide.
  // Attach at 01.3.
  Piix4Pm(const PciEnvironment& environment, bus::PortHandler& pm);
  ~Piix4Pm() override;

  void reset() override;
  void exchange(bus::Archive& archive) override;

 protected:
  void on_config_written(u8 offset, unsigned size_bytes) override;

 private:
  // Claims a window of ports and passes accesses on with relative port numbers.
  struct Window final : public bus::PortHandler {
    u32 port_read(Port port, unsigned size_bytes) override;
    void port_write(Port port, u32 value, unsigned size_bytes) override;
    bus::PortHandler* target = nullptr;
    u16 base = 0;
    bus::PortSpace::Handle handle = 0;
  };
  struct SmBus final : public bus::PortHandler {
    u32 port_read(Port port, unsigned size_bytes) override;
    void port_write(Port port, u32 value, unsigned size_bytes) override;
    std::array<u8, 16> registers{};
  };
  void place(Window& window, unsigned count, u16 base, bool enabled, const char* label);
  void update_windows();

  Window pm_window_;
  Window smbus_window_;
  SmBus smbus_;
};

}  // namespace xm::devices
