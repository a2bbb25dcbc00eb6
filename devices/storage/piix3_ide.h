// SPDX-License-Identifier: GPL-2.0-or-later
// Intel 82371SB (PIIX3) function 1, IDE [290550]: two channels at the legacy ports 1F0h/3F6h and 170h/376h with ISA
// interrupts 14 and 15, bus master registers in I/O region 4.
//
// DEVIATION: the channels' decode-enable bits (IDETIM bit 15) come up set, so that drivers that trust the firmware to
// have enabled the ports find the disks whatever boots; clearing them does not close the ports.
#pragma once

#include "devices/pci/pci_device.h"
#include "devices/storage/ide_channel.h"

namespace xm::devices {

class Piix3Ide final : public PciFunction, private IdeChannel::Host {
 public:
  struct Wires {
    bus::IrqLine primary;    // ISA IRQ 14
    bus::IrqLine secondary;  // ISA IRQ 15
  };

  // Attach at 01.1.
  Piix3Ide(const PciEnvironment& environment, Wires wires);
  ~Piix3Ide() override;

  // channel 0-1, unit 0 (master) or 1 (slave); before the first reset.
  void attach_disk(unsigned channel, unsigned unit, Drive& drive);
  void attach_cd(unsigned channel, unsigned unit, Drive& drive);
  IdeChannel& channel(unsigned index) { return index == 0 ? primary_ : secondary_; }

  void reset() override;
  void exchange(bus::Archive& archive) override;

 protected:
  u64 bar_read(unsigned bar, u64 offset, unsigned size_bytes) override;
  void bar_write(unsigned bar, u64 offset, u64 value, unsigned size_bytes) override;

 private:
  // The legacy ports of a channel: 8 of the task file and the control register.
  struct Ports final : public bus::PortHandler {
    u32 port_read(Port port, unsigned size_bytes) override;
    void port_write(Port port, u32 value, unsigned size_bytes) override;
    IdeChannel* channel = nullptr;
    bus::PortSpace::Handle registers = 0, control = 0;
  };
  bool may_master() const override { return bus_master(); }
  bus::GuestMemory& ide_memory() override { return memory(); }
  void claim(Ports& ports, IdeChannel& channel, u16 base, u16 control);

  IdeChannel primary_;
  IdeChannel secondary_;
  std::array<Ports, 2> ports_;
};

}  // namespace xm::devices
