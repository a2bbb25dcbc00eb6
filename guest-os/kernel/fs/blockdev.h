// SPDX-License-Identifier: GPL-2.0-or-later
// What file systems ask of the block layer. block/ implements it; until a block driver registers, no device exists and
// every call fails.
#pragma once

#include "kernel/lib/result.h"
#include "kernel/mm/gfp.h"

namespace xm::os {

struct block_device;

enum class BioOp : u8 { Read, Write, Flush, Discard, WriteZeroes };
constexpr u32 BIO_FUA = 1, BIO_SYNC = 2, BIO_META = 4, BIO_PREFLUSH = 8;
struct bio_vec {
  page* page_;
  u32 offset, length;  // multiples of 512
};
// One transfer of consecutive sectors. The submitter owns it until end_io is called (from interrupt or softirq
// context), once, with the result.
struct bio {
  block_device* bdev = nullptr;
  BioOp op = BioOp::Read;
  u32 flags = 0;
  u64 sector = 0;  // of 512 bytes, from the start of the device
  u32 vec_count = 0;
  bio_vec vecs[32];
  int error = 0;  // 0 or negative errno
  void (*end_io)(bio*) = nullptr;
  void* private_data = nullptr;
  bio* next = nullptr;  // for the request queue
};
bio* bio_alloc(gfp_t gfp);
void bio_free(bio* b);
bool bio_add_page(bio* b, page* p, u32 length, u32 offset);  // false: full
void submit_bio(bio* b);
int submit_bio_wait(bio* b);  // sleeps; returns the error

Result<block_device*> blkdev_get_by_path(const char* path);
Result<block_device*> blkdev_get(dev_t dev);
dev_t blkdev_number(const block_device* bdev);
u64 blkdev_sectors(const block_device* bdev);
bool blkdev_read_only(const block_device* bdev);
address_space* blkdev_mapping(block_device* bdev);  // the device's own page cache: metadata blocks
int blkdev_issue_flush(block_device* bdev);

}  // namespace xm::os
