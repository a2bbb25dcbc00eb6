// SPDX-License-Identifier: GPL-2.0-or-later
// Inodes in memory: reference counts, the cache by (super_block, number), dirty lists, ownership of new inodes,
// attribute changes.
#include "kernel/fs/fs.h"
#include "kernel/init/printk.h"
#include "kernel/mm/slab.h"
#include "kernel/sched/clock.h"
#include "kernel/sched/sched.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {

constexpr u32 kInodeBuckets = 4096;
constinit list_head inode_hash[kInodeBuckets]{};
constinit spinlock_t inode_hash_lock{LockRank::Inode};
constinit list_head inode_lru{};
constinit Atomic<u64> next_ino{1};
constinit wait_queue_head new_inode_wait{};
constinit kmem_cache* inode_cache = nullptr;

list_head& bucket(const super_block* sb, ino_t ino) {
  return inode_hash[((reinterpret_cast<u64>(sb) >> 6) + ino * 0x9e3779b97f4a7c15ul) >> 20 & (kInodeBuckets - 1)];
}

void destroy(inode* i) {
  i->i_state.fetch_or(I_FREEING);
  {
    SpinGuard guard(i->i_sb->s_inode_lock);
    if (!i->i_sb_list.empty()) list_del(&i->i_sb_list);
    if (!i->i_dirty.empty()) list_del(&i->i_dirty);
  }
  i->i_sb->s_op->evict_inode(i);
  {
    SpinGuard guard(inode_hash_lock);
    if (!i->i_hash.empty()) list_del(&i->i_hash);
  }
  i->i_sb->s_op->free_inode(i);
}

}  // namespace

inode::inode() : i_op(&default_inode_ops), i_fop(&bad_file_ops), i_mapping(&i_data) { i_data.host = this; }

void inode_init() { inode_cache = kmem_cache_create("inode_cache", sizeof(inode), 64); }

inode* super_operations::alloc_inode(super_block*) const {
  void* memory = kmem_cache_alloc(inode_cache, GFP_KERNEL);
  return memory == nullptr ? nullptr : new (memory) inode{};
}
void super_operations::free_inode(inode* i) const { kmem_cache_free(inode_cache, i); }
void super_operations::evict_inode(inode* i) const {
  truncate_inode_pages(&i->i_data, 0);
  clear_inode(i);
}

void clear_inode(inode*) {}

ino_t get_next_ino() { return next_ino.add(1); }

timespec64 current_time() {
  const u64 ns = ktime_get_real();
  return {static_cast<s64>(ns / kNsPerSec), static_cast<s64>(ns % kNsPerSec)};
}

inode* new_inode(super_block* sb) {
  inode* i = sb->s_op->alloc_inode(sb);
  if (i == nullptr) return nullptr;
  i->i_sb = sb;
  i->i_blkbits = sb->s_blocksize_bits;
  SpinGuard guard(sb->s_inode_lock);
  list_add_tail(&i->i_sb_list, &sb->s_inodes);
  return i;
}

void insert_inode_hash(inode* i) {
  SpinGuard guard(inode_hash_lock);
  list_add(&i->i_hash, &bucket(i->i_sb, i->i_ino));
}

Result<inode*> iget_locked(super_block* sb, ino_t ino) {
  inode* fresh = nullptr;
  for (;;) {
    inode* found = nullptr;
    {
      SpinGuard guard(inode_hash_lock);
      for (inode* i : entries<&inode::i_hash>(bucket(sb, ino))) {
        if (i->i_sb == sb && i->i_ino == ino) {
          found = i;
          break;
        }
      }
      if (found != nullptr && (found->i_state.load() & I_FREEING) == 0) {
        if (found->i_count.add(1) == 1 && !found->i_lru.empty()) list_del(&found->i_lru);
      } else if (found == nullptr && fresh != nullptr) {
        fresh->i_ino = ino;
        fresh->i_state.fetch_or(I_NEW);
        list_add(&fresh->i_hash, &bucket(sb, ino));
        return fresh;
      }
    }
    if (found == nullptr) {
      fresh = new_inode(sb);
      if (fresh == nullptr) return Error{ENOMEM};
      continue;
    }
    if ((found->i_state.load() & I_FREEING) != 0) {  // on its way out: wait until it is gone
      sched_yield_current();
      continue;
    }
    wait_event(new_inode_wait, [&] { return (found->i_state.load() & I_NEW) == 0; });
    if (fresh != nullptr) iput(fresh);
    return found;
  }
}

void unlock_new_inode(inode* i) {
  i->i_state.fetch_and(~I_NEW);
  wake_up_all(new_inode_wait);
}

void iget_failed(inode* i) {
  {
    SpinGuard guard(inode_hash_lock);
    if (!i->i_hash.empty()) list_del(&i->i_hash);
  }
  i->i_nlink = 0;
  unlock_new_inode(i);
  iput(i);
}

void iput(inode* i) {
  if (i == nullptr) return;
  for (s32 n = i->i_count.load(); n > 1; n = i->i_count.load()) {
    if (i->i_count.compare_exchange(n, n - 1)) return;
  }
  const bool keep = !i->i_sb->s_op->drop_inode(i);
  {
    SpinGuard guard(inode_hash_lock);
    if (!i->i_count.dec_and_test()) return;
    if (keep && !i->i_hash.empty()) {
      if (i->i_lru.empty()) list_add_tail(&i->i_lru, &inode_lru);
      return;
    }
    if (!i->i_lru.empty()) list_del(&i->i_lru);
    i->i_state.fetch_or(I_FREEING);
  }
  if (i->i_nlink != 0 && (i->i_state.load() & I_DIRTY) != 0) write_inode_now(i, true);
  destroy(i);
}

u64 shrink_icache(u64 count) {
  u64 freed = 0;
  while (freed < count) {
    inode* victim = nullptr;
    {
      SpinGuard guard(inode_hash_lock);
      victim = list_first<&inode::i_lru>(&inode_lru);
      if (victim == nullptr) break;
      list_del(&victim->i_lru);
      if (victim->i_count.load() != 0) continue;
      if ((victim->i_state.load() & I_DIRTY) != 0 || victim->i_data.nr_dirty.load() != 0) {
        list_add_tail(&victim->i_lru, &inode_lru);
        ++freed;  // counts as work, so that the scan ends
        continue;
      }
      victim->i_state.fetch_or(I_FREEING);
    }
    destroy(victim);
    ++freed;
  }
  return freed;
}

void shrink_icache_sb(super_block* sb) {
  for (;;) {
    inode* victim = nullptr;
    {
      SpinGuard guard(inode_hash_lock);
      for (inode* i : entries<&inode::i_lru>(inode_lru)) {
        if (i->i_sb != sb || i->i_count.load() != 0) continue;
        victim = i;
        list_del(&victim->i_lru);
        victim->i_state.fetch_or(I_FREEING);
        break;
      }
    }
    if (victim == nullptr) return;
    destroy(victim);
  }
}

void mark_inode_dirty(inode* i) {
  if ((i->i_state.fetch_or(I_DIRTY) & I_DIRTY) != 0) return;
  SpinGuard guard(i->i_sb->s_inode_lock);
  if (i->i_dirty.empty() && (i->i_state.load() & I_FREEING) == 0) {
    i->i_dirtied_ns = ktime_get();
    list_add_tail(&i->i_dirty, &i->i_sb->s_dirty);
  }
}

int write_inode_now(inode* i, bool wait) {
  int error = 0;
  if (i->i_mapping == &i->i_data && i->i_data.a_ops != nullptr && i->i_data.a_ops->writes_back()) {
    error = filemap_write_and_wait(&i->i_data, 0, (1ll << 62), wait);
  }
  {
    SpinGuard guard(i->i_sb->s_inode_lock);
    i->i_state.fetch_and(~I_DIRTY);
    if (!i->i_dirty.empty()) list_del(&i->i_dirty);
  }
  const int inode_error = i->i_sb->s_op->write_inode(i, wait);
  return error != 0 ? error : inode_error;
}

// In a set-group-id directory nobody makes such a file for a group that is not theirs. Before the umask, which might
// take away the execute bit that makes it dangerous.
umode_t mode_strip_sgid(const inode* dir, umode_t mode) {
  constexpr umode_t kDangerous = S_ISGID | S_IXGRP;
  if (S_ISDIR(mode) || (dir->i_mode & S_ISGID) == 0 || (mode & kDangerous) != kDangerous) return mode;
  return in_group(current_cred(), dir->i_gid) || capable(CAP_FSETID) ? mode : mode & ~S_ISGID;
}

void inode_init_owner(inode* i, const inode* dir, umode_t mode) {
  const cred* c = current_cred();
  i->i_uid = c->fsuid;
  i->i_gid = c->fsgid;
  if (dir != nullptr && (dir->i_mode & S_ISGID) != 0) {
    i->i_gid = dir->i_gid;
    if (S_ISDIR(mode)) mode |= S_ISGID;
  }
  i->i_mode = mode;
  i->i_atime = i->i_mtime = i->i_ctime = i->i_btime = current_time();
}

int generic_permission(inode* i, int mask) {
  const cred* c = current_cred();
  u32 bits = i->i_mode;
  if (c->fsuid == i->i_uid) {
    bits >>= 6;
  } else if (in_group(c, i->i_gid)) {
    bits >>= 3;
  }
  if ((static_cast<u32>(mask) & ~bits & 7) == 0) return 0;
  if (S_ISDIR(i->i_mode)) {
    if ((mask & 2) == 0 && capable(CAP_DAC_READ_SEARCH)) return 0;
    return capable(CAP_DAC_OVERRIDE) ? 0 : -EACCES;
  }
  if ((mask & 7) == 4 && capable(CAP_DAC_READ_SEARCH)) return 0;
  if (((mask & 1) == 0 || (i->i_mode & 0111) != 0) && capable(CAP_DAC_OVERRIDE)) return 0;
  return -EACCES;
}

void generic_fillattr(const inode* i, kstat& s) {
  s.ino = i->i_ino;
  s.dev = i->i_sb->s_dev;
  s.rdev = i->i_rdev;
  s.mode = i->i_mode;
  s.nlink = i->i_nlink;
  s.uid = i->i_uid;
  s.gid = i->i_gid;
  s.size = static_cast<u64>(i->i_size);
  s.blocks = i->i_blocks;
  s.blksize = 1u << i->i_blkbits;
  s.atime = i->i_atime;
  s.mtime = i->i_mtime;
  s.ctime = i->i_ctime;
  s.btime = i->i_btime;
}

// Who may change what. [man 2 chmod], [man 2 chown], [man 2 utimensat]
int inode_change_ok(inode* i, iattr& a) {
  if ((a.valid & ATTR_SIZE) != 0) {
    if (static_cast<u64>(a.size) > current->signal->rlim[RLIMIT_FSIZE].cur && a.size > i->i_size) {
      return -EFBIG;
    }
    if (static_cast<u64>(a.size) > i->i_sb->s_maxbytes) return -EFBIG;
  }
  if ((a.valid & ATTR_SIZE) != 0 && ((a.size < i->i_size && (i->i_seals & F_SEAL_SHRINK) != 0) ||
                                     (a.size > i->i_size && (i->i_seals & F_SEAL_GROW) != 0)))
    return -EPERM;
  if ((a.valid & ATTR_FORCE) != 0) return 0;
  const cred* c = current_cred();
  const bool owner = c->fsuid == i->i_uid;
  if ((a.valid & ATTR_UID) != 0 && (!owner || a.uid != i->i_uid) && !capable(CAP_CHOWN)) return -EPERM;
  if ((a.valid & ATTR_GID) != 0 && (!owner || (!in_group(c, a.gid) && a.gid != i->i_gid)) && !capable(CAP_CHOWN))
    return -EPERM;
  if ((a.valid & ATTR_MODE) != 0) {
    if (!owner && !capable(CAP_FOWNER)) return -EPERM;
    const gid_t gid = (a.valid & ATTR_GID) != 0 ? a.gid : i->i_gid;
    if (!in_group(c, gid) && !capable(CAP_FSETID)) a.mode &= ~S_ISGID;
  }
  if ((a.valid & (ATTR_ATIME_SET | ATTR_MTIME_SET)) != 0 && !owner && !capable(CAP_FOWNER)) return -EPERM;
  return 0;
}

void setattr_copy(inode* i, const iattr& a) {
  if ((a.valid & ATTR_UID) != 0) i->i_uid = a.uid;
  if ((a.valid & ATTR_GID) != 0) i->i_gid = a.gid;
  if ((a.valid & ATTR_ATIME) != 0) i->i_atime = a.atime;
  if ((a.valid & ATTR_MTIME) != 0) i->i_mtime = a.mtime;
  if ((a.valid & ATTR_CTIME) != 0) i->i_ctime = a.ctime;
  if ((a.valid & ATTR_MODE) != 0) i->i_mode = (i->i_mode & S_IFMT) | (a.mode & 07777);
  mark_inode_dirty(i);
}

void touch_atime(file* f) {
  inode* i = f->f_inode;
  if ((f->f_flags & O_NOATIME) != 0 || mnt_read_only(f->f_path.mnt) || (f->f_path.mnt->mnt_flags & MNT_NOATIME) != 0)
    return;
  if (S_ISDIR(i->i_mode) && (f->f_path.mnt->mnt_flags & MNT_NODIRATIME) != 0) return;
  // relatime: only when not newer than the other two, or a day old. [mount(8)]
  const timespec64 now = current_time();
  const auto not_after = [](const timespec64& a, const timespec64& b) {
    return a.tv_sec < b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec <= b.tv_nsec);
  };
  if (!not_after(i->i_atime, i->i_mtime) && !not_after(i->i_atime, i->i_ctime) &&
      now.tv_sec - i->i_atime.tv_sec < 86400)
    return;
  i->i_atime = now;
  mark_inode_dirty(i);
}

}  // namespace xm::os
