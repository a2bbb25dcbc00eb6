// SPDX-License-Identifier: GPL-2.0-or-later
// bios and the request queue: merging of neighbours and completion in the block softirq; deadline.cc chooses the order.
// A queue has a fixed number of requests; who finds none sleeps.
#include "kernel/block/block.h"
#include "kernel/init/initcall.h"
#include "kernel/mm/slab.h"
#include "kernel/sched/softirq.h"

namespace xm::os {
namespace {

constinit spinlock_t done_lock{LockRank::None};
constinit list_head done_requests{};

u64 bio_bytes(const bio* b) {
  u64 n = 0;
  for (u32 i = 0; i < b->vec_count; ++i) n += b->vecs[i].length;
  return n;
}

bool mergeable(const request* r, const bio* b, u64 sectors, const request_queue& q) {
  return r->op == b->op && (b->op == BioOp::Read || b->op == BioOp::Write) && r->flags == b->flags &&
         r->at == r->first && r->at_vec == 0 && r->segments + b->vec_count <= q.max_segments &&
         r->sectors + sectors <= kMaxMergedSectors;
}

bool try_merge(request_queue& q, bio* b, u64 sectors) {
  for (request* r : entries<&request::link>(q.waiting)) {
    if (!mergeable(r, b, sectors, q)) continue;
    if (r->sector + r->sectors == b->sector) {
      r->last->next = b;
      r->last = b;
    } else if (b->sector + sectors == r->sector) {
      b->next = r->first;
      r->first = r->at = b;
      r->sector = r->at_sector = b->sector;
    } else {
      continue;
    }
    r->sectors += sectors;
    r->segments += b->vec_count;
    return true;
  }
  return false;
}

void fill_request(request* r, bio* b, u64 sectors) {
  r->op = b->op;
  r->flags = b->flags;
  r->sector = r->at_sector = b->sector;
  r->sectors = sectors;
  r->segments = b->vec_count;
  r->first = r->last = r->at = b;
  r->at_vec = 0;
  r->error = 0;
}

// Merges the bio or makes a request of it; false: no request is free.
bool enqueue(gendisk* disk, block_device* part, bio* b, u64 sectors) {
  request_queue& q = disk->queue;
  IrqGuard guard(q.lock);
  const bool merged = try_merge(q, b, sectors);
  if (!merged) {
    request* r = list_first<&request::link>(&q.free);
    if (r == nullptr) return false;
    list_del(&r->link);
    fill_request(r, b, sectors);
    r->disk = disk;
    r->part = part;
    blk_account_start(r);
    list_add_tail(&r->link, &q.waiting);
  }
  blk_account_bio(part, b->op, sectors, merged);
  disk->ops->start(disk);
  return true;
}

void finish_bios(request* r) {
  for (bio* b = r->first; b != nullptr;) {
    bio* following = b->next;
    b->next = nullptr;
    b->error = r->error;
    b->end_io(b);
    b = following;
  }
}

// The block softirq: tells the submitters and gives the requests back.
void complete_requests() {
  for (;;) {
    request* r;
    {
      IrqGuard guard(done_lock);
      r = list_first<&request::link>(&done_requests);
      if (r == nullptr) return;
      list_del(&r->link);
    }
    finish_bios(r);
    request_queue& q = r->disk->queue;
    {
      IrqGuard guard(q.lock);
      blk_account_end(r);
      list_add_tail(&r->link, &q.free);
    }
    wake_up(q.free_wait);
  }
}

void block_init() { open_softirq(BLOCK_SOFTIRQ, complete_requests); }
BUS_INITCALL(block_init);

void fail_bio(bio* b, int error) {
  b->error = error;
  b->end_io(b);
}

// Sleepers of submit_bio_wait share one queue: the waker must not touch the sleeper's stack after the flag is set.
constinit wait_queue_head sync_wait{};
void wake_submitter(bio* b) {
  static_cast<Atomic<u32>*>(b->private_data)->store(1);
  wake_up_all(sync_wait);
}

}  // namespace

bio* bio_alloc(gfp_t gfp) {
  void* memory = kmalloc(sizeof(bio), gfp);
  return memory == nullptr ? nullptr : new (memory) bio{};
}
void bio_free(bio* b) { kfree(b); }

bool bio_add_page(bio* b, page* p, u32 length, u32 offset) {
  if (b->vec_count == array_size(b->vecs)) return false;
  b->vecs[b->vec_count++] = {p, offset, length};
  return true;
}

void submit_bio(bio* b) {
  block_device* part = b->bdev;
  gendisk* disk = part->disk;
  const u64 sectors = bio_bytes(b) / 512;
  if (b->sector > part->sectors || sectors > part->sectors - b->sector) return fail_bio(b, -EIO);
  if (b->op != BioOp::Read && disk->read_only) return fail_bio(b, -EROFS);
  if (b->op == BioOp::Flush && !disk->has_flush) return fail_bio(b, 0);
  if (b->op == BioOp::Discard || b->op == BioOp::WriteZeroes) return fail_bio(b, -EOPNOTSUPP);
  if (b->op != BioOp::Flush && sectors == 0) return fail_bio(b, 0);
  b->sector += part->start;
  b->next = nullptr;
  wait_event(disk->queue.free_wait, [&] { return enqueue(disk, part, b, sectors); });
}

int submit_bio_wait(bio* b) {
  Atomic<u32> done{0};
  b->end_io = wake_submitter;
  b->private_data = &done;
  submit_bio(b);
  wait_event(sync_wait, [&] { return done.load() != 0; });
  return b->error;
}

int blkdev_issue_flush(block_device* bdev) {
  bio* b = bio_alloc(GFP_NOFS);
  if (b == nullptr) return -ENOMEM;
  b->bdev = bdev;
  b->op = BioOp::Flush;
  const int error = submit_bio_wait(b);
  bio_free(b);
  return error;
}

u32 blk_map_request(request* r, request_segment* segments, u32 limit, u64* sector) {
  u32 count = 0;
  *sector = r->at_sector;
  while (r->at != nullptr && count < limit) {
    if (r->at_vec == r->at->vec_count) {
      r->at = r->at->next;
      r->at_vec = 0;
      continue;
    }
    const bio_vec& v = r->at->vecs[r->at_vec++];
    segments[count++] = {page_to_phys(v.page_) + v.offset, v.length};
    r->at_sector += v.length / 512;
  }
  return count;
}

void blk_end_request(request* r, int error) {
  const u64 end = r->sector + r->sectors;
  if (error == 0 && r->op != BioOp::Flush && r->at_sector < end) {
    IrqGuard guard(r->disk->queue.lock);
    list_add(&r->link, &r->disk->queue.waiting);
    return;
  }
  r->error = error;
  {
    IrqGuard guard(done_lock);
    list_add_tail(&r->link, &done_requests);
  }
  raise_softirq(BLOCK_SOFTIRQ);
}

}  // namespace xm::os
