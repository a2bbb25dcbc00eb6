// SPDX-License-Identifier: GPL-2.0-or-later
// virtio block device: one queue, requests as header, data, status. [VIRTIO 1.1: 5.2] GAP: no multiqueue, no discard.
#include "kernel/block/block.h"
#include "kernel/drivers/virtio.h"
#include "kernel/init/initcall.h"
#include "kernel/init/printk.h"
#include "kernel/mm/slab.h"

namespace xm::os {
namespace {

constexpr u64 VIRTIO_BLK_F_SEG_MAX = 1 << 2, VIRTIO_BLK_F_RO = 1 << 5, VIRTIO_BLK_F_FLUSH = 1 << 9;
constexpr u32 VIRTIO_BLK_T_IN = 0, VIRTIO_BLK_T_OUT = 1, VIRTIO_BLK_T_FLUSH = 4;
constexpr u32 kVirtblkMajor = 254, kMaxSegments = 62, kMaxSlots = 32;

// One request on its way; the device reads the first 16 bytes and writes the status.
struct Slot {
  u32 type, reserved;
  u64 sector;
  u8 status;
  bool busy;
  request* rq;
};
struct Disk {
  virtio_device virtio;
  virtqueue queue;
  gendisk* disk = nullptr;
  Slot* slots = nullptr;  // a page of the direct map
};
constinit u32 disk_count = 0;

Slot* free_slot(Disk* d) {
  for (u32 i = 0; i < kMaxSlots; ++i) {
    if (!d->slots[i].busy) return &d->slots[i];
  }
  return nullptr;
}

bool send(Disk* d, Slot* slot, request* r) {
  request_segment data[kMaxSegments];
  virtio_segment all[kMaxSegments + 2];
  const u32 limit = min(d->disk->queue.max_segments, static_cast<u32>(d->queue.free_count - 2));
  const u32 count = r->op == BioOp::Flush ? 0 : blk_map_request(r, data, limit, &slot->sector);
  slot->type = r->op == BioOp::Flush ? VIRTIO_BLK_T_FLUSH : r->op == BioOp::Read ? VIRTIO_BLK_T_IN : VIRTIO_BLK_T_OUT;
  if (r->op == BioOp::Flush) slot->sector = 0;
  slot->status = 0xff;
  slot->busy = true;
  slot->rq = r;
  all[0] = {virt_to_phys(slot), 16, false};
  for (u32 i = 0; i < count; ++i) all[1 + i] = {data[i].address, data[i].length, r->op == BioOp::Read};
  all[1 + count] = {virt_to_phys(&slot->status), 1, true};
  return virtqueue_add(&d->queue, all, count + 2, slot);
}

struct VirtblkOps final : block_device_operations {
  void start(gendisk* disk) const override {
    Disk* d = static_cast<Disk*>(disk->driver_data);
    bool sent = false;
    while (d->queue.free_count >= 3) {
      Slot* slot = free_slot(d);
      request* r = slot == nullptr ? nullptr : blk_next_request(disk);
      if (r == nullptr) break;
      BUG_ON(!send(d, slot, r));
      sent = true;
    }
    if (sent) virtqueue_kick(&d->virtio, &d->queue);
  }
};
constinit const VirtblkOps virtblk_ops{};

IrqReturn handle_interrupt(u32, void* device) {
  Disk* d = static_cast<Disk*>(device);
  if (!d->virtio.msix && (virtio_read_isr(&d->virtio) & 1) == 0) return IrqReturn::None;
  for (;;) {
    request* done = nullptr;
    u8 status = 0;
    {
      IrqGuard guard(d->disk->queue.lock);
      if (Slot* slot = static_cast<Slot*>(virtqueue_take(&d->queue, nullptr))) {
        done = slot->rq;
        status = slot->status;
        slot->busy = false;
      }
    }
    if (done == nullptr) break;
    blk_end_request(done, status == 0 ? 0 : -EIO);
  }
  IrqGuard guard(d->disk->queue.lock);
  d->disk->ops->start(d->disk);
  return IrqReturn::Handled;
}

int probe(virtio_node* node) {
  pci_dev* pci = node->pci;
  if (disk_count == 26) return -ENOSPC;
  Disk* d = knew<Disk>();
  gendisk* disk = knew<gendisk>();
  if (d == nullptr || disk == nullptr) return -ENOMEM;
  d->disk = disk;
  d->slots = static_cast<Slot*>(get_free_page(GFP_KERNEL | GFP_ZERO));
  if (d->slots == nullptr ||
      virtio_open(&d->virtio, pci, VIRTIO_BLK_F_SEG_MAX | VIRTIO_BLK_F_RO | VIRTIO_BLK_F_FLUSH) != 0 ||
      virtio_request_irq(&d->virtio, handle_interrupt, "virtio-blk", d) != 0 ||
      virtio_setup_queue(&d->virtio, &d->queue, 0, 128) != 0) {
    printk(KERN_ERR "virtio-blk: device at %02x:%02x does not start\n", pci->bus, pci->device);
    return -EIO;
  }
  const u64 features = d->virtio.features;
  const u32 segments = (features & VIRTIO_BLK_F_SEG_MAX) != 0 ? virtio_config32(&d->virtio, 12) : 1;
  disk->queue.max_segments = clamp<u32>(segments, 1, min<u32>(kMaxSegments, d->queue.size - 2u));
  disk->sectors = virtio_config32(&d->virtio, 0) | static_cast<u64>(virtio_config32(&d->virtio, 4)) << 32;
  disk->read_only = (features & VIRTIO_BLK_F_RO) != 0;
  disk->has_flush = (features & VIRTIO_BLK_F_FLUSH) != 0;
  disk->major = kVirtblkMajor;
  disk->first_minor = disk_count * kMaxPartitions;
  disk->ops = &virtblk_ops;
  disk->driver_data = d;
  copy_string(disk->name, "vda", sizeof disk->name);
  disk->name[2] = static_cast<char>('a' + disk_count++);
  virtio_ready(&d->virtio);
  return add_disk(disk, &node->dev);
}

constinit virtio_driver virtblk_driver{"virtio_blk", VIRTIO_ID_BLOCK, probe};
void virtblk_init() { virtio_register_driver(&virtblk_driver); }
DEVICE_INITCALL(virtblk_init);

}  // namespace
}  // namespace xm::os
