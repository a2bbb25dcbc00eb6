// SPDX-License-Identifier: GPL-2.0-or-later
// The PCI bus in the driver model: matching of drivers, and the files of /sys/bus/pci/devices that lspci and udev read.
// [Linux Documentation/PCI/sysfs-pci, ABI/testing/sysfs-bus-pci]
#include "kernel/drivers/pci.h"
#include "kernel/init/initcall.h"
#include "kernel/lib/format.h"
#include "kernel/mm/slab.h"

namespace xm::os {
namespace {

pci_dev* pci_of(device* d) { return container_of(d, pci_dev, dev); }
const pci_dev* pci_of(const device* d) { return container_of(const_cast<device*>(d), pci_dev, dev); }

bool match(const device* d, const device_driver* driver) {
  const pci_dev* pci = pci_of(d);
  const pci_driver* p = static_cast<const pci_driver*>(driver);
  for (u32 i = 0; i < p->id_count; ++i) {
    const pci_device_id& id = p->ids[i];
    if ((id.vendor == kPciAny || id.vendor == pci->vendor) && (id.id == kPciAny || id.id == pci->id) &&
        ((pci->class_code ^ id.class_code) & id.class_mask) == 0)
      return true;
  }
  return false;
}

void modalias(TextBuffer& out, const pci_dev* p) {
  out.print("pci:v%08Xd%08Xsv%08Xsd%08Xbc%02Xsc%02Xi%02X", p->vendor, p->id, p->subsystem_vendor, p->subsystem_id,
            p->class_code >> 16, p->class_code >> 8 & 0xff, p->class_code & 0xff);
}
void add_keys(TextBuffer& out, const device* d) {
  const pci_dev* p = pci_of(d);
  out.print("PCI_CLASS=%X%cPCI_ID=%04X:%04X%cPCI_SUBSYS_ID=%04X:%04X%cPCI_SLOT_NAME=%s%cMODALIAS=", p->class_code, 0,
            p->vendor, p->id, 0, p->subsystem_vendor, p->subsystem_id, 0, d->name, 0);
  modalias(out, p);
  out.put(0);
}

// Size by writing ones, with decoding off meanwhile. [PCI 6.2.5.1]
u64 bar_size(const pci_dev* p, u32 index, bool wide) {
  const u32 at = 0x10 + index * 4, low = pci_read32(p, at), high = wide ? pci_read32(p, at + 4) : 0;
  const u16 command = pci_read16(p, 4);
  pci_write16(p, 4, static_cast<u16>(command & ~(PCI_COMMAND_IO | PCI_COMMAND_MEMORY)));
  pci_write32(p, at, ~0u);
  u64 mask = pci_read32(p, at) & ((low & 1) != 0 ? ~3u : ~15u);
  if (wide) {
    pci_write32(p, at + 4, ~0u);
    mask |= static_cast<u64>(pci_read32(p, at + 4)) << 32;
    pci_write32(p, at + 4, high);
  } else {
    mask |= (low & 1) != 0 ? ~0xfffful : ~0xfffffffful;
  }
  pci_write32(p, at, low);
  pci_write16(p, 4, command);
  return mask == 0 ? 0 : ~mask + 1;
}

// Sizes are measured once, before a driver uses the device.
constexpr u32 kBars = 6;
struct Resources {
  u64 start[kBars], size[kBars], flags[kBars];
};
Resources* measure_bars(const pci_dev* p) {
  Resources* r = knew<Resources>();
  if (r == nullptr || (pci_read8(p, 0x0e) & 0x7f) != 0 || p->class_code >> 16 == 6) return r;
  for (u32 i = 0; i < kBars; ++i) {
    const u32 low = pci_read32(p, 0x10 + i * 4);
    const pci_bar bar = pci_read_bar(p, i);
    const bool wide = !bar.is_io && (low & 6) == 4;
    if (bar.address != 0) {
      r->start[i] = bar.address;
      r->size[i] = bar_size(p, i, wide);
      r->flags[i] = bar.is_io ? 0x40101ul : 0x40200ul | ((low & 8) != 0 ? 0x2000ul : 0) | (low & 15);
    }
    if (wide) ++i;
  }
  return r;
}
void show_resource(TextBuffer& out, device* d) {
  const Resources* r = static_cast<Resources*>(d->driver_data);
  for (u32 i = 0; i < 13; ++i) {
    const bool there = r != nullptr && i < kBars && r->size[i] != 0;
    out.print("0x%016lx 0x%016lx 0x%016lx\n", there ? r->start[i] : 0, there ? r->start[i] + r->size[i] - 1 : 0,
              there ? r->flags[i] : 0);
  }
}
void show_config(TextBuffer& out, device* d) {
  for (u32 at = 0; at < 256; at += 4) {
    const u32 v = pci_read32(pci_of(d), at);
    out.append(&v, 4);
  }
}
void show_modalias(TextBuffer& out, device* d) {
  modalias(out, pci_of(d));
  out.put('\n');
}

constexpr device_attribute kAttributes[] = {
    {"vendor", 0444, [](TextBuffer& o, device* d) { o.print("0x%04x\n", pci_of(d)->vendor); }},
    {"device", 0444, [](TextBuffer& o, device* d) { o.print("0x%04x\n", pci_of(d)->id); }},
    {"subsystem_vendor", 0444, [](TextBuffer& o, device* d) { o.print("0x%04x\n", pci_of(d)->subsystem_vendor); }},
    {"subsystem_device", 0444, [](TextBuffer& o, device* d) { o.print("0x%04x\n", pci_of(d)->subsystem_id); }},
    {"class", 0444, [](TextBuffer& o, device* d) { o.print("0x%06x\n", pci_of(d)->class_code); }},
    {"revision", 0444, [](TextBuffer& o, device* d) { o.print("0x%02x\n", pci_read8(pci_of(d), 8)); }},
    {"irq", 0444, [](TextBuffer& o, device* d) { o.print("%u\n", pci_of(d)->interrupt_line); }},
    {"enable", 0444, [](TextBuffer& o, device* d) { o.print("%u\n", pci_read16(pci_of(d), 4) & 3 ? 1u : 0u); }},
    {"resource", 0444, show_resource},
    {"config", 0444, show_config},
    {"modalias", 0444, show_modalias}};

constinit device root_bridge{};

int probe(device* d) { return static_cast<pci_driver*>(d->driver)->probe_pci(pci_of(d)); }

}  // namespace

constinit bus_type pci_bus{"pci", match, add_keys};

void pci_bus_add(pci_dev* p) {
  if (root_bridge.path[0] == 0) {
    copy_string(root_bridge.name, "pci0000:00", sizeof root_bridge.name);
    device_register(&root_bridge);
  }
  format(p->dev.name, sizeof p->dev.name, "0000:%02x:%02x.%u", p->bus, p->device, p->function);
  p->dev.parent = &root_bridge;
  p->dev.bus = &pci_bus;
  p->dev.driver_data = measure_bars(p);
  p->dev.attributes = kAttributes;
  p->dev.attribute_count = array_size(kAttributes);
  device_register(&p->dev);
}

void pci_register_driver(pci_driver* driver) {
  driver->probe = probe;
  driver_register(driver);
}

}  // namespace xm::os
