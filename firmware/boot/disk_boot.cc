// SPDX-License-Identifier: GPL-2.0-or-later
// Boots the first sector of a disk at 0000:7C00 [IBM AT BIOS, BOOT_STRAP].
#include "boot/boot.h"

namespace xm::fw {

bool boot_sector(u8 drive_number) {
  // Through the vector, so that a hook (a network boot ROM, an overlay) can offer the disk.
  FarCall read;
  read.ax = 0x0201;
  read.cx = 0x0001;
  read.dx = drive_number;
  read.bx = 0x7C00;
  call_interrupt(0x13, &read);
  if (read.flags & kCarry) return false;
  // Floppies of early systems have no signature; disks must.
  if ((drive_number & 0x80) && peek<u16>(0, 0x7DFE) != 0xAA55) return false;
  if (peek<u16>(0, 0x7C00) == 0) return false;
  FarCall jump;
  jump.dx = drive_number;
  jump.ax = 0xAA55;
  jump.ip = 0x7C00;
  jump.flags = kInterruptFlag | 2;
  jump.arguments[1] = 0x7C00;
  jump_out(&jump);
}

}  // namespace xm::fw
