// SPDX-License-Identifier: GPL-2.0-or-later
// epoll: a set of files with the events wanted of each, and a list of those that became ready. A file's wake-up puts
// its item on the ready list; epoll_wait looks at the items there. Level-triggered items go back on the list while they
// stay ready. [man 7 epoll]
#include "kernel/fs/eventpoll.h"

#include "kernel/fs/file_table.h"
#include "kernel/fs/poll.h"
#include "kernel/mm/slab.h"
#include "kernel/sched/clock.h"
#include "kernel/signal/signal.h"
#include "kernel/syscall/convert.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {

constexpr u32 EPOLLEXCLUSIVE = 1u << 28, EPOLLWAKEUP = 1u << 29, EPOLLONESHOT = 1u << 30, EPOLLET = 1u << 31;
constexpr u32 kPrivateBits = EPOLLEXCLUSIVE | EPOLLWAKEUP | EPOLLONESHOT | EPOLLET;
constexpr u32 kExclusiveBits = POLLIN | POLLOUT | POLLERR | POLLHUP | EPOLLWAKEUP | EPOLLET | EPOLLEXCLUSIVE;
constexpr int EPOLL_CTL_ADD = 1, EPOLL_CTL_DEL = 2, EPOLL_CTL_MOD = 3;

struct [[gnu::packed]] epoll_event {
  u32 events;
  u64 data;
};

struct eventpoll;
struct epitem {
  list_head link;       // eventpoll::items
  list_head ready;      // eventpoll::ready
  list_head file_link;  // file::f_epoll_links
  eventpoll* ep;
  file* target;  // not referenced: the file takes its items with it
  int fd;
  epoll_event event;
  struct Hook {
    wait_queue_entry wait;
    wait_queue_head* queue = nullptr;
  } hooks[2];
};
struct eventpoll {
  mutex lock;  // items and scanning
  spinlock_t ready_lock{LockRank::RunQueue};
  list_head items, ready;
  wait_queue_head wait;          // epoll_wait
  wait_queue_head poll_waiters;  // someone polls the epoll file itself
  file* self = nullptr;          // for the nesting check
};
constinit mutex links_mutex{};  // file::f_epoll_links of all files

bool item_wake(wait_queue_entry* w, u32 key) {
  epitem* item = static_cast<epitem*>(w->private_data);
  if (key != 0 && (key & item->event.events) == 0) return false;
  eventpoll* ep = item->ep;
  {
    IrqGuard guard(ep->ready_lock);
    if ((item->event.events & ~kPrivateBits) == 0) return false;  // one shot, used up
    if (item->ready.empty()) list_add_tail(&item->ready, &ep->ready);
  }
  const bool someone_waits = !ep->wait.head.empty();
  wake_up(ep->wait);
  wake_up(ep->poll_waiters, POLLIN);
  return (item->event.events & EPOLLEXCLUSIVE) == 0 || someone_waits;
}

struct HookTable : poll_table {
  epitem* item;
  static void add(poll_table* table, file*, wait_queue_head& q) {
    epitem* item = static_cast<HookTable*>(table)->item;
    for (epitem::Hook& h : item->hooks) {
      if (h.queue != nullptr) continue;
      h.queue = &q;
      h.wait.wake = item_wake;
      h.wait.private_data = item;
      h.wait.exclusive = (item->event.events & EPOLLEXCLUSIVE) != 0;
      add_wait_queue(q, &h.wait);
      return;
    }
  }
};

void remove_item(epitem* item) {  // ep->lock and links_mutex held
  for (epitem::Hook& h : item->hooks) {
    if (h.queue != nullptr) remove_wait_queue(*h.queue, &h.wait);
  }
  {
    IrqGuard guard(item->ep->ready_lock);
    if (!item->ready.empty()) list_del(&item->ready);
  }
  list_del(&item->link);
  list_del(&item->file_link);
  kdelete(item);
}

// Moves ready events to user memory; returns how many.
long collect(eventpoll* ep, epoll_event* user, int limit) {
  MutexGuard guard(ep->lock);
  list_head scan;
  {
    IrqGuard ready_guard(ep->ready_lock);
    list_splice_tail(&ep->ready, &scan);
  }
  long n = 0;
  while (!scan.empty() && n < limit) {
    epitem* item = list_first<&epitem::ready>(&scan);
    {
      IrqGuard ready_guard(ep->ready_lock);
      list_del(&item->ready);
    }
    const u32 events = item->target->f_op->poll(item->target, nullptr) & item->event.events;
    if (events == 0) continue;
    const epoll_event out{events, item->event.data};
    if (put_user(out, user + n) != 0) {
      IrqGuard ready_guard(ep->ready_lock);
      list_add(&item->ready, &scan);
      if (n == 0) n = -EFAULT;
      break;
    }
    ++n;
    if ((item->event.events & EPOLLONESHOT) != 0) {
      item->event.events &= kPrivateBits;
    } else if ((item->event.events & EPOLLET) == 0) {
      IrqGuard ready_guard(ep->ready_lock);
      if (item->ready.empty()) list_add_tail(&item->ready, &ep->ready);
    }
  }
  // What did not fit comes before what stays ready, so that nobody starves.
  IrqGuard ready_guard(ep->ready_lock);
  list_splice_tail(&ep->ready, &scan);
  list_splice_tail(&scan, &ep->ready);
  return n;
}

struct EpollFileOps final : file_operations {
  u32 poll(file* f, poll_table* table) const override {
    eventpoll* ep = static_cast<eventpoll*>(f->private_data);
    poll_wait(f, ep->poll_waiters, table);
    MutexGuard guard(ep->lock);
    for (epitem* item : entries<&epitem::ready>(ep->ready)) {
      if ((item->target->f_op->poll(item->target, nullptr) & item->event.events) != 0) return POLLIN | POLLRDNORM;
    }
    return 0;
  }
  bool has_poll() const override { return true; }
  void release(inode*, file* f) const override {
    eventpoll* ep = static_cast<eventpoll*>(f->private_data);
    {
      MutexGuard links(links_mutex);
      MutexGuard guard(ep->lock);
      for (epitem* item : entries<&epitem::link>(ep->items)) remove_item(item);
    }
    kdelete(ep);
  }
};
constinit const EpollFileOps epoll_ops{};

eventpoll* epoll_of(const file* f) {
  return f->f_op == &epoll_ops ? static_cast<eventpoll*>(f->private_data) : nullptr;
}

epitem* find_item(eventpoll* ep, const file* f, int fd) {
  for (epitem* item : entries<&epitem::link>(ep->items)) {
    if (item->target == f && item->fd == fd) return item;
  }
  return nullptr;
}

// How deep epoll files are nested below and above one; more than kMaxNesting, or a way back to `forbidden`, is a loop.
constexpr int kMaxNesting = 4;
int depth_below(eventpoll* ep, const eventpoll* forbidden, int level) {  // links_mutex held
  if (ep == forbidden || level > kMaxNesting) return kMaxNesting + 1;
  int deepest = 0;
  for (epitem* item : entries<&epitem::link>(ep->items)) {
    if (eventpoll* inner = epoll_of(item->target); inner != nullptr)
      deepest = max(deepest, 1 + depth_below(inner, forbidden, level + 1));
  }
  return deepest;
}
int depth_above(const eventpoll* ep, int level) {
  if (level > kMaxNesting) return kMaxNesting + 1;
  int highest = 0;
  for (epitem* item : entries<&epitem::file_link>(ep->self->f_epoll_links))
    highest = max(highest, 1 + depth_above(item->ep, level + 1));
  return highest;
}

// Looks once; a ready item joins the list at once.
void check_item(eventpoll* ep, epitem* item, poll_table* table) {
  if ((item->target->f_op->poll(item->target, table) & item->event.events) == 0) return;
  {
    IrqGuard guard(ep->ready_lock);
    if (item->ready.empty()) list_add_tail(&item->ready, &ep->ready);
  }
  wake_up(ep->wait);
  wake_up(ep->poll_waiters, POLLIN);
}

long epoll_wait_common(int epfd, epoll_event* events, int limit, bool timed, u64 expires) {
  if (limit <= 0 || limit > 0x7fffffff / static_cast<int>(sizeof(epoll_event))) return -EINVAL;
  if (!access_ok(events, static_cast<u64>(limit) * sizeof(epoll_event))) return -EFAULT;
  FileRef f(epfd);
  if (!f) return -EBADF;
  eventpoll* ep = epoll_of(f.get());
  if (ep == nullptr) return -EINVAL;
  for (;;) {
    const long n = collect(ep, events, limit);
    if (n != 0) return n;
    if (timed && (expires == 0 || ktime_get() >= expires)) return 0;
    const long r = wait_event_state(
        ep->wait, TASK_INTERRUPTIBLE, [&] { return !ep->ready.empty(); }, timed ? expires : 0, true);
    if (r == -ETIME) return collect(ep, events, limit);
    if (r != 0) return -EINTR;
  }
}

}  // namespace

void epoll_release_file(file* f) {
  MutexGuard links(links_mutex);
  while (epitem* item = list_first<&epitem::file_link>(&f->f_epoll_links)) {
    MutexGuard guard(item->ep->lock);
    remove_item(item);
  }
}

long sys_epoll_create1(u32 flags) {
  if ((flags & ~O_CLOEXEC) != 0) return -EINVAL;
  eventpoll* ep = knew<eventpoll>();
  if (ep == nullptr) return -ENOMEM;
  file* f = TRY(anon_inode_file("[eventpoll]", &epoll_ops, ep, O_RDWR));
  ep->self = f;
  const int fd = receive_fd(f, flags);
  if (fd < 0) fput(f);
  return fd;
}
long sys_epoll_create(int size) { return size <= 0 ? -EINVAL : sys_epoll_create1(0); }

long sys_epoll_ctl(int epfd, int operation, int fd, u64 user_event) {
  epoll_event event{};
  if (operation != EPOLL_CTL_DEL) TRY_INT(get_user_at(event, user_event));
  FileRef f(epfd), target(fd);
  if (!f || !target) return -EBADF;
  if (!target->f_op->has_poll()) return -EPERM;
  eventpoll* ep = epoll_of(f.get());
  if (ep == nullptr || f.get() == target.get()) return -EINVAL;
  eventpoll* inner = epoll_of(target.get());
  if ((event.events & EPOLLEXCLUSIVE) != 0) {
    if (operation == EPOLL_CTL_MOD) return -EINVAL;
    if (operation == EPOLL_CTL_ADD && (inner != nullptr || (event.events & ~kExclusiveBits) != 0)) return -EINVAL;
  }
  MutexGuard links(links_mutex);
  if (inner != nullptr && operation == EPOLL_CTL_ADD &&
      1 + depth_below(inner, ep, 1) + depth_above(ep, 1) > kMaxNesting)
    return -ELOOP;
  MutexGuard guard(ep->lock);
  epitem* item = find_item(ep, target.get(), fd);
  switch (operation) {
    case EPOLL_CTL_ADD: {
      if (item != nullptr) return -EEXIST;
      item = knew<epitem>();
      if (item == nullptr) return -ENOMEM;
      item->ep = ep;
      item->target = target.get();
      item->fd = fd;
      item->event = {event.events | POLLERR | POLLHUP, event.data};
      list_add_tail(&item->link, &ep->items);
      list_add_tail(&item->file_link, &target->f_epoll_links);
      HookTable table;
      table.queue = HookTable::add;
      table.item = item;
      check_item(ep, item, &table);
      return 0;
    }
    case EPOLL_CTL_DEL:
      if (item == nullptr) return -ENOENT;
      remove_item(item);
      return 0;
    case EPOLL_CTL_MOD:
      if (item == nullptr) return -ENOENT;
      if ((item->event.events & EPOLLEXCLUSIVE) != 0) return -EINVAL;
      item->event = {event.events | POLLERR | POLLHUP, event.data};
      check_item(ep, item, nullptr);
      return 0;
    default: return -EINVAL;
  }
}

long sys_epoll_wait(int epfd, u64 events, int limit, int timeout_ms) {
  const bool timed = timeout_ms >= 0;
  const u64 expires = timeout_ms > 0 ? ktime_get() + static_cast<u64>(timeout_ms) * 1000000 : 0;
  return epoll_wait_common(epfd, reinterpret_cast<epoll_event*>(events), limit, timed, expires);
}
long sys_epoll_pwait2(int epfd, u64 events, int limit, const timespec_abi* timeout, const sigset_t* mask, u64 size) {
  u64 ns = 0;
  if (timeout != nullptr) {
    timespec_abi ts;
    TRY_INT(get_user(ts, timeout));
    ns = static_cast<u64>(TRY_INT(timespec_to_ns(ts)));
  }
  if (mask != nullptr) {
    if (size != sizeof(sigset_t)) return -EINVAL;
    sigset_t s;
    TRY_INT(get_user(s, mask));
    set_user_sigmask(s);
  }
  return epoll_wait_common(epfd, reinterpret_cast<epoll_event*>(events), limit, timeout != nullptr,
                           ns > 0 ? ktime_get() + ns : 0);
}
long sys_epoll_pwait(int epfd, u64 events, int limit, int timeout_ms, const sigset_t* mask, u64 size) {
  if (mask != nullptr) {
    if (size != sizeof(sigset_t)) return -EINVAL;
    sigset_t s;
    TRY_INT(get_user(s, mask));
    set_user_sigmask(s);
  }
  return sys_epoll_wait(epfd, events, limit, timeout_ms);
}

}  // namespace xm::os
