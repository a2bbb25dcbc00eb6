// SPDX-License-Identifier: GPL-2.0-or-later
// INT 1Ah: time of day and alarm [IBM AT BIOS], PCI BIOS [PCI BIOS 2.1] in real mode.
#include "services/bda.h"
#include "services/frame.h"

namespace xm::fw {
namespace {

// PCI BIOS return codes.
constexpr u8 kSuccessful = 0x00, kUnsupported = 0x81, kBadVendor = 0x83, kNotFound = 0x86, kBadRegister = 0x87;

bool wait_for_clock() {
  for (int tries = 0; tries < 100000; tries++) {
    if (!(cmos_read(0x0A) & 0x80)) return true;
  }
  return false;
}

void finish(Frame& f, bool ok) {
  f.set_carry(!ok);
  if (ok) f.ah = 0;
}

void set_clock(const u8 (&registers)[4], const u8 (&values)[4], u8 count) {
  const u8 control = cmos_read(0x0B);
  cmos_write(0x0B, static_cast<u8>(control | 0x80));  // stop the update while the fields are inconsistent
  for (u8 i = 0; i < count; i++) cmos_write(registers[i], values[i]);
  cmos_write(0x0B, static_cast<u8>(control & 0x7F));
}

void ticks(Frame& f) {
  using namespace bda_at;
  const u32 count = bda<u32>(kTicks);
  f.cx = static_cast<u16>(count >> 16);
  f.dx = static_cast<u16>(count);
  f.al = bda<u8>(kMidnight);
  set_bda<u8>(kMidnight, 0);
  finish(f, true);
}

void set_alarm(Frame& f) {
  const u8 control = cmos_read(0x0B);
  if (control & 0x20) return finish(f, false);
  cmos_write(0x05, f.ch);
  cmos_write(0x03, f.cl);
  cmos_write(0x01, f.dh);
  out8(0xA1, static_cast<u8>(in8(0xA1) & ~1));
  cmos_write(0x0B, static_cast<u8>((control & 0x7F) | 0x20));
  finish(f, true);
}

void pci_finish(Frame& f, u8 code) {
  f.ah = code;
  f.set_carry(code != kSuccessful);
}

void find_pci(Frame& f, bool by_class) {
  if (!by_class && f.dx == 0xFFFF) return pci_finish(f, kBadVendor);
  u16 left = f.si;
  for (u32 i = 0; i < g_boot_info.pci_count; i++) {
    const PciFunction& d = g_boot_info.pci[i];
    const u32 code = u32{d.base_class} << 16 | u32{d.sub_class} << 8 | d.interface;
    const bool hit = by_class ? code == (f.ecx & 0xFFFFFF) : d.vendor == f.dx && d.device == f.cx;
    if (!hit || left-- > 0) continue;
    f.bx = d.address;
    return pci_finish(f, kSuccessful);
  }
  pci_finish(f, kNotFound);
}

void pci_configuration(Frame& f) {
  const u32 width = 1u << ((f.al - 0x08) % 3);
  if (f.di > 0xFF || (f.di & (width - 1))) return pci_finish(f, kBadRegister);
  switch (f.al) {
    case 0x08: f.cl = pci_read8(f.bx, f.di); break;
    case 0x09: f.cx = pci_read16(f.bx, f.di); break;
    case 0x0A: f.ecx = pci_read32(f.bx, f.di); break;
    case 0x0B: pci_write8(f.bx, f.di, f.cl); break;
    case 0x0C: pci_write16(f.bx, f.di, f.cx); break;
    default: pci_write32(f.bx, f.di, f.ecx); break;
  }
  pci_finish(f, kSuccessful);
}

void pci_bios(Frame& f) {
  switch (f.al & 0x7F) {
    case 0x01: {
      if (!g_boot_info.pci_count) return f.set_carry(true);
      f.al = 1;       // mechanism 1
      f.bx = 0x0210;  // version 2.1
      u8 last_bus = 0;
      for (u32 i = 0; i < g_boot_info.pci_count; i++) {
        last_bus = max(last_bus, static_cast<u8>(pci_bus(g_boot_info.pci[i].address)));
      }
      f.cl = last_bus;
      f.edx = 0x20494350;  // "PCI "
      return pci_finish(f, kSuccessful);
    }
    case 0x02: return find_pci(f, false);
    case 0x03: return find_pci(f, true);
    case 0x08:
    case 0x09:
    case 0x0A:
    case 0x0B:
    case 0x0C:
    case 0x0D: return pci_configuration(f);
    default: return pci_finish(f, kUnsupported);
  }
}

}  // namespace
}  // namespace xm::fw

using namespace xm::fw;

extern "C" void int1a(Frame* frame) {
  using namespace bda_at;
  Frame& f = *frame;
  switch (f.ah) {
    case 0x00: ticks(f); break;
    case 0x01:
      set_bda<u32>(kTicks, u32{f.cx} << 16 | f.dx);
      set_bda<u8>(kMidnight, 0);
      finish(f, true);
      break;
    case 0x02:
      if (!wait_for_clock()) return finish(f, false);
      f.dh = cmos_read(0x00);
      f.cl = cmos_read(0x02);
      f.ch = cmos_read(0x04);
      f.dl = cmos_read(0x0B) & 1;
      f.al = f.ch;
      finish(f, true);
      break;
    case 0x03:
      set_clock({0x00, 0x02, 0x04, 0}, {f.dh, f.cl, f.ch, 0}, 3);
      cmos_write(0x0B, static_cast<u8>((cmos_read(0x0B) & 0x60) | 0x02 | (f.dl & 1)));
      finish(f, true);
      break;
    case 0x04:
      if (!wait_for_clock()) return finish(f, false);
      f.dl = cmos_read(0x07);
      f.dh = cmos_read(0x08);
      f.cl = cmos_read(0x09);
      f.ch = cmos_read(0x32);
      finish(f, true);
      break;
    case 0x05:
      set_clock({0x07, 0x08, 0x09, 0x32}, {f.dl, f.dh, f.cl, f.ch}, 4);
      finish(f, true);
      break;
    case 0x06: set_alarm(f); break;
    case 0x07:
      cmos_write(0x0B, static_cast<u8>(cmos_read(0x0B) & 0x57));
      finish(f, true);
      break;
    case 0xB1: pci_bios(f); break;
    default: f.set_carry(true); break;
  }
}
