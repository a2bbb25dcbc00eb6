// SPDX-License-Identifier: GPL-2.0-or-later
// Attributes of files: stat and statx, access, chmod, chown, times, extended attributes.
#include "kernel/fs/file_table.h"
#include "kernel/fs/namei.h"
#include "kernel/mm/slab.h"
#include "kernel/syscall/calls.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {

int copy_stat(const kstat& k, stat* out) {
  stat s{};
  s.st_dev = encode_dev(k.dev);
  s.st_ino = k.ino;
  s.st_nlink = k.nlink;
  s.st_mode = k.mode;
  s.st_uid = k.uid;
  s.st_gid = k.gid;
  s.st_rdev = encode_dev(k.rdev);
  s.st_size = static_cast<s64>(k.size);
  s.st_blksize = k.blksize;
  s.st_blocks = static_cast<s64>(k.blocks);
  s.st_atime = static_cast<u64>(k.atime.tv_sec), s.st_atime_nsec = static_cast<u64>(k.atime.tv_nsec);
  s.st_mtime = static_cast<u64>(k.mtime.tv_sec), s.st_mtime_nsec = static_cast<u64>(k.mtime.tv_nsec);
  s.st_ctime = static_cast<u64>(k.ctime.tv_sec), s.st_ctime_nsec = static_cast<u64>(k.ctime.tv_nsec);
  return copy_to_user(out, &s, sizeof s);
}

// Runs action(path) on a name, or on the descriptor itself with AT_EMPTY_PATH.
template <class Action>
long with_path(int dfd, const char* name, u32 lookup, Action action) {
  path p;
  TRY_INT(user_path_at(dfd, name, lookup, p));
  const long r = action(p);
  path_put(p);
  return r;
}
u32 lookup_of(u32 at_flags) {
  return ((at_flags & AT_SYMLINK_NOFOLLOW) != 0 ? 0 : LOOKUP_FOLLOW) |
         ((at_flags & AT_EMPTY_PATH) != 0 ? LOOKUP_EMPTY : 0);
}

int change(const path& p, iattr& a) {
  if (mnt_read_only(p.mnt)) return -EROFS;
  WriteGuard guard(p.dentry_->d_inode->i_rwsem);
  return notify_change(p.dentry_, a);
}
int chmod_path(const path& p, u32 mode) {
  iattr a;
  a.valid = ATTR_MODE;
  a.mode = mode & 07777;
  return change(p, a);
}
int chown_path(const path& p, u32 uid, u32 gid) {
  iattr a;
  if (uid != ~0u) a.valid |= ATTR_UID;
  if (gid != ~0u) a.valid |= ATTR_GID;
  a.uid = uid;
  a.gid = gid;
  if (!S_ISDIR(p.dentry_->d_inode->i_mode)) a.valid |= ATTR_KILL_SUID | ATTR_KILL_SGID;
  return change(p, a);
}

}  // namespace

long sys_stat(const char* name, stat* out) { return sys_newfstatat(AT_FDCWD, name, out, 0); }
long sys_lstat(const char* name, stat* out) { return sys_newfstatat(AT_FDCWD, name, out, AT_SYMLINK_NOFOLLOW); }
long sys_fstat(int fd, stat* out) {
  FileRef f(fd, true);
  if (!f) return -EBADF;
  kstat k{};
  TRY_INT(vfs_getattr(f->f_path, k));
  return copy_stat(k, out);
}
long sys_newfstatat(int dfd, const char* name, stat* out, u32 flags) {
  if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH)) != 0) return -EINVAL;
  if ((flags & AT_EMPTY_PATH) != 0 && dfd >= 0) {  // glibc's fstat
    char first = 0;
    if (name == nullptr || (get_user(first, name) == 0 && first == 0)) return sys_fstat(dfd, out);
  }
  return with_path(dfd, name, lookup_of(flags), [&](const path& p) -> long {
    kstat k{};
    TRY_INT(vfs_getattr(p, k));
    return copy_stat(k, out);
  });
}

long sys_statx(int dfd, const char* name, u32 flags, u32 mask, statx* out) {
  if ((mask & 0x80000000) != 0) return -EINVAL;
  if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | 0x6000)) != 0 || (flags & 0x6000) == 0x6000)
    return -EINVAL;
  return with_path(dfd, name, lookup_of(flags), [&](const path& p) -> long {
    kstat k{};
    TRY_INT(vfs_getattr(p, k));
    statx s{};
    const auto stamp = [](const timespec64& t) { return statx_timestamp{t.tv_sec, static_cast<u32>(t.tv_nsec), 0}; };
    s.stx_mask = 0x7ff | 0x1000 | (k.btime.tv_sec != 0 ? 0x800 : 0);
    s.stx_blksize = k.blksize;
    s.stx_nlink = k.nlink;
    s.stx_uid = k.uid;
    s.stx_gid = k.gid;
    s.stx_mode = static_cast<u16>(k.mode);
    s.stx_ino = k.ino;
    s.stx_size = k.size;
    s.stx_blocks = k.blocks;
    s.stx_atime = stamp(k.atime);
    s.stx_btime = stamp(k.btime);
    s.stx_ctime = stamp(k.ctime);
    s.stx_mtime = stamp(k.mtime);
    s.stx_rdev_major = major_of(k.rdev);
    s.stx_rdev_minor = minor_of(k.rdev);
    s.stx_dev_major = major_of(k.dev);
    s.stx_dev_minor = minor_of(k.dev);
    s.stx_mnt_id = p.mnt->mnt_id;
    s.stx_attributes_mask = 0x2000;
    if (p.dentry_ == p.mnt->mnt_root) s.stx_attributes |= 0x2000;  // STATX_ATTR_MOUNT_ROOT
    return copy_to_user(out, &s, sizeof s);
  });
}

namespace {
long copy_statfs(const path& p, struct statfs* out) {
  struct statfs s {};
  super_block* sb = p.mnt->mnt_sb;
  TRY_INT(sb->s_op->statfs(sb, &s));
  constexpr s64 kValid = 0x20;
  s.f_flags = kValid | (mnt_read_only(p.mnt) ? 1 : 0);
  if ((p.mnt->mnt_flags & MNT_NOSUID) != 0) s.f_flags |= 2;
  if ((p.mnt->mnt_flags & MNT_NODEV) != 0) s.f_flags |= 4;
  if ((p.mnt->mnt_flags & MNT_NOEXEC) != 0) s.f_flags |= 8;
  if ((p.mnt->mnt_flags & MNT_NOATIME) != 0) s.f_flags |= 1024;
  if ((p.mnt->mnt_flags & MNT_NODIRATIME) != 0) s.f_flags |= 2048;
  if ((p.mnt->mnt_flags & MNT_RELATIME) != 0) s.f_flags |= 4096;
  if ((p.mnt->mnt_flags & MNT_NOSYMFOLLOW) != 0) s.f_flags |= 8192;
  if ((sb->s_flags & MS_SYNCHRONOUS) != 0) s.f_flags |= 16;
  if ((sb->s_flags & MS_MANDLOCK) != 0) s.f_flags |= 64;
  return copy_to_user(out, &s, sizeof s);
}
}  // namespace
long sys_statfs(const char* name, struct statfs* out) {
  return with_path(AT_FDCWD, name, LOOKUP_FOLLOW, [&](const path& p) { return copy_statfs(p, out); });
}
long sys_fstatfs(int fd, struct statfs* out) {
  FileRef f(fd, true);
  return f ? copy_statfs(f->f_path, out) : -EBADF;
}

long sys_access(const char* name, int mode) { return sys_faccessat2(AT_FDCWD, name, mode, 0); }
long sys_faccessat(int dfd, const char* name, int mode) { return sys_faccessat2(dfd, name, mode, 0); }
long sys_faccessat2(int dfd, const char* name, int mode, u32 flags) {
  if ((mode & ~7) != 0) return -EINVAL;
  if ((flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) != 0) return -EINVAL;
  // The check is for the real ids: for its time they are the effective ones.
  cred* override_cred = nullptr;
  cred* saved = current->cred_;
  if ((flags & AT_EACCESS) == 0 && (saved->uid != saved->fsuid || saved->gid != saved->fsgid || saved->uid != 0)) {
    override_cred = TRY(prepare_creds());
    override_cred->fsuid = saved->uid;
    override_cred->fsgid = saved->gid;
    override_cred->cap_effective = saved->uid == 0 ? saved->cap_permitted : 0;
    current->cred_ = override_cred;
  }
  const long r = with_path(dfd, name, lookup_of(flags), [&](const path& p) -> long {
    inode* i = p.dentry_->d_inode;
    if ((mode & MAY_EXEC) != 0 && S_ISREG(i->i_mode) && (p.mnt->mnt_flags & MNT_NOEXEC) != 0) return -EACCES;
    TRY_INT(inode_permission(i, mode));
    const bool stored = S_ISREG(i->i_mode) || S_ISDIR(i->i_mode) || S_ISLNK(i->i_mode);
    return (mode & MAY_WRITE) != 0 && stored && mnt_read_only(p.mnt) ? -EROFS : 0;
  });
  if (override_cred != nullptr) {
    current->cred_ = saved;
    put_cred(override_cred);
  }
  return r;
}

long sys_chmod(const char* name, u32 mode) { return sys_fchmodat(AT_FDCWD, name, mode); }
long sys_fchmodat(int dfd, const char* name, u32 mode) {
  return with_path(dfd, name, LOOKUP_FOLLOW, [&](const path& p) { return static_cast<long>(chmod_path(p, mode)); });
}
long sys_fchmod(int fd, u32 mode) {
  FileRef f(fd);
  return f ? chmod_path(f->f_path, mode) : -EBADF;
}
long sys_chown(const char* name, u32 uid, u32 gid) { return sys_fchownat(AT_FDCWD, name, uid, gid, 0); }
long sys_lchown(const char* name, u32 uid, u32 gid) {
  return sys_fchownat(AT_FDCWD, name, uid, gid, AT_SYMLINK_NOFOLLOW);
}
long sys_fchownat(int dfd, const char* name, u32 uid, u32 gid, u32 flags) {
  if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) != 0) return -EINVAL;
  return with_path(dfd, name, lookup_of(flags),
                   [&](const path& p) { return static_cast<long>(chown_path(p, uid, gid)); });
}
long sys_fchown(int fd, u32 uid, u32 gid) {
  FileRef f(fd);
  return f ? chown_path(f->f_path, uid, gid) : -EBADF;
}

namespace {

constexpr s64 UTIME_NOW = 0x3fffffff, UTIME_OMIT = 0x3ffffffe;

// times null: now for both. [man 2 utimensat]
long set_times(const path& p, const timespec_abi* times) {
  iattr a;
  a.valid = ATTR_ATIME | ATTR_MTIME;
  bool now = times == nullptr;
  if (times != nullptr) {
    if (times[0].tv_nsec == UTIME_OMIT && times[1].tv_nsec == UTIME_OMIT) return 0;
    if (times[0].tv_nsec == UTIME_NOW && times[1].tv_nsec == UTIME_NOW) now = true;
    const auto take = [&](const timespec_abi& t, u32 bit, u32 set_bit, timespec64& to) {
      if (t.tv_nsec == UTIME_OMIT) {
        a.valid &= ~bit;
      } else if (t.tv_nsec != UTIME_NOW) {
        a.valid |= set_bit;
        to = {t.tv_sec, t.tv_nsec};
      } else if (!now) {
        a.valid |= set_bit;  // one explicit, one now: needs ownership as well
        to = current_time();
      }
    };
    take(times[0], ATTR_ATIME, ATTR_ATIME_SET, a.atime);
    take(times[1], ATTR_MTIME, ATTR_MTIME_SET, a.mtime);
  }
  inode* i = p.dentry_->d_inode;
  if (mnt_read_only(p.mnt)) return -EROFS;
  if (now) {
    if ((i->i_flags & S_IMMUTABLE) != 0) return -EPERM;
    if (!inode_owner_or_capable(i)) TRY_INT(inode_permission(i, MAY_WRITE));
  }
  WriteGuard guard(i->i_rwsem);
  return notify_change(p.dentry_, a);
}

bool valid_nsec(const timespec_abi& t) {
  return t.tv_nsec == UTIME_NOW || t.tv_nsec == UTIME_OMIT || (t.tv_nsec >= 0 && t.tv_nsec < 1000000000);
}

long times_from_timeval(int dfd, const char* name, const timeval_abi* user, bool follow) {
  timespec_abi times[2];
  if (user != nullptr) {
    timeval_abi tv[2];
    TRY_INT(copy_from_user(tv, user, sizeof tv));
    for (int i = 0; i < 2; ++i) {
      if (tv[i].tv_usec < 0 || tv[i].tv_usec >= 1000000) return -EINVAL;
      times[i] = {tv[i].tv_sec, tv[i].tv_usec * 1000};
    }
  }
  return with_path(dfd, name, follow ? LOOKUP_FOLLOW : 0,
                   [&](const path& p) { return set_times(p, user != nullptr ? times : nullptr); });
}

}  // namespace

long sys_utimensat(int dfd, const char* name, const timespec_abi* user, u32 flags) {
  timespec_abi times[2];
  if (user != nullptr) {
    TRY_INT(copy_from_user(times, user, sizeof times));
    if (!valid_nsec(times[0]) || !valid_nsec(times[1])) return -EINVAL;
    if (times[0].tv_nsec == UTIME_OMIT && times[1].tv_nsec == UTIME_OMIT) return 0;
  }
  if (name == nullptr && dfd != AT_FDCWD) {
    if (flags != 0) return -EINVAL;
    FileRef f(dfd);
    return f ? set_times(f->f_path, user != nullptr ? times : nullptr) : -EBADF;
  }
  if ((flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)) != 0) return -EINVAL;
  return with_path(dfd, name, lookup_of(flags),
                   [&](const path& p) { return set_times(p, user != nullptr ? times : nullptr); });
}
long sys_utime(const char* name, const s64* user) {
  timespec_abi times[2];
  if (user != nullptr) {
    s64 seconds[2];
    TRY_INT(copy_from_user(seconds, user, sizeof seconds));
    times[0] = {seconds[0], 0};
    times[1] = {seconds[1], 0};
  }
  return with_path(AT_FDCWD, name, LOOKUP_FOLLOW,
                   [&](const path& p) { return set_times(p, user != nullptr ? times : nullptr); });
}
long sys_utimes(const char* name, const timeval_abi* times) { return times_from_timeval(AT_FDCWD, name, times, true); }
long sys_futimesat(int dfd, const char* name, const timeval_abi* times) {
  return times_from_timeval(dfd, name, times, true);
}

namespace {

constexpr u64 kXattrNameMax = 255, kXattrSizeMax = 65536;

// user.* needs a regular file or directory; trusted.* is for the administrator. [man 7 xattr]
int xattr_permission(inode* i, const char* key, int mask) {
  if (starts_with(key, "trusted.")) return capable(CAP_SYS_ADMIN) ? 0 : (mask == MAY_WRITE ? -EPERM : -ENODATA);
  if (starts_with(key, "user.")) {
    if (!S_ISREG(i->i_mode) && !S_ISDIR(i->i_mode)) return mask == MAY_WRITE ? -EPERM : -ENODATA;
    return inode_permission(i, mask);
  }
  if (starts_with(key, "security.")) return mask == MAY_READ || capable(CAP_SYS_ADMIN) ? 0 : -EPERM;
  return -EOPNOTSUPP;
}

long copy_key(const char* user, char* key) {
  const long n = strncpy_from_user(key, user, kXattrNameMax + 1);
  if (n == 0 || n == -ENAMETOOLONG) return -ERANGE;
  return n < 0 ? n : 0;
}

long get_xattr(const path& p, const char* user_key, void* value, u64 size) {
  char key[kXattrNameMax + 1];
  TRY_INT(copy_key(user_key, key));
  inode* i = p.dentry_->d_inode;
  TRY_INT(xattr_permission(i, key, MAY_READ));
  size = min(size, kXattrSizeMax);
  void* buffer = size == 0 ? nullptr : kmalloc(size);
  if (size != 0 && buffer == nullptr) return -ENOMEM;
  long n = i->i_op->getxattr(i, key, buffer, size);
  if (n > 0 && size != 0 && copy_to_user(value, buffer, static_cast<u64>(n)) != 0) n = -EFAULT;
  kfree(buffer);
  return n;
}
long set_xattr(const path& p, const char* user_key, const void* value, u64 size, int flags) {
  if ((flags & ~3) != 0) return -EINVAL;
  char key[kXattrNameMax + 1];
  TRY_INT(copy_key(user_key, key));
  if (size > kXattrSizeMax) return -E2BIG;
  inode* i = p.dentry_->d_inode;
  void* buffer = kmalloc(max<u64>(size, 1));
  if (buffer == nullptr) return -ENOMEM;
  long error = copy_from_user(buffer, value, size);
  if (error == 0) error = mnt_read_only(p.mnt) ? -EROFS : xattr_permission(i, key, MAY_WRITE);
  if (error == 0) {
    WriteGuard guard(i->i_rwsem);
    error = i->i_op->setxattr(i, key, buffer, size, flags);
  }
  kfree(buffer);
  return error;
}
long list_xattr(const path& p, char* list, u64 size) {
  inode* i = p.dentry_->d_inode;
  size = min(size, kXattrSizeMax);
  char* buffer = size == 0 ? nullptr : static_cast<char*>(kmalloc(size));
  if (size != 0 && buffer == nullptr) return -ENOMEM;
  long n = i->i_op->listxattr(i, buffer, size);
  if (n > 0 && size != 0 && copy_to_user(list, buffer, static_cast<u64>(n)) != 0) n = -EFAULT;
  kfree(buffer);
  return n;
}
long remove_xattr(const path& p, const char* user_key) {
  char key[kXattrNameMax + 1];
  TRY_INT(copy_key(user_key, key));
  inode* i = p.dentry_->d_inode;
  if (mnt_read_only(p.mnt)) return -EROFS;
  TRY_INT(xattr_permission(i, key, MAY_WRITE));
  WriteGuard guard(i->i_rwsem);
  return i->i_op->removexattr(i, key);
}
template <class Action>
long with_name(const char* name, bool follow, Action action) {
  return with_path(AT_FDCWD, name, follow ? LOOKUP_FOLLOW : 0, action);
}
template <class Action>
long with_fd(int fd, Action action) {
  FileRef f(fd);
  return f ? action(f->f_path) : -EBADF;
}

}  // namespace

long sys_getxattr(const char* name, const char* key, void* value, u64 size) {
  return with_name(name, true, [&](const path& p) { return get_xattr(p, key, value, size); });
}
long sys_lgetxattr(const char* name, const char* key, void* value, u64 size) {
  return with_name(name, false, [&](const path& p) { return get_xattr(p, key, value, size); });
}
long sys_fgetxattr(int fd, const char* key, void* value, u64 size) {
  return with_fd(fd, [&](const path& p) { return get_xattr(p, key, value, size); });
}
long sys_setxattr(const char* name, const char* key, const void* value, u64 size, int flags) {
  return with_name(name, true, [&](const path& p) { return set_xattr(p, key, value, size, flags); });
}
long sys_lsetxattr(const char* name, const char* key, const void* value, u64 size, int flags) {
  return with_name(name, false, [&](const path& p) { return set_xattr(p, key, value, size, flags); });
}
long sys_fsetxattr(int fd, const char* key, const void* value, u64 size, int flags) {
  return with_fd(fd, [&](const path& p) { return set_xattr(p, key, value, size, flags); });
}
long sys_listxattr(const char* name, char* list, u64 size) {
  return with_name(name, true, [&](const path& p) { return list_xattr(p, list, size); });
}
long sys_llistxattr(const char* name, char* list, u64 size) {
  return with_name(name, false, [&](const path& p) { return list_xattr(p, list, size); });
}
long sys_flistxattr(int fd, char* list, u64 size) {
  return with_fd(fd, [&](const path& p) { return list_xattr(p, list, size); });
}
long sys_removexattr(const char* name, const char* key) {
  return with_name(name, true, [&](const path& p) { return remove_xattr(p, key); });
}
long sys_lremovexattr(const char* name, const char* key) {
  return with_name(name, false, [&](const path& p) { return remove_xattr(p, key); });
}
long sys_fremovexattr(int fd, const char* key) {
  return with_fd(fd, [&](const path& p) { return remove_xattr(p, key); });
}

}  // namespace xm::os
