// SPDX-License-Identifier: GPL-2.0-or-later
// Inside the block layer: disks, their partitions, request queues, and what a driver of a disk implements.
// A bio enters by submit_bio, joins a request (merging), waits in the queue in elevator order, goes to the driver, and
// comes back through the block softirq.
#pragma once

#include "kernel/block/partitions.h"
#include "kernel/fs/blockdev.h"
#include "kernel/fs/fs.h"
#include "kernel/lib/text_buffer.h"

namespace xm::os {

struct gendisk;
struct device;

struct block_device;
struct request {
  list_head link;  // of the queue: free, waiting or done
  gendisk* disk = nullptr;
  BioOp op = BioOp::Read;
  u32 flags = 0;
  u64 sector = 0;
  u64 sectors = 0;
  u32 segments = 0;
  bio* first = nullptr;  // chained by bio::next, in order of sectors
  bio* last = nullptr;
  bio* at = nullptr;  // what the driver has not been given yet: bio and piece of it
  u32 at_vec = 0;
  u64 at_sector = 0;
  u64 start_ns = 0;
  block_device* part = nullptr;  // whose statistics it counts in
  int error = 0;
};
struct request_segment {
  phys_addr_t address;
  u32 length;
};

constexpr u32 kQueueDepth = 64;
constexpr u32 kMaxMergedSectors = 1024;
struct request_queue {
  spinlock_t lock{LockRank::None};
  list_head waiting, free;
  wait_queue_head free_wait;
  u64 head_position = 0;  // sector after the last request given to the driver
  bool deadline = true;   // /sys/block/DISK/queue/scheduler
  u32 direction = 0, batch_left = 0, writes_passed = 0;
  u32 max_segments = 32;
  request requests[kQueueDepth];
};

struct block_device {
  u64 read_ahead = 256;  // BLKRASET: kept for those who ask
  gendisk* disk = nullptr;
  dev_t number = 0;
  u64 start = 0, sectors = 0;
  inode* host = nullptr;  // owner of the device's page cache
  device* dev = nullptr;  // in /sys
  char name[20]{};
  // /proc/diskstats; pairs: reads, writes.
  u64 ios[2]{}, sectors_done[2]{}, merges[2]{}, wait_ns[2]{};
  u64 flushes = 0, flush_ns = 0, busy_ns = 0, weighted_ns = 0, stamp = 0;
  u32 in_flight = 0;
  u32 open_count = 0;
};

struct block_device_operations {
  // Called with the queue's lock held: takes requests with blk_next_request as long as the hardware has room.
  virtual void start(gendisk* disk) const = 0;
  virtual void closed(gendisk*) const {}  // the last file of the whole disk is closed
  virtual long ioctl(block_device*, file*, u32 /*command*/, u64 /*argument*/) const { return -ENOTTY; }
};
constexpr u32 kMaxPartitions = 16;  // minors of one disk; 0 is the whole
struct gendisk {
  char name[16]{};
  u32 major = 0, first_minor = 0;
  u64 sectors = 0;
  bool read_only = false;
  bool has_flush = false;   // a volatile write cache that Flush empties
  bool partitioned = true;  // false: its minors are those of whole devices (CD drives)
  u32 signature = 0;        // of the MBR: PARTUUID
  const block_device_operations* ops = nullptr;
  void* driver_data = nullptr;
  request_queue queue;
  block_device parts[kMaxPartitions];
  gendisk* next = nullptr;
};

// --- for drivers ---
int add_disk(gendisk* disk, device* parent = nullptr);  // reads the partition table and makes the nodes in /dev
request* blk_next_request(gendisk* disk);               // queue locked; null: nothing waits. deadline.cc
void blk_account_start(request* r);                     // queue locked
void blk_account_end(request* r);
void blk_account_bio(block_device* part, BioOp op, u64 sectors, bool merged);
void blk_show_stat(TextBuffer& out, const block_device* b);
int blk_rescan(gendisk* disk);  // reads the partition table again; -EBUSY while a partition is used
void set_capacity(gendisk* disk, u64 sectors);
// Up to `limit` pieces of memory that the driver moves next, from at_sector on; advances past them.
u32 blk_map_request(request* r, request_segment* segments, u32 limit, u64* sector);
// The pieces handed out are done. Completes the request, or puts it back to the head of the queue for its rest. Any
// context; the queue must not be locked.
void blk_end_request(request* r, int error);

block_device* find_block_device(const char* name);  // "vda1"
extern gendisk* disks;
void bdev_init(block_device* bdev);
void blk_register_device(block_device* bdev, device* parent);  // sysfs.cc
void blk_unregister_device(block_device* bdev);

}  // namespace xm::os
