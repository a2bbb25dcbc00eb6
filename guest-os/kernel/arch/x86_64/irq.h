// SPDX-License-Identifier: GPL-2.0-or-later
// Interrupts: IRQ numbers are global system interrupts (ISA lines 0-15 keep their numbers), MSIs follow from kFirstMsi.
// The flow is the course's: one entry (do_IRQ), the descriptor, its handlers, then bottom halves at irq_exit.
#pragma once

#include "kernel/arch/x86_64/percpu.h"
#include "kernel/arch/x86_64/ptrace.h"

namespace xm::os {

constexpr u32 kNrIrqs = 192;
constexpr u32 kFirstMsi = 64;
constexpr u8 kFirstVector = 0x30;  // vector of irq n is kFirstVector + n (0x80 is skipped by giving irq 80 no user)
constexpr u8 kTimerVector = 0xfc, kCallVector = 0xfb, kRescheduleVector = 0xfd, kErrorVector = 0xfe,
             kSpuriousVector = 0xff;

enum class IrqReturn { None, Handled };
using irq_handler_t = IrqReturn (*)(u32 irq, void* device);
constexpr u32 IRQF_SHARED = 1, IRQF_LEVEL = 2;  // LEVEL: active low, level triggered (PCI lines)

struct irqaction {
  irq_handler_t handler;
  void* device;
  const char* name;
  irqaction* next;
};
struct irq_desc {
  irqaction* action = nullptr;
  u64 count[kMaxCpus]{};
  bool level = false;
  bool masked = true;
  const char* chip = "none";
};
extern irq_desc irq_descs[kNrIrqs];

int request_irq(u32 irq, irq_handler_t handler, u32 flags, const char* name, void* device);
void free_irq(u32 irq, void* device);
// Reserves an MSI: irq number for request_irq, and the address/data pair to write into the device.
int msi_allocate(u64* address, u32* data, u32 cpu = 0);

void irq_init();        // PIC remapped, LAPIC and IOAPIC if there are any (noapic)
void lapic_init_cpu();  // on each processor
void lapic_send_ipi(u32 apic_id, u8 vector);
void lapic_send_nmi(u32 apic_id);
void lapic_send_init_sipi(u32 apic_id, u8 page);
void lapic_eoi();
bool lapic_present();
u32 lapic_id();
void lapic_timer_program(u64 ticks);  // one-shot
u64 lapic_timer_remaining();
void lapic_timer_start_calibration();
void irq_enter();
void irq_exit();
void do_IRQ(pt_regs* regs, u32 vector);

}  // namespace xm::os
