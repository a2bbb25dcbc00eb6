// SPDX-License-Identifier: GPL-2.0-or-later
// Walks the capability list of a PCI function [PCI 6.7].
#include "lib/io.h"

namespace xm::fw {

u32 pci_find_capability(PciAddress address, u8 id, u32 after) {
  constexpr u32 kCapabilitiesBit = 1u << 4;
  if (!(pci_read16(address, 0x06) & kCapabilitiesBit)) return 0;
  u32 at = pci_read8(address, after ? after + 1 : 0x34) & 0xFC;
  // A list can hold at most 48 entries; a device that links it into a ring must not hang the boot.
  for (int left = 48; at >= 0x40 && left > 0; left--) {
    if (pci_read8(address, at) == id) return at;
    at = pci_read8(address, at + 1) & 0xFC;
  }
  return 0;
}

}  // namespace xm::fw
