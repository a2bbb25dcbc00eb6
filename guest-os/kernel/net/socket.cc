// SPDX-License-Identifier: GPL-2.0-or-later
// sockfs: sockets as files, and the table of families. read and write on a socket are recvmsg and sendmsg.
#include "kernel/init/initcall.h"
#include "kernel/lib/format.h"
#include "kernel/mm/slab.h"
#include "kernel/net/netdevice.h"
#include "kernel/net/sock.h"
#include "kernel/signal/signal.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {

constexpr u64 kSockfsMagic = 0x534f434b;
constinit vfsmount* sock_mount = nullptr;
constinit const net_proto_family* families[AF_MAX]{};

struct SocketFileOps final : file_operations {
  loff_t llseek(file*, loff_t, int) const override { return -ESPIPE; }
  bool has_poll() const override { return true; }
  ssize_t read_iter(file* f, iov_iter& to, loff_t&) const override {
    msghdr m;
    m.iter = &to;
    if ((f->f_flags & O_NONBLOCK) != 0) m.flags = MSG_DONTWAIT;
    if (to.count() == 0) return 0;
    return sock_recvmsg(sock_from_file(f), m);
  }
  ssize_t write_iter(file* f, iov_iter& from, loff_t&) const override {
    socket* s = sock_from_file(f);
    msghdr m;
    m.iter = &from;
    if ((f->f_flags & O_NONBLOCK) != 0) m.flags = MSG_DONTWAIT;
    if (s->type == SOCK_SEQPACKET) m.flags |= MSG_EOR;
    return sock_sendmsg(s, m);
  }
  u32 poll(file* f, poll_table* table) const override {
    socket* s = sock_from_file(f);
    return s->ops->poll(f, s, table);
  }
  long ioctl(file* f, u32 command, u64 argument) const override {
    socket* s = sock_from_file(f);
    const long result = s->ops->ioctl(s, command, argument);
    return result == -ENOIOCTLCMD ? dev_ioctl(command, argument) : result;
  }
  int mmap(file* f, vm_area_struct* vma) const override {
    socket* s = sock_from_file(f);
    return s->ops->mmap(f, s, vma);
  }
  void release(inode*, file* f) const override { sock_release(sock_from_file(f)); }
};
constinit const SocketFileOps socket_file_ops{};

struct SocketDentryOps final : dentry_operations {
  void dname(const dentry* d, char* text, size_t size) const override {
    format(text, size, "socket:[%lu]", d->d_inode->i_ino);
  }
};
constinit const SocketDentryOps socket_dentry_ops{};

struct SocketSuperOps final : super_operations {
  bool drop_inode(const inode*) const override { return true; }
};
constinit const SocketSuperOps socket_super_ops{};

int fill_sockfs(super_block* sb, const char*, const char*, u64) {
  sb->s_magic = kSockfsMagic;
  sb->s_op = &socket_super_ops;
  inode* root = new_inode(sb);
  if (root == nullptr) return -ENOMEM;
  root->i_mode = S_IFDIR | 0600;
  sb->s_root = d_make_root(root);
  return 0;
}
constinit file_system_type sockfs_type{"sockfs", FS_SINGLE, fill_sockfs};

void sockfs_init() {
  register_filesystem(&sockfs_type);
  sock_mount = kern_mount(&sockfs_type);
}
BUS_INITCALL(sockfs_init);

}  // namespace

int sock_register(const net_proto_family* family) {
  if (family->family <= 0 || family->family >= AF_MAX) return -EINVAL;
  if (families[family->family] != nullptr) return -EEXIST;
  families[family->family] = family;
  return 0;
}

Result<socket*> sock_create(int family, int type, int protocol) {
  if (family < 0 || family >= AF_MAX) return Error{EAFNOSUPPORT};
  if (type < 0 || type >= SOCK_MAX) return Error{EINVAL};
  if (families[family] == nullptr) return Error{EAFNOSUPPORT};
  socket* s = knew<socket>();
  if (s == nullptr) return Error{ENOMEM};
  s->type = type;
  if (const int error = families[family]->create(s, protocol); error != 0) {
    kdelete(s);
    return Error{-error};
  }
  return s;
}

void sock_release(socket* s) {
  if (s->ops != nullptr && s->sk != nullptr) s->ops->release(s);
  kdelete(s);
}

Result<file*> sock_alloc_file(socket* s, u32 flags) {
  inode* i = new_inode(sock_mount->mnt_sb);
  if (i == nullptr) {
    sock_release(s);
    return Error{ENFILE};
  }
  i->i_ino = get_next_ino();
  inode_init_owner(i, nullptr, S_IFSOCK | 0777);
  i->i_private = s;
  dentry* d = d_alloc_pseudo(sock_mount->mnt_sb, "");
  if (d == nullptr) {
    iput(i);
    sock_release(s);
    return Error{ENOMEM};
  }
  d->d_op = &socket_dentry_ops;
  d_instantiate(d, i);
  file* f = alloc_file({mntget(sock_mount), d}, O_RDWR | (flags & O_NONBLOCK), &socket_file_ops);
  if (f == nullptr) {
    sock_release(s);
    return Error{ENFILE};
  }
  f->f_mode &= ~FMODE_LSEEK;
  f->f_mode |= FMODE_STREAM;
  f->private_data = s;
  s->file_ = f;
  return f;
}

socket* sock_from_file(const file* f) {
  return f->f_op == &socket_file_ops ? static_cast<socket*>(f->private_data) : nullptr;
}

ssize_t sock_sendmsg(socket* s, msghdr& m) {
  const ssize_t n = s->ops->sendmsg(s, m);
  if (n == -EPIPE && s->type == SOCK_STREAM && (m.flags & MSG_NOSIGNAL) == 0) send_sig(SIGPIPE, current);
  return n;
}
ssize_t sock_recvmsg(socket* s, msghdr& m) { return s->ops->recvmsg(s, m); }

}  // namespace xm::os
