// SPDX-License-Identifier: GPL-2.0-or-later
// eventfd: a counter as a file. [man 2 eventfd]
#include "kernel/fs/eventpoll.h"
#include "kernel/fs/file_table.h"
#include "kernel/fs/poll.h"
#include "kernel/lib/format.h"
#include "kernel/mm/slab.h"

namespace xm::os {
namespace {

constexpr u32 EFD_SEMAPHORE = 1;
struct eventfd_ctx {
  wait_queue_head wait;
  spinlock_t lock{LockRank::Files};
  u64 count = 0;
  bool semaphore = false;
};
eventfd_ctx* ctx_of(const file* f) { return static_cast<eventfd_ctx*>(f->private_data); }

struct EventfdOps final : file_operations {
  ssize_t read_iter(file* f, iov_iter& to, loff_t&) const override {
    eventfd_ctx* c = ctx_of(f);
    if (to.count() < 8) return -EINVAL;
    u64 value = 0;
    for (;;) {
      {
        SpinGuard guard(c->lock);
        if (c->count > 0) {
          value = c->semaphore ? 1 : c->count;
          c->count -= value;
          break;
        }
      }
      if ((f->f_flags & O_NONBLOCK) != 0) return -EAGAIN;
      TRY_INT(wait_event_interruptible(c->wait, [&] { return read_once(c->count) > 0; }));
    }
    wake_up_all(c->wait, POLLOUT);
    return to.copy_to(&value, 8) == 8 ? 8 : -EFAULT;
  }
  ssize_t write_iter(file* f, iov_iter& from, loff_t&) const override {
    eventfd_ctx* c = ctx_of(f);
    u64 value;
    if (from.count() < 8) return -EINVAL;
    if (from.copy_from(&value, 8) != 8) return -EFAULT;
    if (value == ~0ul) return -EINVAL;
    for (;;) {
      {
        SpinGuard guard(c->lock);
        if (~0ul - c->count > value) {
          c->count += value;
          break;
        }
      }
      if ((f->f_flags & O_NONBLOCK) != 0) return -EAGAIN;
      TRY_INT(wait_event_interruptible(c->wait, [&] { return ~0ul - read_once(c->count) > value; }));
    }
    wake_up_all(c->wait, POLLIN);
    return 8;
  }
  u32 poll(file* f, poll_table* table) const override {
    eventfd_ctx* c = ctx_of(f);
    poll_wait(f, c->wait, table);
    const u64 n = read_once(c->count);
    return (n > 0 ? POLLIN : 0) | (n < ~0ul - 1 ? POLLOUT : 0) | (n == ~0ul ? POLLERR : 0);
  }
  bool has_poll() const override { return true; }
  void release(inode*, file* f) const override { kdelete(ctx_of(f)); }
};
constinit const EventfdOps eventfd_ops{};

}  // namespace

bool is_eventfd(const file* f) { return f->f_op == &eventfd_ops; }

long sys_eventfd2(u32 count, u32 flags) {
  if ((flags & ~(O_CLOEXEC | O_NONBLOCK | EFD_SEMAPHORE)) != 0) return -EINVAL;
  eventfd_ctx* c = knew<eventfd_ctx>();
  if (c == nullptr) return -ENOMEM;
  c->count = count;
  c->semaphore = (flags & EFD_SEMAPHORE) != 0;
  file* f = TRY(anon_inode_file("[eventfd]", &eventfd_ops, c, O_RDWR | (flags & O_NONBLOCK)));
  const int fd = receive_fd(f, flags);
  if (fd < 0) fput(f);
  return fd;
}
long sys_eventfd(u32 count) { return sys_eventfd2(count, 0); }

}  // namespace xm::os
