// SPDX-License-Identifier: GPL-2.0-or-later
// The path walk: component by component through the dentry cache, crossing mounts and following symlinks. [man 7
// path_resolution]
#include "kernel/fs/namei.h"

#include "kernel/fs/file_table.h"
#include "kernel/init/printk.h"
#include "kernel/mm/slab.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {

constexpr int kMaxSymlinks = 40;

void set_path(path& at, const path& to) {  // consumes `to`
  path old = at;
  at = to;
  path_put(old);
}

// The child of a directory, from the cache or the file system. A referenced dentry, perhaps negative.
Result<dentry*> lookup_child(dentry* parent, const qstr& name) {
  dentry* d = d_lookup(parent, name);
  if (d != nullptr) {
    if (d->d_op->revalidate(d)) return d;
    d_drop(d);
    dput(d);
  }
  inode* dir = parent->d_inode;
  WriteGuard guard(dir->i_rwsem);
  d = d_lookup(parent, name);
  if (d != nullptr) return d;
  if (dir->i_nlink == 0) return Error{ENOENT};
  d = d_alloc(parent, name);
  if (d == nullptr) return Error{ENOMEM};
  if (const int error = dir->i_op->lookup(dir, d); error != 0) {
    dput(d);
    return Error{-error};
  }
  return d;
}

bool same(const path& a, const path& b) { return a.mnt == b.mnt && a.dentry_ == b.dentry_; }

int walk_dotdot(nameidata& nd) {
  for (;;) {
    if (same(nd.at, nd.root)) {
      if ((nd.flags & LOOKUP_BENEATH) != 0) return -EXDEV;
      return 0;
    }
    if (nd.at.dentry_ != nd.at.mnt->mnt_root) {
      dentry* parent = dget(nd.at.dentry_->d_parent);
      dput(nd.at.dentry_);
      nd.at.dentry_ = parent;
      break;
    }
    if ((nd.flags & LOOKUP_NO_XDEV) != 0) return -EXDEV;
    if (!follow_up(nd.at)) return 0;
  }
  follow_mount(nd.at);
  return 0;
}

int link_path_walk(const char* name, nameidata& nd);

// Replaces nd.at by what the symlink `link` (a dentry in directory nd.at) points to.
int follow_link(nameidata& nd, dentry* link) {
  if ((nd.flags & LOOKUP_NO_SYMLINKS) != 0 || (nd.at.mnt->mnt_flags & MNT_NOSYMFOLLOW) != 0 ||
      ++nd.depth > kMaxSymlinks)
    return -ELOOP;
  link_body body;
  TRY_INT(link->d_inode->i_op->get_link(link, link->d_inode, body));
  if (body.is_jump) {
    if ((nd.flags & (LOOKUP_BENEATH | LOOKUP_IN_ROOT)) != 0 || (nd.flags & LOOKUP_NO_MAGICLINKS) != 0) {
      path gone{body.jump_mnt, body.jump_dentry};
      path_put(gone);
      return (nd.flags & LOOKUP_NO_MAGICLINKS) != 0 ? -ELOOP : -EXDEV;
    }
    set_path(nd.at, {body.jump_mnt, body.jump_dentry});
    nd.last_type = LastType::Root;
    return 0;
  }
  int error = -ENOENT;
  if (body.text != nullptr && body.text[0] != 0) {
    const u32 saved = nd.flags;
    nd.flags = (nd.flags & ~LOOKUP_PARENT) | LOOKUP_FOLLOW;
    error = link_path_walk(body.text, nd);
    nd.flags = saved;
  }
  kfree(body.to_free);
  return error;
}

int walk_component(nameidata& nd, const qstr& name, bool last, bool follow) {
  if (name.len == 1 && name.name[0] == '.') return 0;
  if (name.len == 2 && name.name[0] == '.' && name.name[1] == '.') return walk_dotdot(nd);
  dentry* child = TRY(lookup_child(nd.at.dentry_, name));
  if (child->d_inode == nullptr) {
    dput(child);
    return -ENOENT;
  }
  path next{mntget(nd.at.mnt), child};
  const bool crossed = follow_mount(next);
  if (crossed && (nd.flags & LOOKUP_NO_XDEV) != 0) {
    path_put(next);
    return -EXDEV;
  }
  if (S_ISLNK(next.dentry_->d_inode->i_mode) && (!last || follow)) {
    const int error = follow_link(nd, next.dentry_);
    path_put(next);
    return error;
  }
  set_path(nd.at, next);
  return 0;
}

qstr next_component(const char*& at) {
  qstr c{at, 0};
  while (*at != 0 && *at != '/') ++at;
  c.len = static_cast<u32>(at - c.name);
  return c;
}

LastType classify(const qstr& c) {
  if (c.len == 1 && c.name[0] == '.') return LastType::Dot;
  if (c.len == 2 && c.name[0] == '.' && c.name[1] == '.') return LastType::DotDot;
  return LastType::Normal;
}

int link_path_walk(const char* name, nameidata& nd) {
  if (*name == '/') {
    if ((nd.flags & LOOKUP_BENEATH) != 0) return -EXDEV;
    path_get(nd.root);
    set_path(nd.at, nd.root);
  }
  while (*name == '/') ++name;
  nd.last_type = LastType::Root;
  nd.trailing_slash = false;
  while (*name != 0) {
    inode* dir = nd.at.dentry_->d_inode;
    if (!S_ISDIR(dir->i_mode)) return -ENOTDIR;
    TRY_INT(inode_permission(dir, MAY_EXEC));
    const qstr component = next_component(name);
    if (component.len > kNameMax) return -ENAMETOOLONG;
    const bool slash = *name == '/';
    while (*name == '/') ++name;
    const bool last = *name == 0;
    if (last && (nd.flags & LOOKUP_PARENT) != 0) {
      nd.last = component;
      nd.last_type = classify(component);
      nd.trailing_slash = slash;
      return 0;
    }
    const bool follow = (nd.flags & LOOKUP_FOLLOW) != 0 || (last && slash);
    TRY_INT(walk_component(nd, component, last, follow));
    if (last && slash && !S_ISDIR(nd.at.dentry_->d_inode->i_mode)) return -ENOTDIR;
  }
  return 0;
}

int walk_start(int dfd, const char* name, u32 flags, nameidata& nd) {
  nd.flags = flags;
  nd.root = get_fs_root();
  if (*name == 0 && (flags & LOOKUP_EMPTY) == 0) return -ENOENT;
  if (*name == '/' && (flags & LOOKUP_IN_ROOT) == 0) {
    path_get(nd.root);
    nd.at = nd.root;
    return 0;
  }
  if (dfd == AT_FDCWD) {
    nd.at = get_fs_pwd();
  } else {
    FileRef f(dfd, true);
    if (!f) return -EBADF;
    if (*name != 0 && !S_ISDIR(f->f_inode->i_mode)) return -ENOTDIR;
    path_get(f->f_path);
    nd.at = f->f_path;
  }
  if ((flags & (LOOKUP_IN_ROOT | LOOKUP_BENEATH)) != 0) {
    path_put(nd.root);
    path_get(nd.at);
    nd.root = nd.at;
  }
  return 0;
}

}  // namespace

void nd_put(nameidata& nd) {
  path_put(nd.at);
  path_put(nd.root);
}

int path_parentat(int dfd, const char* name, u32 flags, nameidata& nd) {
  int error = walk_start(dfd, name, flags | LOOKUP_PARENT, nd);
  if (error == 0) error = link_path_walk(name, nd);
  if (error != 0) nd_put(nd);
  return error;
}

int path_lookupat(int dfd, const char* name, u32 flags, path& out) {
  nameidata nd;
  int error = walk_start(dfd, name, flags, nd);
  if (error == 0) error = link_path_walk(name, nd);
  if (error == 0 && (flags & LOOKUP_DIRECTORY) != 0 && !S_ISDIR(nd.at.dentry_->d_inode->i_mode)) error = -ENOTDIR;
  if (error == 0) {
    out = nd.at;
    path_get(out);
  }
  nd_put(nd);
  return error;
}

int kern_path(const char* name, u32 flags, path& out) { return path_lookupat(AT_FDCWD, name, flags, out); }

Result<char*> getname(const char* user_name, u32 flags) {
  char* name = static_cast<char*>(kmalloc(kPathMax));
  if (name == nullptr) return Error{ENOMEM};
  const long n = strncpy_from_user(name, user_name, kPathMax);
  if (n < 0 || (n == 0 && (flags & LOOKUP_EMPTY) == 0)) {
    kfree(name);
    return Error{n < 0 ? static_cast<int>(-n) : ENOENT};
  }
  return name;
}
void putname(char* name) { kfree(name); }

int user_path_at(int dfd, const char* user_name, u32 flags, path& out) {
  char* name = TRY(getname(user_name, flags));
  const int error = path_lookupat(dfd, name, flags, out);
  putname(name);
  return error;
}

int inode_permission(inode* i, int mask) {
  if ((mask & MAY_WRITE) != 0) {
    const bool stored = S_ISREG(i->i_mode) || S_ISDIR(i->i_mode) || S_ISLNK(i->i_mode);
    if (stored && (i->i_sb->s_flags & MS_RDONLY) != 0) return -EROFS;
    if ((i->i_flags & S_IMMUTABLE) != 0) return -EPERM;
  }
  return i->i_op->permission(i, mask);
}

bool inode_owner_or_capable(const inode* i) { return current_cred()->fsuid == i->i_uid || capable(CAP_FOWNER); }

char* d_path(const path& p, const path& root, char* buffer, size_t size) {
  char* at = buffer + size;
  *--at = 0;
  const auto prepend = [&](const char* text, size_t n) {
    if (static_cast<size_t>(at - buffer) < n) return false;
    at -= n;
    memcpy(at, text, n);
    return true;
  };
  const dentry* d = p.dentry_;
  const vfsmount* m = p.mnt;
  if (d->d_op != &default_dentry_ops && d->d_parent == d &&
      d->d_sb->s_root != d) {  // pipes, sockets: a name of their own
    char name[64];
    d->d_op->dname(d, name, sizeof name);
    return prepend(name, strlen(name)) ? at : nullptr;
  }
  if (d_unhashed(d) && d->d_parent != d && !prepend(" (deleted)", 10)) return nullptr;
  const char* const end = at;
  while (d != root.dentry_ || m != root.mnt) {
    if (d == m->mnt_root) {
      if (m->mnt_parent == m) break;
      d = m->mnt_mountpoint;
      m = m->mnt_parent;
      continue;
    }
    if (d->d_parent == d) break;
    if (!prepend(d->d_name.name, d->d_name.len) || !prepend("/", 1)) return nullptr;
    d = d->d_parent;
  }
  if (at == end && !prepend("/", 1)) return nullptr;
  return at;
}

}  // namespace xm::os
