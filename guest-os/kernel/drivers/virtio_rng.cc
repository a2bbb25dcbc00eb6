// SPDX-License-Identifier: GPL-2.0-or-later
// virtio entropy device: /dev/hwrng, and seed for the random pool. [VIRTIO 5.4]
#include "kernel/drivers/base/device.h"
#include "kernel/drivers/random.h"
#include "kernel/drivers/virtio.h"
#include "kernel/fs/tmpfs.h"
#include "kernel/init/initcall.h"
#include "kernel/mm/slab.h"
#include "kernel/sched/mutex.h"
#include "kernel/sched/sched.h"
#include "kernel/signal/signal.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {

constexpr u32 kChunk = 256;
struct Rng {
  virtio_device virtio;
  virtqueue queue;
  mutex lock;
  spinlock_t queue_lock{LockRank::None};
  wait_queue_head wait;
  u8* buffer = nullptr;
  u32 length = 0;
  bool done = false;
};
constinit Rng* rng = nullptr;

IrqReturn handle_interrupt(u32, void* device) {
  Rng* r = static_cast<Rng*>(device);
  if (!r->virtio.msix && (virtio_read_isr(&r->virtio) & 1) == 0) return IrqReturn::None;
  {
    IrqGuard guard(r->queue_lock);
    u32 length = 0;
    if (virtqueue_take(&r->queue, &length) != nullptr) {
      r->length = min(length, kChunk);
      r->done = true;
    }
  }
  wake_up_all(r->wait);
  return IrqReturn::Handled;
}

// Fills the buffer; the lock is held. Number of bytes, or an error.
long fetch(Rng* r) {
  {
    IrqGuard guard(r->queue_lock);
    r->done = false;
    const virtio_segment segment{virt_to_phys(r->buffer), kChunk, true};
    if (!virtqueue_add(&r->queue, &segment, 1, r)) return -EBUSY;
    virtqueue_kick(&r->virtio, &r->queue);
  }
  wait_event(r->wait, [&] { return read_once(r->done); });
  return r->length;
}

struct HwrngOps final : file_operations {
  ssize_t read_iter(file*, iov_iter& to, loff_t&) const override {
    ssize_t done = 0;
    MutexGuard guard(rng->lock);
    while (to.count() > 0) {
      const long got = fetch(rng);
      if (got <= 0) return done > 0 ? done : (got == 0 ? -EIO : got);
      const u64 n = min<u64>(to.count(), static_cast<u64>(got)), moved = to.copy_to(rng->buffer, n);
      done += static_cast<ssize_t>(moved);
      if (moved < n) return done > 0 ? done : -EFAULT;
      if (signal_pending(current)) break;
    }
    return done;
  }
  ssize_t write_iter(file*, iov_iter&, loff_t&) const override { return -EINVAL; }
};
constinit const HwrngOps hwrng_ops{};

int probe(virtio_node* node) {
  if (rng != nullptr) return -EBUSY;
  Rng* r = knew<Rng>();
  if (r == nullptr) return -ENOMEM;
  r->buffer = static_cast<u8*>(get_free_page(GFP_KERNEL | GFP_ZERO));
  if (r->buffer == nullptr) return -ENOMEM;
  if (const int error = virtio_open(&r->virtio, node->pci, 0); error != 0) return error;
  if (const int error = virtio_request_irq(&r->virtio, handle_interrupt, "virtio-rng", r); error != 0) return error;
  if (const int error = virtio_setup_queue(&r->virtio, &r->queue, 0, 8); error != 0) return error;
  virtio_ready(&r->virtio);
  rng = r;
  const long got = fetch(r);
  if (got > 0) add_entropy(r->buffer, static_cast<size_t>(got));
  constexpr u32 kMiscMajor = 10, kHwrngMinor = 183;
  register_chrdev(kMiscMajor, kHwrngMinor, 1, "hwrng", &hwrng_ops);
  devtmpfs_create("hwrng", S_IFCHR | 0600, make_dev(kMiscMajor, kHwrngMinor));
  device_create(&misc_class, &node->dev, make_dev(kMiscMajor, kHwrngMinor), "hwrng");
  return 0;
}

constinit virtio_driver driver{"virtio_rng", VIRTIO_ID_RNG, probe};
void virtio_rng_init() { virtio_register_driver(&driver); }
DEVICE_INITCALL(virtio_rng_init);

}  // namespace
}  // namespace xm::os
