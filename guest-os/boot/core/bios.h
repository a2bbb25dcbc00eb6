// SPDX-License-Identifier: GPL-2.0-or-later
// Calls into the BIOS from protected mode, port access, and the BIOS services that are one call each.
#pragma once

#include "boot/core/types.h"

namespace xm::boot {

// The order is known to entry.S.
struct BiosRegs {
  u32 eax, ebx, ecx, edx, esi, edi, ebp, eflags;
  u16 ds, es;
  bool carry() const { return (eflags & 1) != 0; }
};

// INT `vector` in real mode with and into `regs`.
void bios_call(u8 vector, BiosRegs& regs);
// Sleeps until the next interrupt; the BIOS's handlers run.
void bios_idle();
// Ticks of 18.2 Hz since midnight (BIOS data area); moves only during BIOS calls.
u32 bios_ticks();

inline u8 inb(u16 port) {
  u8 value;
  asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}
inline void outb(u16 port, u8 value) { asm volatile("outb %0, %1" : : "a"(value), "Nd"(port)); }
inline void outw(u16 port, u16 value) { asm volatile("outw %0, %1" : : "a"(value), "Nd"(port)); }
inline u16 inw(u16 port) {
  u16 value;
  asm volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}

// Starts the machine anew, or switches it off; returns only if neither the BIOS nor ACPI can.
[[noreturn]] void reboot();
void power_off();

}  // namespace xm::boot
