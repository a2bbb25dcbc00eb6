// SPDX-License-Identifier: GPL-2.0-or-later
// The PCI function of the std VGA (1234:1111) [QEMU docs/specs/standard-vga]: BAR 0 is the display memory, BAR 2 a page
// of registers: 000h EDID, 400h VGA ports 3C0h-3DFh, 500h the display interface's registers as 16-bit words, 600h size
// and byte order (little-endian only).
#pragma once

#include "devices/pci/pci_device.h"
#include "devices/video/edid.h"
#include "devices/video/vga.h"

namespace xm::devices {

class VgaPci final : public PciFunction {
 public:
  // `vga` and the `memory` it draws from outlive the function. The EDID prefers width x height.
  VgaPci(const PciEnvironment& environment, Vga& vga, bus::RamBlock& memory, u32 preferred_width = 1280,
         u32 preferred_height = 800);

 protected:
  u64 bar_read(unsigned bar, u64 offset, unsigned size_bytes) override;
  void bar_write(unsigned bar, u64 offset, u64 value, unsigned size_bytes) override;

 private:
  u8 read_byte(u64 offset);
  Vga& vga_;
  const std::array<u8, 128> edid_;
};

}  // namespace xm::devices
