// SPDX-License-Identifier: GPL-2.0-or-later
// The virtio bus: the driver virtio-pci takes every virtio function and hangs a node below it, which the driver of its
// kind (block, network, ...) takes. [VIRTIO 4.1.2, 5]
#include "kernel/drivers/virtio.h"
#include "kernel/init/initcall.h"
#include "kernel/lib/format.h"
#include "kernel/mm/slab.h"

namespace xm::os {
namespace {

constexpr u32 kTransitionalFirst = 0x1000, kModernFirst = 0x1040, kModernLast = 0x107f;
constinit u32 next_index = 0;

const virtio_node* node_of(const device* d) { return container_of(const_cast<device*>(d), virtio_node, dev); }

bool match(const device* d, const device_driver* driver) {
  return node_of(d)->id == static_cast<const virtio_driver*>(driver)->id;
}
void add_keys(TextBuffer& out, const device* d) {
  out.print("MODALIAS=virtio:d%08Xv%08X%c", node_of(d)->id, 0x1af4, 0);
}

constexpr device_attribute kAttributes[] = {
    {"device", 0444, [](TextBuffer& o, device* d) { o.print("0x%04x\n", node_of(d)->id); }},
    {"vendor", 0444, [](TextBuffer& o, device* d) { o.print("0x%04x\n", node_of(d)->pci->subsystem_vendor); }},
    {"modalias", 0444, [](TextBuffer& o, device* d) { o.print("virtio:d%08Xv%08X\n", node_of(d)->id, 0x1af4); }}};

int take_function(pci_dev* pci) {
  const bool modern = pci->id >= kModernFirst && pci->id <= kModernLast;
  if (!modern && (pci->id < kTransitionalFirst || pci->id > 0x103f)) return -ENODEV;
  virtio_node* node = knew<virtio_node>();
  if (node == nullptr) return -ENOMEM;
  node->pci = pci;
  node->id = modern ? pci->id - kModernFirst : pci->subsystem_id;
  format(node->dev.name, sizeof node->dev.name, "virtio%u", next_index++);
  node->dev.parent = &pci->dev;
  node->dev.bus = &virtio_bus;
  node->dev.attributes = kAttributes;
  node->dev.attribute_count = array_size(kAttributes);
  device_register(&node->dev);
  return 0;
}

constexpr pci_device_id kIds[] = {{0x1af4, kPciAny, 0, 0}};
constinit pci_driver virtio_pci{"virtio-pci", kIds, array_size(kIds), take_function};

int probe(device* d) { return static_cast<virtio_driver*>(d->driver)->probe_virtio(container_of(d, virtio_node, dev)); }

void virtio_bus_init() { pci_register_driver(&virtio_pci); }
FS_INITCALL(virtio_bus_init);

}  // namespace

constinit bus_type virtio_bus{"virtio", match, add_keys};

void virtio_register_driver(virtio_driver* driver) {
  driver->probe = probe;
  driver_register(driver);
}

}  // namespace xm::os
