// SPDX-License-Identifier: GPL-2.0-or-later
// The services of a few lines: INT 5 (print screen), 11h (equipment), 12h (memory size), 14h (serial), 17h (printer)
// [IBM AT BIOS].
#include "services/bda.h"
#include "services/frame.h"

namespace xm::fw {
namespace {

u16 serial_status(u16 port) {
  return static_cast<u16>(in8(static_cast<u16>(port + 5)) << 8 | in8(static_cast<u16>(port + 6)));
}

bool wait_bits(u16 port, u8 bits, u8 timeout) {
  for (u32 i = 0; i < timeout * 50000u + 1; i++) {
    if ((in8(port) & bits) == bits) return true;
  }
  return false;
}

void initialise_serial(u16 port, u8 parameters) {
  // Bits 7-5: 110, 150, 300, 600, 1200, 2400, 4800, 9600 baud.
  constexpr u16 kDivisors[] = {1047, 768, 384, 192, 96, 48, 24, 12};
  const u16 divisor = kDivisors[parameters >> 5];
  out8(static_cast<u16>(port + 3), 0x80);
  out8(port, static_cast<u8>(divisor));
  out8(static_cast<u16>(port + 1), static_cast<u8>(divisor >> 8));
  out8(static_cast<u16>(port + 3), parameters & 0x1F);
  out8(static_cast<u16>(port + 1), 0);
}

u8 printer_status(u16 port) { return static_cast<u8>((in8(static_cast<u16>(port + 1)) ^ 0x48) & 0xF8); }

void print_character(Frame& f, u16 port, u8 timeout) {
  out8(port, f.al);
  if (!wait_bits(static_cast<u16>(port + 1), 0x80, timeout)) {
    f.ah = static_cast<u8>(printer_status(port) | 1);
    return;
  }
  out8(static_cast<u16>(port + 2), 0x0D);  // strobe
  out8(static_cast<u16>(port + 2), 0x0C);
  f.ah = printer_status(port);
}

}  // namespace
}  // namespace xm::fw

using namespace xm::fw;

// Print screen without a printer: only its status byte [segment 50] says that it was tried.
extern "C" void int05(Frame*) { poke<u8>(0x50, 0, bda<u16>(bda_at::kLpt) ? 0x00 : 0xFF); }

extern "C" void int11(Frame* f) { f->ax = bda<u16>(bda_at::kEquipment); }

extern "C" void int12(Frame* f) { f->ax = bda<u16>(bda_at::kMemoryKiB); }

extern "C" void int14(Frame* frame) {
  Frame& f = *frame;
  const u16 port = f.dx < 4 ? bda<u16>(bda_at::kCom + 2u * f.dx) : u16{0};
  if (!port) return;
  const u8 timeout = bda<u8>(bda_at::kComTimeout + f.dx);
  switch (f.ah) {
    case 0x00: initialise_serial(port, f.al); break;
    case 0x01:
      out8(static_cast<u16>(port + 4), 0x03);
      if (!wait_bits(static_cast<u16>(port + 5), 0x20, timeout)) {
        f.ah = static_cast<u8>(in8(static_cast<u16>(port + 5)) | 0x80);
        return;
      }
      out8(port, f.al);
      f.ah = in8(static_cast<u16>(port + 5));
      return;
    case 0x02:
      out8(static_cast<u16>(port + 4), 0x03);
      if (!wait_bits(static_cast<u16>(port + 5), 0x01, timeout)) {
        f.ah = static_cast<u8>(in8(static_cast<u16>(port + 5)) | 0x80);
        return;
      }
      f.ah = static_cast<u8>(in8(static_cast<u16>(port + 5)) & 0x1E);
      f.al = in8(port);
      return;
    case 0x03: break;
    default: return;
  }
  f.ax = serial_status(port);
}

extern "C" void int17(Frame* frame) {
  Frame& f = *frame;
  const u16 port = f.dx < 3 ? bda<u16>(bda_at::kLpt + 2u * f.dx) : u16{0};
  if (!port) return;
  const u8 timeout = bda<u8>(bda_at::kLptTimeout + f.dx);
  switch (f.ah) {
    case 0x00: print_character(f, port, timeout); break;
    case 0x01:
      out8(static_cast<u16>(port + 2), 0x08);
      out8(static_cast<u16>(port + 2), 0x0C);
      f.ah = printer_status(port);
      break;
    case 0x02: f.ah = printer_status(port); break;
    default: break;
  }
}
