// SPDX-License-Identifier: GPL-2.0-or-later
// Super blocks, the list of file system types, and the mount tree. A mount hangs on a dentry of its parent mount;
// mount_lock protects the tree. Each mount namespace has a tree of its own. GAP: propagation types are accepted and
// have no effect.
#include "kernel/fs/blockdev.h"
#include "kernel/fs/ext4/chunk_list.h"
#include "kernel/fs/file_table.h"
#include "kernel/fs/fs.h"
#include "kernel/fs/mount.h"
#include "kernel/fs/namei.h"
#include "kernel/fs/tmpfs.h"
#include "kernel/mm/slab.h"
#include "kernel/sched/clock.h"
#include "kernel/task/task_struct.h"

namespace xm::os {

constinit file_system_type* file_systems = nullptr;
constinit list_head super_blocks{};
constinit list_head mount_list{};
constinit vfsmount* root_mount = nullptr;
constinit mnt_namespace init_mnt_ns{};

namespace {

constinit spinlock_t mount_lock{LockRank::Dcache};
constinit spinlock_t sb_lock{LockRank::Inode};
constinit u32 next_mount_id = 15;
constinit Atomic<u32> next_anonymous_dev{1};

vfsmount* mount_on(const vfsmount* parent, const dentry* at) {
  vfsmount* top = nullptr;
  for (vfsmount* m : entries<&vfsmount::mnt_list>(mount_list)) {
    if (m->attached && m->mnt_parent == parent && m->mnt_mountpoint == at && m != parent) top = m;
  }
  return top;
}

// Somebody has a file open for writing, or one that is deleted when it is closed.
bool has_writers(super_block* sb) {
  SpinGuard guard(sb->s_inode_lock);
  for (const inode* i : entries<&inode::i_sb_list>(sb->s_inodes)) {
    if (S_ISREG(i->i_mode) && (i->i_writecount.load() > 0 || i->i_nlink == 0)) return true;
  }
  return false;
}

// In whatever namespace.
bool is_mountpoint(const dentry* d) {
  for (const vfsmount* m : entries<&vfsmount::mnt_list>(mount_list)) {
    if (m->attached && m->mnt_mountpoint == d && m->mnt_parent != m) return true;
  }
  return false;
}

bool has_children(const vfsmount* m) {
  for (vfsmount* c : entries<&vfsmount::mnt_list>(mount_list)) {
    if (c != m && c->attached && c->mnt_parent == m) return true;
  }
  return false;
}

}  // namespace

vfsmount* new_mount(super_block* sb, dentry* root, const char* source) {
  vfsmount* m = knew<vfsmount>();
  if (m == nullptr) return nullptr;
  m->mnt_sb = sb;
  m->mnt_root = dget(root);
  m->mnt_parent = m;
  m->mnt_mountpoint = root;
  m->mnt_devname = kstrdup(source != nullptr && source[0] != 0 ? source : "none");
  SpinGuard guard(mount_lock);
  m->mnt_id = next_mount_id++;
  return m;
}

void attach_mount(vfsmount* m, const path& at) {
  path_get(at);
  SpinGuard guard(mount_lock);
  m->mnt_parent = at.mnt;
  m->mnt_mountpoint = at.dentry_;
  at.dentry_->d_flags.fetch_or(DCACHE_MOUNTED);
  m->mnt_ns = at.mnt->mnt_ns;
  m->attached = true;
  list_add_tail(&m->mnt_list, &mount_list);
}

bool mount_attached(const vfsmount* m) { return m->attached; }

u32 mount_flags_of(u64 flags) {
  u32 f = MNT_RELATIME;
  if ((flags & MS_NOSUID) != 0) f |= MNT_NOSUID;
  if ((flags & MS_NODEV) != 0) f |= MNT_NODEV;
  if ((flags & MS_NOEXEC) != 0) f |= MNT_NOEXEC;
  if ((flags & MS_NOATIME) != 0) f = (f | MNT_NOATIME) & ~MNT_RELATIME;
  if ((flags & MS_NODIRATIME) != 0) f |= MNT_NODIRATIME;
  if ((flags & MS_STRICTATIME) != 0) f &= ~(MNT_RELATIME | MNT_NOATIME);
  if ((flags & MS_RDONLY) != 0) f |= MNT_READONLY;
  if ((flags & MS_NOSYMFOLLOW) != 0) f |= MNT_NOSYMFOLLOW;
  return f;
}

long remount_super(const path& at, u64 flags, const char* data) {
  if (at.dentry_ != at.mnt->mnt_root) return -EINVAL;
  super_block* sb = at.mnt->mnt_sb;
  const bool whole = (flags & MS_BIND) == 0;
  if (whole && (flags & MS_RDONLY) != 0 && (sb->s_flags & MS_RDONLY) == 0 && has_writers(sb)) return -EBUSY;
  at.mnt->mnt_flags = mount_flags_of(flags);
  if (!whole) return 0;
  u64 wanted = flags;
  if ((flags & MS_RDONLY) != 0 && (sb->s_flags & MS_RDONLY) == 0) sync_filesystem(sb, true);
  TRY_INT(sb->s_op->remount(sb, &wanted, data));
  sb->s_flags = (sb->s_flags & ~kSuperFlags) | (wanted & kSuperFlags);
  at.mnt->mnt_flags = mount_flags_of(wanted);
  return 0;
}

long move_mount_to(const path& from, const path& at) {
  if (from.dentry_ != from.mnt->mnt_root || from.mnt == from.mnt->mnt_ns->root) return -EINVAL;
  if (S_ISDIR(from.dentry_->d_inode->i_mode) != S_ISDIR(at.dentry_->d_inode->i_mode)) return -ENOTDIR;
  for (const vfsmount* p = at.mnt;; p = p->mnt_parent) {
    if (p == from.mnt) return -ELOOP;
    if (p == p->mnt_parent) break;
  }
  path_get(at);
  path old;
  {
    SpinGuard guard(mount_lock);
    old = {from.mnt->mnt_parent, from.mnt->mnt_mountpoint};
    from.mnt->mnt_parent = at.mnt;
    from.mnt->mnt_mountpoint = at.dentry_;
    at.dentry_->d_flags.fetch_or(DCACHE_MOUNTED);
    if (!is_mountpoint(old.dentry_)) old.dentry_->d_flags.fetch_and(~DCACHE_MOUNTED);
  }
  path_put(old);
  return 0;
}

namespace {

long do_bind(const char* source, const path& at, u64 flags) {
  path from;
  TRY_INT(kern_path(source, LOOKUP_FOLLOW, from));
  if (S_ISDIR(from.dentry_->d_inode->i_mode) != S_ISDIR(at.dentry_->d_inode->i_mode)) {
    path_put(from);
    return -ENOTDIR;
  }
  vfsmount* m = new_mount(from.mnt->mnt_sb, from.dentry_, from.mnt->mnt_devname);
  if (m != nullptr) {
    m->mnt_sb->s_active.inc();
    m->mnt_flags = from.mnt->mnt_flags;
    attach_mount(m, at);
  }
  // MS_REC: the mounts below the source come along.
  if (m != nullptr && (flags & MS_REC) != 0) {
    for (vfsmount* c : entries<&vfsmount::mnt_list>(mount_list)) {
      if (c->mnt_parent != from.mnt || c == m || c == from.mnt || !is_subdir(c->mnt_mountpoint, from.dentry_)) continue;
      vfsmount* copy = new_mount(c->mnt_sb, c->mnt_root, c->mnt_devname);
      if (copy == nullptr) break;
      c->mnt_sb->s_active.inc();
      copy->mnt_flags = c->mnt_flags;
      attach_mount(copy, {m, c->mnt_mountpoint});
    }
  }
  path_put(from);
  return m == nullptr ? -ENOMEM : 0;
}

long do_move(const char* source, const path& at) {
  path from;
  TRY_INT(kern_path(source, LOOKUP_FOLLOW, from));
  const long error = move_mount_to(from, at);
  path_put(from);
  return error;
}

long do_new_mount(const char* source, const path& at, const char* type_name, u64 flags, const char* data) {
  file_system_type* type = find_filesystem(type_name);
  if (type == nullptr) return -ENODEV;
  if ((type->flags & FS_REQUIRES_DEV) != 0) {
    path device;
    if (source == nullptr) return -EINVAL;
    TRY_INT(kern_path(source, LOOKUP_FOLLOW, device));
    const bool is_block = S_ISBLK(device.dentry_->d_inode->i_mode);
    path_put(device);
    if (!is_block) return -ENOTBLK;
    if ((flags & MS_RDONLY) == 0 && blkdev_read_only(TRY(blkdev_get_by_path(source)))) return -EACCES;
  }
  if (source == nullptr) source = "none";
  super_block* sb = TRY(get_super(type, source, data, flags & kSuperFlags));
  if (S_ISDIR(sb->s_root->d_inode->i_mode) != S_ISDIR(at.dentry_->d_inode->i_mode)) {
    deactivate_super(sb);
    return -ENOTDIR;
  }
  if (at.mnt->mnt_sb == sb && at.mnt->mnt_root == at.dentry_) {
    deactivate_super(sb);
    return -EBUSY;
  }
  vfsmount* m = new_mount(sb, sb->s_root, source);
  if (m == nullptr) {
    deactivate_super(sb);
    return -ENOMEM;
  }
  m->mnt_flags = mount_flags_of(flags);
  attach_mount(m, at);
  return 0;
}

}  // namespace

int register_filesystem(file_system_type* type) {
  type->next = file_systems;
  file_systems = type;
  return 0;
}

file_system_type* find_filesystem(const char* name) {
  for (file_system_type* t = file_systems; t != nullptr; t = t->next) {
    if (strcmp(t->name, name) == 0) return t;
  }
  return nullptr;
}

Result<super_block*> get_super(file_system_type* type, const char* source, const char* data, u64 flags) {
  block_device* bdev = nullptr;
  if ((type->flags & FS_REQUIRES_DEV) != 0) bdev = TRY(blkdev_get_by_path(source));
  {
    SpinGuard guard(sb_lock);
    for (super_block* sb : entries<&super_block::s_list>(super_blocks)) {
      const bool same =
          sb->s_type == type && ((type->flags & FS_SINGLE) != 0 || (bdev != nullptr && sb->s_bdev == bdev));
      if (same && sb->s_active.inc_not_zero()) return sb;
    }
  }
  super_block* sb = knew<super_block>();
  if (sb == nullptr) return Error{ENOMEM};
  sb->s_type = type;
  sb->s_flags = flags;
  sb->s_bdev = bdev;
  sb->s_dev = bdev != nullptr ? blkdev_number(bdev) : make_dev(0, next_anonymous_dev.add(1));
  if (const int error = type->fill_super(sb, source, data, flags); error != 0) {
    if (sb->s_root != nullptr) dput(sb->s_root);
    kdelete(sb);
    return Error{-error};
  }
  SpinGuard guard(sb_lock);
  list_add_tail(&sb->s_list, &super_blocks);
  return sb;
}

void deactivate_super(super_block* sb) {
  if (sb->s_active.sub(1) > 0) return;
  {
    SpinGuard guard(sb_lock);
    list_del(&sb->s_list);
  }
  sync_filesystem(sb, true);
  shrink_dcache_sb(sb);
  dentry* root = sb->s_root;
  sb->s_root = nullptr;
  d_drop(root);
  dput(root);
  shrink_icache_sb(sb);
  sb->s_op->put_super(sb);
  kdelete(sb);
}

super_block* kern_super(file_system_type* type) {
  auto r = get_super(type, type->name, "", 0);
  return r.ok() ? r.value() : nullptr;
}

vfsmount* kern_mount(file_system_type* type) {
  super_block* sb = kern_super(type);
  return sb == nullptr ? nullptr : new_mount(sb, sb->s_root, type->name);
}

namespace {
// The oldest dirty inode, referenced and off the list; null: none that old.
inode* take_dirty_inode(super_block* sb, u64 older_than) {
  SpinGuard guard(sb->s_inode_lock);
  inode* dirty = list_first<&inode::i_dirty>(&sb->s_dirty);
  if (dirty == nullptr || dirty->i_dirtied_ns >= older_than) return nullptr;
  list_del(&dirty->i_dirty);
  dirty->i_count.inc();
  return dirty;
}
}  // namespace

u64 write_old_inodes(super_block* sb, u64 older_than, u64 limit) {
  u64 count = 0;
  for (; count < limit; ++count) {
    inode* i = take_dirty_inode(sb, older_than);
    if (i == nullptr) break;
    write_inode_now(i, false);
    iput(i);
  }
  return count;
}

void sync_filesystem(super_block* sb, bool wait) {
  constexpr u32 kTogether = 32;  // so many inodes have their pages under way before the first is waited for
  // What becomes dirty from now on is not this call's business.
  const u64 now = ktime_get() + 1;
  for (;;) {
    inode* some[kTogether];
    u32 count = 0;
    while (count < kTogether && (some[count] = take_dirty_inode(sb, now)) != nullptr) {
      inode* i = some[count++];
      if (i->i_mapping == &i->i_data && i->i_data.a_ops != nullptr)
        filemap_write_and_wait(&i->i_data, 0, 1ll << 62, false);
    }
    for (u32 n = 0; n < count; ++n) {
      write_inode_now(some[n], wait);
      iput(some[n]);
    }
    if (count < kTogether) break;
  }
  if ((sb->s_flags & MS_RDONLY) == 0) sb->s_op->sync_fs(sb, wait);
}

void sync_all(bool wait) {
  for (super_block* sb : entries<&super_block::s_list>(super_blocks)) {
    if (!sb->s_active.inc_not_zero()) continue;
    sync_filesystem(sb, wait);
    deactivate_super(sb);
  }
}

vfsmount* mntget(vfsmount* m) {
  m->mnt_count.inc();
  return m;
}

void mntput(vfsmount* m) {
  if (!m->mnt_count.dec_and_test()) return;
  dput(m->mnt_root);
  deactivate_super(m->mnt_sb);
  kfree(m->mnt_devname);
  kdelete(m);
}

void path_put(path& p) {
  if (p.dentry_ == nullptr) return;
  dput(p.dentry_);
  mntput(p.mnt);
  p = {};
}

bool follow_mount(path& p) {
  bool moved = false;
  while ((p.dentry_->d_flags.load() & DCACHE_MOUNTED) != 0) {
    vfsmount* m;
    {
      SpinGuard guard(mount_lock);
      m = mount_on(p.mnt, p.dentry_);
      if (m == nullptr) return moved;
      mntget(m);
    }
    dget(m->mnt_root);
    path_put(p);
    p = {m, m->mnt_root};
    moved = true;
  }
  return moved;
}

bool follow_up(path& p) {
  path up;
  {
    SpinGuard guard(mount_lock);
    if (p.mnt->mnt_parent == p.mnt) return false;
    up = {p.mnt->mnt_parent, p.mnt->mnt_mountpoint};
    path_get(up);
  }
  path_put(p);
  p = up;
  return true;
}

bool mnt_read_only(const vfsmount* m) {
  return (m->mnt_flags & MNT_READONLY) != 0 || (m->mnt_sb->s_flags & MS_RDONLY) != 0;
}

long do_mount(const char* source, const char* target, const char* type, u64 flags, const char* data) {
  if ((flags & 0xffff0000) == 0xc0ed0000) flags &= 0xffff;  // the magic of old mount programs
  path at;
  TRY_INT(kern_path(target, LOOKUP_FOLLOW, at));
  long result;
  if (!capable(CAP_SYS_ADMIN)) {
    result = -EPERM;
  } else if ((flags & MS_REMOUNT) != 0) {
    result = remount_super(at, flags, data);
  } else if ((flags & MS_BIND) != 0) {
    result = source == nullptr || source[0] == 0 ? -EINVAL : do_bind(source, at, flags);
  } else if ((flags & (MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE)) != 0) {
    result = at.dentry_ == at.mnt->mnt_root ? 0 : -EINVAL;
  } else if ((flags & MS_MOVE) != 0) {
    result = source == nullptr || source[0] == 0 ? -EINVAL : do_move(source, at);
  } else {
    result = type == nullptr ? -EINVAL : do_new_mount(source, at, type, flags, data != nullptr ? data : "");
  }
  path_put(at);
  return result;
}

long do_umount(const path& p, u32 flags) {
  vfsmount* m = p.mnt;
  if (p.dentry_ != m->mnt_root || !m->attached) return -EINVAL;
  if (m->mnt_ns != nullptr && m == m->mnt_ns->root) return -EBUSY;
  path up;
  {
    SpinGuard guard(mount_lock);
    // Users: the mount itself and the caller's path.
    if ((flags & MNT_DETACH) == 0 && (has_children(m) || m->mnt_count.load() > 2)) return -EBUSY;
    list_del(&m->mnt_list);
    m->attached = false;
    up = {m->mnt_parent, m->mnt_mountpoint};
    m->mnt_parent = m;
    if (!is_mountpoint(up.dentry_)) up.dentry_->d_flags.fetch_and(~DCACHE_MOUNTED);
  }
  path_put(up);
  mntput(m);
  return 0;
}

long do_pivot_root(const char* new_name, const char* old_name) {
  path fresh, old_place;
  TRY_INT(kern_path(new_name, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, fresh));
  if (const int error = kern_path(old_name, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, old_place); error != 0) {
    path_put(fresh);
    return error;
  }
  long error = 0;
  mnt_namespace* ns = fresh.mnt->mnt_ns;
  vfsmount* old_root = ns->root;
  if (fresh.dentry_ != fresh.mnt->mnt_root)
    error = -EINVAL;
  else if (fresh.mnt == old_root)
    error = -EBUSY;
  else if (old_place.mnt != fresh.mnt || !is_subdir(old_place.dentry_, fresh.dentry_))
    error = -EINVAL;
  if (error == 0) {
    path gone{fresh.mnt->mnt_parent, fresh.mnt->mnt_mountpoint};
    {
      SpinGuard guard(mount_lock);
      fresh.mnt->mnt_parent = fresh.mnt;
      fresh.mnt->mnt_mountpoint = fresh.mnt->mnt_root;
      old_root->mnt_parent = old_place.mnt;
      old_root->mnt_mountpoint = old_place.dentry_;
      old_place.dentry_->d_flags.fetch_or(DCACHE_MOUNTED);
      ns->root = fresh.mnt;
      if (ns == &init_mnt_ns) root_mount = fresh.mnt;
    }
    path_get(old_place);
    path_put(gone);
    // Every process whose root or working directory was the old root moves along.
    IrqGuard guard(tasklist_lock);
    for (task_struct* t : entries<&task_struct::tasks>(all_processes)) {
      if (t->fs == nullptr) continue;
      SpinGuard fs_guard(t->fs->lock);
      path* const both[] = {&t->fs->root, &t->fs->pwd};
      for (path* p : both) {
        if (p->mnt != old_root || p->dentry_ != old_root->mnt_root) continue;
        path_get(fresh);
        dput(p->dentry_);
        p->mnt->mnt_count.sub(1);
        *p = fresh;
      }
    }
  }
  path_put(fresh);
  path_put(old_place);
  return error;
}

int change_root(super_block* sb, const char* source, u64 flags) {
  vfsmount* m = new_mount(sb, sb->s_root, source);
  if (m == nullptr) return -ENOMEM;
  m->mnt_flags = mount_flags_of(flags);
  {
    SpinGuard guard(mount_lock);
    list_del(&root_mount->mnt_list);  // rootfs stays below, out of sight
    root_mount->attached = false;
  }
  set_root_mount(m);
  fs_struct* fs = current->fs;
  path fresh{m, m->mnt_root};
  path_get(fresh);
  path_get(fresh);
  path old_root, old_pwd;
  {
    SpinGuard guard(fs->lock);
    old_root = fs->root;
    old_pwd = fs->pwd;
    fs->root = fs->pwd = fresh;
  }
  path_put(old_root);
  path_put(old_pwd);
  return 0;
}

void set_root_mount(vfsmount* m) {
  SpinGuard guard(mount_lock);
  m->attached = true;
  m->mnt_parent = m;
  list_add_tail(&m->mnt_list, &mount_list);
  m->mnt_ns = &init_mnt_ns;
  init_mnt_ns.root = root_mount = m;
}

namespace {

struct MountCopy {
  vfsmount *from, *to;
};

vfsmount* copy_of(const chunk_list<MountCopy>& copies, const vfsmount* m) {
  vfsmount* found = nullptr;
  const_cast<chunk_list<MountCopy>&>(copies).for_each([&](const MountCopy& c) {
    if (c.from == m) found = c.to;
  });
  return found;
}

void move_path(const chunk_list<MountCopy>& copies, path& p) {
  vfsmount* to = copy_of(copies, p.mnt);
  if (to == nullptr) return;
  vfsmount* old = p.mnt;
  p.mnt = mntget(to);
  mntput(old);
}

}  // namespace

mnt_namespace* copy_mnt_ns(fs_struct* fs) {
  const mnt_namespace* old = fs->root.mnt->mnt_ns;
  mnt_namespace* ns = knew<mnt_namespace>();
  if (ns == nullptr) return nullptr;
  chunk_list<MountCopy> copies;
  {
    SpinGuard guard(mount_lock);
    for (vfsmount* m : entries<&vfsmount::mnt_list>(mount_list)) {
      if (m->mnt_ns == old && m->attached) copies.add({mntget(m), nullptr});
    }
  }
  copies.for_each([&](MountCopy& c) {
    c.to = new_mount(c.from->mnt_sb, c.from->mnt_root, c.from->mnt_devname);
    c.to->mnt_sb->s_active.inc();
    c.to->mnt_flags = c.from->mnt_flags;
    c.to->mnt_ns = ns;
  });
  copies.for_each([&](MountCopy& c) {
    vfsmount* parent = c.from->mnt_parent == c.from ? nullptr : copy_of(copies, c.from->mnt_parent);
    if (parent != nullptr) path_get({parent, c.from->mnt_mountpoint});
    SpinGuard guard(mount_lock);
    if (parent != nullptr) {
      c.to->mnt_parent = parent;
      c.to->mnt_mountpoint = c.from->mnt_mountpoint;
    }
    c.to->attached = true;
    list_add_tail(&c.to->mnt_list, &mount_list);
    if (c.from == old->root) ns->root = c.to;
  });
  move_path(copies, fs->root);
  move_path(copies, fs->pwd);
  copies.for_each([](const MountCopy& c) { mntput(c.from); });
  return ns;
}

void put_mnt_ns(mnt_namespace* ns) {
  if (!ns->count.dec_and_test()) return;
  for (;;) {
    vfsmount* found = nullptr;
    path up;
    {
      SpinGuard guard(mount_lock);
      for (vfsmount* m : entries<&vfsmount::mnt_list>(mount_list)) {
        if (m->mnt_ns == ns) found = m;  // the youngest first
      }
      if (found == nullptr) break;
      list_del(&found->mnt_list);
      found->attached = false;
      found->mnt_ns = nullptr;
      if (found->mnt_parent != found) up = {found->mnt_parent, found->mnt_mountpoint};
      found->mnt_parent = found;
      if (up.mnt != nullptr && !is_mountpoint(up.dentry_)) up.dentry_->d_flags.fetch_and(~DCACHE_MOUNTED);
    }
    path_put(up);
    mntput(found);
  }
  kdelete(ns);
}

}  // namespace xm::os
