// SPDX-License-Identifier: GPL-2.0-or-later
// Reading, writing, seeking, syncing: [man 2 read] and its family.
#include "kernel/fs/file_table.h"
#include "kernel/fs/namei.h"
#include "kernel/fs/pipe.h"
#include "kernel/mm/slab.h"
#include "kernel/signal/signal.h"
#include "kernel/syscall/calls.h"
#include "kernel/syscall/iovec.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {

// The position of a file that can seek, held for the length of one transfer.
class Position {
 public:
  explicit Position(file* f) : file_(f), shared_(is_content(f->f_inode->i_mode) && f->f_count.load() > 1) {
    if (shared_) mutex_lock(f->f_pos_lock);
  }
  ~Position() {
    if (shared_) mutex_unlock(file_->f_pos_lock);
  }
  Position(const Position&) = delete;
  Position& operator=(const Position&) = delete;
  loff_t& operator*() { return file_->f_pos; }

 private:
  // Others (pipes, devices) may wait long inside a transfer, while another task moves bytes the other way.
  static bool is_content(umode_t mode) { return S_ISREG(mode) || S_ISDIR(mode); }

  file* file_;
  bool shared_;
};

bool seekable(const file* f) { return !is_pipe(f) && !S_ISFIFO(f->f_inode->i_mode) && !S_ISSOCK(f->f_inode->i_mode); }

// Files whose transfers can be told not to wait: pipes, and files with pages to look at.
bool knows_nowait(const file* f) {
  return is_pipe(f) ||
         (S_ISREG(f->f_inode->i_mode) && f->f_mapping->a_ops != nullptr && f->f_mapping->a_ops->writes_back());
}

template <bool kWrite>
long transfer(file* f, iov_iter& it, loff_t& pos) {
  return kWrite ? vfs_write(f, it, pos) : vfs_read(f, it, pos);
}

template <bool kWrite>
long one_buffer(int fd, u64 buffer, u64 n, const s64* at) {
  FileRef f(fd);
  if (!f) return -EBADF;
  if (at != nullptr && *at < 0) return -EINVAL;
  if (at != nullptr && !seekable(f.get())) return -ESPIPE;
  if ((f->f_mode & (kWrite ? FMODE_WRITE : FMODE_READ)) == 0) return -EBADF;
  if (static_cast<s64>(n) < 0) return -EINVAL;
  if (!access_ok(buffer, n)) return -EFAULT;
  const iovec piece{buffer, min(n, kMaxTransfer)};
  iov_iter it(&piece, 1, piece.length);
  if (at != nullptr) {
    loff_t pos = *at;
    return transfer<kWrite>(f.get(), it, pos);
  }
  Position pos(f.get());
  return transfer<kWrite>(f.get(), it, *pos);
}

template <bool kWrite>
long vector(int fd, const iovec* user, u64 count, const s64* at, u32 rwf = 0) {
  FileRef f(fd);
  if (!f) return -EBADF;
  if (at != nullptr && *at < 0) return -EINVAL;
  if (at != nullptr && !seekable(f.get())) return -ESPIPE;
  if ((f->f_mode & (kWrite ? FMODE_WRITE : FMODE_READ)) == 0) return -EBADF;
  IoVector v;
  TRY_INT(import_iovec(reinterpret_cast<u64>(user), count, false, v));
  if (v.total == 0) return 0;
  if ((rwf & RWF_NOWAIT) != 0 && !knows_nowait(f.get())) return -EOPNOTSUPP;
  iov_iter it(v.pieces, static_cast<u32>(count), v.total);
  it.rwf = rwf;
  if (at != nullptr) {
    loff_t pos = *at;
    return transfer<kWrite>(f.get(), it, pos);
  }
  Position pos(f.get());
  return transfer<kWrite>(f.get(), it, *pos);
}

}  // namespace

long sys_read(int fd, char* buffer, u64 n) { return one_buffer<false>(fd, reinterpret_cast<u64>(buffer), n, nullptr); }
long sys_write(int fd, const char* buffer, u64 n) {
  return one_buffer<true>(fd, reinterpret_cast<u64>(buffer), n, nullptr);
}
long sys_pread64(int fd, char* buffer, u64 n, s64 pos) {
  return one_buffer<false>(fd, reinterpret_cast<u64>(buffer), n, &pos);
}
long sys_pwrite64(int fd, const char* buffer, u64 n, s64 pos) {
  return one_buffer<true>(fd, reinterpret_cast<u64>(buffer), n, &pos);
}
long sys_readv(int fd, const iovec* v, u64 count) { return vector<false>(fd, v, count, nullptr); }
long sys_writev(int fd, const iovec* v, u64 count) { return vector<true>(fd, v, count, nullptr); }
long sys_preadv(int fd, const iovec* v, u64 count, u64 low, u64) {
  const s64 pos = static_cast<s64>(low);
  return vector<false>(fd, v, count, &pos);
}
long sys_pwritev(int fd, const iovec* v, u64 count, u64 low, u64) {
  const s64 pos = static_cast<s64>(low);
  return vector<true>(fd, v, count, &pos);
}
namespace {
constexpr u32 kRwfKnown = RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | RWF_APPEND;
}
long sys_preadv2(int fd, const iovec* v, u64 count, u64 low, u64, u32 flags) {
  if ((flags & ~kRwfKnown) != 0) return -EOPNOTSUPP;
  const s64 pos = static_cast<s64>(low);
  return vector<false>(fd, v, count, pos == -1 ? nullptr : &pos, flags);
}
long sys_pwritev2(int fd, const iovec* v, u64 count, u64 low, u64, u32 flags) {
  if ((flags & ~kRwfKnown) != 0) return -EOPNOTSUPP;
  const s64 pos = static_cast<s64>(low);
  return vector<true>(fd, v, count, pos == -1 ? nullptr : &pos, flags);
}

long sys_lseek(int fd, s64 offset, int whence) {
  FileRef f(fd);
  if (!f) return -EBADF;
  if (whence < 0 || whence > SEEK_HOLE) return -EINVAL;
  if (!seekable(f.get())) return -ESPIPE;
  MutexGuard guard(f->f_pos_lock);
  return f->f_op->llseek(f.get(), offset, whence);
}

long sys_fsync(int fd) {
  FileRef f(fd);
  return f ? vfs_fsync(f.get(), false) : -EBADF;
}
long sys_fdatasync(int fd) {
  FileRef f(fd);
  return f ? vfs_fsync(f.get(), true) : -EBADF;
}
long sys_sync() {
  sync_all(true);
  return 0;
}
long sys_syncfs(int fd) {
  FileRef f(fd);
  if (!f) return -EBADF;
  sync_filesystem(f->f_inode->i_sb, true);
  return 0;
}
long sys_sync_file_range(int fd, s64 offset, s64 n, u32 flags) {
  if ((flags & ~7u) != 0 || offset < 0 || n < 0 || offset + n < offset) return -EINVAL;
  FileRef f(fd);
  if (!f) return -EBADF;
  const u32 type = f->f_inode->i_mode & S_IFMT;
  if (type != S_IFREG && type != S_IFBLK && type != S_IFDIR && type != S_IFLNK) return -ESPIPE;
  return flags == 0
             ? 0
             : filemap_write_and_wait(f->f_mapping, offset, n == 0 ? 1ll << 62 : offset + n - 1, (flags & 5) != 0);
}

long sys_truncate(const char* name, s64 length) {
  if (length < 0) return -EINVAL;
  path p;
  TRY_INT(user_path_at(AT_FDCWD, name, LOOKUP_FOLLOW, p));
  inode* i = p.dentry_->d_inode;
  int error = 0;
  if (S_ISDIR(i->i_mode))
    error = -EISDIR;
  else if (!S_ISREG(i->i_mode))
    error = -EINVAL;
  else if (mnt_read_only(p.mnt))
    error = -EROFS;
  else
    error = inode_permission(i, MAY_WRITE);
  if (error == 0 && (i->i_flags & S_APPEND) != 0) error = -EPERM;
  if (error == 0) error = do_truncate(p.dentry_, length, 0);
  path_put(p);
  if (error == -EFBIG) send_sig(SIGXFSZ, current);
  return error;
}

long sys_ftruncate(int fd, s64 length) {
  if (length < 0) return -EINVAL;
  FileRef f(fd);
  if (!f) return -EBADF;
  if (!S_ISREG(f->f_inode->i_mode) || (f->f_mode & FMODE_WRITE) == 0) return -EINVAL;
  if ((f->f_inode->i_flags & S_APPEND) != 0) return -EPERM;
  const int error = do_truncate(f->f_path.dentry_, length, 0);
  if (error == -EFBIG) send_sig(SIGXFSZ, current);
  return error;
}

long sys_fallocate(int fd, int mode, s64 offset, s64 length) {
  FileRef f(fd);
  if (!f) return -EBADF;
  if (offset < 0 || length <= 0) return -EINVAL;
  if ((mode & ~0x7f) != 0) return -EOPNOTSUPP;
  if ((mode & 2) != 0 && (mode & 1) == 0) return -EOPNOTSUPP;  // PUNCH_HOLE needs KEEP_SIZE
  if ((f->f_mode & FMODE_WRITE) == 0) return -EBADF;
  if (S_ISFIFO(f->f_inode->i_mode)) return -ESPIPE;
  if (S_ISDIR(f->f_inode->i_mode)) return -EISDIR;
  if (!S_ISREG(f->f_inode->i_mode) && !S_ISBLK(f->f_inode->i_mode)) return -ENODEV;
  if (offset + length < 0 || static_cast<u64>(offset + length) > f->f_inode->i_sb->s_maxbytes) return -EFBIG;
  return f->f_op->fallocate(f.get(), mode, offset, length);
}

long sys_fadvise64(int fd, s64, s64 length, int advice) {
  FileRef f(fd);
  if (!f) return -EBADF;
  if (S_ISFIFO(f->f_inode->i_mode)) return -ESPIPE;
  return length < 0 || advice < 0 || advice > 5 ? -EINVAL : 0;
}

long sys_readahead(int fd, s64, u64) {
  FileRef f(fd);
  if (!f || (f->f_mode & FMODE_READ) == 0) return -EBADF;
  return S_ISREG(f->f_inode->i_mode) || S_ISBLK(f->f_inode->i_mode) ? 0 : -EINVAL;
}

}  // namespace xm::os
