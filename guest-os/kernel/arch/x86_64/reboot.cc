// SPDX-License-Identifier: GPL-2.0-or-later
// Reset: ACPI reset register, keyboard controller, port CF9, triple fault. Power off: ACPI S5 through the PM1 control
// registers. [ACPI 4.8.3]
#include "kernel/init/reboot.h"
#include "kernel/arch/x86_64/acpi.h"
#include "kernel/arch/x86_64/bootinfo.h"
#include "kernel/arch/x86_64/smp.h"
#include "kernel/fs/fs.h"
#include "kernel/sched/clock.h"

namespace xm::os {

namespace {

void restart_by_acpi() {
  if (acpi_info.reset_port == 0) return;
  outb(acpi_info.reset_port, acpi_info.reset_value);
  udelay(10000);
}
void restart_by_keyboard() {
  for (int i = 0; i < 100 && (inb(0x64) & 2) != 0; ++i) udelay(50);
  outb(0x64, 0xfe);
  udelay(10000);
}
void restart_by_pci() {
  outb(0xcf9, 0x02);
  outb(0xcf9, 0x06);
  udelay(10000);
}
void restart_by_triple_fault() {
  struct [[gnu::packed]] {
    u16 limit;
    u64 base;
  } none{0, 0};
  asm volatile("lidt %0; int3" : : "m"(none));
}

}  // namespace

void machine_restart() {
  local_irq_disable();
  // reboot=acpi, kbd, pci, triple: which way comes first. Only the letter counts, as in Linux.
  char first[16] = "";
  command_line_value("reboot", first, sizeof first);
  if (first[0] == 'k') restart_by_keyboard();
  if (first[0] == 'p') restart_by_pci();
  if (first[0] == 't') restart_by_triple_fault();
  restart_by_acpi();
  restart_by_keyboard();
  restart_by_pci();
  restart_by_triple_fault();
  machine_halt();
}

void machine_power_off() {
  local_irq_disable();
  if (acpi_info.s5_valid && acpi_info.pm1a_control != 0) {
    constexpr u16 kSleepEnable = 1 << 13;
    if (acpi_info.smi_command != 0 && acpi_info.acpi_enable != 0 && (inw(acpi_info.pm1a_control) & 1) == 0) {
      outb(static_cast<u16>(acpi_info.smi_command), acpi_info.acpi_enable);
      for (int i = 0; i < 300 && (inw(acpi_info.pm1a_control) & 1) == 0; ++i) udelay(1000);
    }
    outw(acpi_info.pm1a_control, static_cast<u16>(acpi_info.s5_type_a << 10 | kSleepEnable));
    if (acpi_info.pm1b_control != 0)
      outw(acpi_info.pm1b_control, static_cast<u16>(acpi_info.s5_type_b << 10 | kSleepEnable));
    udelay(10000);
  }
  machine_halt();
}

void machine_halt() {
  smp_stop_others();
  for (;;) asm volatile("cli; hlt");
}

}  // namespace xm::os
