// SPDX-License-Identifier: GPL-2.0-or-later
// Files without a place in any directory: pidfd, eventfd, timerfd and their kin. They share one inode.
#include "kernel/fs/anon_inodes.h"

#include "kernel/fs/fs.h"
#include "kernel/lib/format.h"
#include "kernel/mm/slab.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {

constinit vfsmount* anon_mount = nullptr;
constinit inode* anon_inode = nullptr;

struct AnonDentryOps final : dentry_operations {
  void dname(const dentry* d, char* text, size_t size) const override {
    format(text, size, "anon_inode:%s", d->d_name.name);
  }
};
constinit const AnonDentryOps anon_dentry_ops{};

int fill_anon(super_block* sb, const char*, const char*, u64) {
  sb->s_magic = 0x09041934;
  inode* root = new_inode(sb);
  if (root == nullptr) return -ENOMEM;
  root->i_mode = S_IFDIR | 0600;
  sb->s_root = d_make_root(root);
  return 0;
}
constinit file_system_type anon_type{"anon_inodefs", FS_SINGLE, fill_anon};

}  // namespace

void anon_inodes_init() {
  register_filesystem(&anon_type);
  anon_mount = kern_mount(&anon_type);
  anon_inode = new_inode(anon_mount->mnt_sb);
  anon_inode->i_mode = 0600;
  anon_inode->i_ino = get_next_ino();
}

Result<file*> anon_inode_file(const char* name, const file_operations* op, void* data, u32 flags) {
  dentry* d = d_alloc_pseudo(anon_mount->mnt_sb, name);
  if (d == nullptr) return Error{ENOMEM};
  d->d_op = &anon_dentry_ops;
  d_instantiate(d, igrab(anon_inode));
  file* f = alloc_file({mntget(anon_mount), d}, flags, op);
  if (f == nullptr) return Error{ENFILE};
  f->f_mode &= ~FMODE_LSEEK;
  f->private_data = data;
  return f;
}

}  // namespace xm::os
