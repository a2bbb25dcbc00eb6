// SPDX-License-Identifier: GPL-2.0-or-later
// Tells watchers what happens to files. The file system layer calls these after a success; without watches anywhere
// they cost one comparison. They may sleep: no spinlock may be held.
#pragma once

#include "abi/inotify.h"
#include "kernel/fs/fs.h"

namespace xm::os {

constexpr u32 FS_RENAME_INSIDE = 0x00100000;  // with IN_MOVED_FROM: the name stays in its directory; for dnotify
extern Atomic<u32> inotify_watches;           // of all instances

void fsnotify_slow_dentry(dentry* d, u32 mask);
void fsnotify_slow_name(inode* dir, u32 mask, const qstr& name, bool directory, u32 cookie);
void fsnotify_slow_inode(inode* i, u32 mask);
u32 fsnotify_cookie();
void fsnotify_unmount(super_block* sb);

// Something happened to the file behind d: its own watchers hear of it, and those of its directory, with the name.
inline void fsnotify_dentry(dentry* d, u32 mask) {
  if (unlikely(inotify_watches.load() != 0)) fsnotify_slow_dentry(d, mask);
}
// A name in a directory was made, removed or moved.
inline void fsnotify_name(inode* dir, u32 mask, const qstr& name, bool directory, u32 cookie = 0) {
  if (unlikely(inotify_watches.load() != 0)) fsnotify_slow_name(dir, mask, name, directory, cookie);
}
inline void fsnotify_inode(inode* i, u32 mask) {
  if (unlikely(inotify_watches.load() != 0)) fsnotify_slow_inode(i, mask);
}

}  // namespace xm::os
