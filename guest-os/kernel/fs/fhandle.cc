// SPDX-License-Identifier: GPL-2.0-or-later
// File handles: a name for an inode that outlives its path. Ours is the inode's number and generation, as Linux's
// FILEID_INO32_GEN. [man 2 name_to_handle_at] GAP: a handle is found again only while its inode is in memory.
#include "kernel/fs/file_table.h"
#include "kernel/fs/namei.h"
#include "kernel/syscall/calls.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {

constexpr u32 kMaxHandle = 128;
constexpr int kInoGeneration = 1;
struct file_handle {
  u32 bytes;
  int type;
};
struct InoHandle {
  u32 ino, generation;
};

inode* find_inode(super_block* sb, const InoHandle& h) {
  SpinGuard guard(sb->s_inode_lock);
  for (inode* i : entries<&inode::i_sb_list>(sb->s_inodes)) {
    if (static_cast<u32>(i->i_ino) != h.ino || i->i_generation != h.generation) continue;
    if ((i->i_state.load() & I_FREEING) != 0 || i->i_nlink == 0) continue;
    return igrab(i);
  }
  return nullptr;
}

bool has_handles(const super_block* sb) {
  const char* name = sb->s_type->name;
  return strcmp(name, "proc") != 0 && strcmp(name, "sysfs") != 0 && strcmp(name, "devpts") != 0 &&
         strcmp(name, "pipefs") != 0;
}

}  // namespace

long sys_name_to_handle_at(int dfd, const char* name, u64 user_handle, int* mount_id, int flags) {
  if ((flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH)) != 0) return -EINVAL;
  path p;
  TRY_INT(user_path_at(
      dfd, name,
      ((flags & AT_SYMLINK_FOLLOW) != 0 ? LOOKUP_FOLLOW : 0) | ((flags & AT_EMPTY_PATH) != 0 ? LOOKUP_EMPTY : 0), p));
  const inode* i = p.dentry_->d_inode;
  const InoHandle h{static_cast<u32>(i->i_ino), i->i_generation};
  const int id = static_cast<int>(p.mnt->mnt_id);
  long error = has_handles(p.mnt->mnt_sb) ? 0 : -EOPNOTSUPP;
  path_put(p);
  file_handle head{};
  if (error == 0) error = get_user_at(head, user_handle);
  if (error == 0 && head.bytes > kMaxHandle) error = -EINVAL;
  if (error != 0) return error;
  const bool fits = head.bytes >= sizeof h;
  head = {sizeof h, kInoGeneration};
  TRY_INT(put_user(id, mount_id));
  TRY_INT(put_user_at(head, user_handle));
  if (!fits) return -EOVERFLOW;
  return put_user_at(h, user_handle + sizeof head);
}

long sys_open_by_handle_at(int mount_fd, u64 user_handle, u32 flags) {
  if (!capable(CAP_DAC_READ_SEARCH)) return -EPERM;
  file_handle head;
  vfsmount* m;
  if (mount_fd == AT_FDCWD) {
    path pwd = get_fs_pwd();
    m = mntget(pwd.mnt);
    path_put(pwd);
  } else {
    FileRef f(mount_fd, true);
    if (!f) return -EBADF;
    m = mntget(f->f_path.mnt);
  }
  InoHandle h{};
  long error = get_user_at(head, user_handle);
  if (error == 0 && (head.bytes > kMaxHandle || head.bytes == 0)) error = -EINVAL;
  if (error == 0 && (head.type != kInoGeneration || head.bytes < sizeof h)) error = -ESTALE;
  if (error == 0) error = get_user_at(h, user_handle + sizeof head);
  inode* i = error == 0 ? find_inode(m->mnt_sb, h) : nullptr;
  if (error == 0 && i == nullptr) error = -ESTALE;
  if (error == 0 && S_ISLNK(i->i_mode) && (flags & O_PATH) == 0) {
    iput(i);
    error = -ELOOP;
  }
  dentry* d = error == 0 ? d_alloc_pseudo(m->mnt_sb, "") : nullptr;
  if (error == 0 && d == nullptr) {
    iput(i);
    error = -ENOMEM;
  }
  if (error != 0) {
    mntput(m);
    return error;
  }
  d_instantiate(d, i);
  path p{m, d};
  auto opened = dentry_open(p, flags);
  path_put(p);
  if (!opened.ok()) return -opened.error();
  const int fd = receive_fd(opened.value(), flags);
  if (fd < 0) fput(opened.value());
  return fd;
}

}  // namespace xm::os
