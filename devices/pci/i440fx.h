// SPDX-License-Identifier: GPL-2.0-or-later
// Intel 82441FX host bridge [290549]: configuration mechanism 1 at ports CF8h/CFCh, the programmable attribute map
// (PAM) that sends reads and writes of C0000h-FFFFFh to RAM or to ROM, and the SMRAM control register.
//
// GAP: no AGP, no DRAM timing; DRAM row boundary registers keep what is written. Memory sizes come by fw_cfg and CMOS.
#pragma once

#include "devices/pci/pci_bus.h"
#include "devices/pci/pci_device.h"

namespace xm::devices {

// The board's side of the memory controller: who answers the legacy regions.
class MemoryController {
 public:
  // Segment `first`..`first + size_bytes`: reads (writes) go to RAM if the flag is set, to the ROM or bus otherwise.
  virtual void set_pam(GuestPhys first, u64 size_bytes, bool reads_ram, bool writes_ram) = 0;
  // SMRAM at A0000h: enabled for SMM, and `open` to everyone.
  virtual void set_smram(bool enabled, bool open) = 0;

 protected:
  ~MemoryController() = default;
};

class I440fx final : public PciFunction, public bus::PortHandler {
 public:
  // Claims ports CF8h-CFFh. Attach it to `pci` at 00.0.
  I440fx(const PciEnvironment& environment, PciBus& pci, MemoryController& memory_controller);
  ~I440fx() override;

  void reset() override;
  void exchange(bus::Archive& archive) override;
  void config_write(u8 offset, u32 value, unsigned size_bytes) override;

  u32 port_read(Port port, unsigned size_bytes) override;
  void port_write(Port port, u32 value, unsigned size_bytes) override;

 private:
  void apply_pam();
  void apply_smram();

  PciBus& pci_;
  MemoryController& memory_controller_;
  bus::PortSpace::Handle ports_;
  u32 config_address_ = 0;
};

}  // namespace xm::devices
