// SPDX-License-Identifier: GPL-2.0-or-later
// PCI for drivers: the functions found, their configuration space, capabilities, BARs and interrupts.
#pragma once

#include "kernel/arch/x86_64/irq.h"
#include "kernel/drivers/base/device.h"
#include "kernel/lib/types.h"

namespace xm::os {

struct pci_dev {
  u8 bus, device, function;
  u16 vendor, id, subsystem_vendor, subsystem_id;
  u32 class_code;  // base class, subclass, interface
  u8 interrupt_line;
  pci_dev* next;
  struct ::xm::os::device dev;
};
extern pci_dev* pci_devices;
extern bus_type pci_bus;

// What a driver drives: exact numbers, or a class of devices. kPciAny matches all.
constexpr u32 kPciAny = 0xffff;
struct pci_device_id {
  u32 vendor = kPciAny, id = kPciAny;
  u32 class_code = 0, class_mask = 0;
};
struct pci_driver : device_driver {
  constexpr pci_driver(const char* n, const pci_device_id* i, u32 c, int (*p)(pci_dev*))
      : device_driver{n, &pci_bus, nullptr}, ids(i), id_count(c), probe_pci(p) {}
  const pci_device_id* ids;
  u32 id_count;
  int (*probe_pci)(pci_dev*);
};
void pci_register_driver(pci_driver* driver);
void pci_bus_add(pci_dev* d);

u32 pci_read32(const pci_dev* d, u32 offset);
u16 pci_read16(const pci_dev* d, u32 offset);
u8 pci_read8(const pci_dev* d, u32 offset);
void pci_write32(const pci_dev* d, u32 offset, u32 value);
void pci_write16(const pci_dev* d, u32 offset, u16 value);

constexpr u16 PCI_COMMAND_IO = 1, PCI_COMMAND_MEMORY = 2, PCI_COMMAND_MASTER = 4, PCI_COMMAND_INTX_DISABLE = 1 << 10;
void pci_enable(const pci_dev* d);  // decoding and bus mastering
// Offset of the first capability with this id after `after` (0: from the start); 0: none.
u32 pci_find_capability(const pci_dev* d, u8 id, u32 after = 0);
struct pci_bar {
  u64 address;  // 0: not there
  bool is_io;
};
pci_bar pci_read_bar(const pci_dev* d, u32 index);
u32 pci_msix_count(const pci_dev* d);  // entries of the MSI-X table that can be used, 0: none
int pci_request_msix(const pci_dev* d, u32 entry, u32 cpu, irq_handler_t handler, const char* name, void* device);
// One interrupt for the whole function: MSI-X entry 0 if there is one, else the line. *uses_msix says which.
int pci_request_irq(const pci_dev* d, irq_handler_t handler, const char* name, void* device, bool* uses_msix);

}  // namespace xm::os
