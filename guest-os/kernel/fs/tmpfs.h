// SPDX-License-Identifier: GPL-2.0-or-later
// tmpfs for other parts of the kernel: its inodes, the root mount, and device nodes in devtmpfs.
#pragma once

#include "kernel/fs/fs.h"

namespace xm::os {

inode* tmpfs_new_inode(super_block* sb, const inode* dir, umode_t mode, dev_t dev);
void tmpfs_init();  // registers the types, makes rootfs the root
void set_root_mount(vfsmount* m);
int devtmpfs_create(const char* name, umode_t mode, dev_t dev);  // "pts/ptmx" style names make directories
int devtmpfs_symlink(const char* name, const char* target);

}  // namespace xm::os
