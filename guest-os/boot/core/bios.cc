// SPDX-License-Identifier: GPL-2.0-or-later
// The door to the BIOS. The thunk itself is in entry.S.
#include "boot/core/bios.h"

namespace xm::boot {

extern "C" {
extern BiosRegs bios_regs;
extern u16 bios_opcode;
void bios_thunk();
}

void bios_call(u8 vector, BiosRegs& regs) {
  bios_regs = regs;
  bios_opcode = static_cast<u16>(0xcd | vector << 8);
  bios_thunk();
  regs = bios_regs;
}

void bios_idle() {
  bios_regs = {};
  bios_opcode = 0x90f4;  // hlt; nop
  bios_thunk();
}

u32 bios_ticks() { return *reinterpret_cast<volatile u32*>(physical(0x46c)); }

}  // namespace xm::boot
