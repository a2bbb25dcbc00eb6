// SPDX-License-Identifier: GPL-2.0-or-later
// Path names: walking them, and the directory operations on the last component.
#pragma once

#include "kernel/fs/fs.h"

namespace xm::os {

constexpr u32 LOOKUP_FOLLOW = 1, LOOKUP_DIRECTORY = 2, LOOKUP_PARENT = 4, LOOKUP_EMPTY = 8, LOOKUP_NO_SYMLINKS = 16,
              LOOKUP_BENEATH = 32, LOOKUP_IN_ROOT = 64, LOOKUP_NO_XDEV = 128, LOOKUP_NO_MAGICLINKS = 256;

enum class LastType { Normal, Root, Dot, DotDot };
struct nameidata {
  path at;  // where we are; after LOOKUP_PARENT the directory of the last component
  qstr last;
  LastType last_type = LastType::Root;
  bool trailing_slash = false;
  u32 flags = 0;
  int depth = 0;                // symlinks followed
  char* name_buffer = nullptr;  // keeps `last` alive when it came from a symlink
  path root;
};

// Looks a name up from dfd (or the current directory). The result holds references.
int path_lookupat(int dfd, const char* name, u32 flags, path& out);
int path_parentat(int dfd, const char* name, u32 flags, nameidata& nd);  // finish with nd_put
void nd_put(nameidata& nd);
int kern_path(const char* name, u32 flags, path& out);
// A name from user space: copied to a kernel buffer; free with putname.
Result<char*> getname(const char* user_name, u32 flags = 0);
void putname(char* name);
int user_path_at(int dfd, const char* user_name, u32 flags, path& out);

int inode_permission(inode* i, int mask);  // MAY_*
constexpr int MAY_EXEC = 1, MAY_WRITE = 2, MAY_READ = 4;
bool inode_owner_or_capable(const inode* i);

Result<file*> do_filp_open(int dfd, const char* name, u32 flags, umode_t mode, u32 lookup_flags = 0);
int vfs_create(inode* dir, dentry* d, umode_t mode, bool excl);
long do_mknodat(int dfd, const char* name, umode_t mode, dev_t dev);
long do_mkdirat(int dfd, const char* name, umode_t mode);
long do_unlinkat(int dfd, const char* name);
long do_rmdirat(int dfd, const char* name);
long do_symlinkat(const char* target, int dfd, const char* name);
long do_linkat(int old_dfd, const char* old_name, int new_dfd, const char* new_name, u32 flags);
long do_renameat(int old_dfd, const char* old_name, int new_dfd, const char* new_name, u32 flags);
ssize_t do_readlink(const path& p, char* user_buffer, size_t size);
int do_truncate(dentry* d, loff_t length, u32 extra_valid);
int notify_change(dentry* d, iattr& attr);

// The text of a path as seen from a root; returns a pointer into the buffer, or null if it does not fit.
char* d_path(const path& p, const path& root, char* buffer, size_t size);

void shrink_dcache_parent(dentry* parent);  // forgets the unused children of a directory

}  // namespace xm::os
