// SPDX-License-Identifier: GPL-2.0-or-later
// Access from one process to another without ptrace: the permission check, process_vm_readv and process_vm_writev,
// kcmp. [man 2 process_vm_readv], [man 2 kcmp]
#include "kernel/fs/file_table.h"
#include "kernel/mm/mm.h"
#include "kernel/mm/slab.h"
#include "kernel/syscall/calls.h"
#include "kernel/syscall/iovec.h"
#include "kernel/task/ptrace.h"

namespace xm::os {

bool ptrace_may_access(task_struct* t) {
  if (t->signal == current->signal) return true;
  const cred* mine = current->cred_;
  const cred* theirs = t->real_cred;
  const bool same = mine->uid == theirs->euid && mine->uid == theirs->suid && mine->uid == theirs->uid &&
                    mine->gid == theirs->egid && mine->gid == theirs->sgid && mine->gid == theirs->gid;
  if (!same && !capable(CAP_SYS_PTRACE)) return false;
  if (t->mm != nullptr && !t->mm->dumpable && !capable(CAP_SYS_PTRACE)) return false;
  return (theirs->cap_permitted & ~mine->cap_permitted) == 0 || capable(CAP_SYS_PTRACE);
}

namespace {

struct RemotePieces {
  IoVector vector;
  u32 at = 0;
  u64 offset = 0;
};

// Moves bytes between our pieces and theirs, a page at a time; returns how many.
long copy_pieces(mm_struct* mm, iov_iter& local, RemotePieces& remote, u64 count, bool write, char* page_buffer) {
  long done = 0;
  while (local.count() > 0 && remote.at < count) {
    const iovec& piece = remote.vector.pieces[remote.at];
    if (remote.offset == piece.length) {
      ++remote.at;
      remote.offset = 0;
      continue;
    }
    const u64 address = piece.base + remote.offset;
    const u64 n = min(min(piece.length - remote.offset, local.count()), kPageSize - (address & (kPageSize - 1)));
    u64 moved;
    if (write) {
      moved = local.copy_from(page_buffer, n);
      const long written = moved == 0 ? 0 : access_process_vm(mm, address, page_buffer, moved, true);
      if (written <= 0) return done > 0 ? done : -EFAULT;
      moved = static_cast<u64>(written);
    } else {
      const long read = access_process_vm(mm, address, page_buffer, n, false);
      if (read <= 0) return done > 0 ? done : -EFAULT;
      moved = local.copy_to(page_buffer, static_cast<u64>(read));
    }
    if (moved == 0) return done > 0 ? done : -EFAULT;
    remote.offset += moved;
    done += static_cast<long>(moved);
    if (moved < n) break;
  }
  return done;
}

long process_vm(int pid, u64 local_iov, u64 local_count, u64 remote_iov, u64 remote_count, u64 flags, bool write) {
  if (flags != 0) return -EINVAL;
  IoVector local;
  TRY_INT(import_iovec(local_iov, local_count, false, local));
  if (local.total == 0) return 0;
  RemotePieces remote;
  if (remote_count > kMaxIov) return -EINVAL;
  if (remote_count > array_size(remote.vector.fast)) {
    iovec* pieces = static_cast<iovec*>(kmalloc(remote_count * sizeof(iovec)));
    if (pieces == nullptr) return -ENOMEM;
    remote.vector.pieces = pieces;
  }
  TRY_INT(copy_iovec(remote_iov, remote_count, false, remote.vector.pieces));
  for (u64 i = 0; i < remote_count; ++i) {
    if (static_cast<s64>(remote.vector.pieces[i].length) < 0) return -EINVAL;
  }
  task_struct* t = get_task_by_pid(pid);
  if (t == nullptr) return -ESRCH;
  long result = -EPERM;
  if (ptrace_may_access(t)) {
    mm_struct* mm = get_task_mm(t);
    char* buffer = static_cast<char*>(get_free_page(GFP_KERNEL));
    result = mm == nullptr ? -ESRCH : -ENOMEM;
    if (mm != nullptr && buffer != nullptr) {
      iov_iter it(local.pieces, static_cast<u32>(local_count), local.total);
      result = copy_pieces(mm, it, remote, remote_count, write, buffer);
    }
    if (buffer != nullptr) free_page(buffer);
    if (mm != nullptr) mmput(mm);
  }
  put_task(t);
  return result;
}

}  // namespace

long sys_process_vm_readv(int pid, u64 local, u64 local_count, u64 remote, u64 remote_count, u64 flags) {
  return process_vm(pid, local, local_count, remote, remote_count, flags, false);
}
long sys_process_vm_writev(int pid, u64 local, u64 local_count, u64 remote, u64 remote_count, u64 flags) {
  return process_vm(pid, local, local_count, remote, remote_count, flags, true);
}

namespace {
constexpr int KCMP_FILE = 0, KCMP_VM = 1, KCMP_FILES = 2, KCMP_FS = 3, KCMP_SIGHAND = 4, KCMP_IO = 5, KCMP_SYSVSEM = 6;

// 0: the same object, 1 or 2: an order that stays the same as long as both live.
long compare(const void* a, const void* b) {
  // Addresses of kernel objects are no business of user space: they are mixed first.
  constexpr u64 kMix = 0x9e3779b97f4a7c15ul;
  const u64 x = reinterpret_cast<u64>(a) * kMix, y = reinterpret_cast<u64>(b) * kMix;
  return x == y ? 0 : (x < y ? 1 : 2);
}

long compare_files(task_struct* t1, task_struct* t2, u64 fd1, u64 fd2) {
  file* f1 = t1->files == nullptr ? nullptr : fget_task(t1, static_cast<int>(fd1));
  file* f2 = t2->files == nullptr ? nullptr : fget_task(t2, static_cast<int>(fd2));
  const long result = f1 == nullptr || f2 == nullptr ? -EBADF : compare(f1, f2);
  if (f1 != nullptr) fput(f1);
  if (f2 != nullptr) fput(f2);
  return result;
}
}  // namespace

long sys_kcmp(int pid1, int pid2, int type, u64 index1, u64 index2) {
  task_struct* t1 = get_task_by_pid(pid1);
  task_struct* t2 = get_task_by_pid(pid2);
  const auto run = [&]() -> long {
    if (t1 == nullptr || t2 == nullptr) return -ESRCH;
    if (!ptrace_may_access(t1) || !ptrace_may_access(t2)) return -EPERM;
    switch (type) {
      case KCMP_FILE: return compare_files(t1, t2, index1, index2);
      case KCMP_VM: return compare(t1->mm, t2->mm);
      case KCMP_FILES: return compare(t1->files, t2->files);
      case KCMP_FS: return compare(t1->fs, t2->fs);
      case KCMP_SIGHAND: return compare(t1->sighand, t2->sighand);
      case KCMP_IO: return 0;  // no I/O contexts: all have the same none
      case KCMP_SYSVSEM: return compare(t1->sysvsem, t2->sysvsem);
      default: return -EINVAL;
    }
  };
  const long result = run();
  if (t1 != nullptr) put_task(t1);
  if (t2 != nullptr) put_task(t2);
  return result;
}

}  // namespace xm::os
