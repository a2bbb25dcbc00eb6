// SPDX-License-Identifier: GPL-2.0-or-later
// Object caches (kmem_cache) and kmalloc. A slab is a block of pages cut into equal objects; each processor keeps a
// magazine of free ones.
#pragma once

#include "kernel/lib/list.h"
#include "kernel/lib/spinlock.h"
#include "kernel/mm/gfp.h"

namespace xm::os {

constexpr u32 kMagazineSize = 30;

struct kmem_cache {
  char name[32];
  u32 object_size = 0, size = 0, align = 0, order = 0, per_slab = 0;
  u64 total_slabs = 0;
  Atomic<s64> active_objects;
  spinlock_t lock{LockRank::Slab};
  list_head partial;  // slabs with both free and used objects
  list_head empty;
  u32 nr_empty = 0;
  list_head caches;  // all caches, for /proc/slabinfo
  struct {
    u32 count;
    void* objects[kMagazineSize];
  } magazines[kMaxCpus];
};

void kmem_cache_init();  // once, after the buddy allocator is up
kmem_cache* kmem_cache_create(const char* name, u32 size, u32 align);
void* kmem_cache_alloc(kmem_cache* cache, gfp_t gfp);
void kmem_cache_free(kmem_cache* cache, void* object);
extern list_head slab_caches;

void* kmalloc(size_t size, gfp_t gfp = GFP_KERNEL);  // aligned to 16, or to its size for powers of two
inline void* kzalloc(size_t size, gfp_t gfp = GFP_KERNEL) { return kmalloc(size, gfp | GFP_ZERO); }
void kfree(const void* object);
size_t ksize(const void* object);
char* kstrdup(const char* s, gfp_t gfp = GFP_KERNEL);
char* kstrndup(const char* s, size_t n, gfp_t gfp = GFP_KERNEL);

// Objects with constructors; null when memory is short.
template <class T, class... Args>
T* knew(Args&&... args) {
  void* p = kmalloc(sizeof(T));
  return p == nullptr ? nullptr : new (p) T(static_cast<Args&&>(args)...);
}
template <class T>
void kdelete(T* object) {
  if (object == nullptr) return;
  object->~T();
  kfree(object);
}

}  // namespace xm::os
