// SPDX-License-Identifier: GPL-2.0-or-later
// Port access, CMOS bytes and PCI configuration space by mechanism 1 [PCI 3.2.2.3.2].
#pragma once

#include "lib/types.h"

namespace xm::fw {

inline void out8(u16 port, u8 value) { asm volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory"); }
inline void out16(u16 port, u16 value) { asm volatile("outw %0, %1" : : "a"(value), "Nd"(port) : "memory"); }
inline void out32(u16 port, u32 value) { asm volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory"); }
inline u8 in8(u16 port) {
  u8 value;
  asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
  return value;
}
inline u16 in16(u16 port) {
  u16 value;
  asm volatile("inw %1, %0" : "=a"(value) : "Nd"(port) : "memory");
  return value;
}
inline u32 in32(u16 port) {
  u32 value;
  asm volatile("inl %1, %0" : "=a"(value) : "Nd"(port) : "memory");
  return value;
}

// CMOS [MC146818 memory map, IBM AT]. Bit 7 of the index port masks NMI; the firmware leaves NMI unmasked.
inline u8 cmos_read(u8 index) {
  out8(0x70, index);
  return in8(0x71);
}
inline void cmos_write(u8 index, u8 value) {
  out8(0x70, index);
  out8(0x71, value);
}

// Bus, device and function packed as [PCI 3.2.2.3.2] does in bits 8-23 of CONFIG_ADDRESS.
using PciAddress = u16;
constexpr PciAddress pci_address(u32 bus, u32 device, u32 function) {
  return static_cast<PciAddress>((bus << 8) | (device << 3) | function);
}
constexpr u32 pci_bus(PciAddress a) { return a >> 8; }
constexpr u32 pci_device(PciAddress a) { return (a >> 3) & 31; }
constexpr u32 pci_function(PciAddress a) { return a & 7; }

inline void pci_select(PciAddress address, u32 offset) {
  out32(0xCF8, 0x80000000u | (u32{address} << 8) | (offset & 0xFC));
}
inline u8 pci_read8(PciAddress a, u32 offset) {
  pci_select(a, offset);
  return in8(static_cast<u16>(0xCFC + (offset & 3)));
}
inline u16 pci_read16(PciAddress a, u32 offset) {
  pci_select(a, offset);
  return in16(static_cast<u16>(0xCFC + (offset & 2)));
}
inline u32 pci_read32(PciAddress a, u32 offset) {
  pci_select(a, offset);
  return in32(0xCFC);
}
inline void pci_write8(PciAddress a, u32 offset, u8 value) {
  pci_select(a, offset);
  out8(static_cast<u16>(0xCFC + (offset & 3)), value);
}
inline void pci_write16(PciAddress a, u32 offset, u16 value) {
  pci_select(a, offset);
  out16(static_cast<u16>(0xCFC + (offset & 2)), value);
}
inline void pci_write32(PciAddress a, u32 offset, u32 value) {
  pci_select(a, offset);
  out32(0xCFC, value);
}

// Offset of a capability in configuration space, or 0 [PCI 6.7].
u32 pci_find_capability(PciAddress address, u8 id, u32 after = 0);

}  // namespace xm::fw
