// SPDX-License-Identifier: GPL-2.0-or-later
// The dentry cache: names already looked up, present or absent, in a hash by parent and name. Unused ones stay on a
// list, oldest first, until memory is short. dcache_lock protects hash, lists, parents and d_inode; counts above zero
// change without it.
#include "kernel/fs/fs.h"
#include "kernel/fs/namei.h"
#include "kernel/init/printk.h"
#include "kernel/mm/slab.h"

namespace xm::os {
namespace {

constexpr u32 kBuckets = 8192;
constinit dentry* buckets[kBuckets]{};
constinit spinlock_t dcache_lock{LockRank::Dcache};
constinit list_head lru{};
constinit kmem_cache* dentry_cache = nullptr;

u32 hash_name(const dentry* parent, const qstr& name) {
  u64 h = reinterpret_cast<u64>(parent) >> 6;
  for (u32 i = 0; i < name.len; ++i) h = (h + static_cast<u8>(name.name[i])) * 0x9e3779b97f4a7c15ul;
  return static_cast<u32>(h >> 40);
}

void hash_locked(dentry* d) {
  d->d_hash = hash_name(d->d_parent, d->d_name);
  dentry*& head = buckets[d->d_hash % kBuckets];
  d->d_hash_next = head;
  head = d;
  d->d_flags.fetch_or(DCACHE_HASHED);
}

void unhash_locked(dentry* d) {
  if (d_unhashed(d)) return;
  for (dentry** at = &buckets[d->d_hash % kBuckets]; *at != nullptr; at = &(*at)->d_hash_next) {
    if (*at != d) continue;
    *at = d->d_hash_next;
    break;
  }
  d->d_flags.fetch_and(~DCACHE_HASHED);
}

void lru_remove_locked(dentry* d) {
  if ((d->d_flags.fetch_and(~DCACHE_LRU) & DCACHE_LRU) != 0) list_del(&d->d_lru);
}

void free_dentry(dentry* d) {
  if (d->d_name.name != d->d_iname) kfree(d->d_name.name);
  kmem_cache_free(dentry_cache, d);
}

dentry* new_dentry(super_block* sb, dentry* parent, const qstr& name) {
  void* memory = kmem_cache_alloc(dentry_cache, GFP_KERNEL);
  if (memory == nullptr) return nullptr;
  dentry* d = new (memory) dentry{};
  char* text = d->d_iname;
  if (name.len >= kInlineName) text = static_cast<char*>(kmalloc(name.len + 1));
  if (text == nullptr) {
    kmem_cache_free(dentry_cache, d);
    return nullptr;
  }
  memcpy(text, name.name, name.len);
  text[name.len] = 0;
  d->d_name = {text, name.len};
  d->d_sb = sb;
  d->d_parent = parent != nullptr ? parent : d;
  d->d_op = parent != nullptr ? parent->d_op : &default_dentry_ops;
  return d;
}

// Takes an unused dentry out of everything. Returns what must be dropped next: its parent, and its inode through
// `gone`.
dentry* kill_locked(dentry* d, inode** gone) {
  lru_remove_locked(d);
  unhash_locked(d);
  list_del(&d->d_child);
  *gone = d->d_inode;
  d->d_inode = nullptr;
  return d->d_parent == d ? nullptr : d->d_parent;
}

void drop_unused(dentry* d) {
  while (d != nullptr) {
    inode* gone = nullptr;
    dentry* parent = nullptr;
    {
      SpinGuard guard(dcache_lock);
      if (!d->d_count.dec_and_test()) return;
      const bool keep = !d_unhashed(d) && d->d_op->keep(d);
      if (keep) {
        if ((d->d_flags.fetch_or(DCACHE_LRU) & DCACHE_LRU) == 0) {
          list_add_tail(&d->d_lru, &lru);
        } else {
          list_move_tail(&d->d_lru, &lru);
        }
        return;
      }
      parent = kill_locked(d, &gone);
    }
    if (gone != nullptr) iput(gone);
    free_dentry(d);
    d = parent;
  }
}

}  // namespace

void dentry_operations::dname(const dentry* d, char* text, size_t size) const {
  copy_string(text, d->d_name.name, size);
}

void dcache_init() { dentry_cache = kmem_cache_create("dentry", sizeof(dentry), 64); }

dentry* d_alloc(dentry* parent, const qstr& name) {
  dentry* d = new_dentry(parent->d_sb, parent, name);
  if (d == nullptr) return nullptr;
  dget(parent);
  SpinGuard guard(dcache_lock);
  list_add(&d->d_child, &parent->d_subdirs);
  return d;
}

dentry* d_make_root(inode* i) {
  if (i == nullptr) return nullptr;
  dentry* d = new_dentry(i->i_sb, nullptr, {"/", 1});
  if (d == nullptr) {
    iput(i);
    return nullptr;
  }
  d->d_inode = i;
  return d;
}

dentry* d_alloc_pseudo(super_block* sb, const char* name) {
  return new_dentry(sb, nullptr, {name, static_cast<u32>(strlen(name))});
}

void d_instantiate(dentry* d, inode* i) {
  SpinGuard guard(dcache_lock);
  d->d_inode = i;
}

void d_add(dentry* d, inode* i) {
  SpinGuard guard(dcache_lock);
  d->d_inode = i;
  if (d_unhashed(d)) hash_locked(d);
}

void d_drop(dentry* d) {
  SpinGuard guard(dcache_lock);
  unhash_locked(d);
}

void d_delete(dentry* d) {
  inode* gone = nullptr;
  {
    SpinGuard guard(dcache_lock);
    if (d->d_count.load() == 1) {
      gone = d->d_inode;
      d->d_inode = nullptr;
    } else {
      unhash_locked(d);
    }
  }
  if (gone != nullptr) iput(gone);
}

namespace {
void take_name(dentry* d, const dentry* target) {
  char* old_text = d->d_name.name != d->d_iname ? const_cast<char*>(d->d_name.name) : nullptr;
  const qstr name = target->d_name;
  char* text = d->d_iname;
  if (name.len >= kInlineName) text = static_cast<char*>(kmalloc(name.len + 1, GFP_ATOMIC | GFP_NOFAIL));
  memcpy(text, name.name, name.len);
  text[name.len] = 0;
  d->d_name = {text, name.len};
  kfree(old_text);
}
}  // namespace

void d_move(dentry* d, dentry* target) {
  dentry* old_parent;
  {
    SpinGuard guard(dcache_lock);
    unhash_locked(d);
    unhash_locked(target);
    take_name(d, target);
    old_parent = d->d_parent;
    if (old_parent != target->d_parent) {
      list_del(&d->d_child);
      d->d_parent = dget(target->d_parent);
      list_add(&d->d_child, &d->d_parent->d_subdirs);
    } else {
      old_parent = nullptr;
    }
    hash_locked(d);
  }
  if (old_parent != nullptr) dput(old_parent);
}

void d_exchange(dentry* a, dentry* b) {
  SpinGuard guard(dcache_lock);
  unhash_locked(a);
  unhash_locked(b);
  dentry saved{};
  saved.d_name.name = saved.d_iname;
  take_name(&saved, a);
  take_name(a, b);
  take_name(b, &saved);
  if (saved.d_name.name != saved.d_iname) kfree(saved.d_name.name);
  list_del(&a->d_child);
  list_del(&b->d_child);
  swap(a->d_parent, b->d_parent);
  list_add(&a->d_child, &a->d_parent->d_subdirs);
  list_add(&b->d_child, &b->d_parent->d_subdirs);
  hash_locked(a);
  hash_locked(b);
}

dentry* d_lookup(dentry* parent, const qstr& name) {
  const u32 hash = hash_name(parent, name);
  SpinGuard guard(dcache_lock);
  for (dentry* d = buckets[hash % kBuckets]; d != nullptr; d = d->d_hash_next) {
    if (d->d_hash == hash && d->d_parent == parent && d->d_name.equals(name)) {
      d->d_count.inc();
      return d;
    }
  }
  return nullptr;
}

void dput(dentry* d) {
  if (d == nullptr) return;
  s32 n = d->d_count.load();
  while (n > 1) {
    if (d->d_count.compare_exchange(n, n - 1)) return;
    n = d->d_count.load();
  }
  drop_unused(d);
}

namespace {
// Frees the oldest unused dentry (of one super_block, if given) below the scan limit; false when there is none.
bool prune_one(super_block* sb) {
  inode* gone = nullptr;
  dentry* parent = nullptr;
  dentry* victim = nullptr;
  {
    SpinGuard guard(dcache_lock);
    for (dentry* d : entries<&dentry::d_lru>(lru)) {
      if (sb != nullptr && d->d_sb != sb) continue;
      if (d->d_count.load() != 0) {
        lru_remove_locked(d);
        continue;
      }
      victim = d;
      break;
    }
    if (victim == nullptr) return false;
    parent = kill_locked(victim, &gone);
  }
  if (gone != nullptr) iput(gone);
  free_dentry(victim);
  dput(parent);
  return true;
}
}  // namespace

u64 shrink_dcache(u64 count) {
  u64 freed = 0;
  while (freed < count && prune_one(nullptr)) ++freed;
  return freed;
}

void shrink_dcache_sb(super_block* sb) {
  while (prune_one(sb)) {
  }
}

void shrink_dcache_parent(dentry* parent) {
  for (;;) {
    inode* gone = nullptr;
    dentry* victim = nullptr;
    {
      SpinGuard guard(dcache_lock);
      for (dentry* d : entries<&dentry::d_child>(parent->d_subdirs)) {
        if (d->d_count.load() != 0) continue;
        victim = d;
        break;
      }
      if (victim == nullptr) return;
      kill_locked(victim, &gone);
    }
    if (gone != nullptr) iput(gone);
    free_dentry(victim);
    dput(parent);
  }
}

bool is_subdir(const dentry* d, const dentry* ancestor) {
  SpinGuard guard(dcache_lock);
  for (;; d = d->d_parent) {
    if (d == ancestor) return true;
    if (d->d_parent == d) return false;
  }
}

// Lists the children of a directory whose entries all are in the dentry cache (ramfs, devpts). The position counts
// entries.
int dcache_readdir(file* f, dir_context& c) {
  dentry* dir = f->f_path.dentry_;
  if (c.pos == 0) {
    if (!dir_emit(c, ".", 1, dir->d_inode->i_ino, DT_DIR)) return 0;
    ++c.pos;
  }
  if (c.pos == 1) {
    if (!dir_emit(c, "..", 2, dir->d_parent->d_inode->i_ino, DT_DIR)) return 0;
    ++c.pos;
  }
  ReadGuard hold(dir->d_inode->i_rwsem);
  for (;;) {
    char name[kNameMax + 1];
    u32 length = 0;
    ino_t ino = 0;
    u8 type = 0;
    {
      SpinGuard guard(dcache_lock);
      loff_t skip = c.pos - 2;
      list_head* at =
          dir->d_subdirs.prev;  // oldest first, so that positions of existing entries are stable while new ones come
      for (; at != &dir->d_subdirs; at = at->prev) {
        const dentry* d = list_entry<&dentry::d_child>(at);
        if (d->d_inode == nullptr || d_unhashed(d) || skip-- > 0) continue;
        length = d->d_name.len;
        memcpy(name, d->d_name.name, length);
        ino = d->d_inode->i_ino;
        type = mode_to_dt(d->d_inode->i_mode);
        break;
      }
    }
    if (length == 0 || !dir_emit(c, name, length, ino, type)) return 0;
    ++c.pos;
  }
}

}  // namespace xm::os
