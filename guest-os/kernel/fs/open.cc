// SPDX-License-Identifier: GPL-2.0-or-later
// open(2): path walk, creation, permission, and the new struct file. Order of errors as in Linux's path_openat.
#include "kernel/fs/fasync.h"
#include "kernel/fs/file_table.h"
#include "kernel/fs/fsnotify.h"
#include "kernel/fs/namei.h"
#include "kernel/mm/slab.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {

constinit kmem_cache* file_cache = nullptr;

int open_permission(inode* i, const vfsmount* m, u32 flags) {
  const u32 access = flags & O_ACCMODE;
  int mask = access == O_RDONLY ? MAY_READ : (access == O_WRONLY ? MAY_WRITE : MAY_READ | MAY_WRITE);
  if ((flags & O_TRUNC) != 0) mask |= MAY_WRITE;
  if (S_ISLNK(i->i_mode)) return -ELOOP;
  if (S_ISDIR(i->i_mode) && (mask & MAY_WRITE) != 0) return -EISDIR;
  if ((S_ISCHR(i->i_mode) || S_ISBLK(i->i_mode)) && (m->mnt_flags & MNT_NODEV) != 0) return -EACCES;
  const bool stored = S_ISREG(i->i_mode) || S_ISDIR(i->i_mode);
  if (stored && (mask & MAY_WRITE) != 0 && mnt_read_only(m)) return -EROFS;
  TRY_INT(inode_permission(i, mask));
  if ((i->i_flags & S_APPEND) != 0 && (mask & MAY_WRITE) != 0 && ((flags & O_APPEND) == 0 || (flags & O_TRUNC) != 0))
    return -EPERM;
  if ((flags & O_NOATIME) != 0 && !inode_owner_or_capable(i)) return -EPERM;
  return 0;
}

// Opens an existing inode; consumes the path.
Result<file*> finish_open(path p, u32 flags) {
  file* f = alloc_file(p, flags, p.dentry_->d_inode->i_fop);
  if (f == nullptr) return Error{ENOMEM};
  inode* i = f->f_inode;
  if ((f->f_mode & FMODE_WRITE) != 0 && S_ISREG(i->i_mode)) {
    for (s32 n = i->i_writecount.load();; n = i->i_writecount.load()) {
      if (n < 0) {
        f->f_op = &bad_file_ops;
        fput(f);
        return Error{ETXTBSY};
      }
      if (i->i_writecount.compare_exchange(n, n + 1)) break;
    }
    f->f_mode |= FMODE_WRITER;
  } else if ((f->f_mode & FMODE_READ) != 0 && S_ISREG(i->i_mode)) {
    i->i_readcount.inc();
    f->f_mode |= FMODE_READER;
  }
  if (const int error = break_lease(i, f->f_flags); error != 0) {
    f->f_op = &bad_file_ops;
    fput(f);
    return Error{-error};
  }
  if (const int error = f->f_op->open(i, f); error != 0) {
    f->f_op = &bad_file_ops;  // release is for opened files
    fput(f);
    return Error{-error};
  }
  if ((f->f_flags & O_DIRECT) != 0 && S_ISREG(i->i_mode) &&
      (f->f_mapping == nullptr || f->f_mapping->a_ops == nullptr)) {
    fput(f);
    return Error{EINVAL};
  }
  fsnotify_dentry(f->f_path.dentry_, IN_OPEN);
  return f;
}

Result<file*> open_existing(path p, u32 flags) {
  inode* i = p.dentry_->d_inode;
  int error = 0;
  if ((flags & O_DIRECTORY) != 0 && !S_ISDIR(i->i_mode)) {
    error = S_ISLNK(i->i_mode) ? -ELOOP : -ENOTDIR;
    if (S_ISLNK(i->i_mode) && (flags & O_NOFOLLOW) != 0) error = -ENOTDIR;
  } else if ((flags & O_CREAT) != 0 && S_ISDIR(i->i_mode)) {
    error = -EISDIR;
  } else {
    error = open_permission(i, p.mnt, flags);
  }
  if (error != 0) {
    path_put(p);
    return Error{-error};
  }
  const bool truncate = (flags & O_TRUNC) != 0 && S_ISREG(i->i_mode);
  if (truncate) path_get(p);
  auto opened = finish_open(p, flags);
  if (truncate) {
    if (opened.ok()) error = do_truncate(p.dentry_, 0, ATTR_OPEN);
    path_put(p);
    if (opened.ok() && error != 0) {
      fput(opened.value());
      return Error{-error};
    }
  }
  return opened;
}

Result<file*> open_path_only(int dfd, const char* name, u32 flags, u32 lookup) {
  path p;
  if ((flags & O_NOFOLLOW) == 0) lookup |= LOOKUP_FOLLOW;
  if ((flags & O_DIRECTORY) != 0) lookup |= LOOKUP_DIRECTORY;
  TRY_INT(path_lookupat(dfd, name, lookup, p));
  file* f = alloc_file(p, flags & (O_PATH | O_DIRECTORY | O_NOFOLLOW), &bad_file_ops);
  if (f == nullptr) return Error{ENOMEM};
  f->f_mode = FMODE_PATH;
  return f;
}

Result<file*> open_tmpfile(int dfd, const char* name, u32 flags, umode_t mode, u32 lookup) {
  if ((flags & O_ACCMODE) == O_RDONLY) return Error{EINVAL};
  path p;
  TRY_INT(path_lookupat(dfd, name, lookup | LOOKUP_FOLLOW | LOOKUP_DIRECTORY, p));
  inode* dir = p.dentry_->d_inode;
  int error = mnt_read_only(p.mnt) ? -EROFS : inode_permission(dir, MAY_WRITE | MAY_EXEC);
  dentry* d = nullptr;
  if (error == 0) {
    d = d_alloc(p.dentry_, {"#tmpfile", 8});
    error = d == nullptr
                ? -ENOMEM
                : dir->i_op->tmpfile(dir, d, (mode_strip_sgid(dir, mode & 07777) & ~current->fs->umask) | S_IFREG);
  }
  if (error != 0) {
    dput(d);
    path_put(p);
    return Error{-error};
  }
  if ((flags & O_EXCL) == 0) d->d_inode->i_state.fetch_or(I_LINKABLE);
  path opened{mntget(p.mnt), d};
  path_put(p);
  return finish_open(opened, flags & ~(O_CREAT | O_TRUNC | O_DIRECTORY));
}

// O_CREAT: the last component under its directory's lock.
Result<file*> open_create(int dfd, const char* name, u32 flags, umode_t mode, u32 lookup, int depth) {
  nameidata nd;
  TRY_INT(path_parentat(dfd, name, lookup | LOOKUP_FOLLOW, nd));
  if (nd.last_type != LastType::Normal || nd.trailing_slash) {
    nd_put(nd);
    return Error{EISDIR};
  }
  dentry* parent = nd.at.dentry_;
  inode* dir = parent->d_inode;
  int error = S_ISDIR(dir->i_mode) ? inode_permission(dir, MAY_EXEC) : -ENOTDIR;
  if (error == 0 && nd.last.len > kNameMax) error = -ENAMETOOLONG;
  bool created = false;
  path p;
  if (error == 0) {
    WriteGuard guard(dir->i_rwsem);
    dentry* d = d_lookup(parent, nd.last);
    if (d != nullptr && !d->d_op->revalidate(d)) {
      d_drop(d);
      dput(d);
      d = nullptr;
    }
    if (d == nullptr) {
      d = d_alloc(parent, nd.last);
      error = d == nullptr ? -ENOMEM : dir->i_op->lookup(dir, d);
    }
    if (error == 0 && d->d_inode == nullptr) {
      error = mnt_read_only(nd.at.mnt) ? -EROFS
                                       : vfs_create(dir, d, mode_strip_sgid(dir, mode | S_IFREG) & ~current->fs->umask,
                                                    (flags & O_EXCL) != 0);
      created = error == 0;
    } else if (error == 0 && (flags & O_EXCL) != 0) {
      error = -EEXIST;
    }
    if (error == 0) {
      p = {mntget(nd.at.mnt), d};
    } else {
      dput(d);
    }
  }
  if (error != 0) {
    nd_put(nd);
    return Error{-error};
  }
  if (created) {
    nd_put(nd);
    return finish_open(p, flags & ~O_TRUNC);
  }
  if (!S_ISLNK(p.dentry_->d_inode->i_mode)) {
    nd_put(nd);
    follow_mount(p);
    if (S_ISFIFO(p.dentry_->d_inode->i_mode)) flags &= ~O_TRUNC;
    return open_existing(p, flags);
  }
  // A symlink at the end: its target is opened, or created where it points.
  if ((flags & O_NOFOLLOW) != 0 || depth > 40) {
    nd_put(nd);
    path_put(p);
    return Error{ELOOP};
  }
  path resolved;
  error = path_lookupat(dfd, name, lookup | LOOKUP_FOLLOW, resolved);
  if (error == 0) {
    nd_put(nd);
    path_put(p);
    return open_existing(resolved, flags);
  }
  if (error != -ENOENT) {
    nd_put(nd);
    path_put(p);
    return Error{-error};
  }
  link_body body;
  error = p.dentry_->d_inode->i_op->get_link(p.dentry_, p.dentry_->d_inode, body);
  Result<file*> result = Error{error != 0 ? -error : ENOENT};
  if (error == 0 && body.text != nullptr) {
    char* target = static_cast<char*>(kmalloc(kPathMax * 2));
    if (target != nullptr) {
      size_t n = 0;
      if (body.text[0] != '/') {  // relative to the directory of the link
        char* at = d_path(nd.at, nd.root, target, kPathMax);
        n = at == nullptr ? 0 : strlen(at);
        memmove(target, at, n);
        target[n++] = '/';
      }
      copy_string(target + n, body.text, kPathMax);
      result = open_create(AT_FDCWD, target, flags, mode, lookup, depth + 1);
      kfree(target);
    }
  }
  kfree(body.to_free);
  nd_put(nd);
  path_put(p);
  return result;
}

}  // namespace

void file_init() { file_cache = kmem_cache_create("filp", sizeof(file), 64); }

file* alloc_file(const path& p, u32 flags, const file_operations* op) {
  void* memory = kmem_cache_alloc(file_cache, GFP_KERNEL);
  if (memory == nullptr) {
    path gone = p;
    path_put(gone);
    return nullptr;
  }
  file* f = new (memory) file{};
  f->f_path = p;
  f->f_inode = p.dentry_->d_inode;
  f->f_op = op;
  f->f_mapping = f->f_inode->i_mapping;
  f->f_flags = flags & ~(O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC);
  const u32 access = flags & O_ACCMODE;
  f->f_mode = (access == O_RDONLY || access == O_RDWR ? FMODE_READ : 0) |
              (access == O_WRONLY || access == O_RDWR ? FMODE_WRITE : 0) | FMODE_LSEEK;
  f->f_cred = get_cred(current->cred_);
  return f;
}

Result<file*> do_filp_open(int dfd, const char* name, u32 flags, umode_t mode, u32 lookup) {
  if ((flags & O_PATH) != 0) return open_path_only(dfd, name, flags, lookup);
  if ((flags & O_TMPFILE) == O_TMPFILE) return open_tmpfile(dfd, name, flags, mode, lookup);
  if ((flags & O_CREAT) != 0) return open_create(dfd, name, flags, mode, lookup, 0);
  path p;
  if ((flags & O_NOFOLLOW) == 0) lookup |= LOOKUP_FOLLOW;
  TRY_INT(path_lookupat(dfd, name, lookup, p));
  return open_existing(p, flags);
}

Result<file*> filp_open(const char* name, u32 flags, umode_t mode) { return do_filp_open(AT_FDCWD, name, flags, mode); }

Result<file*> dentry_open(const path& p, u32 flags) {
  path_get(p);
  return finish_open(p, flags);
}

void release_file_locks(file* f);
void epoll_release_file(file* f);

void fput(file* f) {
  if (!f->f_count.dec_and_test()) return;
  if (!f->f_epoll_links.empty()) epoll_release_file(f);
  if ((f->f_mode & FMODE_PATH) == 0) {
    if (f->f_op != &bad_file_ops)
      fsnotify_dentry(f->f_path.dentry_, (f->f_mode & FMODE_WRITE) != 0 ? IN_CLOSE_WRITE : IN_CLOSE_NOWRITE);
    if (f->f_inode->i_flock != nullptr) release_file_locks(f);
    fasync_release(f);
    release_leases(f);
    if (f->f_dnotify) dnotify_release(f);
    f->f_op->release(f->f_inode, f);
  }
  if ((f->f_mode & FMODE_WRITER) != 0) f->f_inode->i_writecount.sub(1);
  if ((f->f_mode & FMODE_READER) != 0) f->f_inode->i_readcount.sub(1);
  if ((f->f_mode & FMODE_DENY_WRITE) != 0) f->f_inode->i_writecount.add(1);
  put_cred(f->f_cred);
  path_put(f->f_path);
  f->~file();
  kmem_cache_free(file_cache, f);
}

}  // namespace xm::os
