// SPDX-License-Identifier: GPL-2.0-or-later
// Calls on names and directories: open, mkdir, unlink, rename, chdir, getdents, mount.
#include "kernel/fs/file_table.h"
#include "kernel/fs/namei.h"
#include "kernel/mm/slab.h"
#include "kernel/syscall/calls.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {

// A user name as a kernel string for one call.
class Name {
 public:
  explicit Name(const char* user, u32 flags = 0) : result_(getname(user, flags)) {}
  ~Name() {
    if (result_.ok()) putname(result_.value());
  }
  Name(const Name&) = delete;
  Name& operator=(const Name&) = delete;
  int error() const { return -result_.error(); }
  bool ok() const { return result_.ok(); }
  const char* text() const { return result_.value(); }

 private:
  Result<char*> result_;
};
#define NAME_OR_RETURN(variable, user) \
  Name variable(user);                 \
  if (!variable.ok()) return variable.error()

long open_file(int dfd, const char* user_name, u32 flags, u32 mode, u32 lookup) {
  NAME_OR_RETURN(name, user_name);
  const int fd = TRY_INT(get_unused_fd(0, flags));
  auto f = do_filp_open(dfd, name.text(), flags, mode & 07777, lookup);
  if (!f.ok()) {
    put_unused_fd(fd);
    return -f.error();
  }
  fd_install(fd, f.value());
  return fd;
}

}  // namespace

long sys_open(const char* name, u32 flags, u32 mode) { return open_file(AT_FDCWD, name, flags | O_LARGEFILE, mode, 0); }
long sys_openat(int dfd, const char* name, u32 flags, u32 mode) {
  return open_file(dfd, name, flags | O_LARGEFILE, mode, 0);
}
long sys_creat(const char* name, u32 mode) {
  return open_file(AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC | O_LARGEFILE, mode, 0);
}

long sys_openat2(int dfd, const char* name, u64 how_user, u64 size) {
  struct {
    u64 flags, mode, resolve;
  } how{};
  if (size < sizeof how) return -EINVAL;
  if (size > kPageSize) return -E2BIG;
  TRY_INT(get_user_at(how, how_user));
  for (u64 at = sizeof how; at < size; ++at) {
    u8 b;
    TRY_INT(get_user_at(b, how_user + at));
    if (b != 0) return -E2BIG;
  }
  constexpr u64 kKnown = O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK | O_DSYNC | O_ASYNC |
                         O_DIRECT | O_LARGEFILE | O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC | O_SYNC | O_PATH |
                         O_TMPFILE;
  if ((how.flags & ~kKnown) != 0 || (how.resolve & ~0x3ful) != 0 || (how.mode & ~07777ul) != 0) return -EINVAL;
  const bool creates = (how.flags & O_CREAT) != 0 || (how.flags & O_TMPFILE) == O_TMPFILE;
  if (how.mode != 0 && !creates) return -EINVAL;
  if ((how.resolve & 0x18) == 0x18) return -EINVAL;
  u32 lookup = 0;
  if ((how.resolve & 1) != 0) lookup |= LOOKUP_NO_XDEV;
  if ((how.resolve & 2) != 0) lookup |= LOOKUP_NO_MAGICLINKS;
  if ((how.resolve & 4) != 0) lookup |= LOOKUP_NO_SYMLINKS | LOOKUP_NO_MAGICLINKS;
  if ((how.resolve & 8) != 0) lookup |= LOOKUP_BENEATH;
  if ((how.resolve & 16) != 0) lookup |= LOOKUP_IN_ROOT;
  if ((how.resolve & 32) != 0) return -EAGAIN;  // RESOLVE_CACHED
  return open_file(dfd, name, static_cast<u32>(how.flags), static_cast<u32>(how.mode), lookup);
}

long sys_close(int fd) { return close_fd(fd); }

long sys_mkdir(const char* name, u32 mode) { return sys_mkdirat(AT_FDCWD, name, mode); }
long sys_mkdirat(int dfd, const char* user_name, u32 mode) {
  NAME_OR_RETURN(name, user_name);
  return do_mkdirat(dfd, name.text(), mode);
}
long sys_mknod(const char* name, u32 mode, u64 dev) { return sys_mknodat(AT_FDCWD, name, mode, dev); }
long sys_mknodat(int dfd, const char* user_name, u32 mode, u64 dev) {
  NAME_OR_RETURN(name, user_name);
  return do_mknodat(dfd, name.text(), mode, decode_dev(dev));
}
long sys_rmdir(const char* user_name) {
  NAME_OR_RETURN(name, user_name);
  return do_rmdirat(AT_FDCWD, name.text());
}
long sys_unlink(const char* user_name) {
  NAME_OR_RETURN(name, user_name);
  return do_unlinkat(AT_FDCWD, name.text());
}
long sys_unlinkat(int dfd, const char* user_name, u32 flags) {
  if ((flags & ~AT_REMOVEDIR) != 0) return -EINVAL;
  NAME_OR_RETURN(name, user_name);
  return (flags & AT_REMOVEDIR) != 0 ? do_rmdirat(dfd, name.text()) : do_unlinkat(dfd, name.text());
}
long sys_symlink(const char* target, const char* name) { return sys_symlinkat(target, AT_FDCWD, name); }
long sys_symlinkat(const char* user_target, int dfd, const char* user_name) {
  NAME_OR_RETURN(target, user_target);
  NAME_OR_RETURN(name, user_name);
  return do_symlinkat(target.text(), dfd, name.text());
}
long sys_link(const char* old_name, const char* new_name) {
  return sys_linkat(AT_FDCWD, old_name, AT_FDCWD, new_name, 0);
}
long sys_linkat(int old_dfd, const char* user_old, int new_dfd, const char* user_new, u32 flags) {
  if ((flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH)) != 0) return -EINVAL;
  if ((flags & AT_EMPTY_PATH) != 0 && !capable(CAP_DAC_READ_SEARCH)) return -ENOENT;
  Name old_name(user_old, (flags & AT_EMPTY_PATH) != 0 ? LOOKUP_EMPTY : 0);
  if (!old_name.ok()) return old_name.error();
  NAME_OR_RETURN(new_name, user_new);
  return do_linkat(old_dfd, old_name.text(), new_dfd, new_name.text(), flags);
}
long sys_rename(const char* old_name, const char* new_name) {
  return sys_renameat2(AT_FDCWD, old_name, AT_FDCWD, new_name, 0);
}
long sys_renameat(int old_dfd, const char* old_name, int new_dfd, const char* new_name) {
  return sys_renameat2(old_dfd, old_name, new_dfd, new_name, 0);
}
long sys_renameat2(int old_dfd, const char* user_old, int new_dfd, const char* user_new, u32 flags) {
  NAME_OR_RETURN(old_name, user_old);
  NAME_OR_RETURN(new_name, user_new);
  return do_renameat(old_dfd, old_name.text(), new_dfd, new_name.text(), flags);
}

long sys_readlink(const char* name, char* buffer, int size) { return sys_readlinkat(AT_FDCWD, name, buffer, size); }
long sys_readlinkat(int dfd, const char* name, char* buffer, int size) {
  if (size <= 0) return -EINVAL;
  path p;
  TRY_INT(user_path_at(dfd, name, LOOKUP_EMPTY, p));
  char first = 0;
  long n = get_user(first, name);
  if (n == 0 && first == 0 && !S_ISLNK(p.dentry_->d_inode->i_mode)) n = -ENOENT;
  if (n == 0) n = do_readlink(p, buffer, static_cast<size_t>(size));
  path_put(p);
  return n;
}

namespace {
void set_fs_path(path fs_struct::*which, const path& to) {  // consumes the reference
  fs_struct* fs = current->fs;
  path old;
  {
    SpinGuard guard(fs->lock);
    old = fs->*which;
    fs->*which = to;
  }
  path_put(old);
}
}  // namespace

long sys_chdir(const char* name) {
  path p;
  TRY_INT(user_path_at(AT_FDCWD, name, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, p));
  if (const int error = inode_permission(p.dentry_->d_inode, MAY_EXEC); error != 0) {
    path_put(p);
    return error;
  }
  set_fs_path(&fs_struct::pwd, p);
  return 0;
}

long sys_fchdir(int fd) {
  FileRef f(fd, true);
  if (!f) return -EBADF;
  if (!S_ISDIR(f->f_inode->i_mode)) return -ENOTDIR;
  TRY_INT(inode_permission(f->f_inode, MAY_EXEC));
  path_get(f->f_path);
  set_fs_path(&fs_struct::pwd, f->f_path);
  return 0;
}

long sys_chroot(const char* name) {
  path p;
  TRY_INT(user_path_at(AT_FDCWD, name, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, p));
  int error = inode_permission(p.dentry_->d_inode, MAY_EXEC);
  if (error == 0 && !capable(CAP_SYS_CHROOT)) error = -EPERM;
  if (error != 0) {
    path_put(p);
    return error;
  }
  set_fs_path(&fs_struct::root, p);
  return 0;
}

namespace {

bool lies_below(const path& p, const path& root) {
  path at = p;
  path_get(at);
  bool below = false;
  for (;;) {
    if (at.mnt == root.mnt && is_subdir(at.dentry_, root.dentry_)) {
      below = true;
      break;
    }
    dput(at.dentry_);
    at.dentry_ = dget(at.mnt->mnt_root);
    if (!follow_up(at)) break;
  }
  path_put(at);
  return below;
}

// Outside of the root (after chroot) the text says so, and is no absolute path. [man 2 getcwd]
const char* mark_unreachable(const char* at, char* text) {
  constexpr char kMark[] = "(unreachable)";
  char* to = const_cast<char*>(at) - (sizeof kMark - 1);
  if (to < text) return nullptr;
  memcpy(to, kMark, sizeof kMark - 1);
  return to;
}

}  // namespace

long sys_getcwd(char* buffer, u64 size) {
  char* text = static_cast<char*>(kmalloc(kPathMax));
  if (text == nullptr) return -ENOMEM;
  path pwd = get_fs_pwd(), root = get_fs_root();
  const char* at = d_path(pwd, root, text, kPathMax);
  if (at != nullptr && !lies_below(pwd, root)) at = mark_unreachable(at, text);
  long result = at == nullptr ? -ENAMETOOLONG : static_cast<long>(strlen(at)) + 1;
  if (d_unhashed(pwd.dentry_) && pwd.dentry_->d_parent != pwd.dentry_) result = -ENOENT;
  if (result > 0 && static_cast<u64>(result) > size) result = -ERANGE;
  if (result > 0 && copy_to_user(buffer, at, static_cast<u64>(result)) != 0) result = -EFAULT;
  path_put(pwd);
  path_put(root);
  kfree(text);
  return result;
}

long sys_umask(u32 mask) {
  const umode_t old = current->fs->umask;
  current->fs->umask = mask & 0777;
  return old;
}

namespace {

struct DirentFiller : dir_context {
  char* user;
  u64 left;
  bool old_form;
  int error;
  u64 last_offset_at;  // user address of the previous entry's d_off
};

bool fill_dirent(dir_context* c, const char* name, size_t n, loff_t next, ino_t ino, u8 type) {
  DirentFiller* d = static_cast<DirentFiller*>(c);
  struct [[gnu::packed]] Head {
    u64 ino;
    s64 off;
    u16 reclen;
    u8 type;
  } head{};
  const u64 name_at = d->old_form ? 18 : 19;
  const u64 reclen = align_up(name_at + n + 1 + (d->old_form ? 1 : 0), 8);
  if (reclen > d->left) {
    d->error = d->error == 0 ? -EINVAL : d->error;
    return false;
  }
  char record[kNameMax + 32]{};
  head.ino = ino;
  head.off = next;
  head.reclen = static_cast<u16>(reclen);
  head.type = type;
  memcpy(record, &head, name_at);
  memcpy(record + name_at, name, n);
  if (d->old_form) record[reclen - 1] = static_cast<char>(type);
  if (copy_to_user(d->user, record, reclen) != 0) {
    d->error = -EFAULT;
    return false;
  }
  d->error = 1;  // something was written: a later lack of room is not an error
  d->user += reclen;
  d->left -= reclen;
  return true;
}

long list_directory(int fd, char* buffer, u32 size, bool old_form) {
  FileRef f(fd);
  if (!f) return -EBADF;
  if (!S_ISDIR(f->f_inode->i_mode)) return -ENOTDIR;
  if (f->f_inode->i_nlink == 0) return -ENOENT;
  MutexGuard guard(f->f_pos_lock);
  DirentFiller filler{};
  filler.pos = f->f_pos;
  filler.actor = fill_dirent;
  filler.user = buffer;
  filler.left = size;
  filler.old_form = old_form;
  const int error = f->f_op->iterate(f.get(), filler);
  f->f_pos = filler.pos;
  touch_atime(f.get());
  const long written = filler.user - buffer;
  if (written > 0) return written;
  if (error < 0) return error;
  return filler.error < 0 ? filler.error : 0;
}

}  // namespace

long sys_getdents(int fd, char* buffer, u32 size) { return list_directory(fd, buffer, size, true); }
long sys_getdents64(int fd, char* buffer, u32 size) { return list_directory(fd, buffer, size, false); }

long sys_mount(const char* user_source, const char* user_target, const char* user_type, u64 flags,
               const char* user_data) {
  char* source = nullptr;
  char* type = nullptr;
  char* data = nullptr;
  long error = 0;
  const auto copy_in = [&](const char* user, char*& to, size_t limit) {
    if (user == nullptr || error != 0) return;
    auto r = strndup_user(user, limit);
    if (r.ok())
      to = r.value();
    else
      error = r.error() == ENAMETOOLONG ? -EINVAL : -r.error();
  };
  copy_in(user_type, type, kPathMax);
  copy_in(user_source, source, kPathMax);
  copy_in(user_data, data, kPageSize);
  if (error == 0) {
    Name target(user_target);
    error = target.ok() ? do_mount(source, target.text(), type, flags, data) : target.error();
  }
  kfree(source);
  kfree(type);
  kfree(data);
  return error;
}

long sys_umount2(const char* name, u32 flags) {
  if ((flags & ~(MNT_FORCE | MNT_DETACH | MNT_EXPIRE | UMOUNT_NOFOLLOW)) != 0) return -EINVAL;
  path p;
  TRY_INT(user_path_at(AT_FDCWD, name, (flags & UMOUNT_NOFOLLOW) != 0 ? 0 : LOOKUP_FOLLOW, p));
  if (!capable(CAP_SYS_ADMIN)) {
    path_put(p);
    return -EPERM;
  }
  vfsmount* m = p.mnt;
  const bool is_root = p.dentry_ == m->mnt_root;
  if (!is_root) {
    path_put(p);
    return -EINVAL;
  }
  const long error = do_umount(p, flags);
  path_put(p);
  return error;
}

// The new root takes the place of the old one, which appears at put_old. [man 2 pivot_root]
long sys_pivot_root(const char* user_new, const char* user_old) {
  if (!capable(CAP_SYS_ADMIN)) return -EPERM;
  NAME_OR_RETURN(new_name, user_new);
  NAME_OR_RETURN(old_name, user_old);
  return do_pivot_root(new_name.text(), old_name.text());
}

}  // namespace xm::os
