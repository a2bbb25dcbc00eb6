// SPDX-License-Identifier: GPL-2.0-or-later
// tmpfs and ramfs (also rootfs and devtmpfs): everything lives in the dentry and page caches. Pages are PG_swapbacked
// and counted as shmem; tmpfs_file.cc has the contents of files. Options of tmpfs: size=, nr_inodes=, mode=, uid=,
// gid=. GAP: no swap-out.
#include "kernel/fs/tmpfs.h"
#include "kernel/fs/file_table.h"
#include "kernel/fs/fs.h"
#include "kernel/lib/format.h"
#include "kernel/mm/mm.h"
#include "kernel/mm/shmem.h"
#include "kernel/mm/slab.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {

struct xattr {
  xattr* next;
  char* name;
  size_t size;
  u8 value[];
};

tmpfs_info* info_of(const super_block* sb) { return static_cast<tmpfs_info*>(sb->s_fs_info); }

struct TmpfsDirOps final : file_operations {
  ssize_t read_iter(file*, iov_iter&, loff_t&) const override { return -EISDIR; }
  int iterate(file* f, dir_context& c) const override { return dcache_readdir(f, c); }
  loff_t llseek(file* f, loff_t offset, int whence) const override {
    return generic_llseek(f, offset, whence, 1l << 40);
  }
  int fsync(file*, bool) const override { return 0; }
};
constinit const TmpfsDirOps tmpfs_dir_ops{};

struct XattrInodeOps : inode_operations {
  static xattr** find(inode* i, const char* name) {
    xattr** at = reinterpret_cast<xattr**>(&i->i_private);
    while (*at != nullptr && strcmp((*at)->name, name) != 0) at = &(*at)->next;
    return at;
  }
  ssize_t getxattr(inode* i, const char* name, void* value, size_t size) const override {
    const xattr* x = *find(i, name);
    if (x == nullptr) return -ENODATA;
    if (size == 0) return static_cast<ssize_t>(x->size);
    if (size < x->size) return -ERANGE;
    memcpy(value, x->value, x->size);
    return static_cast<ssize_t>(x->size);
  }
  int setxattr(inode* i, const char* name, const void* value, size_t size, int flags) const override {
    xattr** at = find(i, name);
    if (*at == nullptr && (flags & 2) != 0) return -ENODATA;
    if (*at != nullptr && (flags & 1) != 0) return -EEXIST;
    xattr* x = static_cast<xattr*>(kmalloc(sizeof(xattr) + size));
    char* copy = kstrdup(name);
    if (x == nullptr || copy == nullptr) {
      kfree(x);
      kfree(copy);
      return -ENOMEM;
    }
    x->next = *at != nullptr ? (*at)->next : nullptr;
    x->name = copy;
    x->size = size;
    memcpy(x->value, value, size);
    xattr* old = *at;
    *at = x;
    if (old != nullptr) {
      kfree(old->name);
      kfree(old);
    }
    i->i_ctime = current_time();
    return 0;
  }
  ssize_t listxattr(inode* i, char* list, size_t size) const override {
    size_t total = 0;
    for (const xattr* x = static_cast<xattr*>(i->i_private); x != nullptr; x = x->next) {
      const size_t n = strlen(x->name) + 1;
      if (size != 0) {
        if (total + n > size) return -ERANGE;
        memcpy(list + total, x->name, n);
      }
      total += n;
    }
    return static_cast<ssize_t>(total);
  }
  int removexattr(inode* i, const char* name) const override {
    xattr** at = find(i, name);
    xattr* x = *at;
    if (x == nullptr) return -ENODATA;
    *at = x->next;
    kfree(x->name);
    kfree(x);
    return 0;
  }
};
struct TmpfsInodeOps final : XattrInodeOps {};
constinit const TmpfsInodeOps tmpfs_inode_ops{};

struct TmpfsLinkOps final : XattrInodeOps {
  int get_link(dentry*, inode* i, link_body& body) const override {
    body.text = reinterpret_cast<const char*>(i->i_bdev);  // the target text; symlinks have no device
    return 0;
  }
};
constinit const TmpfsLinkOps tmpfs_link_ops{};

struct TmpfsDirInodeOps final : XattrInodeOps {
  int lookup(inode*, dentry* d) const override {
    d_add(d, nullptr);
    return 0;
  }
  static int add(inode* dir, dentry* d, umode_t mode, dev_t dev, const char* target) {
    inode* i = tmpfs_new_inode(dir->i_sb, dir, mode, dev);
    if (i == nullptr) return -ENOSPC;
    if (target != nullptr) {
      i->i_bdev = reinterpret_cast<block_device*>(kstrdup(target));
      i->i_size = static_cast<loff_t>(strlen(target));
    }
    d_add(d, i);
    dget(d);  // pinned: the dentry is the directory entry
    dir->i_size += 20;
    dir->i_mtime = dir->i_ctime = current_time();
    return 0;
  }
  int create(inode* dir, dentry* d, umode_t mode, bool) const override { return add(dir, d, mode, 0, nullptr); }
  int mknod(inode* dir, dentry* d, umode_t mode, dev_t dev) const override { return add(dir, d, mode, dev, nullptr); }
  int symlink(inode* dir, dentry* d, const char* target) const override {
    return add(dir, d, S_IFLNK | 0777, 0, target);
  }
  int mkdir(inode* dir, dentry* d, umode_t mode) const override {
    TRY_INT(add(dir, d, mode, 0, nullptr));
    ++dir->i_nlink;
    return 0;
  }
  int tmpfile(inode* dir, dentry* d, umode_t mode) const override {
    inode* i = tmpfs_new_inode(dir->i_sb, dir, mode, 0);
    if (i == nullptr) return -ENOSPC;
    i->i_nlink = 0;
    d_instantiate(d, i);
    return 0;
  }
  int link(dentry* old, inode* dir, dentry* d) const override {
    inode* i = old->d_inode;
    ++i->i_nlink;
    i->i_ctime = dir->i_mtime = dir->i_ctime = current_time();
    d_add(d, igrab(i));
    dget(d);
    dir->i_size += 20;
    return 0;
  }
  int unlink(inode* dir, dentry* d) const override {
    inode* i = d->d_inode;
    --i->i_nlink;
    i->i_ctime = dir->i_mtime = dir->i_ctime = current_time();
    dir->i_size -= 20;
    dput(d);  // the pin
    return 0;
  }
  static bool empty(dentry* d) {
    for (dentry* c : entries<&dentry::d_child>(d->d_subdirs)) {
      if (c->d_inode != nullptr && !d_unhashed(c)) return false;
    }
    return true;
  }
  int rmdir(inode* dir, dentry* d) const override {
    if (!empty(d)) return -ENOTEMPTY;
    d->d_inode->i_nlink = 1;
    --dir->i_nlink;
    return unlink(dir, d);
  }
  int rename(inode* old_dir, dentry* old, inode* new_dir, dentry* target, u32 flags) const override {
    const bool is_dir = S_ISDIR(old->d_inode->i_mode);
    if ((flags & RENAME_EXCHANGE) != 0) {
      const bool target_dir = S_ISDIR(target->d_inode->i_mode);
      old_dir->i_nlink += (target_dir ? 1u : 0u) - (is_dir ? 1u : 0u);
      new_dir->i_nlink += (is_dir ? 1u : 0u) - (target_dir ? 1u : 0u);
    } else {
      if (target->d_inode != nullptr) {
        if (is_dir && !empty(target)) return -ENOTEMPTY;
        TRY_INT(is_dir ? rmdir(new_dir, target) : unlink(new_dir, target));
      }
      if (is_dir) {
        --old_dir->i_nlink;
        ++new_dir->i_nlink;
      }
      old_dir->i_size -= 20;
      new_dir->i_size += 20;
    }
    old->d_inode->i_ctime = old_dir->i_mtime = old_dir->i_ctime = new_dir->i_mtime = new_dir->i_ctime = current_time();
    return 0;
  }
};
constinit const TmpfsDirInodeOps tmpfs_dir_inode_ops{};

struct TmpfsSuperOps final : super_operations {
  bool drop_inode(const inode*) const override { return true; }
  void evict_inode(inode* i) const override {
    tmpfs_info* info = info_of(i->i_sb);
    info->inodes.sub(1);
    truncate_inode_pages(&i->i_data, 0);
    if (S_ISLNK(i->i_mode)) kfree(i->i_bdev);
    while (i->i_private != nullptr) {
      xattr* x = static_cast<xattr*>(i->i_private);
      i->i_private = x->next;
      kfree(x->name);
      kfree(x);
    }
  }
  void put_super(super_block* sb) const override { kdelete(info_of(sb)); }
  int statfs(super_block* sb, struct statfs* out) const override {
    super_operations::statfs(sb, out);
    const tmpfs_info* info = info_of(sb);
    if (info->max_blocks == 0) return 0;
    out->f_blocks = info->max_blocks;
    out->f_bfree = out->f_bavail = info->max_blocks - min(info->max_blocks, info->used.load());
    out->f_files = info->max_inodes;
    out->f_ffree = info->max_inodes - min(info->max_inodes, info->inodes.load());
    return 0;
  }
  void show_options(const super_block* sb, char* text, size_t size) const override {
    const tmpfs_info* info = info_of(sb);
    text[0] = 0;
    if (info->max_blocks != 0) format(text, size, ",size=%luk,nr_inodes=%lu", info->max_blocks * 4, info->max_inodes);
  }
};
constinit const TmpfsSuperOps tmpfs_super_ops{};

u64 parse_size(const char* text) {
  const char* end;
  const u64 n = parse_number(text, &end, 10);
  switch (*end | 0x20) {
    case 'k': return n << 10;
    case 'm': return n << 20;
    case 'g': return n << 30;
    default: return *end == '%' ? total_ram_pages() * kPageSize * n / 100 : n;
  }
}

int fill(super_block* sb, const char* data, bool limited) {
  tmpfs_info* info = knew<tmpfs_info>();
  if (info == nullptr) return -ENOMEM;
  sb->s_fs_info = info;
  sb->s_op = &tmpfs_super_ops;
  sb->s_magic = limited ? 0x01021994 : 0x858458f6;
  umode_t mode = limited ? 01777 : 0755;
  uid_t uid = 0;
  gid_t gid = 0;
  if (limited) {
    info->max_blocks = total_ram_pages() / 2;
    info->max_inodes = total_ram_pages() / 2;
  }
  for (const char* at = data; at != nullptr && *at != 0;) {
    if (starts_with(at, "size=")) info->max_blocks = div_round_up(parse_size(at + 5), kPageSize);
    if (starts_with(at, "nr_blocks=")) info->max_blocks = parse_size(at + 10);
    if (starts_with(at, "nr_inodes=")) info->max_inodes = parse_size(at + 10);
    if (starts_with(at, "mode=")) mode = static_cast<umode_t>(parse_number(at + 5, nullptr, 8)) & 07777;
    if (starts_with(at, "uid=")) uid = static_cast<uid_t>(parse_number(at + 4, nullptr, 10));
    if (starts_with(at, "gid=")) gid = static_cast<gid_t>(parse_number(at + 4, nullptr, 10));
    at = strchr(at, ',');
    if (at != nullptr) ++at;
  }
  inode* root = tmpfs_new_inode(sb, nullptr, S_IFDIR | mode, 0);
  if (root != nullptr) {
    root->i_uid = uid;
    root->i_gid = gid;
  }
  sb->s_root = d_make_root(root);
  return sb->s_root == nullptr ? -ENOMEM : 0;
}

int fill_tmpfs(super_block* sb, const char*, const char* data, u64) { return fill(sb, data, true); }
int fill_ramfs(super_block* sb, const char*, const char* data, u64) { return fill(sb, data, false); }
constinit file_system_type tmpfs_type{"tmpfs", 0, fill_tmpfs};
constinit file_system_type ramfs_type{"ramfs", 0, fill_ramfs};
constinit file_system_type rootfs_type{"rootfs", FS_SINGLE, fill_ramfs};
constinit file_system_type devtmpfs_type{"devtmpfs", FS_SINGLE, fill_ramfs};
constinit file_system_type shm_type{"shm", FS_SINGLE, fill_ramfs};
constinit vfsmount* shm_mount = nullptr;

}  // namespace

inode* tmpfs_new_inode(super_block* sb, const inode* dir, umode_t mode, dev_t dev) {
  tmpfs_info* info = info_of(sb);
  if (info->inodes.add(1) > info->max_inodes && info->max_inodes != 0) {
    info->inodes.sub(1);
    return nullptr;
  }
  inode* i = new_inode(sb);
  if (i == nullptr) return nullptr;
  i->i_ino = get_next_ino();
  inode_init_owner(i, dir, mode);
  i->i_data.a_ops = &tmpfs_address_ops;
  i->i_seals = F_SEAL_SEAL;
  i->i_op = &tmpfs_inode_ops;
  if (S_ISREG(mode)) {
    i->i_fop = &tmpfs_file_operations;
  } else if (S_ISDIR(mode)) {
    i->i_op = &tmpfs_dir_inode_ops;
    i->i_fop = &tmpfs_dir_ops;
    i->i_nlink = 2;
    i->i_size = 40;
  } else if (S_ISLNK(mode)) {
    i->i_op = &tmpfs_link_ops;
  } else {
    init_special_inode(i, i->i_mode, dev);
  }
  return i;
}

Result<file*> shmem_file_setup(const char* name, u64 size) {
  inode* i = tmpfs_new_inode(shm_mount->mnt_sb, nullptr, S_IFREG | 0777, 0);
  if (i == nullptr) return Error{ENOMEM};
  i->i_nlink = 0;
  i->i_size = static_cast<loff_t>(size);
  dentry* d = d_alloc(shm_mount->mnt_root, {name, static_cast<u32>(strlen(name))});
  if (d == nullptr) {
    iput(i);
    return Error{ENOMEM};
  }
  d_instantiate(d, i);
  file* f = alloc_file({mntget(shm_mount), d}, O_RDWR, &tmpfs_file_operations);
  if (f == nullptr) return Error{ENOMEM};
  return f;
}

void tmpfs_init() {
  register_filesystem(&tmpfs_type);
  register_filesystem(&ramfs_type);
  register_filesystem(&devtmpfs_type);
  set_root_mount(kern_mount(&rootfs_type));
  shm_mount = kern_mount(&shm_type);
}

// devtmpfs: drivers add their nodes whether it is mounted or not.
int devtmpfs_create(const char* name, umode_t mode, dev_t dev) {
  super_block* sb = kern_super(&devtmpfs_type);
  if (sb == nullptr) return -ENOMEM;
  dentry* dir = dget(sb->s_root);
  const char* at = name;
  int error = 0;
  while (error == 0) {
    const char* slash = strchr(at, '/');
    const qstr part{at, static_cast<u32>(slash != nullptr ? static_cast<size_t>(slash - at) : strlen(at))};
    WriteGuard guard(dir->d_inode->i_rwsem);
    dentry* d = d_lookup(dir, part);
    if (d == nullptr) d = d_alloc(dir, part);
    if (d == nullptr) return -ENOMEM;
    if (d->d_inode == nullptr)
      error = TmpfsDirInodeOps::add(dir->d_inode, d, slash != nullptr ? S_IFDIR | 0755 : mode, dev, nullptr);
    dput(dir);
    dir = d;
    if (slash == nullptr) break;
    at = slash + 1;
  }
  dput(dir);
  return error;
}

// A node in the top directory goes away.
int devtmpfs_remove(const char* name) {
  super_block* sb = kern_super(&devtmpfs_type);
  if (sb == nullptr) return -ENOMEM;
  WriteGuard guard(sb->s_root->d_inode->i_rwsem);
  dentry* d = d_lookup(sb->s_root, {name, static_cast<u32>(strlen(name))});
  if (d == nullptr) return -ENOENT;
  const int error = d->d_inode == nullptr ? -ENOENT : sb->s_root->d_inode->i_op->unlink(sb->s_root->d_inode, d);
  if (error == 0) d_delete(d);
  dput(d);
  return error;
}

int devtmpfs_symlink(const char* name, const char* target) {
  super_block* sb = kern_super(&devtmpfs_type);
  if (sb == nullptr) return -ENOMEM;
  WriteGuard guard(sb->s_root->d_inode->i_rwsem);
  dentry* d = d_alloc(sb->s_root, {name, static_cast<u32>(strlen(name))});
  if (d == nullptr) return -ENOMEM;
  const int error = TmpfsDirInodeOps::add(sb->s_root->d_inode, d, S_IFLNK | 0777, 0, target);
  dput(d);
  return error;
}

}  // namespace xm::os
