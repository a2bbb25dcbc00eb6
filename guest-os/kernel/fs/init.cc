// SPDX-License-Identifier: GPL-2.0-or-later
// Starts the virtual file system: caches, the root mount, and the file systems that are always there.
#include "kernel/fs/anon_inodes.h"
#include "kernel/fs/file_table.h"
#include "kernel/fs/pipe.h"
#include "kernel/fs/tmpfs.h"
#include "kernel/init/printk.h"
#include "kernel/task/task_struct.h"

namespace xm::os {

void dcache_init();
void inode_init();
void file_init();

void fs_init() {
  dcache_init();
  inode_init();
  file_init();
  tmpfs_init();
  anon_inodes_init();
  pipe_init();
  init_task.fs = fs_alloc(nullptr);
  BUG_ON(init_task.fs == nullptr || root_mount == nullptr);
  path root{root_mount, root_mount->mnt_root};
  path_get(root);
  path_get(root);
  init_task.fs->root = init_task.fs->pwd = root;
}

}  // namespace xm::os
