// SPDX-License-Identifier: GPL-2.0-or-later
// Descriptor tables. Readers take the table's lock for a moment: fget is a lock, a look and a count.
#include "kernel/fs/file_table.h"

#include "kernel/mm/slab.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {

constexpr u32 kFirstSize = 64;

bool grow(files_struct* t, u32 size) {
  file** fd = static_cast<file**>(kzalloc(size * sizeof(file*)));
  u8* cloexec = static_cast<u8*>(kzalloc(size));
  if (fd == nullptr || cloexec == nullptr) {
    kfree(fd);
    kfree(cloexec);
    return false;
  }
  file** old_fd;
  u8* old_cloexec;
  {
    SpinGuard guard(t->file_lock);
    if (size > t->max_fds) {
      if (t->max_fds != 0) {
        memcpy(fd, t->fd, t->max_fds * sizeof(file*));
        memcpy(cloexec, t->close_on_exec, t->max_fds);
      }
      old_fd = t->fd;
      old_cloexec = t->close_on_exec;
      t->fd = fd;
      t->close_on_exec = cloexec;
      t->max_fds = size;
    } else {
      old_fd = fd;
      old_cloexec = cloexec;
    }
  }
  kfree(old_fd);
  kfree(old_cloexec);
  return true;
}

// A descriptor that is reserved and not yet installed.
file* const kReserved = reinterpret_cast<file*>(1);
bool real(const file* f) { return reinterpret_cast<u64>(f) > 1; }

}  // namespace

files_struct* files_alloc() {
  files_struct* t = knew<files_struct>();
  if (t != nullptr && !grow(t, kFirstSize)) {
    kdelete(t);
    return nullptr;
  }
  return t;
}

Result<files_struct*> dup_fd(files_struct* from) {
  files_struct* to = files_alloc();
  if (to == nullptr) return Error{ENOMEM};
  u32 size = from->max_fds;
  if (size > to->max_fds && !grow(to, size)) {
    put_files(to);
    return Error{ENOMEM};
  }
  SpinGuard guard(from->file_lock);
  for (u32 i = 0; i < min(from->max_fds, to->max_fds); ++i) {
    if (!real(from->fd[i])) continue;
    to->fd[i] = get_file(from->fd[i]);
    to->close_on_exec[i] = from->close_on_exec[i];
  }
  to->next_fd = 0;
  return to;
}

void release_posix_locks(files_struct* owner, file* f);

namespace {
void close_one(files_struct* t, file* f) {
  f->f_op->flush(f);
  if (f->f_inode->i_flock != nullptr) release_posix_locks(t, f);
  fput(f);
}
}  // namespace

void put_files(files_struct* t) {
  if (!t->count.dec_and_test()) return;
  for (u32 i = 0; i < t->max_fds; ++i) {
    if (real(t->fd[i])) close_one(t, t->fd[i]);
  }
  kfree(t->fd);
  kfree(t->close_on_exec);
  kdelete(t);
}

void close_on_exec(files_struct* t) {
  for (u32 i = 0; i < t->max_fds; ++i) {
    file* f = nullptr;
    {
      SpinGuard guard(t->file_lock);
      if (!t->close_on_exec[i] || !real(t->fd[i])) continue;
      f = t->fd[i];
      t->fd[i] = nullptr;
      t->close_on_exec[i] = 0;
      t->next_fd = min(t->next_fd, i);
    }
    close_one(t, f);
  }
}

fs_struct* fs_alloc(const fs_struct* from) {
  fs_struct* fs = knew<fs_struct>();
  if (fs == nullptr || from == nullptr) return fs;
  SpinGuard guard(const_cast<fs_struct*>(from)->lock);
  fs->umask = from->umask;
  fs->root = from->root;
  fs->pwd = from->pwd;
  path_get(fs->root);
  path_get(fs->pwd);
  return fs;
}

void put_fs(fs_struct* fs) {
  if (!fs->users.dec_and_test()) return;
  path_put(fs->root);
  path_put(fs->pwd);
  kdelete(fs);
}

path get_fs_root() {
  fs_struct* fs = current->fs;
  SpinGuard guard(fs->lock);
  path_get(fs->root);
  return fs->root;
}
path get_fs_pwd() {
  fs_struct* fs = current->fs;
  SpinGuard guard(fs->lock);
  path_get(fs->pwd);
  return fs->pwd;
}

namespace {
file* fget_from(files_struct* t, int fd) {
  if (t == nullptr) return nullptr;
  SpinGuard guard(t->file_lock);
  if (static_cast<u32>(fd) >= t->max_fds || !real(t->fd[fd])) return nullptr;
  return get_file(t->fd[fd]);
}
}  // namespace

file* fget_raw(int fd) { return fget_from(current->files, fd); }
file* fget(int fd) {
  file* f = fget_raw(fd);
  if (f != nullptr && (f->f_mode & FMODE_PATH) != 0) {
    fput(f);
    return nullptr;
  }
  return f;
}
file* fget_task(task_struct* t, int fd) { return fget_from(t->files, fd); }

int get_unused_fd(u32 start, u32 flags) {
  files_struct* t = current->files;
  const u64 limit = min<u64>(current->signal->rlim[RLIMIT_NOFILE].cur, kFdMaxLimit);
  for (;;) {
    u32 want;
    {
      SpinGuard guard(t->file_lock);
      want = max(start, t->next_fd);
      while (want < t->max_fds && t->fd[want] != nullptr) ++want;
      if (want >= limit) return -EMFILE;
      if (want < t->max_fds) {
        t->fd[want] = kReserved;
        t->close_on_exec[want] = (flags & O_CLOEXEC) != 0;
        if (start <= t->next_fd) t->next_fd = want + 1;
        return static_cast<int>(want);
      }
    }
    if (!grow(t, max(want + 1, t->max_fds * 2))) return -ENOMEM;
  }
}

void put_unused_fd(int fd) {
  files_struct* t = current->files;
  SpinGuard guard(t->file_lock);
  t->fd[fd] = nullptr;
  t->close_on_exec[fd] = 0;
  t->next_fd = min(t->next_fd, static_cast<u32>(fd));
}

void fd_install(int fd, file* f) {
  files_struct* t = current->files;
  SpinGuard guard(t->file_lock);
  t->fd[fd] = f;
}

int receive_fd(file* f, u32 flags) {
  const int fd = get_unused_fd(0, flags);
  if (fd >= 0) fd_install(fd, f);
  return fd;
}

int close_fd(int fd) {
  files_struct* t = current->files;
  file* f;
  {
    SpinGuard guard(t->file_lock);
    if (static_cast<u32>(fd) >= t->max_fds || !real(t->fd[fd])) return -EBADF;
    f = t->fd[fd];
    t->fd[fd] = nullptr;
    t->close_on_exec[fd] = 0;
    t->next_fd = min(t->next_fd, static_cast<u32>(fd));
  }
  const int error = f->f_op->flush(f);
  if (f->f_inode->i_flock != nullptr) release_posix_locks(t, f);
  fput(f);
  return error;
}

int replace_fd(int fd, file* f, bool cloexec) {
  files_struct* t = current->files;
  if (static_cast<u64>(static_cast<u32>(fd)) >= current->signal->rlim[RLIMIT_NOFILE].cur) return -EBADF;
  if (static_cast<u32>(fd) >= t->max_fds && !grow(t, max(static_cast<u32>(fd) + 1, t->max_fds * 2))) return -ENOMEM;
  file* old;
  {
    SpinGuard guard(t->file_lock);
    old = t->fd[fd];
    if (old == kReserved) return -EBUSY;
    t->fd[fd] = get_file(f);
    t->close_on_exec[fd] = cloexec;
  }
  if (old != nullptr) close_one(t, old);
  return fd;
}

long close_range(u32 first, u32 last, u32 flags) {
  constexpr u32 kUnshare = 2, kCloexec = 4;
  if ((flags & ~(kUnshare | kCloexec)) != 0 || first > last) return -EINVAL;
  if ((flags & kUnshare) != 0 && current->files->count.load() > 1) {
    files_struct* copy = TRY(dup_fd(current->files));
    files_struct* old = current->files;
    current->files = copy;
    put_files(old);
  }
  files_struct* t = current->files;
  for (u32 i = first; i < t->max_fds && i <= last; ++i) {
    if ((flags & kCloexec) != 0) {
      SpinGuard guard(t->file_lock);
      if (real(t->fd[i])) t->close_on_exec[i] = 1;
    } else {
      close_fd(static_cast<int>(i));
    }
  }
  return 0;
}

}  // namespace xm::os
