// SPDX-License-Identifier: GPL-2.0-or-later
// What an operation answers when a file system does not offer it, and small generic ones.
#include "kernel/fs/fs.h"
#include "kernel/mm/slab.h"
#include "kernel/task/task_struct.h"

namespace xm::os {

int inode_operations::lookup(inode*, dentry*) const { return -ENOTDIR; }
int inode_operations::create(inode*, dentry*, umode_t, bool) const { return -EACCES; }
int inode_operations::link(dentry*, inode*, dentry*) const { return -EPERM; }
int inode_operations::unlink(inode*, dentry*) const { return -EPERM; }
int inode_operations::symlink(inode*, dentry*, const char*) const { return -EPERM; }
int inode_operations::mkdir(inode*, dentry*, umode_t) const { return -EPERM; }
int inode_operations::rmdir(inode*, dentry*) const { return -EPERM; }
int inode_operations::mknod(inode*, dentry*, umode_t, dev_t) const { return -EPERM; }
int inode_operations::rename(inode*, dentry*, inode*, dentry*, u32) const { return -EPERM; }
int inode_operations::tmpfile(inode*, dentry*, umode_t) const { return -EOPNOTSUPP; }
int inode_operations::get_link(dentry*, inode*, link_body&) const { return -EINVAL; }
int inode_operations::permission(inode* i, int mask) const { return generic_permission(i, mask); }
int inode_operations::setattr(dentry* d, iattr& a) const {
  TRY_INT(inode_change_ok(d->d_inode, a));
  if ((a.valid & ATTR_SIZE) != 0 && S_ISREG(d->d_inode->i_mode)) truncate_setsize(d->d_inode, a.size);
  setattr_copy(d->d_inode, a);
  return 0;
}
int inode_operations::getattr(const dentry* d, kstat& s) const {
  generic_fillattr(d->d_inode, s);
  return 0;
}
ssize_t inode_operations::getxattr(inode*, const char*, void*, size_t) const { return -EOPNOTSUPP; }
int inode_operations::setxattr(inode*, const char*, const void*, size_t, int) const { return -EOPNOTSUPP; }
ssize_t inode_operations::listxattr(inode*, char*, size_t) const { return 0; }
int inode_operations::removexattr(inode*, const char*) const { return -EOPNOTSUPP; }

int super_operations::statfs(super_block* sb, struct statfs* out) const {
  *out = {};
  out->f_type = static_cast<s64>(sb->s_magic);
  out->f_bsize = sb->s_blocksize;
  out->f_frsize = sb->s_blocksize;
  out->f_namelen = kNameMax;
  return 0;
}

loff_t generic_llseek(file* f, loff_t offset, int whence, loff_t end) {
  loff_t to = offset;
  switch (whence) {
    case SEEK_SET: break;
    case SEEK_CUR: to = f->f_pos + offset; break;
    case SEEK_END: to = end + offset; break;
    case SEEK_DATA:
      if (offset < 0 || offset >= end) return -ENXIO;
      break;
    case SEEK_HOLE:
      if (offset < 0 || offset >= end) return -ENXIO;
      to = end;
      break;
    default: return -EINVAL;
  }
  if (to < 0) return -EINVAL;
  f->f_pos = to;
  return to;
}
loff_t file_operations::llseek(file* f, loff_t offset, int whence) const {
  return generic_llseek(f, offset, whence, f->f_inode->i_size);
}

namespace {
struct BadFileOps final : file_operations {
  int open(inode*, file*) const override { return -ENXIO; }
};
constinit const BadFileOps bad_ops{};
constinit const inode_operations plain_inode_ops{};
constinit const dentry_operations plain_dentry_ops{};
constinit const super_operations plain_super_ops{};

// Opening a device node goes to the driver's operations.
struct DeviceNodeOps final : file_operations {
  int open(inode* i, file* f) const override {
    const file_operations* op = find_chrdev(i->i_rdev);
    if (op == nullptr) return -ENXIO;
    f->f_op = op;
    return op->open(i, f);
  }
};
constinit const DeviceNodeOps chrdev_ops{};
constinit spinlock_t chrdev_lock{};
}  // namespace

constinit const file_operations& bad_file_ops = bad_ops;
constinit const inode_operations& default_inode_ops = plain_inode_ops;
constinit const dentry_operations& default_dentry_ops = plain_dentry_ops;
constinit chrdev_range* chrdevs = nullptr;
constinit const file_operations* blkdev_file_ops = nullptr;  // set by the block layer
extern const file_operations& fifo_file_ops;

super_block::super_block() : s_op(&plain_super_ops) {}

void init_special_inode(inode* i, umode_t mode, dev_t dev) {
  i->i_mode = mode;
  if (S_ISCHR(mode)) {
    i->i_fop = &chrdev_ops;
    i->i_rdev = dev;
  } else if (S_ISBLK(mode)) {
    if (blkdev_file_ops != nullptr) i->i_fop = blkdev_file_ops;
    i->i_rdev = dev;
  } else if (S_ISFIFO(mode)) {
    i->i_fop = &fifo_file_ops;
  }
}

int register_chrdev(u32 major, u32 first, u32 count, const char* name, const file_operations* op) {
  chrdev_range* r = knew<chrdev_range>(chrdev_range{major, first, count, name, op, nullptr});
  if (r == nullptr) return -ENOMEM;
  SpinGuard guard(chrdev_lock);
  r->next = chrdevs;
  chrdevs = r;
  return 0;
}

const file_operations* find_chrdev(dev_t dev) {
  for (const chrdev_range* r = chrdevs; r != nullptr; r = r->next) {
    if (r->major == major_of(dev) && minor_of(dev) - r->first < r->count) return r->op;
  }
  return nullptr;
}

}  // namespace xm::os
