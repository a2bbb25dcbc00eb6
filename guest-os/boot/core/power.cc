// SPDX-License-Identifier: GPL-2.0-or-later
// Reboot and power off. Off: APM where the BIOS has it, else ACPI: the S5 sleep type out of the DSDT's \_S5 package,
// written to the PM1 control register [ACPI 6.4, 7.4.2 and 4.8.3.2]. The tables are searched as bytes; no AML is
// interpreted.
#include "boot/core/bios.h"

namespace xm::boot {
namespace {

// The signature alone may also stand in the BIOS's own code: the sum of the first 20 bytes must be 0.
const u8* find_rsdp(u32 from, u32 to) {
  for (u32 at = from; at + 36 <= to; at += 16) {
    if (memcmp(physical(at), "RSD PTR ", 8) != 0) continue;
    u8 sum = 0;
    for (u32 i = 0; i < 20; ++i) sum = static_cast<u8>(sum + physical(at)[i]);
    if (sum == 0) return physical(at);
  }
  return nullptr;
}

const u8* find_table(const char* signature) {
  const u32 ebda = static_cast<u32>(peek<u16>(physical(0x40e), 0)) << 4;
  const u8* rsdp = ebda >= 0x80000 && ebda < 0xa0000 ? find_rsdp(ebda, ebda + 1024) : nullptr;
  if (rsdp == nullptr) rsdp = find_rsdp(0xe0000, 0x100000);
  if (rsdp == nullptr) return nullptr;
  // The root table has pointers of 4 bytes, or, from version 2 on, its successor of 8.
  const bool extended = peek<u32>(rsdp, 16) == 0;
  const u8* root = physical(peek<u32>(rsdp, extended ? 24 : 16));
  const u32 length = peek<u32>(root, 4), step = extended ? 8 : 4;
  for (u32 at = 36; at + step <= length && at < 1024; at += step) {
    const u8* table = physical(peek<u32>(root, at));
    if (memcmp(table, signature, 4) == 0) return table;
  }
  return nullptr;
}

// "_S5_" PackageOp PkgLength NumElements, then the type as a byte constant, Zero or One.
int sleep_type(const u8* dsdt) {
  const u32 length = peek<u32>(dsdt, 4);
  for (u32 at = 36; at + 9 <= length; ++at) {
    if (memcmp(dsdt + at, "_S5_\x12", 5) != 0) continue;
    const u8* p = dsdt + at + 5;
    p += (*p >> 6) + 2;
    return *p == 0x0a ? p[1] : *p <= 1 ? *p : -1;
  }
  return -1;
}

void acpi_off() {
  const u8* fadt = find_table("FACP");
  if (fadt == nullptr) return;
  const bool extended = peek<u32>(fadt, 4) >= 148 && peek<u32>(fadt, 40) == 0;  // X_DSDT
  const int type = sleep_type(physical(peek<u32>(fadt, extended ? 140 : 40)));
  const u16 command = static_cast<u16>(peek<u32>(fadt, 48)), control = static_cast<u16>(peek<u32>(fadt, 64));
  if (type < 0 || control == 0) return;
  if (command != 0 && (inw(control) & 1) == 0) {
    outb(command, fadt[52]);
    for (int i = 0; i < 1000000 && (inw(control) & 1) == 0; ++i) {
    }
  }
  outw(control, static_cast<u16>(type << 10 | 1 << 13));
}

void apm_off() {
  BiosRegs r{};
  r.eax = 0x5300;  // installation check
  bios_call(0x15, r);
  if (r.carry()) return;
  r = {};
  r.eax = 0x5301;  // connect, real mode
  bios_call(0x15, r);
  r = {};
  r.eax = 0x530e;  // version 1.2
  r.ecx = 0x0102;
  bios_call(0x15, r);
  r = {};
  r.eax = 0x5307;  // all devices: off
  r.ebx = 1;
  r.ecx = 3;
  bios_call(0x15, r);
}

}  // namespace

void power_off() {
  acpi_off();
  for (int i = 0; i < 4; ++i) bios_idle();
  apm_off();
}

void reboot() {
  poke<u16>(physical(0x472), 0, 0x1234);  // no memory test
  for (int i = 0; i < 100000 && (inb(0x64) & 2) != 0; ++i) {
  }
  outb(0x64, 0xfe);
  for (int i = 0; i < 4; ++i) bios_idle();
  outb(0xcf9, 0x02);
  outb(0xcf9, 0x06);
  for (;;) bios_idle();
}

}  // namespace xm::boot
