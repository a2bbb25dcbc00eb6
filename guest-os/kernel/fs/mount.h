// SPDX-License-Identifier: GPL-2.0-or-later
// What mount(2) and the calls that mount by descriptors share (super.cc).
#pragma once

#include "kernel/fs/fs.h"

namespace xm::os {

vfsmount* new_mount(super_block* sb, dentry* root, const char* source);  // takes over a reference to sb; not attached
void attach_mount(vfsmount* m, const path& at);                          // takes over a reference to m
bool mount_attached(const vfsmount* m);
u32 mount_flags_of(u64 flags);
long remount_super(const path& at, u64 flags, const char* data);
long move_mount_to(const path& from, const path& at);
constexpr u64 kSuperFlags = MS_RDONLY | MS_SYNCHRONOUS | MS_MANDLOCK | MS_DIRSYNC | MS_SILENT | MS_LAZYTIME;

}  // namespace xm::os
