// SPDX-License-Identifier: GPL-2.0-or-later
// virtio devices on PCI and their split virtqueues, for drivers. [VIRTIO 1.1: 2.6, 4.1]
#pragma once

#include "kernel/drivers/pci.h"
#include "kernel/lib/spinlock.h"

namespace xm::os {

constexpr u8 VIRTIO_ACKNOWLEDGE = 1, VIRTIO_DRIVER = 2, VIRTIO_DRIVER_OK = 4, VIRTIO_FEATURES_OK = 8,
             VIRTIO_FAILED = 128;
constexpr u64 VIRTIO_F_ANY_LAYOUT = 1ul << 27, VIRTIO_F_EVENT_IDX = 1ul << 29, VIRTIO_F_VERSION_1 = 1ul << 32;
constexpr u16 kVirtioNoVector = 0xffff;
constexpr u16 VRING_DESC_F_NEXT = 1, VRING_DESC_F_WRITE = 2;

struct vring_desc {
  u64 address;
  u32 length;
  u16 flags, next;
};
struct vring_used_elem {
  u32 id, length;
};

struct virtio_segment {
  phys_addr_t address;
  u32 length;
  bool device_writes;
};

// The driver serialises the calls on one queue.
struct virtqueue {
  u16 index = 0, size = 0, free_count = 0, free_head = 0, last_used = 0;
  vring_desc* desc = nullptr;
  volatile u16* avail = nullptr;  // flags, idx, ring[]
  volatile u16* used = nullptr;   // flags, idx, then the elements
  volatile u16* notify = nullptr;
  u16 notify_port = 0;
  bool event = false;       // VIRTIO_F_EVENT_IDX: both sides say at which index they want to hear of
  u16 kicked = 0;           // avail index at the last kick
  void** tokens = nullptr;  // by first descriptor
};

struct virtio_device {
  pci_dev* pci = nullptr;
  bool legacy = false;
  bool msix = false;
  u16 port = 0;                   // legacy registers
  volatile u8* common = nullptr;  // modern ones
  volatile u8* isr = nullptr;
  volatile u8* config = nullptr;
  volatile u8* notify_base = nullptr;
  u32 notify_multiplier = 0;
  u64 features = 0;
};

// The virtio bus: one node below each virtio function of PCI. [VIRTIO 5]
constexpr u32 VIRTIO_ID_NET = 1, VIRTIO_ID_BLOCK = 2, VIRTIO_ID_CONSOLE = 3, VIRTIO_ID_RNG = 4, VIRTIO_ID_BALLOON = 5,
              VIRTIO_ID_INPUT = 18;
struct virtio_node {
  device dev;
  pci_dev* pci;
  u32 id;
};
extern bus_type virtio_bus;
struct virtio_driver : device_driver {
  constexpr virtio_driver(const char* n, u32 i, int (*p)(virtio_node*))
      : device_driver{n, &virtio_bus, nullptr}, id(i), probe_virtio(p) {}
  u32 id;
  int (*probe_virtio)(virtio_node*);
};
void virtio_register_driver(virtio_driver* driver);

// Finds the registers, resets the device, agrees on features (offered and in `wanted`). 0 or an error.
int virtio_open(virtio_device* v, pci_dev* pci, u64 wanted);
int virtio_request_irq(virtio_device* v, irq_handler_t handler, const char* name, void* device);
// MSI-X entries of the driver's own for queues (virtio_setup_queue's `vector`) and for changes of the configuration.
int virtio_request_vector(virtio_device* v, u16 vector, u32 cpu, irq_handler_t handler, const char* name, void* device);
void virtio_config_vector(virtio_device* v, u16 vector);
int virtio_setup_queue(virtio_device* v, virtqueue* q, u16 index, u16 limit, u16 vector = 0);
void virtio_ready(virtio_device* v);
u8 virtio_read_isr(virtio_device* v);
u32 virtio_config32(virtio_device* v, u32 offset);
u8 virtio_config8(virtio_device* v, u32 offset);

bool virtqueue_add(virtqueue* q, const virtio_segment* segments, u32 count, void* token);  // false: no room
void virtqueue_kick(virtio_device* v, virtqueue* q);
void* virtqueue_take(virtqueue* q, u32* length);  // a finished token, or null

bool virtqueue_pending(const virtqueue* q);  // finished tokens wait
// Interrupts of the queue off, a hint only; and on again. false: something finished meanwhile.
void virtqueue_disable_cb(virtqueue* q);
bool virtqueue_enable_cb(virtqueue* q);
bool virtqueue_enable_cb_delayed(virtqueue* q);  // only when most of what is under way has finished

}  // namespace xm::os
