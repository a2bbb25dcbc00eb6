// SPDX-License-Identifier: GPL-2.0-or-later
// What happens to names: create, remove, link, rename. Locks: the directory's i_rwsem for writing; for rename between
// directories the file system's rename mutex, then both directories, ancestor first.
#include "kernel/fs/fasync.h"
#include "kernel/fs/file_table.h"
#include "kernel/fs/fsnotify.h"
#include "kernel/fs/namei.h"
#include "kernel/mm/slab.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {

int may_create(inode* dir, const dentry* d) {
  if (d->d_inode != nullptr) return -EEXIST;
  if (dir->i_nlink == 0) return -ENOENT;
  return inode_permission(dir, MAY_WRITE | MAY_EXEC);
}

int may_delete(inode* dir, const dentry* victim, bool is_dir) {
  inode* i = victim->d_inode;
  if (i == nullptr) return -ENOENT;
  TRY_INT(inode_permission(dir, MAY_WRITE | MAY_EXEC));
  const bool sticky =
      (dir->i_mode & S_ISVTX) != 0 && i->i_uid != current_cred()->fsuid && dir->i_uid != current_cred()->fsuid;
  if (sticky && !capable(CAP_FOWNER)) return -EPERM;
  if ((dir->i_flags & S_APPEND) != 0 || (i->i_flags & (S_APPEND | S_IMMUTABLE)) != 0) return -EPERM;
  if (is_dir) {
    if (!S_ISDIR(i->i_mode)) return -ENOTDIR;
    if (victim->d_parent == victim) return -EBUSY;
  } else if (S_ISDIR(i->i_mode)) {
    return -EISDIR;
  }
  return dir->i_nlink == 0 ? -ENOENT : 0;
}

// The last component under the directory's lock; referenced, maybe negative.
Result<dentry*> lookup_locked(dentry* parent, const qstr& name) {
  dentry* d = d_lookup(parent, name);
  if (d != nullptr) {
    if (d->d_op->revalidate(d)) return d;
    d_drop(d);
    dput(d);
  }
  d = d_alloc(parent, name);
  if (d == nullptr) return Error{ENOMEM};
  if (const int error = parent->d_inode->i_op->lookup(parent->d_inode, d); error != 0) {
    dput(d);
    return Error{-error};
  }
  return d;
}

umode_t apply_umask(umode_t mode) { return mode & ~current->fs->umask; }

// Runs make(dir, dentry) on a name that does not exist yet.
template <class Make>
long create_name(int dfd, const char* name, bool directory, Make make) {
  nameidata nd;
  TRY_INT(path_parentat(dfd, name, LOOKUP_FOLLOW, nd));
  long error = 0;
  if (nd.last_type != LastType::Normal) {
    error = -EEXIST;
  } else {
    inode* dir = nd.at.dentry_->d_inode;
    if (!S_ISDIR(dir->i_mode)) {
      nd_put(nd);
      return -ENOTDIR;
    }
    WriteGuard guard(dir->i_rwsem);
    auto found =
        inode_permission(dir, MAY_EXEC) == 0 ? lookup_locked(nd.at.dentry_, nd.last) : Result<dentry*>(Error{EACCES});
    if (!found.ok()) {
      error = -found.error();
    } else {
      dentry* d = found.value();
      if (d->d_inode == nullptr && nd.trailing_slash && !directory) {
        error = -ENOENT;
      } else if (d->d_inode != nullptr) {
        error = -EEXIST;
      } else if (mnt_read_only(nd.at.mnt)) {
        error = -EROFS;
      } else {
        error = may_create(dir, d);
        if (error == 0) error = make(dir, d);
        if (error == 0) fsnotify_name(dir, IN_CREATE, d->d_name, directory);
      }
      dput(d);
    }
  }
  nd_put(nd);
  return error;
}

}  // namespace

int vfs_create(inode* dir, dentry* d, umode_t mode, bool excl) {
  TRY_INT(may_create(dir, d));
  TRY_INT(dir->i_op->create(dir, d, (mode & 07777) | S_IFREG, excl));
  fsnotify_name(dir, IN_CREATE, d->d_name, false);
  return 0;
}

long do_mknodat(int dfd, const char* name, umode_t mode, dev_t dev) {
  if ((mode & S_IFMT) == 0) mode |= S_IFREG;
  if (S_ISDIR(mode)) return -EPERM;
  if (!S_ISREG(mode) && !S_ISCHR(mode) && !S_ISBLK(mode) && !S_ISFIFO(mode) && !S_ISSOCK(mode)) return -EINVAL;
  return create_name(dfd, name, false, [&](inode* dir, dentry* d) -> int {
    mode = apply_umask(mode_strip_sgid(dir, mode));
    if ((S_ISCHR(mode) || S_ISBLK(mode)) && !capable(CAP_MKNOD)) return -EPERM;
    if (S_ISREG(mode)) return dir->i_op->create(dir, d, mode, true);
    return dir->i_op->mknod(dir, d, mode, dev);
  });
}

long do_mkdirat(int dfd, const char* name, umode_t mode) {
  mode = apply_umask(mode & 01777);
  return create_name(dfd, name, true, [&](inode* dir, dentry* d) { return dir->i_op->mkdir(dir, d, mode | S_IFDIR); });
}

long do_symlinkat(const char* target, int dfd, const char* name) {
  return create_name(dfd, name, false, [&](inode* dir, dentry* d) { return dir->i_op->symlink(dir, d, target); });
}

long do_linkat(int old_dfd, const char* old_name, int new_dfd, const char* new_name, u32 flags) {
  path old;
  TRY_INT(path_lookupat(
      old_dfd, old_name,
      ((flags & AT_SYMLINK_FOLLOW) != 0 ? LOOKUP_FOLLOW : 0) | ((flags & AT_EMPTY_PATH) != 0 ? LOOKUP_EMPTY : 0), old));
  const long error = create_name(new_dfd, new_name, false, [&](inode* dir, dentry* d) -> int {
    inode* i = old.dentry_->d_inode;
    if (i->i_sb != dir->i_sb) return -EXDEV;
    if (S_ISDIR(i->i_mode)) return -EPERM;
    if ((i->i_flags & (S_APPEND | S_IMMUTABLE)) != 0) return -EPERM;
    if (i->i_nlink == 0 && (i->i_state.load() & I_LINKABLE) == 0) return -ENOENT;
    return dir->i_op->link(old.dentry_, dir, d);
  });
  path_put(old);
  return error;
}

namespace {
template <class Remove>
long remove_name(int dfd, const char* name, bool is_dir, Remove remove) {
  nameidata nd;
  TRY_INT(path_parentat(dfd, name, LOOKUP_FOLLOW, nd));
  long error = 0;
  if (nd.last_type != LastType::Normal) {
    if (!is_dir)
      error = -EISDIR;
    else
      error = nd.last_type == LastType::Dot ? -EINVAL : (nd.last_type == LastType::DotDot ? -ENOTEMPTY : -EBUSY);
  } else if (mnt_read_only(nd.at.mnt)) {
    error = -EROFS;
  } else {
    inode* dir = nd.at.dentry_->d_inode;
    if (!S_ISDIR(dir->i_mode)) {
      nd_put(nd);
      return -ENOTDIR;
    }
    inode* keep = nullptr;  // freed after the directory lock is gone
    {
      WriteGuard guard(dir->i_rwsem);
      error = inode_permission(dir, MAY_EXEC);
      auto found =
          error == 0 ? lookup_locked(nd.at.dentry_, nd.last) : Result<dentry*>(Error{static_cast<int>(-error)});
      if (!found.ok()) {
        error = -found.error();
      } else {
        dentry* d = found.value();
        if (d->d_inode == nullptr) {
          error = -ENOENT;
        } else if (!is_dir && nd.trailing_slash) {
          error = S_ISDIR(d->d_inode->i_mode) ? -EISDIR : -ENOTDIR;
        } else {
          keep = igrab(d->d_inode);
          error = may_delete(dir, d, is_dir);
          if (error == 0 && (d->d_flags.load() & DCACHE_MOUNTED) != 0) error = -EBUSY;
          if (error == 0) {
            WriteGuard victim_guard(keep->i_rwsem);
            error = remove(dir, d);
          }
          if (error == 0) {
            if (!is_dir) fsnotify_inode(keep, IN_ATTRIB);
            // Names that once were in it hold the directory: without them its inode can go.
            if (is_dir) shrink_dcache_parent(d);
            d_delete(d);
            fsnotify_name(dir, IN_DELETE, nd.last, is_dir);
          }
        }
        dput(d);
      }
    }
    if (error == 0 && keep != nullptr && (is_dir || keep->i_nlink == 0)) fsnotify_inode(keep, IN_DELETE_SELF);
    iput(keep);
  }
  nd_put(nd);
  return error;
}
}  // namespace

long do_unlinkat(int dfd, const char* name) {
  return remove_name(dfd, name, false, [](inode* dir, dentry* d) { return dir->i_op->unlink(dir, d); });
}
long do_rmdirat(int dfd, const char* name) {
  return remove_name(dfd, name, true, [](inode* dir, dentry* d) { return dir->i_op->rmdir(dir, d); });
}

namespace {

int check_rename(const nameidata& from, const nameidata& to, dentry* old, dentry* target, u32 flags) {
  if (old->d_inode == nullptr) return -ENOENT;
  const bool is_dir = S_ISDIR(old->d_inode->i_mode);
  if ((flags & RENAME_NOREPLACE) != 0 && target->d_inode != nullptr) return -EEXIST;
  if ((flags & RENAME_EXCHANGE) != 0 && target->d_inode == nullptr) return -ENOENT;
  if (!is_dir && (from.trailing_slash || (to.trailing_slash && (flags & RENAME_EXCHANGE) == 0))) return -ENOTDIR;
  if (is_subdir(to.at.dentry_, old)) return -EINVAL;  // into itself
  if (target->d_inode != nullptr && is_subdir(from.at.dentry_, target))
    return (flags & RENAME_EXCHANGE) != 0 ? -EINVAL : -ENOTEMPTY;
  inode* old_dir = from.at.dentry_->d_inode;
  inode* new_dir = to.at.dentry_->d_inode;
  if (old->d_inode == target->d_inode) return 0;
  TRY_INT(may_delete(old_dir, old, is_dir));
  if (target->d_inode == nullptr) {
    TRY_INT(may_create(new_dir, target));
  } else {
    TRY_INT(may_delete(new_dir, target, (flags & RENAME_EXCHANGE) != 0 ? S_ISDIR(target->d_inode->i_mode) : is_dir));
  }
  if (is_dir && old_dir != new_dir) TRY_INT(inode_permission(old->d_inode, MAY_WRITE));
  if (((old->d_flags.load() | target->d_flags.load()) & DCACHE_MOUNTED) != 0) return -EBUSY;
  return 0;
}

long rename_locked(nameidata& from, nameidata& to, u32 flags) {
  dentry* old = TRY(lookup_locked(from.at.dentry_, from.last));
  auto found = lookup_locked(to.at.dentry_, to.last);
  if (!found.ok()) {
    dput(old);
    return -found.error();
  }
  dentry* target = found.value();
  long error = check_rename(from, to, old, target, flags);
  if (error == 0 && old->d_inode != target->d_inode) {
    error =
        from.at.dentry_->d_inode->i_op->rename(from.at.dentry_->d_inode, old, to.at.dentry_->d_inode, target, flags);
    if (error == 0) {
      const u32 cookie = fsnotify_cookie();
      const bool is_dir = S_ISDIR(old->d_inode->i_mode);
      const bool inside = from.at.dentry_ == to.at.dentry_;
      fsnotify_name(from.at.dentry_->d_inode, IN_MOVED_FROM | (inside ? FS_RENAME_INSIDE : 0), from.last, is_dir,
                    cookie);
      fsnotify_name(to.at.dentry_->d_inode, IN_MOVED_TO, to.last, is_dir, cookie);
      fsnotify_inode(old->d_inode, IN_MOVE_SELF);
      if ((flags & RENAME_EXCHANGE) != 0) {
        d_exchange(old, target);
      } else {
        d_move(old, target);
      }
    }
  }
  dput(target);
  dput(old);
  return error;
}

}  // namespace

long do_renameat(int old_dfd, const char* old_name, int new_dfd, const char* new_name, u32 flags) {
  if ((flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE)) != 0) return -EINVAL;
  if ((flags & RENAME_NOREPLACE) != 0 && (flags & RENAME_EXCHANGE) != 0) return -EINVAL;
  nameidata from, to;
  TRY_INT(path_parentat(old_dfd, old_name, LOOKUP_FOLLOW, from));
  if (const int error = path_parentat(new_dfd, new_name, LOOKUP_FOLLOW, to); error != 0) {
    nd_put(from);
    return error;
  }
  long error = 0;
  inode* a = from.at.dentry_->d_inode;
  inode* b = to.at.dentry_->d_inode;
  if (from.at.mnt != to.at.mnt) {
    error = -EXDEV;
  } else if (from.last_type != LastType::Normal) {
    error = -EBUSY;
  } else if (to.last_type != LastType::Normal) {
    error = (flags & RENAME_NOREPLACE) != 0 ? -EEXIST : -EBUSY;
  } else if (mnt_read_only(from.at.mnt)) {
    error = -EROFS;
  } else if (!S_ISDIR(a->i_mode) || !S_ISDIR(b->i_mode)) {
    error = -ENOTDIR;
  } else if (inode_permission(a, MAY_EXEC) != 0 || inode_permission(b, MAY_EXEC) != 0) {
    error = -EACCES;
  } else if (a == b) {
    WriteGuard guard(a->i_rwsem);
    error = rename_locked(from, to, flags);
  } else {
    MutexGuard one_rename(a->i_sb->s_rename_mutex);
    const bool a_first = !is_subdir(from.at.dentry_, to.at.dentry_);
    WriteGuard first((a_first ? a : b)->i_rwsem);
    WriteGuard second((a_first ? b : a)->i_rwsem);
    error = rename_locked(from, to, flags);
  }
  nd_put(to);
  nd_put(from);
  return error;
}

ssize_t do_readlink(const path& p, char* user_buffer, size_t size) {
  inode* i = p.dentry_->d_inode;
  if (!S_ISLNK(i->i_mode)) return -EINVAL;
  link_body body;
  TRY_INT(i->i_op->get_link(p.dentry_, i, body));
  const char* text = body.text;
  char* buffer = nullptr;
  path jump{body.jump_mnt, body.jump_dentry};
  if (body.is_jump) {
    buffer = static_cast<char*>(kmalloc(kPathMax));
    path root = get_fs_root();
    text = buffer == nullptr ? nullptr : d_path(jump, root, buffer, kPathMax);
    path_put(root);
    path_put(jump);
  }
  ssize_t n = -ENAMETOOLONG;
  if (text != nullptr) {
    n = static_cast<ssize_t>(min(strlen(text), size));
    if (copy_to_user(user_buffer, text, static_cast<u64>(n)) != 0) n = -EFAULT;
  }
  kfree(buffer);
  kfree(body.to_free);
  return n;
}

int notify_change(dentry* d, iattr& a) {
  inode* i = d->d_inode;
  const timespec64 now = current_time();
  a.ctime = now;
  if ((a.valid & ATTR_ATIME_SET) == 0) a.atime = now;
  if ((a.valid & ATTR_MTIME_SET) == 0) a.mtime = now;
  if ((a.valid & (ATTR_MODE | ATTR_UID | ATTR_GID)) != 0 && (i->i_flags & (S_IMMUTABLE | S_APPEND)) != 0) return -EPERM;
  a.valid |= ATTR_CTIME;
  if ((a.valid & ATTR_SIZE) != 0) a.valid |= ATTR_MTIME;
  // A new owner, or data from someone else, takes the set-id bits away.
  const bool kill = (a.valid & (ATTR_KILL_SUID | ATTR_KILL_SGID)) != 0;
  if (kill && (a.valid & ATTR_MODE) == 0) {
    umode_t mode = i->i_mode;
    if ((a.valid & ATTR_KILL_SUID) != 0) mode &= ~S_ISUID;
    if ((a.valid & ATTR_KILL_SGID) != 0 && (mode & S_IXGRP) != 0) mode &= ~S_ISGID;
    if (mode != i->i_mode) {
      a.valid |= ATTR_MODE | ATTR_FORCE;
      a.mode = mode;
    }
    if ((a.valid & (ATTR_UID | ATTR_GID)) != 0 && (a.valid & ATTR_FORCE) != 0) {
      iattr check = a;
      check.valid &= ~(ATTR_FORCE | ATTR_MODE);
      TRY_INT(inode_change_ok(i, check));
    }
  }
  TRY_INT(i->i_op->setattr(d, a));
  // [man 7 inotify]: a new length is a modification, everything else a change of attributes.
  const bool times = (a.valid & (ATTR_ATIME_SET | ATTR_MTIME_SET)) != 0;
  if ((a.valid & ATTR_SIZE) != 0) fsnotify_dentry(d, IN_MODIFY);
  if (times || (a.valid & (ATTR_MODE | ATTR_UID | ATTR_GID)) != 0) fsnotify_dentry(d, IN_ATTRIB);
  return 0;
}

int do_truncate(dentry* d, loff_t length, u32 extra_valid) {
  if (length < 0) return -EINVAL;
  iattr a;
  a.size = length;
  a.valid = ATTR_SIZE | extra_valid;
  if (!capable(CAP_FSETID)) a.valid |= ATTR_KILL_SUID | ATTR_KILL_SGID;
  TRY_INT(break_lease(d->d_inode, O_WRONLY));
  WriteGuard guard(d->d_inode->i_rwsem);
  return notify_change(d, a);
}

}  // namespace xm::os
