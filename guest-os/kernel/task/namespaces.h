// SPDX-License-Identifier: GPL-2.0-or-later
// Namespaces: what a group of tasks sees as the machine's name (UTS) and as the tree of mounts. [man 7 namespaces]
// GAP: IPC, PID, user, network, time and cgroup namespaces are refused; no setns(2).
#pragma once

#include "kernel/lib/atomic.h"

namespace xm::os {

struct task_struct;
struct vfsmount;
struct fs_struct;

struct uts_namespace {
  Atomic<s32> count{1};
  char nodename[65];
  char domainname[65];
};
extern uts_namespace init_uts_ns;
uts_namespace* copy_uts_ns(const uts_namespace* from);  // null: no memory
void put_uts_ns(uts_namespace* ns);

struct mnt_namespace {
  Atomic<s32> count{1};
  vfsmount* root = nullptr;
};
extern mnt_namespace init_mnt_ns;
// A copy of every mount of the namespace that fs lives in; fs moves into the copy.
mnt_namespace* copy_mnt_ns(fs_struct* fs);
void put_mnt_ns(mnt_namespace* ns);  // the last user unmounts all of it

void exit_namespaces(task_struct* t);  // the task has none afterwards

}  // namespace xm::os
