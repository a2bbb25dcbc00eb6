// SPDX-License-Identifier: GPL-2.0-or-later
// timerfd: a timer whose expirations are read as a number. [man 2 timerfd_create]
#include "kernel/fs/file_table.h"
#include "kernel/fs/poll.h"
#include "kernel/lib/format.h"
#include "kernel/mm/slab.h"
#include "kernel/syscall/convert.h"
#include "kernel/time/timer.h"

namespace xm::os {
namespace {

constexpr int kRealtime = 0, kMonotonic = 1, kBoottime = 7, kRealtimeAlarm = 8, kBoottimeAlarm = 9;
constexpr int TFD_TIMER_ABSTIME = 1, TFD_TIMER_CANCEL_ON_SET = 2;

struct timerfd_ctx {
  hrtimer timer;
  mutex set_lock;  // one settime at a time
  spinlock_t lock{LockRank::Files};
  wait_queue_head wait;
  int clock = 0;
  int settime_flags = 0;
  u64 interval = 0;
  u64 ticks = 0;  // expirations not read yet
  u64 clock_changes = 0;
  bool cancel_on_set = false;
};
timerfd_ctx* ctx_of(const file* f) { return static_cast<timerfd_ctx*>(f->private_data); }

u64 timer_fired(hrtimer* t) {
  timerfd_ctx* c = container_of(t, timerfd_ctx, timer);
  u64 next = 0;
  {
    IrqGuard guard(c->lock);
    u64 count = 1;
    if (c->interval != 0) {
      const u64 now = ktime_get();
      next = t->expires + c->interval;
      if (next <= now) {
        const u64 missed = (now - next) / c->interval + 1;
        count += missed;
        next += missed * c->interval;
      }
    }
    c->ticks += count;
  }
  wake_up_all(c->wait, POLLIN);
  return next;
}

bool canceled(const timerfd_ctx* c) { return c->cancel_on_set && c->clock_changes != real_time_changes(); }

struct TimerfdOps final : file_operations {
  ssize_t read_iter(file* f, iov_iter& to, loff_t&) const override {
    timerfd_ctx* c = ctx_of(f);
    if (to.count() < 8) return -EINVAL;
    u64 ticks;
    for (;;) {
      if (canceled(c)) {
        c->clock_changes = real_time_changes();
        c->ticks = 0;
        return -ECANCELED;
      }
      {
        IrqGuard guard(c->lock);
        ticks = c->ticks;
        c->ticks = 0;
      }
      if (ticks != 0) break;
      if ((f->f_flags & O_NONBLOCK) != 0) return -EAGAIN;
      TRY_INT(wait_event_interruptible(c->wait, [&] { return read_once(c->ticks) != 0 || canceled(c); }));
    }
    return to.copy_to(&ticks, 8) == 8 ? 8 : -EFAULT;
  }
  u32 poll(file* f, poll_table* table) const override {
    timerfd_ctx* c = ctx_of(f);
    poll_wait(f, c->wait, table);
    return read_once(c->ticks) != 0 ? POLLIN : 0;
  }
  bool has_poll() const override { return true; }
  void release(inode*, file* f) const override {
    hrtimer_cancel(&ctx_of(f)->timer);
    kdelete(ctx_of(f));
  }
  void show_fdinfo(file* f, char* text, size_t size) const override {
    timerfd_ctx* c = ctx_of(f);
    const u64 left = hrtimer_remaining(&c->timer);
    format(text, size, "clockid: %d\nticks: %lu\nsettime flags: 0%o\nit_value: (%lu, %lu)\nit_interval: (%lu, %lu)\n",
           c->clock, c->ticks, c->settime_flags, left / kNsPerSec, left % kNsPerSec, c->interval / kNsPerSec,
           c->interval % kNsPerSec);
  }
};
constinit const TimerfdOps timerfd_ops{};

itimerspec_abi state_of(timerfd_ctx* c) {
  return {ns_to_timespec(c->interval), ns_to_timespec(hrtimer_remaining(&c->timer))};
}
bool is_realtime(const timerfd_ctx* c) { return c->clock == kRealtime || c->clock == kRealtimeAlarm; }

}  // namespace

long sys_timerfd_create(int clock, u32 flags) {
  if ((flags & ~(O_CLOEXEC | O_NONBLOCK)) != 0) return -EINVAL;
  const bool alarm = clock == kRealtimeAlarm || clock == kBoottimeAlarm;
  if (clock != kRealtime && clock != kMonotonic && clock != kBoottime && !alarm) return -EINVAL;
  if (alarm && !capable(CAP_WAKE_ALARM)) return -EPERM;
  timerfd_ctx* c = knew<timerfd_ctx>();
  if (c == nullptr) return -ENOMEM;
  c->clock = clock;
  c->timer.function = timer_fired;
  file* f = TRY(anon_inode_file("[timerfd]", &timerfd_ops, c, O_RDWR | (flags & O_NONBLOCK)));
  const int fd = receive_fd(f, flags);
  if (fd < 0) fput(f);
  return fd;
}

long sys_timerfd_settime(int fd, int flags, const itimerspec_abi* user, itimerspec_abi* old) {
  itimerspec_abi v;
  TRY_INT(get_user(v, user));
  if ((flags & ~(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET)) != 0) return -EINVAL;
  const s64 value = TRY_INT(timespec_to_ns(v.value)), interval = TRY_INT(timespec_to_ns(v.interval));
  FileRef f(fd);
  if (!f) return -EBADF;
  if (f->f_op != &timerfd_ops) return -EINVAL;
  timerfd_ctx* c = ctx_of(f.get());
  itimerspec_abi before;
  {
    MutexGuard guard(c->set_lock);
    hrtimer_cancel(&c->timer);
    before = state_of(c);
    IrqGuard locked(c->lock);
    c->ticks = 0;
    c->interval = static_cast<u64>(interval);
    c->settime_flags = flags;
    c->cancel_on_set = is_realtime(c) && flags == (TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET);
    c->clock_changes = real_time_changes();
  }
  if (value != 0) {
    const u64 ns = static_cast<u64>(value);
    const bool absolute = (flags & TFD_TIMER_ABSTIME) != 0;
    hrtimer_start(&c->timer, !absolute ? ktime_get() + ns : (is_realtime(c) ? realtime_to_monotonic(ns) : ns));
  }
  return old != nullptr ? put_user(before, old) : 0;
}

long sys_timerfd_gettime(int fd, itimerspec_abi* out) {
  FileRef f(fd);
  if (!f) return -EBADF;
  if (f->f_op != &timerfd_ops) return -EINVAL;
  return put_user(state_of(ctx_of(f.get())), out);
}

}  // namespace xm::os
