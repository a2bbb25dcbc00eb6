// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/video/vga_pci.h"

#include "emu/base/bits.h"

namespace xm::devices {
namespace {

constexpr unsigned kRegisterBar = 2;
constexpr u64 kRegisterBytes = 0x1000;
constexpr u64 kVgaPorts = 0x400;
constexpr u64 kVgaPortsEnd = 0x420;
constexpr u64 kDispi = 0x500;
constexpr u64 kDispiEnd = 0x516;
constexpr u64 kExtended = 0x600;
constexpr u32 kExtendedBytes = 8;
constexpr u32 kLittleEndian = 0x1E1E1E1E;

}  // namespace

VgaPci::VgaPci(const PciEnvironment& environment, Vga& vga, bus::RamBlock& memory, u32 preferred_width,
               u32 preferred_height)
    : PciFunction(environment, "vga-pci",
                  {.vendor_id = 0x1234, .device_id = 0x1111, .revision = 2, .class_code = 0x030000}),
      vga_(vga),
      edid_(make_edid(preferred_width, preferred_height)) {
  define16(pci_reg::kCommand, 0, pci_reg::kCommandIo | pci_reg::kCommandMemory);
  add_memory_bar(0, memory.size_bytes(), Width::Bits32, true, &memory);
  add_memory_bar(kRegisterBar, kRegisterBytes);
}

u8 VgaPci::read_byte(u64 offset) {
  if (offset < edid_.size()) return edid_[offset];
  if (offset >= kVgaPorts && offset < kVgaPortsEnd) return vga_.read_port(static_cast<u16>(0x3C0 + offset - kVgaPorts));
  if (offset >= kDispi && offset < kDispiEnd) {
    return static_cast<u8>(vga_.read_dispi(static_cast<u16>((offset - kDispi) / 2)) >> (8 * (offset & 1)));
  }
  if (offset >= kExtended && offset < kExtended + kExtendedBytes) {
    const u32 word = offset < kExtended + 4 ? kExtendedBytes : kLittleEndian;
    return static_cast<u8>(word >> (8 * (offset & 3)));
  }
  return 0;
}

u64 VgaPci::bar_read(unsigned bar, u64 offset, unsigned size_bytes) {
  if (bar != kRegisterBar) return mask_of_bytes(size_bytes);
  u64 value = 0;
  for (unsigned i = 0; i < size_bytes; i++) value |= u64{read_byte(offset + i)} << (8 * i);
  return value;
}

void VgaPci::bar_write(unsigned bar, u64 offset, u64 value, unsigned size_bytes) {
  if (bar != kRegisterBar) return;
  if (offset >= kVgaPorts && offset + size_bytes <= kVgaPortsEnd) {
    for (unsigned i = 0; i < size_bytes; i++) {
      vga_.write_port(static_cast<u16>(0x3C0 + offset - kVgaPorts + i), static_cast<u8>(value >> (8 * i)));
    }
  } else if (offset >= kDispi && offset + size_bytes <= kDispiEnd && size_bytes >= 2) {
    for (unsigned i = 0; i < size_bytes; i += 2) {
      vga_.write_dispi(static_cast<u16>((offset - kDispi + i) / 2), static_cast<u16>(value >> (8 * i)));
    }
  }
}

}  // namespace xm::devices
