// SPDX-License-Identifier: GPL-2.0-or-later
// Calls on descriptors: dup, fcntl, ioctl, pipe, flock, memfd.
#include "kernel/fs/fasync.h"
#include "kernel/fs/file_table.h"
#include "kernel/fs/locks.h"
#include "kernel/fs/pipe.h"
#include "kernel/fs/tmpfs.h"
#include "kernel/lib/format.h"
#include "kernel/mm/shmem.h"
#include "kernel/mm/slab.h"
#include "kernel/syscall/calls.h"
#include "kernel/task/task_struct.h"

namespace xm::os {

long sys_dup(int fd) {
  file* f = fget_raw(fd);
  if (f == nullptr) return -EBADF;
  const int to = receive_fd(f, 0);
  if (to < 0) fput(f);
  return to;
}

long sys_dup3(int from, int to, u32 flags) {
  if ((flags & ~O_CLOEXEC) != 0 || from == to) return -EINVAL;
  if (to < 0 || static_cast<u64>(to) >= current->signal->rlim[RLIMIT_NOFILE].cur) return -EBADF;
  FileRef f(from, true);
  return f ? replace_fd(to, f.get(), (flags & O_CLOEXEC) != 0) : -EBADF;
}

long sys_dup2(int from, int to) {
  if (from != to) return sys_dup3(from, to, 0);
  FileRef f(from, true);
  return f ? to : -EBADF;
}

namespace {

constexpr u32 kSettable = O_APPEND | O_NONBLOCK | O_ASYNC | O_DIRECT | O_NOATIME;

long set_flags(file* f, int fd, u32 flags) {
  if (((f->f_flags ^ flags) & O_APPEND) != 0 && (f->f_inode->i_flags & S_APPEND) != 0) return -EPERM;
  if ((flags & O_NOATIME) != 0 && (f->f_flags & O_NOATIME) == 0 && current->cred_->fsuid != f->f_inode->i_uid &&
      !capable(CAP_FOWNER))
    return -EPERM;
  if (((f->f_flags ^ flags) & O_ASYNC) != 0) TRY_INT(fasync_set(f, fd, (flags & O_ASYNC) != 0));
  SpinGuard guard(f->f_lock);
  f->f_flags = (f->f_flags & ~kSettable) | (flags & kSettable);
  return 0;
}

long descriptor_flag(int fd, int set, u64 argument) {
  files_struct* t = current->files;
  SpinGuard guard(t->file_lock);
  if (set != 0) t->close_on_exec[fd] = (argument & FD_CLOEXEC) != 0;
  return t->close_on_exec[fd];
}

long dup_above(file* f, u64 start, u32 flags) {
  if (start >= current->signal->rlim[RLIMIT_NOFILE].cur) return -EINVAL;
  const int fd = TRY_INT(get_unused_fd(static_cast<u32>(start), flags));
  fd_install(fd, get_file(f));
  return fd;
}

long set_owner(file* f, int who) {
  if (who == static_cast<int>(0x80000000)) return -EINVAL;
  return who < 0 ? set_file_owner(f, F_OWNER_PGRP, -who) : set_file_owner(f, F_OWNER_PID, who);
}

long owner_ex(file* f, bool set, u64 argument) {
  int ex[2] = {f->f_owner_type, f->f_owner};
  if (!set) return copy_to_user(reinterpret_cast<void*>(argument), ex, sizeof ex);
  TRY_INT(get_user_at(ex, argument));
  if (ex[0] < F_OWNER_TID || ex[0] > F_OWNER_PGRP) return -EINVAL;
  return set_file_owner(f, ex[0], ex[1]);
}

long record_lock(int fd, file* f, int command, u64 argument) {
  flock user;
  TRY_INT(get_user_at(user, argument));
  const bool ofd = command >= F_OFD_GETLK;
  if (ofd && user.l_pid != 0) return -EINVAL;
  if (command == F_GETLK || command == F_OFD_GETLK) {
    TRY_INT(get_record_lock(f, user, ofd));
    return put_user_at(user, argument);
  }
  return set_record_lock(fd, f, user, command == F_SETLKW || command == F_OFD_SETLKW, ofd);
}

}  // namespace

long sys_fcntl(int fd, int command, u64 argument) {
  FileRef f(fd, true);
  if (!f) return -EBADF;
  const bool path_only = (f->f_mode & FMODE_PATH) != 0;
  if (path_only && command != F_DUPFD && command != F_DUPFD_CLOEXEC && command != F_GETFD && command != F_SETFD &&
      command != F_GETFL)
    return -EBADF;
  switch (command) {
    case F_DUPFD: return dup_above(f.get(), argument, 0);
    case F_DUPFD_CLOEXEC: return dup_above(f.get(), argument, O_CLOEXEC);
    case F_GETFD: return descriptor_flag(fd, 0, 0);
    case F_SETFD: descriptor_flag(fd, 1, argument); return 0;
    case F_GETFL: return f->f_flags;
    case F_SETFL: return set_flags(f.get(), fd, static_cast<u32>(argument));
    case F_GETLK:
    case F_SETLK:
    case F_SETLKW:
    case F_OFD_GETLK:
    case F_OFD_SETLK:
    case F_OFD_SETLKW: return record_lock(fd, f.get(), command, argument);
    case F_SETOWN: return set_owner(f.get(), static_cast<int>(argument));
    case F_GETOWN: return f->f_owner_type == F_OWNER_PGRP ? -f->f_owner : f->f_owner;
    case F_SETOWN_EX: return owner_ex(f.get(), true, argument);
    case F_GETOWN_EX: return owner_ex(f.get(), false, argument);
    case F_GETOWNER_UIDS: {
      const u32 ids[2] = {f->f_owner_uid, f->f_owner_euid};
      return copy_to_user(reinterpret_cast<void*>(argument), ids, sizeof ids);
    }
    case F_SETSIG:
      if (argument > kNsig) return -EINVAL;
      f->f_owner_signal = static_cast<int>(argument);
      return 0;
    case F_GETSIG: return f->f_owner_signal;
    case F_SETPIPE_SZ: return is_pipe(f.get()) ? pipe_set_size(f.get(), argument) : -EBADF;
    case F_GETPIPE_SZ: return is_pipe(f.get()) ? pipe_size(f.get()) : -EBADF;
    case F_GETLEASE: return get_lease(f.get());
    case F_SETLEASE: return set_lease(fd, f.get(), static_cast<int>(argument));
    case F_ADD_SEALS: return memfd_add_seals(f.get(), argument);
    case F_GET_SEALS: return memfd_get_seals(f.get());
    case F_NOTIFY: return dnotify_set(fd, f.get(), argument);
    default: return -EINVAL;
  }
}

long sys_ioctl(int fd, u32 command, u64 argument) {
  constexpr u32 kFionclex = 0x5450, kFioclex = 0x5451, kFionbio = 0x5421, kFionread = 0x541b, kFioasync = 0x5452,
                kFiclone = 0x40049409, kFiclonerange = 0x4020940d, kFioqsize = 0x5460;
  FileRef f(fd);
  if (!f) return -EBADF;
  switch (command) {
    case kFioclex: descriptor_flag(fd, 1, FD_CLOEXEC); return 0;
    case kFionclex: descriptor_flag(fd, 1, 0); return 0;
    case kFionbio: {
      int on;
      TRY_INT(get_user_at(on, argument));
      return set_flags(f.get(), fd, on != 0 ? f->f_flags | O_NONBLOCK : f->f_flags & ~O_NONBLOCK);
    }
    case kFioasync: {
      int on;
      TRY_INT(get_user_at(on, argument));
      if (!f->f_op->has_poll()) return -ENOTTY;
      return set_flags(f.get(), fd, on != 0 ? f->f_flags | O_ASYNC : f->f_flags & ~O_ASYNC);
    }
    case kFionread:
      if (S_ISREG(f->f_inode->i_mode)) return put_user_at(static_cast<int>(f->f_inode->i_size - f->f_pos), argument);
      break;
    case kFiclone:
    case kFiclonerange:  // no file system here shares blocks between files
      if (S_ISREG(f->f_inode->i_mode)) return -EOPNOTSUPP;
      break;
    case kFioqsize:
      if (S_ISREG(f->f_inode->i_mode) || S_ISDIR(f->f_inode->i_mode))
        return put_user_at(static_cast<s64>(f->f_inode->i_size), argument);
      break;
    default: break;
  }
  const long r = f->f_op->ioctl(f.get(), command, argument);
  return r == -ENOIOCTLCMD ? -ENOTTY : r;
}

long sys_pipe2(int* fds, u32 flags) {
  if ((flags & ~(O_CLOEXEC | O_NONBLOCK | O_DIRECT)) != 0) return -EINVAL;
  file* ends[2];
  TRY_INT(create_pipe_files(ends, flags));
  int numbers[2] = {get_unused_fd(0, flags), -1};
  if (numbers[0] >= 0) numbers[1] = get_unused_fd(0, flags);
  long error = numbers[0] < 0 ? numbers[0] : (numbers[1] < 0 ? numbers[1] : 0);
  if (error == 0) error = copy_to_user(fds, numbers, sizeof numbers);
  if (error != 0) {
    for (int i = 0; i < 2; ++i) {
      if (numbers[i] >= 0) put_unused_fd(numbers[i]);
      fput(ends[i]);
    }
    return error;
  }
  fd_install(numbers[0], ends[0]);
  fd_install(numbers[1], ends[1]);
  return 0;
}
long sys_pipe(int* fds) { return sys_pipe2(fds, 0); }

long sys_flock(int fd, int operation) {
  FileRef f(fd);
  if (!f) return -EBADF;
  const int kind = operation & ~LOCK_NB;
  if (kind != LOCK_SH && kind != LOCK_EX && kind != LOCK_UN) return -EINVAL;
  return set_flock(f.get(), kind, (operation & LOCK_NB) != 0);
}

long sys_close_range(u32 first, u32 last, u32 flags) { return close_range(first, last, flags); }

long sys_memfd_create(const char* user_name, u32 flags) {
  constexpr u32 kCloexec = 1, kAllowSealing = 2;
  if ((flags & ~(kCloexec | kAllowSealing)) != 0) return -EINVAL;
  char name[256] = "memfd:";
  const long n = strncpy_from_user(name + 6, user_name, sizeof name - 6);
  if (n < 0) return n == -ENAMETOOLONG ? -EINVAL : n;
  file* f = TRY(shmem_file_setup(name, 0));
  if ((flags & kAllowSealing) != 0) f->f_inode->i_seals = 0;
  f->f_flags |= O_LARGEFILE;
  const int fd = receive_fd(f, (flags & kCloexec) != 0 ? O_CLOEXEC : 0);
  if (fd < 0) fput(f);
  return fd;
}

}  // namespace xm::os
