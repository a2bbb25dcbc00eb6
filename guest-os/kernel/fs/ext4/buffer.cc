// SPDX-License-Identifier: GPL-2.0-or-later
// The cache of metadata blocks: a hash by block number and a list of those that nobody uses.
#include "kernel/fs/ext4/buffer.h"

#include "abi/errno.h"
#include "kernel/lib/string.h"
#include "kernel/mm/slab.h"

namespace xm::os {
namespace {

ext4_buffer*& bucket(ext4_buffer_cache& cache, u64 block) {
  return cache.buckets[block * 0x9e3779b97f4a7c15ul >> 40 & (ext4_buffer_cache::kBuckets - 1)];
}

bool may_leave(const ext4_buffer* b) { return b->refs == 0 && b->dirty.empty() && b->committed == nullptr; }

}  // namespace

int buffer_cache_init(ext4_buffer_cache& cache, u32 block_size) {
  cache.block_size = block_size;
  cache.buckets = static_cast<ext4_buffer**>(kzalloc(sizeof(ext4_buffer*) * ext4_buffer_cache::kBuckets));
  return cache.buckets == nullptr ? -ENOMEM : 0;
}

void buffer_cache_destroy(ext4_buffer_cache& cache) {
  if (cache.buckets == nullptr) return;
  for (u32 i = 0; i < ext4_buffer_cache::kBuckets; ++i) {
    while (ext4_buffer* b = cache.buckets[i]) {
      if (!b->dirty.empty()) list_del(&b->dirty);
      buffer_drop(cache, b);
    }
  }
  kfree(cache.buckets);
  cache.buckets = nullptr;
}

ext4_buffer* buffer_find(ext4_buffer_cache& cache, u64 block) {
  for (ext4_buffer* b = bucket(cache, block); b != nullptr; b = b->hash_next) {
    if (b->block != block) continue;
    if (b->refs++ == 0 && !b->lru.empty()) list_del(&b->lru);
    return b;
  }
  return nullptr;
}

ext4_buffer* buffer_create(ext4_buffer_cache& cache, u64 block) {
  if (cache.count >= cache.limit) buffer_shrink(cache, 16);
  void* memory = kmalloc(sizeof(ext4_buffer), GFP_NOFS);
  u8* data = static_cast<u8*>(kmalloc(cache.block_size, GFP_NOFS));
  if (memory == nullptr || data == nullptr) {
    kfree(memory);
    kfree(data);
    return nullptr;
  }
  ext4_buffer* b = new (memory) ext4_buffer;
  b->block = block;
  b->data = data;
  b->refs = 1;
  ext4_buffer*& head = bucket(cache, block);
  b->hash_next = head;
  head = b;
  ++cache.count;
  return b;
}

void buffer_put(ext4_buffer_cache& cache, ext4_buffer* b) {
  if (--b->refs == 0 && may_leave(b)) list_add_tail(&b->lru, &cache.lru);
}

void buffer_drop(ext4_buffer_cache& cache, ext4_buffer* b) {
  for (ext4_buffer** at = &bucket(cache, b->block); *at != nullptr; at = &(*at)->hash_next) {
    if (*at != b) continue;
    *at = b->hash_next;
    break;
  }
  if (!b->lru.empty()) list_del(&b->lru);
  if (!b->checkpoint.empty()) {
    list_del(&b->checkpoint);
    --cache.checkpoints;
  }
  kfree(b->committed);
  kfree(b->data);
  kfree(b);
  --cache.count;
}

u32 buffer_shrink(ext4_buffer_cache& cache, u32 count) {
  u32 freed = 0;
  while (freed < count) {
    ext4_buffer* b = list_first<&ext4_buffer::lru>(&cache.lru);
    if (b == nullptr) break;
    if (may_leave(b)) {
      buffer_drop(cache, b);
      ++freed;
    } else {
      list_del(&b->lru);
    }
  }
  return freed;
}

}  // namespace xm::os
