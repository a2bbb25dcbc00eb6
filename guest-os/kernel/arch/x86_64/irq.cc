// SPDX-License-Identifier: GPL-2.0-or-later
// Interrupt controllers (two 8259 PICs, IOAPICs) behind one descriptor table, and the common interrupt flow.
#include "kernel/arch/x86_64/irq.h"

#include "kernel/arch/x86_64/acpi.h"
#include "kernel/arch/x86_64/bootinfo.h"
#include "kernel/init/printk.h"
#include "kernel/lib/result.h"
#include "kernel/lib/spinlock.h"
#include "kernel/mm/slab.h"
#include "kernel/mm/vmalloc.h"
#include "kernel/sched/softirq.h"

namespace xm::os {

constinit irq_desc irq_descs[kNrIrqs]{};

namespace {

constinit spinlock_t irq_lock{LockRank::Console};
constinit bool use_ioapic = false;
constinit u16 pic_mask = 0xffff;
struct Ioapic {
  volatile u32* registers;
  u32 gsi_base, pins;
};
constinit Ioapic ioapics[8]{};
constinit u32 next_msi = kFirstMsi;

// --- 8259 [82C59A] ---
void pic_write_mask() {
  outb(0x21, static_cast<u8>(pic_mask));
  outb(0xa1, static_cast<u8>(pic_mask >> 8));
}
void pic_init() {
  outb(0x20, 0x11);
  outb(0xa0, 0x11);
  outb(0x21, kFirstVector);
  outb(0xa1, kFirstVector + 8);
  outb(0x21, 4);
  outb(0xa1, 2);
  outb(0x21, 1);
  outb(0xa1, 1);
  pic_mask = 0xffff;
  pic_write_mask();
}
void pic_set_masked(u32 irq, bool masked) {
  pic_mask = static_cast<u16>(masked ? pic_mask | 1u << irq : pic_mask & ~(1u << irq));
  if (irq >= 8) pic_mask &= static_cast<u16>(~4u);
  pic_write_mask();
}
bool pic_spurious(u32 irq) {
  if (irq != 7 && irq != 15) return false;
  const u16 port = irq == 7 ? 0x20 : 0xa0;
  outb(port, 0x0b);
  const bool in_service = (inb(port) & 0x80) != 0;
  if (!in_service && irq == 15) outb(0x20, 0x20);
  return !in_service;
}
void pic_eoi(u32 irq) {
  if (irq >= 8) outb(0xa0, 0x20);
  outb(0x20, 0x20);
}

// --- IOAPIC [82093AA] ---
u32 ioapic_read(const Ioapic& io, u32 reg) {
  io.registers[0] = reg;
  return io.registers[4];
}
void ioapic_write(const Ioapic& io, u32 reg, u32 v) {
  io.registers[0] = reg;
  io.registers[4] = v;
}
u32 gsi_of(u32 irq, u16& flags) {
  flags = 0;
  if (irq < 16 && acpi_info.isa_override[irq].present) {
    flags = acpi_info.isa_override[irq].flags;
    return acpi_info.isa_override[irq].gsi;
  }
  return irq;
}
void ioapic_set(u32 irq, bool masked, bool level) {
  u16 flags;
  const u32 gsi = gsi_of(irq, flags);
  bool low = level && irq >= 16;
  if ((flags & 3) == 3) low = true;
  if ((flags & 3) == 1) low = false;
  if ((flags >> 2 & 3) == 3) level = true;
  for (const Ioapic& io : ioapics) {
    if (io.registers == nullptr || gsi < io.gsi_base || gsi >= io.gsi_base + io.pins) continue;
    const u32 pin = gsi - io.gsi_base;
    ioapic_write(io, 0x11 + pin * 2, cpus[0].apic_id << 24);
    ioapic_write(io, 0x10 + pin * 2,
                 (kFirstVector + irq) | (low ? 1u << 13 : 0) | (level ? 1u << 15 : 0) | (masked ? 1u << 16 : 0));
    irq_descs[irq].level = level;
    return;
  }
}
void ioapic_init() {
  for (u32 i = 0; i < acpi_info.ioapic_count; ++i) {
    Ioapic& io = ioapics[i];
    io.registers = static_cast<volatile u32*>(ioremap(acpi_info.ioapics[i].address, 0x100));
    io.gsi_base = acpi_info.ioapics[i].gsi_base;
    io.pins = ((ioapic_read(io, 1) >> 16) & 0xff) + 1;
    for (u32 pin = 0; pin < io.pins; ++pin) ioapic_write(io, 0x10 + pin * 2, 1u << 16);
  }
  use_ioapic = acpi_info.ioapic_count > 0;
}

void set_masked_locked(u32 irq, bool masked) {
  irq_desc& d = irq_descs[irq];
  d.masked = masked;
  if (irq >= kFirstMsi) {
    d.chip = "PCI-MSI";
  } else if (use_ioapic) {
    d.chip = d.level ? "IO-APIC-level" : "IO-APIC-edge";
    ioapic_set(irq, masked, d.level);
  } else if (irq < 16) {
    d.chip = "XT-PIC";
    pic_set_masked(irq, masked);
  }
}

}  // namespace

void irq_init() {
  pic_init();
  if (command_line_flag("noapic")) acpi_info.ioapic_count = 0;
  lapic_init_cpu();
  if (lapic_present()) ioapic_init();
}

int request_irq(u32 irq, irq_handler_t handler, u32 flags, const char* name, void* device) {
  if (irq >= kNrIrqs) return -EINVAL;
  irqaction* action = knew<irqaction>(irqaction{handler, device, name, nullptr});
  if (action == nullptr) return -ENOMEM;
  IrqGuard guard(irq_lock);
  irq_desc& d = irq_descs[irq];
  if (d.action != nullptr && (flags & IRQF_SHARED) == 0) {
    kdelete(action);
    return -EBUSY;
  }
  action->next = d.action;
  d.action = action;
  if ((flags & IRQF_LEVEL) != 0) d.level = true;
  set_masked_locked(irq, false);
  return 0;
}

void free_irq(u32 irq, void* device) {
  IrqGuard guard(irq_lock);
  irq_desc& d = irq_descs[irq];
  for (irqaction** at = &d.action; *at != nullptr; at = &(*at)->next) {
    if ((*at)->device != device) continue;
    irqaction* gone = *at;
    *at = gone->next;
    kdelete(gone);
    break;
  }
  if (d.action == nullptr) set_masked_locked(irq, true);
}

int msi_allocate(u64* address, u32* data, u32 cpu) {
  IrqGuard guard(irq_lock);
  if (!lapic_present()) return -ENODEV;
  if (next_msi == 0x80 - kFirstVector) ++next_msi;  // that vector is int 0x80
  if (next_msi >= kNrIrqs) return -ENOSPC;
  *address = 0xfee00000 | cpus[cpu].apic_id << 12;
  *data = kFirstVector + next_msi;
  return static_cast<int>(next_msi++);
}

void irq_enter() {
  preempt_count_add(kHardirqOffset);
  ++this_cpu()->irq_count;
}

void irq_exit() {
  preempt_count_add(-kHardirqOffset);
  if (!in_interrupt() && this_cpu()->softirq_pending != 0) do_softirq();
}

void do_IRQ(pt_regs*, u32 vector) {
  const u32 irq = vector - kFirstVector;
  irq_desc& d = irq_descs[irq];
  const bool through_pic = !use_ioapic && irq < 16;
  if (through_pic && pic_spurious(irq)) return;
  ++d.count[smp_processor_id()];
  if (through_pic) pic_eoi(irq);
  for (irqaction* a = d.action; a != nullptr; a = a->next) a->handler(irq, a->device);
  if (!through_pic) lapic_eoi();
}

}  // namespace xm::os
