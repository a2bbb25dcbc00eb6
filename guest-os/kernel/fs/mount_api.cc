// SPDX-License-Identifier: GPL-2.0-or-later
// Mounting step by step through descriptors: fsopen makes a context, fsconfig fills it, fsmount makes a mount that
// hangs nowhere yet, move_mount puts it into the tree; open_tree takes a copy of a mount, fspick a context of one that
// is there, mount_setattr changes flags. [man 2 fsopen], [man 2 move_mount], [man 2 mount_setattr]
#include "kernel/fs/eventpoll.h"
#include "kernel/fs/file_table.h"
#include "kernel/fs/mount.h"
#include "kernel/fs/namei.h"
#include "kernel/mm/slab.h"
#include "kernel/syscall/calls.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {

constexpr u32 kCloexec = 1;  // FSOPEN_CLOEXEC, FSMOUNT_CLOEXEC, FSPICK_CLOEXEC
enum class Phase { Create, Mountable, Mounted, Reconfigure, Failed };
enum FsconfigCommand : u32 {
  FSCONFIG_SET_FLAG = 0,
  FSCONFIG_SET_STRING = 1,
  FSCONFIG_SET_BINARY = 2,
  FSCONFIG_SET_PATH = 3,
  FSCONFIG_SET_PATH_EMPTY = 4,
  FSCONFIG_SET_FD = 5,
  FSCONFIG_CMD_CREATE = 6,
  FSCONFIG_CMD_RECONFIGURE = 7
};

struct fs_context {
  mutex lock;
  Phase phase = Phase::Create;
  file_system_type* type = nullptr;
  char* source = nullptr;
  char* data = nullptr;  // "key=value,key", a page
  u64 flags = 0;         // MS_*
  super_block* sb = nullptr;
  path target;  // of fspick
};
fs_context* context_of(const file* f) { return static_cast<fs_context*>(f->private_data); }

struct ContextOps final : file_operations {
  ssize_t read_iter(file*, iov_iter&, loff_t&) const override { return -ENODATA; }  // messages: there are none
  void release(inode*, file* f) const override {
    fs_context* c = context_of(f);
    if (c->sb != nullptr) deactivate_super(c->sb);
    path_put(c->target);
    kfree(c->source);
    kfree(c->data);
    kdelete(c);
  }
};
constinit const ContextOps context_ops{};

long context_fd(fs_context* c, u32 flags) {
  auto made = anon_inode_file("[fscontext]", &context_ops, c, O_RDWR);
  if (!made.ok()) {
    kdelete(c);
    return -made.error();
  }
  const int fd = receive_fd(made.value(), (flags & kCloexec) != 0 ? O_CLOEXEC : 0);
  if (fd < 0) fput(made.value());
  return fd;
}

// Parameters that every file system has are flags of the super block; others are the file system's.
int add_parameter(fs_context& c, const char* key, const char* value) {
  constexpr struct {
    const char* name;
    u64 set, clear;
  } kFlags[] = {{"ro", MS_RDONLY, 0},         {"rw", 0, MS_RDONLY},         {"sync", MS_SYNCHRONOUS, 0},
                {"async", 0, MS_SYNCHRONOUS}, {"dirsync", MS_DIRSYNC, 0},   {"mand", MS_MANDLOCK, 0},
                {"nomand", 0, MS_MANDLOCK},   {"lazytime", MS_LAZYTIME, 0}, {"nolazytime", 0, MS_LAZYTIME},
                {"silent", MS_SILENT, 0}};
  for (const auto& f : kFlags) {
    if (strcmp(key, f.name) != 0) continue;  // whatever its value
    c.flags = (c.flags & ~f.clear) | f.set;
    return 0;
  }
  if (strcmp(key, "source") == 0) {
    if (value == nullptr || c.source != nullptr) return -EINVAL;
    c.source = kstrdup(value);
    return c.source == nullptr ? -ENOMEM : 0;
  }
  if (c.data == nullptr) c.data = static_cast<char*>(kzalloc(kPageSize));
  if (c.data == nullptr) return -ENOMEM;
  const size_t used = strlen(c.data), more = strlen(key) + (value != nullptr ? strlen(value) + 1 : 0) + 1;
  if (used + more + 1 > kPageSize) return -EINVAL;
  char* at = c.data + used;
  if (used != 0) *at++ = ',';
  memcpy(at, key, strlen(key));
  at += strlen(key);
  if (value == nullptr) return 0;
  *at++ = '=';
  memcpy(at, value, strlen(value));
  return 0;
}

long create_super(fs_context& c) {
  if (c.phase != Phase::Create) return -EBUSY;
  if ((c.type->flags & FS_REQUIRES_DEV) != 0) {
    if (c.source == nullptr) return -EINVAL;
    path device;
    TRY_INT(kern_path(c.source, LOOKUP_FOLLOW, device));
    const bool is_block = S_ISBLK(device.dentry_->d_inode->i_mode);
    path_put(device);
    if (!is_block) return -ENOTBLK;
  }
  auto made = get_super(c.type, c.source != nullptr ? c.source : "none", c.data != nullptr ? c.data : "",
                        c.flags & kSuperFlags);
  c.phase = made.ok() ? Phase::Mountable : Phase::Failed;
  if (!made.ok()) return -made.error();
  c.sb = made.value();
  return 0;
}

long check_fsconfig(int fd, u32 command, const void* key, const void* value, int aux) {
  if (fd < 0) return -EINVAL;
  switch (command) {
    case FSCONFIG_SET_FLAG: return key == nullptr || value != nullptr || aux != 0 ? -EINVAL : 0;
    case FSCONFIG_SET_STRING: return key == nullptr || value == nullptr || aux != 0 ? -EINVAL : 0;
    case FSCONFIG_SET_BINARY: return key == nullptr || value == nullptr || aux <= 0 || aux > 1024 * 1024 ? -EINVAL : 0;
    case FSCONFIG_SET_PATH:
    case FSCONFIG_SET_PATH_EMPTY:
      return key == nullptr || value == nullptr || (aux != AT_FDCWD && aux < 0) ? -EINVAL : 0;
    case FSCONFIG_SET_FD: return key == nullptr || value != nullptr || aux < 0 ? -EINVAL : 0;
    case FSCONFIG_CMD_CREATE:
    case FSCONFIG_CMD_RECONFIGURE: return key != nullptr || value != nullptr || aux != 0 ? -EINVAL : 0;
    default: return -EOPNOTSUPP;
  }
}

long set_parameter(fs_context& c, u32 command, const char* user_key, const void* user_value) {
  if (c.phase != Phase::Create && c.phase != Phase::Reconfigure) return -EBUSY;
  char* key = TRY(strndup_user(user_key, 256));
  long error = 0;
  if (command == FSCONFIG_SET_FLAG) {
    error = add_parameter(c, key, nullptr);
  } else if (command == FSCONFIG_SET_STRING) {
    auto value = strndup_user(static_cast<const char*>(user_value), 256);
    error = value.ok() ? add_parameter(c, key, value.value()) : -value.error();
    if (value.ok()) kfree(value.value());
  } else {
    error = -EOPNOTSUPP;
  }
  kfree(key);
  return error;
}

constexpr u32 MOUNT_ATTR_RDONLY = 1, MOUNT_ATTR_NOSUID = 2, MOUNT_ATTR_NODEV = 4, MOUNT_ATTR_NOEXEC = 8,
              MOUNT_ATTR_ATIME = 0x70, MOUNT_ATTR_NOATIME = 0x10, MOUNT_ATTR_STRICTATIME = 0x20,
              MOUNT_ATTR_NODIRATIME = 0x80, MOUNT_ATTR_NOSYMFOLLOW = 0x200000;
constexpr u32 kMountAttributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC |
                                 MOUNT_ATTR_ATIME | MOUNT_ATTR_NODIRATIME | MOUNT_ATTR_NOSYMFOLLOW;

u32 mount_flags_of_attributes(u32 a) {
  u32 f = 0;
  if ((a & MOUNT_ATTR_RDONLY) != 0) f |= MNT_READONLY;
  if ((a & MOUNT_ATTR_NOSUID) != 0) f |= MNT_NOSUID;
  if ((a & MOUNT_ATTR_NODEV) != 0) f |= MNT_NODEV;
  if ((a & MOUNT_ATTR_NOEXEC) != 0) f |= MNT_NOEXEC;
  if ((a & MOUNT_ATTR_NODIRATIME) != 0) f |= MNT_NODIRATIME;
  if ((a & MOUNT_ATTR_NOSYMFOLLOW) != 0) f |= MNT_NOSYMFOLLOW;
  if ((a & MOUNT_ATTR_ATIME) == 0) f |= MNT_RELATIME;
  if ((a & MOUNT_ATTR_ATIME) == MOUNT_ATTR_NOATIME) f |= MNT_NOATIME;
  return f;
}
bool atime_is_known(u32 a) {
  const u32 mode = a & MOUNT_ATTR_ATIME;
  return mode == 0 || mode == MOUNT_ATTR_NOATIME || mode == MOUNT_ATTR_STRICTATIME;
}

// A descriptor of a mount's root; takes over the reference to the mount.
long mount_fd(vfsmount* m, bool cloexec) {
  file* f = alloc_file({m, dget(m->mnt_root)}, O_PATH, &bad_file_ops);
  if (f == nullptr) return -ENFILE;
  f->f_mode = FMODE_PATH;
  const int fd = receive_fd(f, cloexec ? O_CLOEXEC : 0);
  if (fd < 0) fput(f);
  return fd;
}

}  // namespace

long sys_fsopen(const char* user_name, u32 flags) {
  if (!capable(CAP_SYS_ADMIN)) return -EPERM;
  if ((flags & ~kCloexec) != 0) return -EINVAL;
  char* name = TRY(strndup_user(user_name, kPageSize));
  file_system_type* type = find_filesystem(name);
  kfree(name);
  if (type == nullptr) return -ENODEV;
  fs_context* c = knew<fs_context>();
  if (c == nullptr) return -ENOMEM;
  c->type = type;
  return context_fd(c, flags);
}

long sys_fspick(int dfd, const char* name, u32 flags) {
  constexpr u32 kNoFollow = 2, kNoAutomount = 4, kEmptyPath = 8;
  if (!capable(CAP_SYS_ADMIN)) return -EPERM;
  if ((flags & ~(kCloexec | kNoFollow | kNoAutomount | kEmptyPath)) != 0) return -EINVAL;
  path p;
  TRY_INT(user_path_at(
      dfd, name, ((flags & kNoFollow) != 0 ? 0 : LOOKUP_FOLLOW) | ((flags & kEmptyPath) != 0 ? LOOKUP_EMPTY : 0), p));
  fs_context* c = p.mnt->mnt_root == p.dentry_ ? knew<fs_context>() : nullptr;
  if (c == nullptr) {
    const bool is_root = p.mnt->mnt_root == p.dentry_;
    path_put(p);
    return is_root ? -ENOMEM : -EINVAL;
  }
  c->type = p.mnt->mnt_sb->s_type;
  c->phase = Phase::Reconfigure;
  c->flags = p.mnt->mnt_sb->s_flags;
  c->target = p;
  return context_fd(c, flags);
}

long sys_fsconfig(int fd, u32 command, const char* key, const void* value, int aux) {
  TRY_INT(static_cast<int>(check_fsconfig(fd, command, key, value, aux)));
  FileRef f(fd);
  if (!f) return -EBADF;
  if (f->f_op != &context_ops) return -EINVAL;
  fs_context& c = *context_of(f.get());
  MutexGuard guard(c.lock);
  if (command == FSCONFIG_CMD_CREATE) return create_super(c);
  if (command != FSCONFIG_CMD_RECONFIGURE) return set_parameter(c, command, key, value);
  if (c.phase != Phase::Reconfigure) return -EBUSY;
  return remount_super(c.target, c.flags, c.data != nullptr ? c.data : "");
}

long sys_fsmount(int fd, u32 flags, u32 attributes) {
  if (!capable(CAP_SYS_ADMIN)) return -EPERM;
  if ((flags & ~kCloexec) != 0) return -EINVAL;
  if ((attributes & ~kMountAttributes) != 0 || !atime_is_known(attributes)) return -EINVAL;
  FileRef f(fd);
  if (!f) return -EBADF;
  if (f->f_op != &context_ops) return -EINVAL;
  fs_context& c = *context_of(f.get());
  MutexGuard guard(c.lock);
  if (c.sb == nullptr) return -EINVAL;
  if (c.phase != Phase::Mountable) return -EBUSY;
  vfsmount* m = new_mount(c.sb, c.sb->s_root, c.source);
  if (m == nullptr) return -ENOMEM;
  c.sb = nullptr;  // the mount's now
  c.phase = Phase::Mounted;
  m->mnt_flags = mount_flags_of_attributes(attributes) | ((c.flags & MS_RDONLY) != 0 ? MNT_READONLY : 0);
  return mount_fd(m, (flags & kCloexec) != 0);
}

long sys_open_tree(int dfd, const char* name, u32 flags) {
  constexpr u32 kClone = 1, kRecursive = 0x8000, kNoAutomount = 0x800;
  if ((flags &
       ~(static_cast<u32>(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) | kNoAutomount | kRecursive | kClone | O_CLOEXEC)) != 0)
    return -EINVAL;
  if ((flags & (kRecursive | kClone)) == kRecursive) return -EINVAL;
  if ((flags & kClone) != 0 && !capable(CAP_SYS_ADMIN)) return -EPERM;
  path p;
  TRY_INT(user_path_at(
      dfd, name,
      ((flags & AT_SYMLINK_NOFOLLOW) != 0 ? 0 : LOOKUP_FOLLOW) | ((flags & AT_EMPTY_PATH) != 0 ? LOOKUP_EMPTY : 0), p));
  vfsmount* m = p.mnt;
  if ((flags & kClone) != 0) {
    m = new_mount(p.mnt->mnt_sb, p.dentry_, p.mnt->mnt_devname);
    if (m != nullptr) {
      m->mnt_sb->s_active.inc();
      m->mnt_flags = p.mnt->mnt_flags;
    }
    path_put(p);
    return m == nullptr ? -ENOMEM : mount_fd(m, (flags & O_CLOEXEC) != 0);
  }
  file* f = alloc_file(p, O_PATH, &bad_file_ops);
  if (f == nullptr) return -ENFILE;
  f->f_mode = FMODE_PATH;
  const int fd = receive_fd(f, flags & O_CLOEXEC);
  if (fd < 0) fput(f);
  return fd;
}

long sys_move_mount(int from_dfd, const char* from_name, int to_dfd, const char* to_name, u32 flags) {
  constexpr u32 kFromFollow = 1, kFromEmpty = 4, kToFollow = 0x10, kToEmpty = 0x40, kKnown = 0x177;
  if (!capable(CAP_SYS_ADMIN)) return -EPERM;
  if ((flags & ~kKnown) != 0) return -EINVAL;
  path from, to;
  TRY_INT(user_path_at(
      from_dfd, from_name,
      ((flags & kFromFollow) != 0 ? LOOKUP_FOLLOW : 0) | ((flags & kFromEmpty) != 0 ? LOOKUP_EMPTY : 0), from));
  long error =
      user_path_at(to_dfd, to_name,
                   ((flags & kToFollow) != 0 ? LOOKUP_FOLLOW : 0) | ((flags & kToEmpty) != 0 ? LOOKUP_EMPTY : 0), to);
  if (error == 0) {
    if (mount_attached(from.mnt)) {
      error = move_mount_to(from, to);
    } else if (from.dentry_ != from.mnt->mnt_root) {
      error = -EINVAL;
    } else if (S_ISDIR(from.dentry_->d_inode->i_mode) != S_ISDIR(to.dentry_->d_inode->i_mode)) {
      error = -ENOTDIR;
    } else {
      attach_mount(mntget(from.mnt), to);
    }
    path_put(to);
  }
  path_put(from);
  return error;
}

long sys_mount_setattr(int dfd, const char* name, u32 flags, u64 user, u64 size) {
  struct {
    u64 set, clear, propagation, userns_fd;
  } a{};
  constexpr u32 kRecursive = 0x8000, kNoAutomount = 0x800;
  if ((flags & ~(static_cast<u32>(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) | kRecursive | kNoAutomount)) != 0)
    return -EINVAL;
  if (size > kPageSize) return -E2BIG;
  if (size < sizeof a) return -EINVAL;
  if (!capable(CAP_SYS_ADMIN)) return -EPERM;
  TRY_INT(get_user_at(a, user));
  for (u64 at = sizeof a; at < size; ++at) {
    u8 byte;
    TRY_INT(get_user_at(byte, user + at));
    if (byte != 0) return -E2BIG;
  }
  if (a.set == 0 && a.clear == 0 && a.propagation == 0) return 0;
  if (((a.set | a.clear) & ~static_cast<u64>(kMountAttributes)) != 0) return -EINVAL;
  if ((a.propagation & ~static_cast<u64>(MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE)) != 0) return -EINVAL;
  const u32 set = static_cast<u32>(a.set), clear = static_cast<u32>(a.clear);
  // The modes of access time exclude one another: to set one, all must be cleared.
  if ((clear & MOUNT_ATTR_ATIME) != 0 ? (clear & MOUNT_ATTR_ATIME) != MOUNT_ATTR_ATIME || !atime_is_known(set)
                                      : (set & MOUNT_ATTR_ATIME) != 0)
    return -EINVAL;
  path p;
  TRY_INT(user_path_at(
      dfd, name,
      ((flags & AT_SYMLINK_NOFOLLOW) != 0 ? 0 : LOOKUP_FOLLOW) | ((flags & AT_EMPTY_PATH) != 0 ? LOOKUP_EMPTY : 0), p));
  long error = p.dentry_ == p.mnt->mnt_root ? 0 : -EINVAL;
  if (error == 0) {
    const u32 off = mount_flags_of_attributes(clear | MOUNT_ATTR_STRICTATIME) & ~(MNT_RELATIME | MNT_NOATIME);
    u32 f = (p.mnt->mnt_flags & ~off) | (mount_flags_of_attributes(set | MOUNT_ATTR_STRICTATIME) & ~MNT_RELATIME);
    if ((clear & MOUNT_ATTR_ATIME) != 0) {
      f &= ~(MNT_RELATIME | MNT_NOATIME);
      f |= mount_flags_of_attributes(set) & (MNT_RELATIME | MNT_NOATIME);
    }
    p.mnt->mnt_flags = f;
  }
  path_put(p);
  return error;
}

}  // namespace xm::os
