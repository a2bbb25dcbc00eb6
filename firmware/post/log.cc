// SPDX-License-Identifier: GPL-2.0-or-later
// The POST log: each line goes to COM1 at once and is kept for the screen, which the 16-bit half sets up later.
#include "post/post.h"

namespace xm::fw {
namespace {

constexpr u16 kCom1 = 0x3F8;
bool g_com1_present;

void put_serial(char c) {
  if (!g_com1_present) return;
  // Transmitter holding register empty [16550 LSR bit 5]; a port that never empties must not stop POST.
  for (int tries = 0; tries < 100000 && !(in8(kCom1 + 5) & 0x20); tries++) cpu_relax();
  out8(kCom1, static_cast<u8>(c));
}

}  // namespace

void initialise_serial_log() {
  out8(kCom1 + 7, 0x5A);  // scratch register: tells a port from an empty bus
  g_com1_present = in8(kCom1 + 7) == 0x5A;
  if (!g_com1_present) return;
  out8(kCom1 + 1, 0);
  out8(kCom1 + 3, 0x80);  // divisor latch: 115200 baud
  out8(kCom1 + 0, 1);
  out8(kCom1 + 1, 0);
  out8(kCom1 + 3, 3);  // 8 bits, no parity, 1 stop bit
  out8(kCom1 + 2, 7);  // FIFOs on and empty
  out8(kCom1 + 4, 3);  // DTR, RTS
}

void put_character(char c) {
  BootInfo& info = boot_info();
  if (info.log_length < sizeof info.log) info.log[info.log_length++] = c;
  if (c == '\n') put_serial('\r');
  put_serial(c);
}

}  // namespace xm::fw
