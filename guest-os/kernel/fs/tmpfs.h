// SPDX-License-Identifier: GPL-2.0-or-later
// tmpfs for other parts of the kernel: its inodes, the root mount, and device nodes in devtmpfs.
#pragma once

#include "kernel/fs/fs.h"

namespace xm::os {

struct tmpfs_info {    // super_block::s_fs_info
  u64 max_blocks = 0;  // pages; 0: no limit
  Atomic<u64> used{0};
  u64 max_inodes = 0;
  Atomic<u64> inodes{0};
};
extern const address_space_operations& tmpfs_address_ops;
extern const file_operations& tmpfs_file_operations;
long memfd_add_seals(file* f, u64 seals);
long memfd_get_seals(const file* f);

inode* tmpfs_new_inode(super_block* sb, const inode* dir, umode_t mode, dev_t dev);
void tmpfs_init();  // registers the types, makes rootfs the root
void set_root_mount(vfsmount* m);
int devtmpfs_create(const char* name, umode_t mode, dev_t dev);  // "pts/ptmx" style names make directories
int devtmpfs_remove(const char* name);
int devtmpfs_symlink(const char* name, const char* target);

}  // namespace xm::os
