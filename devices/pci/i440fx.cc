// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/pci/i440fx.h"

#include "emu/base/bits.h"

namespace xm::devices {

namespace {

constexpr u8 kPam0 = 0x59;
constexpr u8 kSmram = 0x72;
constexpr u8 kSmramOpen = 0x40, kSmramClosed = 0x20, kSmramLock = 0x10, kSmramEnable = 0x08;
constexpr u16 kConfigAddress = 0xCF8, kConfigData = 0xCFC;

}  // namespace

I440fx::I440fx(const PciEnvironment& environment, PciBus& pci, MemoryController& memory_controller)
    : PciFunction(environment, "i440fx",
                  {.vendor_id = 0x8086, .device_id = 0x1237, .revision = 2, .class_code = 0x060000}),
      pci_(pci),
      memory_controller_(memory_controller),
      ports_(environment.ports.add(Port{kConfigAddress}, 8, *this, 4, "pci-conf")) {
  // Memory access and bus mastering are hard-wired on [290549 3.2.3].
  define16(pci_reg::kCommand, 0x0006, 0x0100);
  define16(pci_reg::kStatus, 0x0280);
  for (u8 i = 0x50; i < 0x59; i++) define8(i, 0, 0xFF);
  for (u8 i = 0; i < 7; i++) define8(static_cast<u8>(kPam0 + i), 0, 0x33);
  for (u8 i = 0x60; i < 0x68; i++) define8(i, 0, 0xFF);
  define8(kSmram, 0x02, 0x78);
}

I440fx::~I440fx() { environment().ports.remove(ports_); }

void I440fx::reset() {
  PciFunction::reset();
  config_address_ = 0;
  apply_pam();
  apply_smram();
}

void I440fx::exchange(bus::Archive& archive) {
  archive.begin(name());
  PciFunction::exchange(archive);
  archive.field("config_address", config_address_);
  archive.end();
  if (archive.loading()) {
    apply_pam();
    apply_smram();
  }
}

void I440fx::config_write(u8 offset, u32 value, unsigned size_bytes) {
  const u8 smram = config8(kSmram);
  PciFunction::config_write(offset, value, size_bytes);
  // Once locked, SMRAM can neither be opened nor unlocked before a reset [290549 3.2.17].
  if ((smram & kSmramLock) != 0) set_config8(kSmram, smram);
  if ((config8(kSmram) & kSmramLock) != 0) set_config8(kSmram, static_cast<u8>(config8(kSmram) & ~kSmramOpen));
  if (offset <= kPam0 + 6 && offset + size_bytes > kPam0) apply_pam();
  if (offset <= kSmram && offset + size_bytes > kSmram) apply_smram();
}

// PAM0's high nibble is the BIOS area F0000h-FFFFFh; each nibble after it covers 16 KiB from C0000h [290549 3.2.12].
void I440fx::apply_pam() {
  const bus::AddressSpace::Transaction batch(environment().memory);
  const u8 bios = config8(kPam0) >> 4;
  memory_controller_.set_pam(GuestPhys{0xF0000}, 0x10000, has_bit(bios, 0), has_bit(bios, 1));
  for (unsigned i = 0; i < 12; i++) {
    const u8 pair = config8(static_cast<u8>(kPam0 + 1 + i / 2));
    const unsigned nibble = i % 2 == 0 ? pair & 0xF : pair >> 4;
    memory_controller_.set_pam(GuestPhys{0xC0000 + u64{i} * 0x4000}, 0x4000, has_bit(nibble, 0), has_bit(nibble, 1));
  }
}

void I440fx::apply_smram() {
  const u8 smram = config8(kSmram);
  const bool enabled = (smram & kSmramEnable) != 0;
  const bool open = (smram & kSmramOpen) != 0 && (smram & kSmramClosed) == 0;
  memory_controller_.set_smram(enabled, enabled && open);
}

// Only dword accesses reach the address register; smaller ones are ordinary I/O cycles [PCI 3.2.2.3.2].
u32 I440fx::port_read(Port port, unsigned size_bytes) {
  if (port.value < kConfigData) {
    return port.value == kConfigAddress && size_bytes == 4 ? config_address_
                                                           : static_cast<u32>(mask_of_bytes(size_bytes));
  }
  if (!has_bit(config_address_, 31)) return static_cast<u32>(mask_of_bytes(size_bytes));
  const u32 a = config_address_;
  return pci_.config_read(static_cast<unsigned>(bits(a, 23, 16)), static_cast<unsigned>(bits(a, 15, 11)),
                          static_cast<unsigned>(bits(a, 10, 8)), static_cast<u8>((a & 0xFC) | (port.value & 3)),
                          size_bytes);
}

void I440fx::port_write(Port port, u32 value, unsigned size_bytes) {
  if (port.value < kConfigData) {
    if (port.value == kConfigAddress && size_bytes == 4) config_address_ = value;
    return;
  }
  if (!has_bit(config_address_, 31)) return;
  const u32 a = config_address_;
  pci_.config_write(static_cast<unsigned>(bits(a, 23, 16)), static_cast<unsigned>(bits(a, 15, 11)),
                    static_cast<unsigned>(bits(a, 10, 8)), static_cast<u8>((a & 0xFC) | (port.value & 3)), value,
                    size_bytes);
}

}  // namespace xm::devices
