// SPDX-License-Identifier: GPL-2.0-or-later
// Free objects of a slab are linked through their first word; the slab's state lives in the struct page of its first
// page. Objects above half the largest class come straight from the buddy allocator. Free of hardware: unit-tested on
// the host.
#include "kernel/mm/slab.h"

#include "kernel/lib/string.h"

namespace xm::os {

constinit list_head slab_caches{};

namespace {

constexpr u32 kClasses[] = {16, 32, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 4096, 8192};
kmem_cache kmalloc_caches[array_size(kClasses)];
kmem_cache cache_of_caches;
spinlock_t caches_lock{LockRank::Slab};

void setup_cache(kmem_cache* c, const char* name, u32 size, u32 align) {
  copy_string(c->name, name, sizeof c->name);
  c->object_size = size;
  c->align = max(align, 8u);
  c->size = static_cast<u32>(align_up(max(size, 8u), c->align));
  c->order = 0;
  while (c->order < 3 && (kPageSize << c->order) / c->size < 8) ++c->order;
  c->per_slab = static_cast<u32>((kPageSize << c->order) / c->size);
  SpinGuard guard(caches_lock);
  list_add_tail(&c->caches, &slab_caches);
}

page* new_slab(kmem_cache* c, gfp_t gfp) {
  page* p = alloc_pages(static_cast<gfp_t>(gfp & ~GFP_ZERO), c->order);
  if (p == nullptr) return nullptr;
  char* base = static_cast<char*>(page_to_virt(p));
  void* next = nullptr;
  for (u32 i = c->per_slab; i-- > 0;) {
    void* object = base + i * c->size;
    *static_cast<void**>(object) = next;
    next = object;
  }
  p->set(PG_slab);
  p->slab_cache = c;
  p->freelist = next;
  p->slab_inuse = 0;
  p->slab_objects = c->per_slab;
  count_vm(NR_SLAB, 1l << c->order);
  return p;
}

void release_slab(kmem_cache* c, page* p) {
  p->clear(PG_slab);
  p->mapping = nullptr;
  count_vm(NR_SLAB, -(1l << c->order));
  free_pages(p, c->order);
}

// Fills the magazine of this CPU; interrupts are off.
bool refill(kmem_cache* c, gfp_t gfp, u32 cpu) {
  auto& magazine = c->magazines[cpu];
  for (;;) {
    {
      SpinGuard guard(c->lock);
      while (magazine.count < kMagazineSize / 2) {
        page* slab = list_first<&page::lru>(&c->partial);
        if (slab == nullptr) {
          slab = list_first<&page::lru>(&c->empty);
          if (slab == nullptr) break;
          --c->nr_empty;
          list_move_tail(&slab->lru, &c->partial);
        }
        void* object = slab->freelist;
        slab->freelist = *static_cast<void**>(object);
        ++slab->slab_inuse;
        if (slab->freelist == nullptr) list_del(&slab->lru);
        magazine.objects[magazine.count++] = object;
      }
      if (magazine.count > 0) return true;
    }
    page* slab = new_slab(c, gfp | GFP_ATOMIC);
    if (slab == nullptr) return false;
    SpinGuard guard(c->lock);
    ++c->total_slabs;
    ++c->nr_empty;
    list_add(&slab->lru, &c->empty);
  }
}

void return_object_locked(kmem_cache* c, void* object) {
  page* slab = compound_head(virt_to_page(object));
  const bool was_full = slab->freelist == nullptr;
  *static_cast<void**>(object) = slab->freelist;
  slab->freelist = object;
  if (was_full) list_add(&slab->lru, &c->partial);
  if (--slab->slab_inuse != 0) return;
  list_del(&slab->lru);
  if (c->nr_empty < 2) {
    ++c->nr_empty;
    list_add(&slab->lru, &c->empty);
    return;
  }
  --c->total_slabs;
  release_slab(c, slab);
}

kmem_cache* class_for(size_t size) {
  for (size_t i = 0; i < array_size(kClasses); ++i) {
    if (size <= kClasses[i]) return &kmalloc_caches[i];
  }
  return nullptr;
}

#if __STDC_HOSTED__
u32 smp_processor_id() { return 0; }
#endif

}  // namespace

void kmem_cache_init() {
  setup_cache(&cache_of_caches, "kmem_cache", sizeof(kmem_cache), 64);
  static const char* const names[] = {"kmalloc-16",  "kmalloc-32",   "kmalloc-64",  "kmalloc-96",  "kmalloc-128",
                                      "kmalloc-192", "kmalloc-256",  "kmalloc-384", "kmalloc-512", "kmalloc-768",
                                      "kmalloc-1k",  "kmalloc-1536", "kmalloc-2k",  "kmalloc-4k",  "kmalloc-8k"};
  static_assert(array_size(names) == array_size(kClasses));
  for (size_t i = 0; i < array_size(kClasses); ++i) {
    const u32 size = kClasses[i];
    setup_cache(&kmalloc_caches[i], names[i], size, (size & (size - 1)) == 0 ? size : 16);
  }
}

kmem_cache* kmem_cache_create(const char* name, u32 size, u32 align) {
  void* memory = kmem_cache_alloc(&cache_of_caches, GFP_KERNEL | GFP_ZERO);
  if (memory == nullptr) return nullptr;
  kmem_cache* c = new (memory) kmem_cache{};
  setup_cache(c, name, size, align);
  return c;
}

void* kmem_cache_alloc(kmem_cache* c, gfp_t gfp) {
  void* object = nullptr;
  const bool must = (gfp & GFP_NOFAIL) != 0;
  for (int attempt = 0; attempt < 2 || must; ++attempt) {
    const u64 flags = local_irq_save();
    const u32 cpu = smp_processor_id();
    auto& magazine = c->magazines[cpu];
    if (magazine.count > 0 || refill(c, gfp, cpu)) object = magazine.objects[--magazine.count];
    local_irq_restore(flags);
    if (object != nullptr || (gfp & GFP_ATOMIC) != 0) break;
    // The refill ran with interrupts off and could not wait; a page taken the slow way makes room for the second
    // attempt.
    page* p = alloc_pages(static_cast<gfp_t>(gfp & ~GFP_ZERO), c->order);
    if (p == nullptr && !must) break;
    if (p != nullptr) free_pages(p, c->order);
  }
  if (object == nullptr) return nullptr;
  c->active_objects.inc();
  if ((gfp & GFP_ZERO) != 0) memset(object, 0, c->object_size);
  return object;
}

void kmem_cache_free(kmem_cache* c, void* object) {
  c->active_objects.sub(1);
  const u64 flags = local_irq_save();
  auto& magazine = c->magazines[smp_processor_id()];
  if (magazine.count == kMagazineSize) {
    SpinGuard guard(c->lock);
    while (magazine.count > kMagazineSize / 2) return_object_locked(c, magazine.objects[--magazine.count]);
  }
  magazine.objects[magazine.count++] = object;
  local_irq_restore(flags);
}

void* kmalloc(size_t size, gfp_t gfp) {
  if (kmem_cache* c = class_for(size)) {
    void* object = kmem_cache_alloc(c, static_cast<gfp_t>(gfp & ~GFP_ZERO));
    if (object != nullptr && (gfp & GFP_ZERO) != 0) memset(object, 0, size);
    return object;
  }
  u32 order = 0;
  while ((kPageSize << order) < size) ++order;
  if (order > 10) return nullptr;
  page* p = alloc_pages(gfp, order);
  return p == nullptr ? nullptr : page_to_virt(p);
}

size_t ksize(const void* object) {
  page* p = compound_head(virt_to_page(object));
  if (p->test(PG_slab)) return p->slab_cache->size;
  return kPageSize << (p->test(PG_head) ? p->private_ : 0);
}

void kfree(const void* object) {
  if (object == nullptr) return;
  page* p = compound_head(virt_to_page(object));
  if (p->test(PG_slab)) {
    kmem_cache_free(p->slab_cache, const_cast<void*>(object));
  } else {
    free_pages(p, p->test(PG_head) ? static_cast<u32>(p->private_) : 0);
  }
}

char* kstrndup(const char* s, size_t n, gfp_t gfp) {
  n = strnlen(s, n);
  char* copy = static_cast<char*>(kmalloc(n + 1, gfp));
  if (copy == nullptr) return nullptr;
  memcpy(copy, s, n);
  copy[n] = 0;
  return copy;
}
char* kstrdup(const char* s, gfp_t gfp) { return kstrndup(s, strlen(s), gfp); }

}  // namespace xm::os
