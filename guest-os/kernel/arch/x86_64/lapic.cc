// SPDX-License-Identifier: GPL-2.0-or-later
// The local APIC: enable, end of interrupt, inter-processor interrupts, one-shot timer. Works through MMIO, or through
// MSRs where the firmware left x2APIC mode on. [SDM3 11]
#include "kernel/arch/x86_64/acpi.h"
#include "kernel/arch/x86_64/bootinfo.h"
#include "kernel/arch/x86_64/cpu.h"
#include "kernel/arch/x86_64/irq.h"
#include "kernel/init/printk.h"
#include "kernel/mm/vmalloc.h"
#include "kernel/sched/clock.h"

namespace xm::os {
namespace {

enum LapicRegister : u32 {
  kId = 0x20,
  kTpr = 0x80,
  kEoi = 0xb0,
  kLdr = 0xd0,
  kDfr = 0xe0,
  kSvr = 0xf0,
  kEsr = 0x280,
  kIcrLow = 0x300,
  kIcrHigh = 0x310,
  kLvtTimer = 0x320,
  kLvtLint0 = 0x350,
  kLvtLint1 = 0x360,
  kLvtError = 0x370,
  kInitialCount = 0x380,
  kCurrentCount = 0x390,
  kDivide = 0x3e0,
};
constexpr u32 kMasked = 1u << 16;
constinit volatile u32* registers = nullptr;
constinit bool x2apic = false;
constinit bool present = false;

u32 read_reg(u32 reg) { return x2apic ? static_cast<u32>(rdmsr(0x800 + reg / 16)) : registers[reg / 4]; }
void write_reg(u32 reg, u32 v) {
  if (x2apic) {
    wrmsr(0x800 + reg / 16, v);
  } else {
    registers[reg / 4] = v;
  }
}

void send_icr(u32 apic_id, u32 low) {
  const u64 flags = local_irq_save();
  if (x2apic) {
    wrmsr(0x830, static_cast<u64>(apic_id) << 32 | low);
  } else {
    while ((read_reg(kIcrLow) & 1u << 12) != 0) cpu_relax();
    write_reg(kIcrHigh, apic_id << 24);
    write_reg(kIcrLow, low);
    while ((read_reg(kIcrLow) & 1u << 12) != 0) cpu_relax();
  }
  local_irq_restore(flags);
}

}  // namespace

bool lapic_present() { return present; }
u32 lapic_id() { return x2apic ? read_reg(kId) : read_reg(kId) >> 24; }
void lapic_eoi() { write_reg(kEoi, 0); }
void lapic_send_ipi(u32 apic_id, u8 vector) { send_icr(apic_id, vector | 1u << 14); }

void lapic_send_nmi(u32 apic_id) { send_icr(apic_id, 0x4400); }

void lapic_send_init_sipi(u32 apic_id, u8 start_page) {
  send_icr(apic_id, 0x4500);  // INIT
  udelay(10000);
  for (int i = 0; i < 2; ++i) {
    send_icr(apic_id, 0x4600u | start_page);
    udelay(200);
  }
}

void lapic_init_cpu() {
  if (registers == nullptr && !x2apic) {
    if ((cpuid(1).edx & 1u << 9) == 0 || command_line_flag("nolapic")) return;
    const u64 base = rdmsr(kMsrApicBase);
    x2apic = (base & 1u << 10) != 0;
    if (!x2apic) registers = static_cast<volatile u32*>(ioremap(base & 0xffffff000, kPageSize));
    present = true;
  }
  const u64 base = rdmsr(kMsrApicBase);
  wrmsr(kMsrApicBase, base | 1u << 11 | (x2apic ? 1u << 10 : 0));
  if (!x2apic) {
    write_reg(kDfr, 0xffffffff);
    write_reg(kLdr, 1u << 24);
  }
  write_reg(kTpr, 0);
  write_reg(kSvr, 0x100 | kSpuriousVector);
  write_reg(kLvtTimer, kMasked);
  const bool virtual_wire = smp_processor_id() == 0 && acpi_info.ioapic_count == 0;
  write_reg(kLvtLint0, virtual_wire ? 0x700 : kMasked);  // ExtINT: the PIC behind LINT0
  write_reg(kLvtLint1, 0x400);                           // NMI
  write_reg(kLvtError, kErrorVector);
  write_reg(kEsr, 0);
  write_reg(kDivide, 0x3);  // by 16
  lapic_eoi();
}

void lapic_timer_program(u64 ticks) {
  write_reg(kLvtTimer, kTimerVector);
  write_reg(kInitialCount, static_cast<u32>(clamp<u64>(ticks, 1, 0xffffffff)));
}
void lapic_timer_start_calibration() {
  write_reg(kLvtTimer, kMasked | kTimerVector);
  write_reg(kInitialCount, 0xffffffff);
}
u64 lapic_timer_remaining() { return read_reg(kCurrentCount); }

}  // namespace xm::os
