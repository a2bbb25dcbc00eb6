// SPDX-License-Identifier: GPL-2.0-or-later
// Blocks of metadata in memory. A buffer that belongs to the running transaction, or whose committed copy has not
// reached its place on the disk yet, stays; others leave when memory is short, oldest first.
#pragma once

#include "kernel/lib/list.h"
#include "kernel/lib/types.h"

namespace xm::os {

// What a block holds decides how its checksum is formed.
enum class ext4_kind : u8 {
  Plain,
  Super,
  Descriptors,
  BlockBitmap,
  InodeBitmap,
  InodeTable,
  Directory,
  Extents,
  Xattr
};

struct ext4_write {
  u64 block;
  const u8* data;
};
// The device under the file system, in blocks of the file system. 0 or negative errno. Calls may sleep.
struct ext4_device {
  virtual int set_block_size(u32 bytes) = 0;
  virtual int read(u64 block, u8* to) = 0;
  virtual int write(const ext4_write* list, u32 count) = 0;  // returns when all are written
  virtual int flush() = 0;                                   // what was written is durable

 protected:
  ~ext4_device() = default;
};

struct ext4_buffer {
  u64 block = 0;
  u8* data = nullptr;
  u8* committed = nullptr;  // the copy of the last commit, until it is written to its place
  ext4_buffer* hash_next = nullptr;
  list_head lru;         // no user: may leave
  list_head dirty;       // in the running transaction
  list_head checkpoint;  // has a committed copy
  u32 refs = 0;
  u32 seed = 0;  // of the checksum: the inode's seed, or the group's number
  ext4_kind kind = ext4_kind::Plain;
  bool checked = false;    // the checksum was right when it was read
  bool forgotten = false;  // the block is free: the committed copy goes with the next commit
};

struct ext4_buffer_cache {
  static constexpr u32 kBuckets = 2048;
  ext4_buffer** buckets = nullptr;
  list_head lru;         // oldest first
  list_head checkpoint;  // buffers with a committed copy, in the order of their first commit
  u32 count = 0, checkpoints = 0;
  u32 limit = 2048;  // buffers kept without need, and committed copies kept before a checkpoint
  u32 block_size = 0;
};
int buffer_cache_init(ext4_buffer_cache& cache, u32 block_size);
void buffer_cache_destroy(ext4_buffer_cache& cache);
ext4_buffer* buffer_find(ext4_buffer_cache& cache, u64 block);    // referenced, or null
ext4_buffer* buffer_create(ext4_buffer_cache& cache, u64 block);  // referenced, not filled; null: no memory
void buffer_put(ext4_buffer_cache& cache, ext4_buffer* b);
void buffer_drop(ext4_buffer_cache& cache, ext4_buffer* b);  // unused, clean: out of the cache
u32 buffer_shrink(ext4_buffer_cache& cache, u32 count);

// Holds a reference.
class ext4_ref {
 public:
  ext4_ref() = default;
  ~ext4_ref() { reset(); }
  ext4_ref(const ext4_ref&) = delete;
  ext4_ref& operator=(const ext4_ref&) = delete;
  void set(ext4_buffer_cache& cache, ext4_buffer* b) {
    reset();
    cache_ = &cache;
    buffer_ = b;
  }
  void reset() {
    if (buffer_ != nullptr) buffer_put(*cache_, buffer_);
    buffer_ = nullptr;
  }
  void take(ext4_ref& other) {
    reset();
    cache_ = other.cache_;
    buffer_ = other.buffer_;
    other.buffer_ = nullptr;
  }
  ext4_buffer* get() const { return buffer_; }
  u8* data() const { return buffer_->data; }

 private:
  ext4_buffer_cache* cache_ = nullptr;
  ext4_buffer* buffer_ = nullptr;
};

}  // namespace xm::os
