// SPDX-License-Identifier: GPL-2.0-or-later
// unshare(2), and the life of UTS namespaces. Mount namespaces are in fs/super.cc.
#include "kernel/task/namespaces.h"

#include "kernel/fs/file_table.h"
#include "kernel/ipc/ipc.h"
#include "kernel/lib/string.h"
#include "kernel/mm/slab.h"
#include "kernel/syscall/calls.h"
#include "kernel/task/task_struct.h"

namespace xm::os {

constinit uts_namespace init_uts_ns{{1}, "xiaoma", "(none)"};

uts_namespace* copy_uts_ns(const uts_namespace* from) {
  uts_namespace* ns = knew<uts_namespace>();
  if (ns == nullptr) return nullptr;
  memcpy(ns->nodename, from->nodename, sizeof ns->nodename);
  memcpy(ns->domainname, from->domainname, sizeof ns->domainname);
  return ns;
}
void put_uts_ns(uts_namespace* ns) {
  if (ns->count.dec_and_test()) kdelete(ns);
}

void exit_namespaces(task_struct* t) {
  if (t->uts_ns == nullptr) return;
  uts_namespace* uts = t->uts_ns;
  mnt_namespace* mnt = t->mnt_ns;
  t->uts_ns = nullptr;
  t->mnt_ns = nullptr;
  put_uts_ns(uts);
  put_mnt_ns(mnt);
}

namespace {

constexpr u64 CLONE_NEWTIME = 0x80;
constexpr u64 kNamespaces = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET |
                            CLONE_NEWCGROUP | CLONE_NEWTIME;

int unshare_files() {
  if (current->files->count.load() <= 1) return 0;
  files_struct* copy = TRY(dup_fd(current->files));
  files_struct* old = current->files;
  {
    IrqGuard guard(tasklist_lock);
    current->files = copy;
  }
  put_files(old);
  return 0;
}

int unshare_fs() {
  if (current->fs->users.load() <= 1) return 0;
  fs_struct* copy = fs_alloc(current->fs);
  if (copy == nullptr) return -ENOMEM;
  fs_struct* old = current->fs;
  {
    IrqGuard guard(tasklist_lock);
    current->fs = copy;
  }
  put_fs(old);
  return 0;
}

}  // namespace

long sys_unshare(u64 flags) {
  constexpr u64 kKnown = CLONE_THREAD | CLONE_FS | CLONE_SIGHAND | CLONE_VM | CLONE_FILES | CLONE_SYSVSEM | kNamespaces;
  if ((flags & ~kKnown) != 0) return -EINVAL;
  if ((flags & (CLONE_THREAD | CLONE_SIGHAND | CLONE_VM)) != 0 && current->signal->nr_threads > 1) return -EINVAL;
  if ((flags & (CLONE_SIGHAND | CLONE_VM)) != 0 && current->sighand->count.load() > 1) return -EINVAL;
  if ((flags & kNamespaces) != 0 && !capable(CAP_SYS_ADMIN)) return -EPERM;
  if ((flags & kNamespaces & ~static_cast<u64>(CLONE_NEWNS | CLONE_NEWUTS)) != 0) return -EINVAL;
  if ((flags & (CLONE_FS | CLONE_NEWNS)) != 0) TRY_INT(unshare_fs());
  if ((flags & CLONE_FILES) != 0) TRY_INT(unshare_files());
  if ((flags & CLONE_SYSVSEM) != 0) exit_sem(current);
  if ((flags & CLONE_NEWUTS) != 0) {
    uts_namespace* ns = copy_uts_ns(current->uts_ns);
    if (ns == nullptr) return -ENOMEM;
    put_uts_ns(current->uts_ns);
    current->uts_ns = ns;
  }
  if ((flags & CLONE_NEWNS) != 0) {
    mnt_namespace* ns = copy_mnt_ns(current->fs);
    if (ns == nullptr) return -ENOMEM;
    put_mnt_ns(current->mnt_ns);
    current->mnt_ns = ns;
  }
  return 0;
}

}  // namespace xm::os
