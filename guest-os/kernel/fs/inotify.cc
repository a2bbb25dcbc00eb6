// SPDX-License-Identifier: GPL-2.0-or-later
// inotify: instances with a queue of events, and watches that hang on inodes. [man 7 inotify]
// One mutex guards all watches and queues: events are rare compared with what causes them.
#include "kernel/fs/eventpoll.h"
#include "kernel/fs/fasync.h"
#include "kernel/fs/file_table.h"
#include "kernel/fs/fsnotify.h"
#include "kernel/fs/namei.h"
#include "kernel/fs/poll.h"
#include "kernel/fs/proc/proc.h"
#include "kernel/init/initcall.h"
#include "kernel/lib/format.h"
#include "kernel/mm/slab.h"
#include "kernel/syscall/calls.h"
#include "kernel/task/task_struct.h"

namespace xm::os {

constinit Atomic<u32> inotify_watches{0};

struct inotify_instance;
struct inotify_watch {
  list_head by_inode;     // inode::i_watches
  list_head by_instance;  // inotify_instance::watches
  inotify_instance* owner = nullptr;
  inode* where = nullptr;  // referenced
  u32 mask = 0;
  int wd = 0;
  file* directory = nullptr;  // dnotify: owner is null, wd the descriptor
  bool once = false;
};

namespace {

struct queued_event {
  list_head link;
  inotify_event event{};
  char name[];
};

}  // namespace

struct inotify_instance {
  list_head watches, events;
  u32 count = 0;  // events queued
  int next_wd = 1;
  bool overflowed = false;
  user_struct* user = nullptr;
  wait_queue_head wait;
};

namespace {

constinit s64 max_user_instances = 128, max_user_watches = 65536, max_queued_events = 16384;
constinit mutex inotify_lock{};
constinit Atomic<u32> next_cookie{0};

inotify_instance* instance_of(const file* f) { return static_cast<inotify_instance*>(f->private_data); }

bool same_event(const queued_event* e, const inotify_event& event, const qstr& name) {
  return e->event.wd == event.wd && e->event.mask == event.mask && e->event.cookie == event.cookie &&
         strnlen(e->name, e->event.length) == name.len && memcmp(e->name, name.name, name.len) == 0;
}

void queue_event(inotify_instance* in, int wd, u32 mask, u32 cookie, const qstr& name) {
  // The name is followed by at least one NUL and padded to whole event headers.
  constexpr u32 kUnit = sizeof(inotify_event);
  const u32 length = name.len == 0 ? 0 : static_cast<u32>(align_up(name.len + 1, kUnit));
  const inotify_event event{wd, mask, cookie, length};
  if (!in->events.empty() && same_event(list_entry<&queued_event::link>(in->events.prev), event, name)) return;
  const bool overflow = in->count >= static_cast<u64>(max_queued_events);
  if (overflow && in->overflowed) return;
  queued_event* e = static_cast<queued_event*>(kzalloc(sizeof(queued_event) + (overflow ? 0 : length)));
  if (e == nullptr) return;
  new (&e->link) list_head{};
  e->event = overflow ? inotify_event{-1, IN_Q_OVERFLOW, 0, 0} : event;
  in->overflowed = overflow;
  if (!overflow) memcpy(e->name, name.name, name.len);
  list_add_tail(&e->link, &in->events);
  ++in->count;
  wake_up_all(in->wait, POLLIN | POLLRDNORM);
}

constexpr qstr kNoName{"", 0};

// Takes a watch away; the inode's reference goes to `doomed`, to be put when the lock is released.
void drop_watch(inotify_watch* w, inode** doomed) {
  list_del(&w->by_inode);
  if (w->owner != nullptr) {
    queue_event(w->owner, w->wd, IN_IGNORED, 0, kNoName);
    list_del(&w->by_instance);
    w->owner->user->inotify_watches.sub(1);
  }
  inotify_watches.sub(1);
  *doomed = w->where;
  kdelete(w);
}

void tell(inode* i, u32 mask, u32 cookie, const qstr& name, u32 extra) {
  inode* doomed = nullptr;
  {
    MutexGuard guard(inotify_lock);
    for (inotify_watch* w : entries<&inotify_watch::by_inode>(i->i_watches)) {
      if ((w->mask & mask) == 0) continue;
      if (w->owner != nullptr)
        queue_event(w->owner, w->wd, (mask & ~FS_RENAME_INSIDE) | extra, cookie, name);
      else
        send_sigio(w->directory, w->wd, POLL_MSG);
      if ((w->mask & IN_ONESHOT) != 0 || w->once) {
        inode* last = nullptr;
        drop_watch(w, &last);
        if (doomed != nullptr) doomed->i_count.sub(1);  // the same inode: we still hold one
        doomed = last;
      }
    }
  }
  if (doomed != nullptr) iput(doomed);
}

void drop_all_watches(inode* i, u32 mask) {
  for (;;) {
    inode* doomed = nullptr;
    {
      MutexGuard guard(inotify_lock);
      inotify_watch* w = list_first<&inotify_watch::by_inode>(&i->i_watches);
      if (w == nullptr) return;
      if (w->owner != nullptr && ((w->mask & mask) != 0 || mask == IN_UNMOUNT))
        queue_event(w->owner, w->wd, mask, 0, kNoName);
      drop_watch(w, &doomed);
    }
    iput(doomed);
  }
}

struct InotifyOps final : file_operations {
  ssize_t read_iter(file* f, iov_iter& to, loff_t&) const override {
    inotify_instance* in = instance_of(f);
    ssize_t done = 0;
    for (;;) {
      {
        MutexGuard guard(inotify_lock);
        while (queued_event* e = list_first<&queued_event::link>(&in->events)) {
          const u64 size = sizeof(inotify_event) + e->event.length;
          if (to.count() < size) return done > 0 ? done : -EINVAL;
          if (to.copy_to(&e->event, sizeof e->event) != sizeof e->event ||
              to.copy_to(e->name, e->event.length) != e->event.length)
            return done > 0 ? done : -EFAULT;
          done += static_cast<ssize_t>(size);
          list_del(&e->link);
          --in->count;
          if (e->event.mask == IN_Q_OVERFLOW) in->overflowed = false;
          kfree(e);
        }
      }
      if (done > 0) return done;
      if ((f->f_flags & O_NONBLOCK) != 0) return -EAGAIN;
      TRY_INT(wait_event_interruptible(in->wait, [&] { return !in->events.empty(); }));
    }
  }
  u32 poll(file* f, poll_table* table) const override {
    poll_wait(f, instance_of(f)->wait, table);
    return instance_of(f)->events.empty() ? 0 : POLLIN | POLLRDNORM;
  }
  bool has_poll() const override { return true; }
  long ioctl(file* f, u32 command, u64 argument) const override {
    constexpr u32 kFionread = 0x541b;
    if (command != kFionread) return -ENOIOCTLCMD;
    u64 bytes = 0;
    {
      MutexGuard guard(inotify_lock);
      for (queued_event* e : entries<&queued_event::link>(instance_of(f)->events))
        bytes += sizeof(inotify_event) + e->event.length;
    }
    return put_user_at(static_cast<int>(bytes), argument);
  }
  void show_fdinfo(file* f, char* text, size_t size) const override {
    size_t at = 0;
    text[0] = 0;
    MutexGuard guard(inotify_lock);
    for (inotify_watch* w : entries<&inotify_watch::by_instance>(instance_of(f)->watches)) {
      if (at + 96 > size) break;
      at += static_cast<size_t>(format(text + at, size - at, "inotify wd:%x ino:%lx sdev:%x mask:%x ignored_mask:0\n",
                                       static_cast<u32>(w->wd), w->where->i_ino, w->where->i_sb->s_dev, w->mask));
    }
  }
  void release(inode*, file* f) const override {
    inotify_instance* in = instance_of(f);
    for (;;) {
      inode* doomed = nullptr;
      {
        MutexGuard guard(inotify_lock);
        inotify_watch* w = list_first<&inotify_watch::by_instance>(&in->watches);
        if (w == nullptr) break;
        drop_watch(w, &doomed);
      }
      iput(doomed);
    }
    while (queued_event* e = list_first<&queued_event::link>(&in->events)) {
      list_del(&e->link);
      kfree(e);
    }
    in->user->inotify_instances.sub(1);
    kdelete(in);
  }
};
constinit const InotifyOps inotify_ops{};

long add_watch(inotify_instance* in, inode* i, u32 mask) {
  MutexGuard guard(inotify_lock);
  for (inotify_watch* w : entries<&inotify_watch::by_inode>(i->i_watches)) {
    if (w->owner != in || w->directory != nullptr) continue;
    if ((mask & IN_MASK_CREATE) != 0) return -EEXIST;
    const u32 kept = (mask & IN_MASK_ADD) != 0 ? w->mask : 0;
    w->mask = kept | mask;
    return w->wd;
  }
  if (in->user->inotify_watches.load() >= max_user_watches) return -ENOSPC;
  inotify_watch* w = knew<inotify_watch>();
  if (w == nullptr) return -ENOMEM;
  w->owner = in;
  w->where = igrab(i);
  w->mask = mask;
  w->wd = in->next_wd++;
  in->user->inotify_watches.inc();
  inotify_watches.inc();
  list_add_tail(&w->by_inode, &i->i_watches);
  list_add_tail(&w->by_instance, &in->watches);
  return w->wd;
}

void inotify_init_sysctls() {
  static constinit proc_number rows[] = {
      {&max_user_instances, 0, 1 << 20}, {&max_user_watches, 0, 1 << 30}, {&max_queued_events, 0, 1 << 30}};
  proc_create_number("sys/fs/inotify/max_user_instances", 0644, &rows[0]);
  proc_create_number("sys/fs/inotify/max_user_watches", 0644, &rows[1]);
  proc_create_number("sys/fs/inotify/max_queued_events", 0644, &rows[2]);
}
FS_INITCALL(inotify_init_sysctls);

}  // namespace

u32 fsnotify_cookie() { return next_cookie.add(1); }

void fsnotify_slow_dentry(dentry* d, u32 mask) {
  inode* i = d->d_inode;
  if (i == nullptr) return;
  const u32 extra = S_ISDIR(i->i_mode) ? IN_ISDIR : 0;
  dentry* parent = d->d_parent;
  if (parent != nullptr && parent != d && parent->d_inode != nullptr && !parent->d_inode->i_watches.empty())
    tell(parent->d_inode, mask, 0, d->d_name, extra);
  if (!i->i_watches.empty()) tell(i, mask, 0, kNoName, extra);
}

void fsnotify_slow_name(inode* dir, u32 mask, const qstr& name, bool directory, u32 cookie) {
  if (!dir->i_watches.empty()) tell(dir, mask, cookie, name, directory ? IN_ISDIR : 0);
}

void fsnotify_slow_inode(inode* i, u32 mask) {
  if (i->i_watches.empty()) return;
  if (mask == IN_DELETE_SELF) return drop_all_watches(i, mask);
  tell(i, mask, 0, kNoName, 0);
}

void fsnotify_unmount(super_block* sb) {
  if (inotify_watches.load() == 0) return;
  for (;;) {
    inode* found = nullptr;
    {
      SpinGuard guard(sb->s_inode_lock);
      for (inode* i : entries<&inode::i_sb_list>(sb->s_inodes)) {
        if (i->i_watches.empty()) continue;
        found = igrab(i);
        break;
      }
    }
    if (found == nullptr) return;
    drop_all_watches(found, IN_UNMOUNT);
    iput(found);
  }
}

// The old way: a signal to the owner of an open directory. [man 2 fcntl] "File and directory change notification"
long dnotify_set(int fd, file* f, u64 flags) {
  constexpr u32 DN_ACCESS = 1, DN_MODIFY = 2, DN_CREATE = 4, DN_DELETE = 8, DN_RENAME = 0x10, DN_ATTRIB = 0x20,
                DN_MULTISHOT = 0x80000000;
  if (!S_ISDIR(f->f_inode->i_mode)) return -ENOTDIR;
  if ((flags & ~static_cast<u64>(DN_MULTISHOT)) == 0) {
    dnotify_release(f);
    return 0;
  }
  u32 mask = 0;
  if ((flags & DN_ACCESS) != 0) mask |= IN_ACCESS;
  if ((flags & DN_MODIFY) != 0) mask |= IN_MODIFY;
  if ((flags & DN_CREATE) != 0) mask |= IN_CREATE | IN_MOVED_TO;
  if ((flags & DN_DELETE) != 0) mask |= IN_DELETE | IN_MOVED_FROM;
  if ((flags & DN_RENAME) != 0) mask |= FS_RENAME_INSIDE;
  if ((flags & DN_ATTRIB) != 0) mask |= IN_ATTRIB;
  if (f->f_owner == 0) TRY_INT(static_cast<int>(set_file_owner(f, 1, current->tgid)));
  MutexGuard guard(inotify_lock);
  for (inotify_watch* w : entries<&inotify_watch::by_inode>(f->f_inode->i_watches)) {
    if (w->directory != f) continue;
    w->mask |= mask;
    w->once = w->once && (flags & DN_MULTISHOT) == 0;
    return 0;
  }
  inotify_watch* w = knew<inotify_watch>();
  if (w == nullptr) return -ENOMEM;
  w->where = igrab(f->f_inode);
  w->directory = f;
  w->wd = fd;
  w->mask = mask;
  w->once = (flags & DN_MULTISHOT) == 0;
  f->f_dnotify = true;
  inotify_watches.inc();
  list_add_tail(&w->by_inode, &f->f_inode->i_watches);
  return 0;
}

void dnotify_release(file* f) {
  inode* doomed = nullptr;
  {
    MutexGuard guard(inotify_lock);
    for (inotify_watch* w : entries<&inotify_watch::by_inode>(f->f_inode->i_watches)) {
      if (w->directory != f) continue;
      drop_watch(w, &doomed);
      break;
    }
  }
  if (doomed != nullptr) iput(doomed);
}

long sys_inotify_init1(u32 flags) {
  if ((flags & ~(O_CLOEXEC | O_NONBLOCK)) != 0) return -EINVAL;
  user_struct* user = current->cred_->user;
  if (user->inotify_instances.load() >= max_user_instances) return -EMFILE;
  inotify_instance* in = knew<inotify_instance>();
  if (in == nullptr) return -ENOMEM;
  in->user = user;
  user->inotify_instances.inc();
  file* f = TRY(anon_inode_file("inotify", &inotify_ops, in, O_RDONLY | (flags & O_NONBLOCK)));
  const int fd = receive_fd(f, flags);
  if (fd < 0) fput(f);
  return fd;
}
long sys_inotify_init() { return sys_inotify_init1(0); }

long sys_inotify_add_watch(int fd, const char* name, u32 mask) {
  constexpr u32 kKnown = IN_ALL_EVENTS | IN_ONLYDIR | IN_DONT_FOLLOW | IN_EXCL_UNLINK | IN_MASK_CREATE | IN_MASK_ADD |
                         IN_ISDIR | IN_ONESHOT | IN_UNMOUNT | IN_Q_OVERFLOW | IN_IGNORED;
  if ((mask & kKnown) == 0) return -EINVAL;
  FileRef f(fd);
  if (!f) return -EBADF;
  if ((mask & IN_MASK_ADD) != 0 && (mask & IN_MASK_CREATE) != 0) return -EINVAL;
  if (f->f_op != &inotify_ops) return -EINVAL;
  path p;
  TRY_INT(user_path_at(
      AT_FDCWD, name,
      ((mask & IN_DONT_FOLLOW) == 0 ? LOOKUP_FOLLOW : 0) | ((mask & IN_ONLYDIR) != 0 ? LOOKUP_DIRECTORY : 0), p));
  long result = inode_permission(p.dentry_->d_inode, MAY_READ);
  if (result == 0) result = add_watch(instance_of(f.get()), p.dentry_->d_inode, mask & kKnown);
  path_put(p);
  return result;
}

long sys_inotify_rm_watch(int fd, int wd) {
  FileRef f(fd);
  if (!f) return -EBADF;
  if (f->f_op != &inotify_ops) return -EINVAL;
  inode* doomed = nullptr;
  {
    MutexGuard guard(inotify_lock);
    for (inotify_watch* w : entries<&inotify_watch::by_instance>(instance_of(f.get())->watches)) {
      if (w->wd != wd) continue;
      drop_watch(w, &doomed);
      break;
    }
  }
  if (doomed == nullptr) return -EINVAL;
  iput(doomed);
  return 0;
}

}  // namespace xm::os
