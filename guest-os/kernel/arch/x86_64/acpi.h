// SPDX-License-Identifier: GPL-2.0-or-later
// What the kernel takes from the ACPI tables: processors and IOAPICs (MADT), power and reset registers (FADT, \_S5 of
// the DSDT), HPET, MCFG.
#pragma once

#include "kernel/arch/x86_64/percpu.h"
#include "kernel/lib/types.h"

namespace xm::os {

struct AcpiInfo {
  u32 lapic_address;
  u32 cpu_apic_ids[kMaxCpus];
  u32 cpu_count;
  struct {
    u32 id, address, gsi_base;
  } ioapics[8];
  u32 ioapic_count;
  struct {
    bool present;
    u32 gsi;
    u16 flags;  // polarity, trigger [ACPI 5.2.12.5]
  } isa_override[16];
  u16 pm1a_event, pm1a_control, pm1b_control, pm_timer;
  u8 pm1_event_length;
  u32 smi_command;
  u8 acpi_enable;
  bool s5_valid;
  u8 s5_type_a, s5_type_b;
  u8 reset_value;
  u16 reset_port;
  phys_addr_t hpet;
  phys_addr_t mcfg_base;
  u8 mcfg_start_bus, mcfg_end_bus;
  u16 sci_irq;
};
extern AcpiInfo acpi_info;
void acpi_init();  // honours acpi=off
// A table by signature, mapped, or null; its length is in the header's second word.
const void* acpi_find_table(const char* signature);

}  // namespace xm::os
