// SPDX-License-Identifier: GPL-2.0-or-later
// Moving bytes between files without user space: sendfile, copy_file_range, splice, tee, vmsplice. The bytes are
// copied; what programs see is the same. [man 2 splice], [man 2 tee], [man 2 copy_file_range]
#include "kernel/fs/file_table.h"
#include "kernel/fs/pipe.h"
#include "kernel/mm/slab.h"
#include "kernel/signal/signal.h"
#include "kernel/syscall/calls.h"
#include "kernel/syscall/iovec.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {

constexpr u32 SPLICE_F_NONBLOCK = 2, SPLICE_F_ALL = 15;

bool seekable(const file* f) { return !is_pipe(f) && !S_ISFIFO(f->f_inode->i_mode) && !S_ISSOCK(f->f_inode->i_mode); }

// Moves bytes from one file to another through a page.
long copy_between(file* in, loff_t& in_pos, file* out, loff_t& out_pos, u64 n) {
  char* buffer = static_cast<char*>(get_free_page(GFP_KERNEL));
  if (buffer == nullptr) return -ENOMEM;
  long done = 0;
  while (static_cast<u64>(done) < n) {
    loff_t at = in_pos;
    const ssize_t got = kernel_read(in, buffer, min<u64>(kPageSize, n - static_cast<u64>(done)), at);
    if (got <= 0) {
      if (done == 0) done = got;
      break;
    }
    ssize_t put = 0;
    while (put < got) {
      const ssize_t step = kernel_write(out, buffer + put, static_cast<u64>(got - put), out_pos);
      if (step <= 0) {
        if (done == 0 && put == 0) done = step;
        break;
      }
      put += step;
    }
    in_pos += put;
    if (done >= 0) done += put;
    if (put < got || signal_pending(current)) break;
  }
  free_page(buffer);
  return done;
}

// From a pipe, of which only what could be written is taken; or between two pipes.
long from_pipe(file* in, file* out, loff_t& out_pos, u64 n, bool nonblock) {
  char* buffer = static_cast<char*>(get_free_page(GFP_KERNEL));
  if (buffer == nullptr) return -ENOMEM;
  long done = 0;
  while (static_cast<u64>(done) < n) {
    const ssize_t got = pipe_peek(in, buffer, min<u64>(kPageSize, n - static_cast<u64>(done)), nonblock || done > 0);
    if (got <= 0) {
      if (done == 0) done = got;
      break;
    }
    ssize_t step;
    if (is_pipe(out)) {
      iov_iter it = iov_iter::kernel(buffer, static_cast<u64>(got));
      step = pipe_write_some(out, it, nonblock || done > 0);
    } else {
      step = kernel_write(out, buffer, static_cast<u64>(got), out_pos);
    }
    if (step <= 0) {
      if (done == 0) done = step;
      break;
    }
    pipe_consume(in, static_cast<u64>(step));
    done += step;
    if (step < got || signal_pending(current)) break;
  }
  free_page(buffer);
  return done;
}

long into_pipe(file* in, loff_t& in_pos, file* out, u64 n, bool nonblock) {
  const long room = pipe_wait_room(out, nonblock);
  if (room <= 0) return room;
  return copy_between(in, in_pos, out, out->f_pos, min(n, static_cast<u64>(room)));
}

}  // namespace

long sys_sendfile(int out_fd, int in_fd, s64* offset, u64 n) {
  FileRef in(in_fd), out(out_fd);
  loff_t pos = 0;
  if (offset != nullptr) TRY_INT(get_user(pos, reinterpret_cast<loff_t*>(offset)));
  if (!in || (in->f_mode & FMODE_READ) == 0) return -EBADF;
  if (offset == nullptr) pos = in->f_pos;
  if (offset != nullptr && !seekable(in.get())) return -ESPIPE;
  if (!out || (out->f_mode & FMODE_WRITE) == 0) return -EBADF;
  if ((out->f_flags & O_APPEND) != 0 && !is_pipe(out.get())) return -EINVAL;
  if (S_ISDIR(in->f_inode->i_mode) || S_ISSOCK(in->f_inode->i_mode) || is_pipe(in.get())) return -EINVAL;
  if (pos < 0) return -EINVAL;
  const long done = copy_between(in.get(), pos, out.get(), out->f_pos, min(n, kMaxTransfer));
  if (offset != nullptr) {
    TRY_INT(put_user(pos, reinterpret_cast<loff_t*>(offset)));
  } else {
    in->f_pos = pos;
  }
  return done;
}

long sys_copy_file_range(int in_fd, s64* in_user, int out_fd, s64* out_user, u64 n, u32 flags) {
  FileRef in(in_fd), out(out_fd);
  if (!in || !out) return -EBADF;
  loff_t in_pos = in->f_pos, out_pos = out->f_pos;
  if (in_user != nullptr) TRY_INT(get_user(in_pos, reinterpret_cast<loff_t*>(in_user)));
  if (out_user != nullptr) TRY_INT(get_user(out_pos, reinterpret_cast<loff_t*>(out_user)));
  if (flags != 0) return -EINVAL;
  if (S_ISDIR(in->f_inode->i_mode) || S_ISDIR(out->f_inode->i_mode)) return -EISDIR;
  if (!S_ISREG(in->f_inode->i_mode) || !S_ISREG(out->f_inode->i_mode)) return -EINVAL;
  if ((in->f_mode & FMODE_READ) == 0 || (out->f_mode & FMODE_WRITE) == 0 || (out->f_flags & O_APPEND) != 0)
    return -EBADF;
  if ((out->f_inode->i_flags & S_IMMUTABLE) != 0) return -EPERM;
  if (in_pos < 0 || out_pos < 0) return -EINVAL;
  const u64 from = static_cast<u64>(in_pos), to = static_cast<u64>(out_pos);
  if (from + n < from || to + n < to) return -EOVERFLOW;
  const loff_t limit = static_cast<loff_t>(out->f_inode->i_sb->s_maxbytes);
  if (out_pos >= limit) return -EFBIG;
  n = min(n, static_cast<u64>(max<loff_t>(in->f_inode->i_size - in_pos, 0)));
  if (in->f_inode == out->f_inode && out_pos < in_pos + static_cast<loff_t>(n) &&
      in_pos < out_pos + static_cast<loff_t>(n))
    return -EINVAL;
  const long done = copy_between(in.get(), in_pos, out.get(), out_pos, min(n, kMaxTransfer));
  if (done > 0) {
    if (in_user != nullptr)
      TRY_INT(put_user(in_pos, reinterpret_cast<loff_t*>(in_user)));
    else
      in->f_pos = in_pos;
    if (out_user != nullptr)
      TRY_INT(put_user(out_pos, reinterpret_cast<loff_t*>(out_user)));
    else
      out->f_pos = out_pos;
  }
  return done;
}

long sys_splice(int in_fd, s64* in_user, int out_fd, s64* out_user, u64 n, u32 flags) {
  if (n == 0) return 0;
  if ((flags & ~SPLICE_F_ALL) != 0) return -EINVAL;
  FileRef in(in_fd), out(out_fd);
  if (!in || !out) return -EBADF;
  const bool in_pipe = is_pipe(in.get()), out_pipe = is_pipe(out.get());
  if ((in_pipe && in_user != nullptr) || (out_pipe && out_user != nullptr)) return -ESPIPE;
  if ((in->f_mode & FMODE_READ) == 0 || (out->f_mode & FMODE_WRITE) == 0) return -EBADF;
  if (!in_pipe && !out_pipe) return -EINVAL;
  if (in_pipe && out_pipe && in->f_inode == out->f_inode) return -EINVAL;
  if ((in_user != nullptr && !seekable(in.get())) || (out_user != nullptr && !seekable(out.get()))) return -EINVAL;
  if (!out_pipe && (out->f_flags & O_APPEND) != 0) return -EINVAL;
  loff_t in_pos = in->f_pos, out_pos = out->f_pos;
  if (in_user != nullptr) TRY_INT(get_user(in_pos, reinterpret_cast<loff_t*>(in_user)));
  if (out_user != nullptr) TRY_INT(get_user(out_pos, reinterpret_cast<loff_t*>(out_user)));
  if (in_pos < 0 || out_pos < 0) return -EINVAL;
  const bool nonblock = (flags & SPLICE_F_NONBLOCK) != 0 || ((in->f_flags | out->f_flags) & O_NONBLOCK) != 0;
  const long done = in_pipe ? from_pipe(in.get(), out.get(), out_pos, min(n, kMaxTransfer), nonblock)
                            : into_pipe(in.get(), in_pos, out.get(), n, nonblock);
  if (done <= 0) return done;
  if (in_user != nullptr)
    TRY_INT(put_user(in_pos, reinterpret_cast<loff_t*>(in_user)));
  else if (!in_pipe)
    in->f_pos = in_pos;
  if (out_user != nullptr)
    TRY_INT(put_user(out_pos, reinterpret_cast<loff_t*>(out_user)));
  else if (!out_pipe)
    out->f_pos = out_pos;
  return done;
}

// What is in one pipe goes into another too, and stays.
long sys_tee(int in_fd, int out_fd, u64 n, u32 flags) {
  if ((flags & ~SPLICE_F_ALL) != 0) return -EINVAL;
  if (n == 0) return 0;
  FileRef in(in_fd), out(out_fd);
  if (!in || !out) return -EBADF;
  if ((in->f_mode & FMODE_READ) == 0 || (out->f_mode & FMODE_WRITE) == 0) return -EBADF;
  if (!is_pipe(in.get()) || !is_pipe(out.get()) || in->f_inode == out->f_inode) return -EINVAL;
  const bool nonblock = (flags & SPLICE_F_NONBLOCK) != 0 || ((in->f_flags | out->f_flags) & O_NONBLOCK) != 0;
  const long room = pipe_wait_room(out.get(), nonblock);
  if (room <= 0) return room;
  const u64 size = min(n, static_cast<u64>(room));
  char* buffer = static_cast<char*>(kmalloc(size));
  if (buffer == nullptr) return -ENOMEM;
  long done = pipe_peek(in.get(), buffer, size, nonblock);
  if (done > 0) {
    iov_iter it = iov_iter::kernel(buffer, static_cast<u64>(done));
    done = pipe_write_some(out.get(), it, true);
  }
  kfree(buffer);
  return done;
}

long sys_vmsplice(int fd, const iovec* user, u64 count, u32 flags) {
  if ((flags & ~SPLICE_F_ALL) != 0) return -EINVAL;
  FileRef f(fd);
  if (!f) return -EBADF;
  const bool write = (f->f_mode & FMODE_WRITE) != 0;
  if (!write && (f->f_mode & FMODE_READ) == 0) return -EBADF;
  IoVector v;
  TRY_INT(import_iovec(reinterpret_cast<u64>(user), count, false, v));
  if (v.total == 0) return 0;
  if (!is_pipe(f.get())) return -EBADF;
  iov_iter it(v.pieces, static_cast<u32>(count), v.total);
  const bool nonblock = (flags & SPLICE_F_NONBLOCK) != 0;
  if (!write) return nonblock && pipe_is_empty(f.get()) ? -EAGAIN : vfs_read(f.get(), it, f->f_pos);
  return pipe_write_some(f.get(), it, nonblock);
}

}  // namespace xm::os
