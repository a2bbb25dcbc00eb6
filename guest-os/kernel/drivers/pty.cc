// SPDX-License-Identifier: GPL-2.0-or-later
// Pseudo terminals: /dev/ptmx makes a pair, the slave appears in /dev/pts. What the master writes is the slave's input
// through its line discipline; what the slave writes is what the master reads. [man 7 pty], [man 4 pts]. GAP: packet
// mode reports nothing; one devpts instance.
#include "kernel/drivers/tty.h"
#include "kernel/fs/file_table.h"
#include "kernel/fs/poll.h"
#include "kernel/fs/tmpfs.h"
#include "kernel/init/initcall.h"
#include "kernel/lib/format.h"
#include "kernel/mm/slab.h"
#include "kernel/sched/sched.h"
#include "kernel/signal/signal.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {

constexpr u32 kMaxPtys = 256;
struct Pty {
  u32 number;
  tty_struct* master;
  tty_struct* slave;
  dentry* node;
};
constinit Pty* ptys[kMaxPtys]{};
constinit mutex pty_mutex{};
constinit super_block* devpts_sb = nullptr;

// The slave writes: bytes go to the master's reader, raw.
struct SlaveOps final : tty_operations {
  size_t write(tty_struct* t, const char* text, size_t n) const override {
    tty_struct* m = t->link;
    size_t done = 0;
    {
      IrqGuard guard(m->read_wait.lock);  // the master's ring has no other lock
      while (done < n && m->head - m->tail < kTtyBuffer)
        m->buffer[m->head++ % kTtyBuffer] = static_cast<u8>(text[done++]);
    }
    wake_up_all(m->read_wait, POLLIN | POLLRDNORM);
    return done;
  }
  size_t write_room(tty_struct* t) const override {
    return kTtyBuffer - min<size_t>(kTtyBuffer, t->link->head - t->link->tail + kEchoReserve);
  }
  void close(tty_struct* t) const override {
    t->link->other_closed = true;
    wake_up_all(t->link->read_wait, POLLIN | POLLHUP);
  }
  int open(tty_struct* t) const override {
    if (t->pty_locked || t->other_closed) return -EIO;
    t->link->other_closed = false;
    return 0;
  }
  void unthrottle(tty_struct* t) const override { wake_up_all(t->link->write_wait, POLLOUT | POLLWRNORM); }
};
constinit const SlaveOps slave_ops{};
struct MasterTtyOps final : tty_operations {
  size_t write(tty_struct*, const char*, size_t n) const override { return n; }
};
constinit const MasterTtyOps master_tty_ops{};

Pty* pty_of(const tty_struct* t) { return static_cast<Pty*>(t->driver_data); }

struct MasterFileOps final : file_operations {
  ssize_t read_iter(file* f, iov_iter& to, loff_t&) const override {
    tty_struct* m = file_tty(f);
    for (;;) {
      u8 chunk[512];
      u64 n = 0;
      {
        IrqGuard guard(m->read_wait.lock);
        n = min(min<u64>(sizeof chunk, to.count()), m->head - m->tail);
        for (u64 i = 0; i < n; ++i) chunk[i] = m->buffer[(m->tail + i) % kTtyBuffer];
        m->tail += n;
      }
      if (n > 0) {
        tty_wakeup(m->link);
        const u64 moved = to.copy_to(chunk, n);
        return moved == 0 ? -EFAULT : static_cast<ssize_t>(moved);
      }
      if (m->other_closed) return -EIO;
      if ((f->f_flags & O_NONBLOCK) != 0) return -EAGAIN;
      TRY_INT(wait_event_interruptible(m->read_wait, [&] { return m->head != m->tail || m->other_closed; }));
    }
  }
  ssize_t write_iter(file* f, iov_iter& from, loff_t&) const override {
    tty_struct* s = file_tty(f)->link;
    ssize_t done = 0;
    while (from.count() > 0) {
      const u64 room = kTtyBuffer - 1 - min<u64>(s->head - s->tail, kTtyBuffer - 1);
      const bool canonical_full = (s->term.c_lflag & ICANON) != 0 && s->canon_lines == 0;
      if (room == 0 && !canonical_full) {
        if ((f->f_flags & O_NONBLOCK) != 0) return done > 0 ? done : -EAGAIN;
        const long r = wait_event_interruptible(s->link->write_wait,
                                                [&] { return s->head - s->tail < kTtyBuffer - 1 || s->hung_up; });
        if (r != 0) return done > 0 ? done : r;
        continue;
      }
      u8 chunk[256];
      const u64 want = min<u64>(min<u64>(sizeof chunk, from.count()), max<u64>(room, 1));
      const u64 got = from.copy_from(chunk, want);
      tty_receive(s, chunk, got);
      done += static_cast<ssize_t>(got);
      if (got < want) return done > 0 ? done : -EFAULT;
    }
    return done;
  }
  u32 poll(file* f, poll_table* table) const override {
    tty_struct* m = file_tty(f);
    poll_wait(f, m->read_wait, table);
    poll_wait(f, m->write_wait, table);
    u32 events = 0;
    if (m->head != m->tail) events |= POLLIN | POLLRDNORM;
    if (m->other_closed) events |= POLLHUP;
    if (m->link->head - m->link->tail < kTtyBuffer - 256) events |= POLLOUT | POLLWRNORM;
    return events;
  }
  bool has_poll() const override { return true; }
  long ioctl(file* f, u32 command, u64 argument) const override {
    tty_struct* m = file_tty(f);
    switch (command) {
      case TIOCGPTN: return put_user_at(pty_of(m)->number, argument);
      case TIOCSPTLCK: {
        int lock;
        TRY_INT(get_user_at(lock, argument));
        m->link->pty_locked = lock != 0;
        return 0;
      }
      case TIOCGPTLCK: return put_user_at(static_cast<int>(m->link->pty_locked), argument);
      case TIOCGPTPEER: return open_peer(f, static_cast<u32>(argument));
      case TIOCPKT: {
        int on;
        TRY_INT(get_user_at(on, argument));
        m->packet = false;
        return on != 0 ? -EINVAL : 0;
      }
      case TIOCINQ: return put_user_at(static_cast<int>(m->head - m->tail), argument);
      case TCFLSH: n_tty_flush_input(m->link); return 0;
      default: return tty_file_ops.ioctl(f, command, argument);
    }
  }
  static long open_peer(file* f, u32 flags) {
    const Pty* p = pty_of(file_tty(f));
    char name[32];
    format(name, sizeof name, "/dev/pts/%u", p->number);
    file* slave = TRY(filp_open(name, flags & ~O_CLOEXEC, 0));
    const int fd = receive_fd(slave, flags & O_CLOEXEC);
    if (fd < 0) fput(slave);
    return fd;
  }
  void release(inode*, file* f) const override {
    tty_struct* m = file_tty(f);
    Pty* p = pty_of(m);
    MutexGuard guard(pty_mutex);
    p->slave->other_closed = true;
    tty_hangup(p->slave);
    if (p->node != nullptr) {  // the name goes, open slaves stay
      dentry* d = p->node;
      p->node = nullptr;
      d_delete(d);
      dput(d);
      dput(d);
    }
    ptys[p->number] = nullptr;  // GAP: the pair itself is kept: an open slave may still point at it
  }
  loff_t llseek(file*, loff_t, int) const override { return -ESPIPE; }
};
constinit const MasterFileOps master_ops{};

struct SlaveFileOps final : file_operations {
  int open(inode* i, file* f) const override {
    const u32 number = minor_of(i->i_rdev);
    tty_struct* t = nullptr;
    {
      MutexGuard guard(pty_mutex);
      if (number < kMaxPtys && ptys[number] != nullptr) t = ptys[number]->slave;
    }
    if (t == nullptr) return -EIO;
    TRY_INT(tty_open_common(t, f));
    if ((f->f_flags & O_NOCTTY) != 0) return 0;
    IrqGuard guard(tasklist_lock);
    if (current->signal->leader && current->signal->tty == nullptr && t->session == 0) {
      current->signal->tty = t;
      t->session = current->signal->session;
      t->pgrp = current->signal->pgrp;
    }
    return 0;
  }
};
constinit const SlaveFileOps slave_file_ops{};

int add_node(Pty* p) {
  if (devpts_sb == nullptr) devpts_sb = kern_super(find_filesystem("devpts"));
  if (devpts_sb == nullptr) return -ENODEV;
  char name[12];
  const int n = format(name, sizeof name, "%u", p->number);
  dentry* root = devpts_sb->s_root;
  inode* i = new_inode(devpts_sb);
  if (i == nullptr) return -ENOMEM;
  i->i_ino = p->number + 3;
  init_special_inode(i, S_IFCHR | 0620, make_dev(136, p->number));
  i->i_uid = current->cred_->fsuid;
  i->i_gid = 5;
  i->i_atime = i->i_mtime = i->i_ctime = current_time();
  WriteGuard guard(root->d_inode->i_rwsem);
  dentry* d = d_alloc(root, {name, static_cast<u32>(n)});
  if (d == nullptr) {
    iput(i);
    return -ENOMEM;
  }
  d_add(d, i);
  p->node = dget(d);
  return 0;
}

struct PtmxOps final : file_operations {
  int open(inode*, file* f) const override {
    MutexGuard guard(pty_mutex);
    u32 number = 0;
    while (number < kMaxPtys && ptys[number] != nullptr) ++number;
    if (number == kMaxPtys) return -ENOSPC;
    Pty* p = knew<Pty>();
    char name[16];
    format(name, sizeof name, "pts/%u", number);
    tty_struct* slave = tty_alloc(name, make_dev(136, number), &slave_ops);
    tty_struct* master = tty_alloc("ptm", make_dev(5, 2), &master_tty_ops);
    if (p == nullptr || slave == nullptr || master == nullptr) return -ENOMEM;
    *p = {number, master, slave, nullptr};
    master->link = slave;
    slave->link = master;
    master->is_pty_master = true;
    slave->pty_locked = true;
    slave->window = master->window = {0, 0, 0, 0};
    master->driver_data = slave->driver_data = p;
    TRY_INT(add_node(p));
    ptys[number] = p;
    f->private_data = master;
    f->f_op = &master_ops;
    f->f_mode &= ~FMODE_LSEEK;
    return 0;
  }
};
constinit const PtmxOps ptmx_ops{};

struct DevptsDirOps final : file_operations {
  ssize_t read_iter(file*, iov_iter&, loff_t&) const override { return -EISDIR; }
  int iterate(file* f, dir_context& c) const override { return dcache_readdir(f, c); }
};
constinit const DevptsDirOps devpts_dir_ops{};
struct DevptsInodeOps final : inode_operations {
  int lookup(inode*, dentry* d) const override {
    d_add(d, nullptr);
    d_drop(d);
    return 0;
  }
};
constinit const DevptsInodeOps devpts_inode_ops{};
struct DevptsSuperOps final : super_operations {
  bool drop_inode(const inode*) const override { return true; }
};
constinit const DevptsSuperOps devpts_super_ops{};

int fill_devpts(super_block* sb, const char*, const char*, u64) {
  sb->s_magic = 0x1cd1;
  sb->s_op = &devpts_super_ops;
  inode* root = new_inode(sb);
  if (root == nullptr) return -ENOMEM;
  root->i_ino = 1;
  root->i_mode = S_IFDIR | 0755;
  root->i_nlink = 2;
  root->i_op = &devpts_inode_ops;
  root->i_fop = &devpts_dir_ops;
  root->i_atime = root->i_mtime = root->i_ctime = current_time();
  sb->s_root = d_make_root(root);
  if (sb->s_root == nullptr) return -ENOMEM;
  inode* ptmx = new_inode(sb);
  dentry* d = ptmx == nullptr ? nullptr : d_alloc(sb->s_root, {"ptmx", 4});
  if (d == nullptr) return -ENOMEM;
  ptmx->i_ino = 2;
  init_special_inode(ptmx, S_IFCHR | 0666, make_dev(5, 2));
  d_add(d, ptmx);
  return 0;
}
constinit file_system_type devpts_type{"devpts", FS_SINGLE, fill_devpts};

}  // namespace

void pty_init() {
  register_filesystem(&devpts_type);
  register_chrdev(5, 2, 1, "ptmx", &ptmx_ops);
  register_chrdev(136, 0, kMaxPtys, "pts", &slave_file_ops);
  devtmpfs_create("ptmx", S_IFCHR | 0666, make_dev(5, 2));
}

}  // namespace xm::os
