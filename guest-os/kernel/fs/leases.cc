// SPDX-License-Identifier: GPL-2.0-or-later
// Leases: the holder is told, by a signal, before somebody else opens or truncates the file, and has
// /proc/sys/fs/lease-break-time seconds to give way. [man 2 fcntl] "Leases"
#include "kernel/fs/fasync.h"
#include "kernel/fs/fs.h"
#include "kernel/fs/proc/proc.h"
#include "kernel/init/initcall.h"
#include "kernel/mm/slab.h"
#include "kernel/sched/clock.h"
#include "kernel/task/task_struct.h"

namespace xm::os {

struct file_lease {
  file_lease* next = nullptr;
  file* holder = nullptr;
  int fd = -1;
  int type = F_UNLCK;
  int target = -1;   // while it is being broken: what it must become
  u64 deadline = 0;  // 0: none
};

namespace {

constinit mutex lease_lock{};
constinit wait_queue_head lease_wait{};
constinit s64 lease_break_time = 45;

file_lease** find(inode* i, const file* holder) {
  file_lease** at = &i->i_lease;
  while (*at != nullptr && (*at)->holder != holder) at = &(*at)->next;
  return at;
}

void drop(file_lease** at) {
  file_lease* l = *at;
  *at = l->next;
  kdelete(l);
  wake_up_all(lease_wait);
}

// Who has it open for what keeps a lease from being taken.
bool openers_allow(const file* f, int type) {
  const inode* i = f->f_inode;
  if (type == F_RDLCK) return i->i_writecount.load() <= 0;
  const bool writes = (f->f_mode & FMODE_WRITE) != 0;
  return i->i_writecount.load() == (writes ? 1 : 0) && i->i_readcount.load() == (writes ? 0 : 1);
}

bool conflicts(const file_lease* l, bool want_write) { return want_write || l->type == F_WRLCK; }

// Asks the holders to give way. False: there is nothing to wait for.
bool begin_break(inode* i, bool want_write) {
  bool any = false;
  for (file_lease* l = i->i_lease; l != nullptr; l = l->next) {
    if (!conflicts(l, want_write)) continue;
    any = true;
    const int target = want_write ? F_UNLCK : F_RDLCK;
    if (l->target == F_UNLCK || l->target == target) continue;
    l->target = target;
    l->deadline = lease_break_time > 0 ? ktime_get() + static_cast<u64>(lease_break_time) * kNsPerSec : 0;
    send_sigio(l->holder, l->fd, POLL_MSG);
  }
  return any;
}

// Those whose time is over lose it. True: none is in the way any more.
bool end_overdue(inode* i, bool want_write, u64* next) {
  bool clear = true;
  *next = 0;
  for (file_lease** at = &i->i_lease; *at != nullptr;) {
    file_lease* l = *at;
    if (!conflicts(l, want_write)) {
      at = &l->next;
      continue;
    }
    if (l->deadline != 0 && ktime_get() >= l->deadline) {
      if (l->target == F_UNLCK) {
        drop(at);
        continue;
      }
      l->type = l->target;
      l->target = -1;
      continue;
    }
    clear = false;
    if (l->deadline != 0 && (*next == 0 || l->deadline < *next)) *next = l->deadline;
    at = &l->next;
  }
  return clear;
}

void lease_init() {
  static constinit proc_number number{&lease_break_time, 0, 1 << 20};
  proc_create_number("sys/fs/lease-break-time", 0644, &number);
}
FS_INITCALL(lease_init);

}  // namespace

long set_lease(int fd, file* f, int type) {
  inode* i = f->f_inode;
  if (type != F_RDLCK && type != F_WRLCK && type != F_UNLCK) return -EINVAL;
  if (current->cred_->fsuid != i->i_uid && !capable(CAP_LEASE)) return -EACCES;
  if (!S_ISREG(i->i_mode)) return -EINVAL;
  file_lease* fresh = type == F_UNLCK ? nullptr : knew<file_lease>();
  if (type != F_UNLCK && fresh == nullptr) return -ENOMEM;
  MutexGuard guard(lease_lock);
  file_lease** mine = find(i, f);
  if (type == F_UNLCK) {
    if (*mine == nullptr) return -EAGAIN;
    drop(mine);
    return 0;
  }
  long error = 0;
  if (type == F_RDLCK && (f->f_mode & FMODE_WRITE) != 0) error = -EAGAIN;
  if (error == 0 && !openers_allow(f, type)) error = -EAGAIN;
  for (file_lease* l = i->i_lease; l != nullptr && error == 0; l = l->next) {
    if (l->holder == f) {
      if (l->target == F_UNLCK || (l->target == F_RDLCK && type == F_WRLCK)) error = -EAGAIN;
    } else if (type == F_WRLCK || l->target == F_UNLCK || l->type == F_WRLCK) {
      error = -EAGAIN;
    }
  }
  if (error != 0 || *mine != nullptr) {
    kdelete(fresh);
    if (error != 0) return error;
    (*mine)->type = type;
    (*mine)->target = -1;
    wake_up_all(lease_wait);
    return 0;
  }
  fresh->holder = f;
  fresh->fd = fd;
  fresh->type = type;
  fresh->next = i->i_lease;
  i->i_lease = fresh;
  if (f->f_owner == 0) set_file_owner(f, F_OWNER_PID, current->tgid);
  return 0;
}

int get_lease(file* f) {
  MutexGuard guard(lease_lock);
  const file_lease* l = *find(f->f_inode, f);
  if (l == nullptr) return F_UNLCK;
  return l->target >= 0 ? l->target : l->type;
}

void release_leases(file* f) {
  if (f->f_inode->i_lease == nullptr) return;
  MutexGuard guard(lease_lock);
  file_lease** mine = find(f->f_inode, f);
  if (*mine != nullptr) drop(mine);
}

int break_lease(inode* i, u32 flags) {
  if (likely(i->i_lease == nullptr)) return 0;
  const bool want_write = (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC) != 0;
  for (;;) {
    u64 next;
    {
      MutexGuard guard(lease_lock);
      if (!begin_break(i, want_write)) return 0;
      if ((flags & O_NONBLOCK) != 0) return -EAGAIN;
      if (end_overdue(i, want_write, &next)) return 0;
    }
    const long r = wait_event_interruptible(
        lease_wait,
        [&] {
          u64 unused;
          MutexGuard guard(lease_lock);
          return end_overdue(i, want_write, &unused);
        },
        next);
    if (r == -ERESTARTSYS) return -ERESTARTSYS;
  }
}

}  // namespace xm::os
