// SPDX-License-Identifier: GPL-2.0-or-later
// Disks and partitions in /sys: class "block", /sys/block, and the files that lsblk, fdisk and udev read. [Linux
// Documentation/ABI/stable/sysfs-block]
#include "kernel/block/block.h"
#include "kernel/drivers/base/device.h"
#include "kernel/lib/format.h"
#include "kernel/mm/slab.h"

namespace xm::os {
namespace {

block_device* bdev_of(device* d) { return static_cast<block_device*>(d->driver_data); }
request_queue& queue_of(device* d) { return bdev_of(d)->disk->queue; }

void show_stat(TextBuffer& out, device* d) { blk_show_stat(out, bdev_of(d)); }
void show_scheduler(TextBuffer& out, device* d) {
  out.print(queue_of(d).deadline ? "[mq-deadline] none\n" : "[none] mq-deadline\n");
}
int store_scheduler(const char* text, size_t n, device* d) {
  const bool none = n >= 4 && strncmp(text, "none", 4) == 0,
             deadline = n >= 11 && strncmp(text, "mq-deadline", 11) == 0;
  if (!none && !deadline) return -EINVAL;
  queue_of(d).deadline = deadline;
  return 0;
}

constexpr device_attribute kCommon[] = {
    {"size", 0444, [](TextBuffer& o, device* d) { o.print("%lu\n", bdev_of(d)->sectors); }},
    {"ro", 0444, [](TextBuffer& o, device* d) { o.print("%d\n", bdev_of(d)->disk->read_only ? 1 : 0); }},
    {"alignment_offset", 0444, [](TextBuffer& o, device*) { o.print("0\n"); }},
    {"stat", 0444, show_stat},
    {"inflight", 0444, [](TextBuffer& o, device* d) { o.print("%8u %8u\n", bdev_of(d)->in_flight, 0); }}};
constexpr device_attribute kPartition[] = {
    {"partition", 0444,
     [](TextBuffer& o, device* d) { o.print("%ld\n", static_cast<long>(bdev_of(d) - bdev_of(d)->disk->parts)); }},
    {"start", 0444, [](TextBuffer& o, device* d) { o.print("%lu\n", bdev_of(d)->start); }}};
constexpr device_attribute kDisk[] = {
    {"range", 0444,
     [](TextBuffer& o, device* d) { o.print("%u\n", bdev_of(d)->disk->partitioned ? kMaxPartitions : 1); }},
    {"ext_range", 0444, [](TextBuffer& o, device* d) { o.print("%u\n", bdev_of(d)->disk->partitioned ? 256 : 1); }},
    {"removable", 0444, [](TextBuffer& o, device* d) { o.print("%d\n", bdev_of(d)->disk->partitioned ? 0 : 1); }},
    {"hidden", 0444, [](TextBuffer& o, device*) { o.print("0\n"); }},
    {"capability", 0444, [](TextBuffer& o, device*) { o.print("50\n"); }},
    {"queue/logical_block_size", 0444, [](TextBuffer& o, device*) { o.print("512\n"); }},
    {"queue/physical_block_size", 0444, [](TextBuffer& o, device*) { o.print("512\n"); }},
    {"queue/hw_sector_size", 0444, [](TextBuffer& o, device*) { o.print("512\n"); }},
    {"queue/minimum_io_size", 0444, [](TextBuffer& o, device*) { o.print("512\n"); }},
    {"queue/optimal_io_size", 0444, [](TextBuffer& o, device*) { o.print("0\n"); }},
    {"queue/discard_granularity", 0444, [](TextBuffer& o, device*) { o.print("0\n"); }},
    {"queue/discard_max_bytes", 0444, [](TextBuffer& o, device*) { o.print("0\n"); }},
    {"queue/rotational", 0444, [](TextBuffer& o, device*) { o.print("1\n"); }},
    {"queue/read_ahead_kb", 0444, [](TextBuffer& o, device*) { o.print("128\n"); }},
    {"queue/nr_requests", 0444, [](TextBuffer& o, device*) { o.print("%u\n", kQueueDepth); }},
    {"queue/max_sectors_kb", 0444, [](TextBuffer& o, device*) { o.print("%u\n", kMaxMergedSectors / 2); }},
    {"queue/max_segments", 0444, [](TextBuffer& o, device* d) { o.print("%u\n", queue_of(d).max_segments); }},
    {"queue/scheduler", 0644, show_scheduler, store_scheduler},
    {"queue/write_cache", 0444,
     [](TextBuffer& o, device* d) { o.print("%s\n", bdev_of(d)->disk->has_flush ? "write back" : "write through"); }}};

void add_keys(TextBuffer& out, const device* d) {
  const block_device* b = static_cast<const block_device*>(d->driver_data);
  const bool whole = b == &b->disk->parts[0];
  out.print("DEVTYPE=%s%c", whole ? "disk" : "partition", 0);
  if (!whole) out.print("PARTN=%ld%c", static_cast<long>(b - b->disk->parts), 0);
}

}  // namespace

void blk_register_device(block_device* b, device* parent) {
  const bool whole = b == &b->disk->parts[0];
  device* d = knew<device>();
  if (d == nullptr) return;
  copy_string(d->name, b->name, sizeof d->name);
  d->cls = &block_class;
  d->is_block = true;
  d->number = b->number;
  d->parent = whole ? parent : b->disk->parts[0].dev;
  d->driver_data = b;
  d->uevent = add_keys;
  d->attributes = kCommon;
  d->attribute_count = array_size(kCommon);
  b->dev = d;
  device_register(d);
  if (whole) {
    for (const device_attribute& a : kDisk) device_file(d, &a);
    char where[40], target[kDevicePath + 8];
    format(where, sizeof where, "block/%s", d->name);
    format(target, sizeof target, "../%s", d->path);
    if (const char* copy = kstrdup(target)) proc_symlink(&sysfs_root, where, copy);
  } else {
    for (const device_attribute& a : kPartition) device_file(d, &a);
  }
}

void blk_unregister_device(block_device* b) {
  if (b->dev == nullptr) return;
  device_unregister(b->dev);
  kdelete(b->dev);
  b->dev = nullptr;
}

}  // namespace xm::os
