// SPDX-License-Identifier: GPL-2.0-or-later
// PCI by configuration mechanism 1 [PCI 3.2.2.3.2]: finds every function of every bus, as the firmware numbered them.
// GAP: no ECAM and no assignment of BARs (firmware has done that); no hot plug.
#include "kernel/drivers/pci.h"

#include "kernel/arch/x86_64/asm.h"
#include "kernel/fs/proc/proc.h"
#include "kernel/init/initcall.h"
#include "kernel/init/printk.h"
#include "kernel/mm/slab.h"
#include "kernel/mm/vmalloc.h"

namespace xm::os {

constinit pci_dev* pci_devices = nullptr;

namespace {

constinit spinlock_t config_lock{LockRank::None};
constexpr u16 kConfigAddress = 0xcf8, kConfigData = 0xcfc;
constexpr u8 kCapMsix = 0x11;

void select(const pci_dev* d, u32 offset) {
  outl(kConfigAddress, 0x80000000u | static_cast<u32>(d->bus) << 16 | static_cast<u32>(d->device) << 11 |
                           static_cast<u32>(d->function) << 8 | (offset & 0xfc));
}

void add_function(pci_dev found) {
  found.vendor = pci_read16(&found, 0);
  found.id = pci_read16(&found, 2);
  found.class_code = pci_read32(&found, 8) >> 8;
  found.subsystem_vendor = pci_read16(&found, 0x2c);
  found.subsystem_id = pci_read16(&found, 0x2e);
  found.interrupt_line = pci_read8(&found, 0x3c);
  found.next = nullptr;
  pci_dev* d = knew<pci_dev>(found);
  if (d == nullptr) return;
  pci_dev** at = &pci_devices;
  while (*at != nullptr) at = &(*at)->next;
  *at = d;
  pci_bus_add(d);
  printk(KERN_INFO "pci 0000:%02x:%02x.%u: [%04x:%04x] class 0x%06x\n", d->bus, d->device, d->function, d->vendor,
         d->id, d->class_code);
}

void scan_bus(u8 bus, u32 depth) {
  for (u8 device = 0; device < 32; ++device) {
    pci_dev probe{};
    probe.bus = bus;
    probe.device = device;
    if (pci_read16(&probe, 0) == 0xffff) continue;
    const u8 functions = (pci_read8(&probe, 0x0e) & 0x80) != 0 ? 8 : 1;
    for (probe.function = 0; probe.function < functions; ++probe.function) {
      if (pci_read16(&probe, 0) == 0xffff) continue;
      add_function(probe);
      const bool bridge = (pci_read8(&probe, 0x0e) & 0x7f) == 1;
      const u8 below = pci_read8(&probe, 0x19);
      if (bridge && below > bus && depth < 8) scan_bus(below, depth + 1);
    }
  }
}

void show_pci(TextBuffer& out, void*) {
  for (const pci_dev* d = pci_devices; d != nullptr; d = d->next)
    out.print("%02x%02x\t%04x%04x\t%x\n", d->bus, d->device << 3 | d->function, d->vendor, d->id, d->interrupt_line);
}

void pci_init() {
  outl(kConfigAddress, 0x80000000u);
  if (inl(kConfigAddress) != 0x80000000u) return;
  scan_bus(0, 0);
  proc_create(&proc_root, "bus/pci/devices", 0444, show_pci);
}
BUS_INITCALL(pci_init);

}  // namespace

u32 pci_read32(const pci_dev* d, u32 offset) {
  IrqGuard guard(config_lock);
  select(d, offset);
  return inl(kConfigData);
}
u16 pci_read16(const pci_dev* d, u32 offset) { return static_cast<u16>(pci_read32(d, offset) >> (offset & 2) * 8); }
u8 pci_read8(const pci_dev* d, u32 offset) { return static_cast<u8>(pci_read32(d, offset) >> (offset & 3) * 8); }
void pci_write32(const pci_dev* d, u32 offset, u32 value) {
  IrqGuard guard(config_lock);
  select(d, offset);
  outl(kConfigData, value);
}
void pci_write16(const pci_dev* d, u32 offset, u16 value) {
  IrqGuard guard(config_lock);
  select(d, offset);
  outw(static_cast<u16>(kConfigData + (offset & 2)), value);
}

void pci_enable(const pci_dev* d) {
  pci_write16(d, 4, static_cast<u16>(pci_read16(d, 4) | PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER));
}

u32 pci_find_capability(const pci_dev* d, u8 id, u32 after) {
  if ((pci_read16(d, 6) & 0x10) == 0) return 0;
  u32 at = pci_read8(d, after == 0 ? 0x34 : after + 1) & 0xfcu;
  for (u32 steps = 0; at >= 0x40 && steps < 48; ++steps) {
    if (pci_read8(d, at) == id) return at;
    at = pci_read8(d, at + 1) & 0xfcu;
  }
  return 0;
}

pci_bar pci_read_bar(const pci_dev* d, u32 index) {
  if (index > 5) return {0, false};
  const u32 low = pci_read32(d, 0x10 + index * 4);
  if ((low & 1) != 0) return {low & ~3u, true};
  const bool wide = (low & 6) == 4 && index < 5;
  const u64 high = wide ? pci_read32(d, 0x14 + index * 4) : 0;
  return {high << 32 | (low & ~15u), false};
}

u32 pci_msix_count(const pci_dev* d) {
  const u32 cap = pci_find_capability(d, kCapMsix);
  return cap == 0 || !lapic_present() ? 0 : (pci_read16(d, cap + 2) & 0x7ffu) + 1;
}

int pci_request_msix(const pci_dev* d, u32 index, u32 cpu, irq_handler_t handler, const char* name, void* device) {
  const u32 cap = pci_find_capability(d, kCapMsix);
  const u32 table = pci_read32(d, cap + 4);
  const pci_bar bar = pci_read_bar(d, table & 7);
  if (bar.address == 0 || bar.is_io) return -ENODEV;
  u64 address = 0;
  u32 data = 0;
  const int irq = msi_allocate(&address, &data, cpu);
  if (irq < 0) return irq;
  volatile u32* entry = static_cast<volatile u32*>(ioremap(bar.address + (table & ~7u) + index * 16, 16));
  if (entry == nullptr) return -ENOMEM;
  if (const int error = request_irq(static_cast<u32>(irq), handler, 0, name, device); error != 0) return error;
  entry[0] = static_cast<u32>(address);
  entry[1] = static_cast<u32>(address >> 32);
  entry[2] = data;
  entry[3] = 0;
  pci_write16(d, cap + 2, static_cast<u16>((pci_read16(d, cap + 2) & 0x3fff) | 0x8000));
  return 0;
}

int pci_request_irq(const pci_dev* d, irq_handler_t handler, const char* name, void* device, bool* uses_msix) {
  *uses_msix = pci_msix_count(d) != 0 && pci_request_msix(d, 0, 0, handler, name, device) == 0;
  if (*uses_msix) return 0;
  return request_irq(d->interrupt_line, handler, IRQF_SHARED | IRQF_LEVEL, name, device);
}

}  // namespace xm::os
