// SPDX-License-Identifier: GPL-2.0-or-later
// virtio over PCI: the modern register layout found through vendor capabilities, else the legacy I/O BAR; split rings
// in one block of pages. [VIRTIO 1.1: 2.6, 4.1] GAP: no packed rings or indirect
// descriptors.
#include "kernel/drivers/virtio.h"

#include "kernel/arch/x86_64/asm.h"
#include "kernel/init/printk.h"
#include "kernel/lib/result.h"
#include "kernel/lib/string.h"
#include "kernel/mm/slab.h"
#include "kernel/mm/vmalloc.h"

namespace xm::os {
namespace {

// Common configuration [VIRTIO 4.1.4.3] and legacy registers [VIRTIO 4.1.4.8].
enum Common : u32 {
  kDeviceFeatureSelect = 0,
  kDeviceFeature = 4,
  kDriverFeatureSelect = 8,
  kDriverFeature = 12,
  kConfigVector = 16,
  kStatus = 20,
  kQueueSelect = 22,
  kQueueSize = 24,
  kQueueVector = 26,
  kQueueEnable = 28,
  kQueueNotifyOff = 30,
  kQueueDesc = 32,
  kQueueDriver = 40,
  kQueueDevice = 48
};
enum Legacy : u16 {
  kLegacyDeviceFeatures = 0,
  kLegacyDriverFeatures = 4,
  kLegacyQueueAddress = 8,
  kLegacyQueueSize = 12,
  kLegacyQueueSelect = 14,
  kLegacyNotify = 16,
  kLegacyStatus = 18,
  kLegacyIsr = 19,
  kLegacyConfigVector = 20,
  kLegacyQueueVector = 22
};

template <class T>
volatile T& reg(volatile u8* base, u32 offset) {
  return *reinterpret_cast<volatile T*>(base + offset);
}

u8 read_status(const virtio_device* v) {
  return v->legacy ? inb(static_cast<u16>(v->port + kLegacyStatus)) : reg<u8>(v->common, kStatus);
}
void write_status(virtio_device* v, u8 s) {
  if (v->legacy) {
    outb(static_cast<u16>(v->port + kLegacyStatus), s);
  } else {
    reg<u8>(v->common, kStatus) = s;
  }
}

volatile u8* map_capability(const pci_dev* d, u32 cap) {
  const pci_bar bar = pci_read_bar(d, pci_read8(d, cap + 4));
  if (bar.address == 0 || bar.is_io) return nullptr;
  return static_cast<volatile u8*>(ioremap(bar.address + pci_read32(d, cap + 8), pci_read32(d, cap + 12)));
}

bool find_modern(virtio_device* v) {
  for (u32 cap = pci_find_capability(v->pci, 9); cap != 0; cap = pci_find_capability(v->pci, 9, cap)) {
    switch (pci_read8(v->pci, cap + 3)) {
      case 1: v->common = map_capability(v->pci, cap); break;
      case 2:
        v->notify_base = map_capability(v->pci, cap);
        v->notify_multiplier = pci_read32(v->pci, cap + 16);
        break;
      case 3: v->isr = map_capability(v->pci, cap); break;
      case 4: v->config = map_capability(v->pci, cap); break;
      default: break;
    }
  }
  return v->common != nullptr && v->notify_base != nullptr && v->isr != nullptr;
}

bool find_legacy(virtio_device* v) {
  const pci_bar bar = pci_read_bar(v->pci, 0);
  if (!bar.is_io || bar.address == 0) return false;
  v->legacy = true;
  v->port = static_cast<u16>(bar.address);
  return true;
}

bool agree_on_features(virtio_device* v, u64 wanted) {
  if (v->legacy) {
    v->features = inl(static_cast<u16>(v->port + kLegacyDeviceFeatures)) & wanted;
    outl(static_cast<u16>(v->port + kLegacyDriverFeatures), static_cast<u32>(v->features));
    return true;
  }
  u64 offered = 0;
  for (u32 half = 0; half < 2; ++half) {
    reg<u32>(v->common, kDeviceFeatureSelect) = half;
    offered |= static_cast<u64>(reg<u32>(v->common, kDeviceFeature)) << half * 32;
  }
  v->features = offered & (wanted | VIRTIO_F_VERSION_1);
  for (u32 half = 0; half < 2; ++half) {
    reg<u32>(v->common, kDriverFeatureSelect) = half;
    reg<u32>(v->common, kDriverFeature) = static_cast<u32>(v->features >> half * 32);
  }
  write_status(v, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER | VIRTIO_FEATURES_OK);
  return (read_status(v) & VIRTIO_FEATURES_OK) != 0;
}

// Lays the three parts out as the legacy interface wants them: the used ring on a page of its own.
bool allocate_ring(virtqueue* q) {
  const u64 used_at = page_align(q->size * sizeof(vring_desc) + 6 + q->size * 2ul);
  const u64 total = page_align(used_at + 6 + q->size * sizeof(vring_used_elem));
  u32 order = 0;
  while ((kPageSize << order) < total) ++order;
  page* p = alloc_pages(GFP_KERNEL | GFP_DMA32 | GFP_ZERO, order);
  q->tokens = static_cast<void**>(kzalloc(q->size * sizeof(void*)));
  if (p == nullptr || q->tokens == nullptr) return false;
  u8* base = static_cast<u8*>(page_to_virt(p));
  memset(base, 0, kPageSize << order);
  q->desc = reinterpret_cast<vring_desc*>(base);
  q->avail = reinterpret_cast<volatile u16*>(base + q->size * sizeof(vring_desc));
  q->used = reinterpret_cast<volatile u16*>(base + used_at);
  for (u16 i = 0; i < q->size; ++i) q->desc[i].next = static_cast<u16>(i + 1);
  q->free_count = q->size;
  return true;
}

void write64(volatile u8* base, u32 offset, u64 value) {
  reg<u32>(base, offset) = static_cast<u32>(value);
  reg<u32>(base, offset + 4) = static_cast<u32>(value >> 32);
}

int setup_legacy_queue(virtio_device* v, virtqueue* q, u16 vector) {
  outw(static_cast<u16>(v->port + kLegacyQueueSelect), q->index);
  q->size = inw(static_cast<u16>(v->port + kLegacyQueueSize));
  if (q->size == 0) return -ENODEV;
  if (!allocate_ring(q)) return -ENOMEM;
  outl(static_cast<u16>(v->port + kLegacyQueueAddress), static_cast<u32>(virt_to_phys(q->desc) >> kPageShift));
  if (v->msix) outw(static_cast<u16>(v->port + kLegacyQueueVector), vector);
  q->notify_port = static_cast<u16>(v->port + kLegacyNotify);
  return 0;
}

}  // namespace

int virtio_open(virtio_device* v, pci_dev* pci, u64 wanted) {
  v->pci = pci;
  pci_enable(pci);
  if (!find_modern(v) && !find_legacy(v)) return -ENODEV;
  write_status(v, 0);
  for (u32 spins = 0; read_status(v) != 0; ++spins) {
    if (spins > 1000000) return -EIO;
    cpu_relax();
  }
  write_status(v, VIRTIO_ACKNOWLEDGE);
  write_status(v, VIRTIO_ACKNOWLEDGE | VIRTIO_DRIVER);
  if (agree_on_features(v, wanted)) return 0;
  write_status(v, VIRTIO_FAILED);
  return -ENODEV;
}

int virtio_request_irq(virtio_device* v, irq_handler_t handler, const char* name, void* device) {
  return pci_request_irq(v->pci, handler, name, device, &v->msix);
}

int virtio_request_vector(virtio_device* v, u16 vector, u32 cpu, irq_handler_t handler, const char* name,
                          void* device) {
  TRY_INT(pci_request_msix(v->pci, vector, cpu, handler, name, device));
  v->msix = true;
  return 0;
}

void virtio_config_vector(virtio_device* v, u16 vector) {
  if (v->legacy) {
    outw(static_cast<u16>(v->port + kLegacyConfigVector), vector);
  } else {
    reg<u16>(v->common, kConfigVector) = vector;
  }
}

int virtio_setup_queue(virtio_device* v, virtqueue* q, u16 index, u16 limit, u16 vector) {
  q->index = index;
  q->event = (v->features & VIRTIO_F_EVENT_IDX) != 0;
  if (v->legacy) return setup_legacy_queue(v, q, vector);
  reg<u16>(v->common, kQueueSelect) = index;
  const u16 offered = reg<u16>(v->common, kQueueSize);
  if (offered == 0) return -ENODEV;
  q->size = min(offered, limit);
  reg<u16>(v->common, kQueueSize) = q->size;
  if (!allocate_ring(q)) return -ENOMEM;
  if (v->msix) {
    reg<u16>(v->common, kQueueVector) = vector;
    if (reg<u16>(v->common, kQueueVector) != vector) return -EIO;
  }
  write64(v->common, kQueueDesc, virt_to_phys(q->desc));
  write64(v->common, kQueueDriver, virt_to_phys(const_cast<u16*>(q->avail)));
  write64(v->common, kQueueDevice, virt_to_phys(const_cast<u16*>(q->used)));
  const u32 notify_offset = reg<u16>(v->common, kQueueNotifyOff);
  q->notify = &reg<u16>(v->notify_base, notify_offset * v->notify_multiplier);
  reg<u16>(v->common, kQueueEnable) = 1;
  return 0;
}

void virtio_ready(virtio_device* v) { write_status(v, static_cast<u8>(read_status(v) | VIRTIO_DRIVER_OK)); }

u8 virtio_read_isr(virtio_device* v) { return v->legacy ? inb(static_cast<u16>(v->port + kLegacyIsr)) : *v->isr; }

u32 virtio_config32(virtio_device* v, u32 offset) {
  if (v->legacy) return inl(static_cast<u16>(v->port + (v->msix ? 24 : 20) + offset));
  return v->config == nullptr ? 0 : reg<u32>(v->config, offset);
}

u8 virtio_config8(virtio_device* v, u32 offset) {
  if (v->legacy) return inb(static_cast<u16>(v->port + (v->msix ? 24 : 20) + offset));
  return v->config == nullptr ? 0 : reg<u8>(v->config, offset);
}

bool virtqueue_add(virtqueue* q, const virtio_segment* segments, u32 count, void* token) {
  if (count == 0 || count > q->free_count) return false;
  const u16 head = q->free_head;
  u16 at = head;
  for (u32 i = 0; i < count; ++i) {
    vring_desc& d = q->desc[at];
    d.address = segments[i].address;
    d.length = segments[i].length;
    d.flags = static_cast<u16>((segments[i].device_writes ? VRING_DESC_F_WRITE : 0) |
                               (i + 1 < count ? VRING_DESC_F_NEXT : 0));
    at = d.next;
  }
  q->free_head = at;
  q->free_count = static_cast<u16>(q->free_count - count);
  q->tokens[head] = token;
  const u16 index = q->avail[1];
  q->avail[2 + index % q->size] = head;
  full_barrier();
  q->avail[1] = static_cast<u16>(index + 1);
  return true;
}

void virtqueue_kick(virtio_device* v, virtqueue* q) {
  full_barrier();
  const u16 now = q->avail[1], before = q->kicked;
  q->kicked = now;
  if (q->event) {  // [VIRTIO 2.6.7.2]: the device wants to hear when the index passes avail_event
    const u16 wanted = q->used[2 + q->size * 4];
    if (static_cast<u16>(now - wanted - 1) >= static_cast<u16>(now - before)) return;
  } else if ((q->used[0] & 1) != 0) {
    return;
  }
  if (v->legacy) {
    outw(q->notify_port, q->index);
  } else {
    *q->notify = q->index;
  }
}

void* virtqueue_take(virtqueue* q, u32* length) {
  if (q->used[1] == q->last_used) return nullptr;
  full_barrier();
  const auto* elements = reinterpret_cast<const volatile vring_used_elem*>(q->used + 2);
  const volatile vring_used_elem& e = elements[q->last_used++ % q->size];
  const u32 head = e.id;
  if (length != nullptr) *length = e.length;
  if (head >= q->size || q->tokens[head] == nullptr) return nullptr;  // a broken device
  void* token = q->tokens[head];
  q->tokens[head] = nullptr;
  u16 last = static_cast<u16>(head), count = 1;
  for (; (q->desc[last].flags & VRING_DESC_F_NEXT) != 0; ++count) last = q->desc[last].next;
  q->desc[last].next = q->free_head;
  q->free_head = static_cast<u16>(head);
  q->free_count = static_cast<u16>(q->free_count + count);
  return token;
}

bool virtqueue_pending(const virtqueue* q) { return q->used[1] != q->last_used; }

// With event indexes the index just passed is as good as never.
void virtqueue_disable_cb(virtqueue* q) {
  if (q->event) {
    q->avail[2 + q->size] = static_cast<u16>(q->last_used - 1);
  } else {
    q->avail[0] = 1;
  }
}

namespace {
bool enable_after(virtqueue* q, u16 more) {
  const u16 at = static_cast<u16>(q->last_used + more);
  if (q->event) {
    q->avail[2 + q->size] = at;
  } else {
    q->avail[0] = 0;
  }
  full_barrier();
  return static_cast<u16>(q->used[1] - q->last_used) <= more;
}
}  // namespace
bool virtqueue_enable_cb(virtqueue* q) { return enable_after(q, 0); }
bool virtqueue_enable_cb_delayed(virtqueue* q) {
  return enable_after(q, static_cast<u16>(static_cast<u16>(q->avail[1] - q->last_used) * 3 / 4));
}

}  // namespace xm::os
