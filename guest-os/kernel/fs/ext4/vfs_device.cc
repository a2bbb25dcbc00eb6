// SPDX-License-Identifier: GPL-2.0-or-later
// Metadata to and from the block device: neighbours go in one bio, all of a list are under way at once.
#include "kernel/fs/ext4/vfs.h"

namespace xm::os {
namespace {

// A list of writes on its way. The sleeper's stack holds it: the last finisher touches nothing after `pending`.
struct Batch {
  Atomic<s32> pending{1};
  Atomic<int> error{0};
};
constinit wait_queue_head batch_wait{};

void end_batch_write(bio* b) {
  Batch* batch = static_cast<Batch*>(b->private_data);
  if (b->error != 0) batch->error.store(b->error);
  bio_free(b);
  batch->pending.sub(1);
  wake_up_all(batch_wait);
}

void add_memory(bio* b, const u8* data, u32 length) {
  bio_add_page(b, virt_to_page(data), length, static_cast<u32>(reinterpret_cast<u64>(data) & (kPageSize - 1)));
}

}  // namespace

int ext4_bdev::set_block_size(u32 bytes) {
  unit = bytes;
  return 0;
}

int ext4_bdev::read(u64 block, u8* to) {
  bio* b = bio_alloc(GFP_NOFS | GFP_NOFAIL);
  b->bdev = bdev;
  b->flags = BIO_META;
  b->sector = block * (unit / 512);
  add_memory(b, to, unit);
  const int error = submit_bio_wait(b);
  bio_free(b);
  return error;
}

int ext4_bdev::write(const ext4_write* list, u32 count) {
  Batch batch;
  for (u32 i = 0; i < count;) {
    bio* b = bio_alloc(GFP_NOFS | GFP_NOFAIL);
    b->bdev = bdev;
    b->op = BioOp::Write;
    b->flags = BIO_META;
    b->sector = list[i].block * (unit / 512);
    b->end_io = end_batch_write;
    b->private_data = &batch;
    const u64 first = list[i].block;
    for (u32 n = 0; i < count && list[i].block == first + n && n < array_size(b->vecs); ++n, ++i)
      add_memory(b, list[i].data, unit);
    batch.pending.add(1);
    submit_bio(b);
  }
  batch.pending.sub(1);
  wait_event(batch_wait, [&] { return batch.pending.load() == 0; });
  return batch.error.load();
}

int ext4_bdev::flush() { return barriers ? blkdev_issue_flush(bdev) : 0; }

}  // namespace xm::os
