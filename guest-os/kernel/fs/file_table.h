// SPDX-License-Identifier: GPL-2.0-or-later
// files_struct: the descriptor table of a process; fs_struct: its root, working directory and umask.
#pragma once

#include "kernel/fs/fs.h"

namespace xm::os {

constexpr u32 kFdMaxLimit = 1048576;
struct files_struct {
  Atomic<s32> count{1};
  spinlock_t file_lock{LockRank::Files};
  u32 max_fds = 0;
  file** fd = nullptr;
  u8* close_on_exec = nullptr;
  u32 next_fd = 0;  // no lower descriptor is free
};
struct fs_struct {
  Atomic<s32> users{1};
  spinlock_t lock{LockRank::Files};
  umode_t umask = 022;
  path root, pwd;
};

files_struct* files_alloc();
Result<files_struct*> dup_fd(files_struct* from);
void put_files(files_struct* files);
void close_on_exec(files_struct* files);
fs_struct* fs_alloc(const fs_struct* from);
void put_fs(fs_struct* fs);
path get_fs_root();
path get_fs_pwd();

file* fget(int fd);  // referenced, or null; refuses O_PATH files
file* fget_raw(int fd);
file* fget_task(struct task_struct* t, int fd);
int get_unused_fd(u32 start, u32 flags);  // reserves; install or put back
void put_unused_fd(int fd);
void fd_install(int fd, file* f);    // consumes the reference
int receive_fd(file* f, u32 flags);  // both; consumes the reference on success
int close_fd(int fd);
int replace_fd(int fd, file* f, bool cloexec);
long close_range(u32 first, u32 last, u32 flags);

// RAII for the common case.
class FileRef {
 public:
  explicit FileRef(int fd, bool raw = false) : file_(raw ? fget_raw(fd) : fget(fd)) {}
  ~FileRef() {
    if (file_ != nullptr) fput(file_);
  }
  FileRef(const FileRef&) = delete;
  FileRef& operator=(const FileRef&) = delete;
  explicit operator bool() const { return file_ != nullptr; }
  file* get() const { return file_; }
  file* operator->() const { return file_; }

 private:
  file* file_;
};

}  // namespace xm::os
