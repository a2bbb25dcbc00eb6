// SPDX-License-Identifier: GPL-2.0-or-later
// The host bridge's memory attribute registers and the chips every AT has: A20 gate, 8259A pair, 8254, 8237A pair,
// MC146818. Documents: [440FX 3.2.17 PAM], [ICH9], [8259A], [82C54], [8237A], [PIIX4 7.2].
#include "post/post.h"

namespace xm::fw {
namespace {

constexpr PciAddress kHostBridge = 0;
constexpr u32 kRomBase = 0xFFFE0000;
constexpr u16 kPowerManagementBase = 0x600;
constexpr u16 kSmbusBase = 0x700;

u32 pam0_register() { return boot_info().is_q35 ? 0x90 : 0x59; }

void initialise_pic() {
  out8(0x20, 0x11);  // ICW1: edge, cascade, ICW4 follows
  out8(0x21, 0x08);  // ICW2: IRQ 0-7 at vector 08
  out8(0x21, 0x04);  // ICW3: slave on IRQ 2
  out8(0x21, 0x01);  // ICW4: 8086 mode
  out8(0xA0, 0x11);
  out8(0xA1, 0x70);  // IRQ 8-15 at vector 70
  out8(0xA1, 0x02);
  out8(0xA1, 0x01);
  out8(0x21, 0xFB);  // all masked but the cascade; the services open what they serve
  out8(0xA1, 0xFF);
}

void initialise_pit() {
  out8(0x43, 0x36);  // channel 0: square wave, full count: 18.2 Hz
  out8(0x40, 0);
  out8(0x40, 0);
  out8(0x43, 0x54);  // channel 1: refresh, as programs that poll port 61 bit 4 expect
  out8(0x41, 18);
}

void initialise_dma() {
  out8(0x0D, 0);  // master clear
  out8(0xDA, 0);
  out8(0xD6, 0xC0);  // channel 4: cascade
  out8(0xD4, 0x00);  // and unmasked
}

void initialise_rtc() {
  cmos_write(0x0A, 0x26);  // 32768 Hz, 1024 Hz periodic rate
  cmos_write(0x0B, static_cast<u8>((cmos_read(0x0B) & 0x01) | 0x02));
  cmos_read(0x0C);
  cmos_read(0x0D);
}

}  // namespace

void shadow_firmware() {
  // BootInfo itself lies in shadow RAM, so nothing may be kept there before this is done.
  const u32 id = pci_read32(kHostBridge, 0);
  const u8 is_q35 = id == 0x29C08086;
  const u32 pam0 = is_q35 ? 0x90 : 0x59;
  pci_write8(kHostBridge, pam0, 0x30);
  for (u32 i = 1; i <= 6; i++) pci_write8(kHostBridge, pam0 + i, 0x33);
  const u32 data_image = 0x7000;
  memcpy(bytes_at(kDataSegmentBase), bytes_at(kRomBase), data_image);
  memcpy(bytes_at(kCodeSegmentBase), bytes_at(kRomBase + 0x10000), 0x10000);
  boot_info().is_q35 = is_q35;
  out8(0x92, static_cast<u8>((in8(0x92) | 2) & ~1));  // A20 on, no reset
}

void protect_firmware() { pci_write8(kHostBridge, pam0_register(), 0x10); }

void initialise_legacy_chips() {
  initialise_pic();
  initialise_pit();
  initialise_dma();
  initialise_rtc();
}

void initialise_power_management() {
  const BootInfo& info = boot_info();
  for (u32 i = 0; i < info.pci_count; i++) {
    const PciFunction& f = info.pci[i];
    if (f.vendor == 0x8086 && f.device == 0x7113) {  // PIIX4 function 3
      pci_write32(f.address, 0x40, kPowerManagementBase | 1);
      pci_write8(f.address, 0x80, 1);
      pci_write32(f.address, 0x90, kSmbusBase | 1);
      pci_write8(f.address, 0xD2, 0x09);
      pci_write8(f.address, 0x3C, 9);                       // the SCI
    } else if (f.vendor == 0x8086 && f.device == 0x2918) {  // ICH9 LPC bridge
      pci_write32(f.address, 0x40, kPowerManagementBase | 1);
      pci_write8(f.address, 0x44, 0x80);
      pci_write32(f.address, 0xF0, 0xFED1C001);
    }
  }
}

}  // namespace xm::fw
