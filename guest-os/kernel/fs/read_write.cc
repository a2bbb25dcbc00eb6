// SPDX-License-Identifier: GPL-2.0-or-later
// vfs_read and vfs_write, and the kernel's own file access.
#include "kernel/fs/fs.h"
#include "kernel/fs/fsnotify.h"
#include "kernel/task/task_struct.h"

namespace xm::os {

ssize_t vfs_read(file* f, iov_iter& to, loff_t& pos) {
  if ((f->f_mode & FMODE_READ) == 0) return -EBADF;
  const ssize_t n = f->f_op->read_iter(f, to, pos);
  if (n > 0) {
    current->read_chars += static_cast<u64>(n);
    fsnotify_dentry(f->f_path.dentry_, IN_ACCESS);
  }
  ++current->read_calls;
  return n;
}

ssize_t vfs_write(file* f, iov_iter& from, loff_t& pos) {
  if ((f->f_mode & FMODE_WRITE) == 0) return -EBADF;
  const ssize_t n = f->f_op->write_iter(f, from, pos);
  if (n > 0) {
    current->write_chars += static_cast<u64>(n);
    fsnotify_dentry(f->f_path.dentry_, IN_MODIFY);
  }
  ++current->write_calls;
  return n;
}

ssize_t kernel_read(file* f, void* to, size_t n, loff_t& pos) {
  iov_iter it = iov_iter::kernel(to, n);
  return f->f_op->read_iter(f, it, pos);
}

ssize_t kernel_write(file* f, const void* from, size_t n, loff_t& pos) {
  iov_iter it = iov_iter::kernel(const_cast<void*>(from), n);
  return f->f_op->write_iter(f, it, pos);
}

int vfs_fsync(file* f, bool data_only) { return f->f_op->fsync(f, data_only); }

int vfs_getattr(const path& p, kstat& stat) { return p.dentry_->d_inode->i_op->getattr(p.dentry_, stat); }

}  // namespace xm::os
