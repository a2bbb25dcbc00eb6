// SPDX-License-Identifier: GPL-2.0-or-later
// poll, ppoll, select, pselect: hang on the wait queues of every file, look at each, sleep until one is ready. [man 2
// poll], [man 2 select]
#include "kernel/fs/file_table.h"
#include "kernel/fs/poll.h"
#include "kernel/mm/slab.h"
#include "kernel/sched/clock.h"
#include "kernel/sched/sched.h"
#include "kernel/signal/signal.h"
#include "kernel/syscall/calls.h"
#include "kernel/syscall/convert.h"

namespace xm::os {
namespace {

// The queues one call sleeps on. `triggered` closes the gap between looking and sleeping.
struct PollWaiter : poll_table {
  struct Entry {
    wait_queue_entry wait;
    wait_queue_head* queue;
    file* f;
    Entry* next;
  };
  Entry* list = nullptr;
  task_struct* task = current;
  Atomic<bool> triggered{false};
  bool out_of_memory = false;

  PollWaiter() { queue = &PollWaiter::add; }
  ~PollWaiter() {
    while (list != nullptr) {
      Entry* e = list;
      list = e->next;
      remove_wait_queue(*e->queue, &e->wait);
      fput(e->f);
      kdelete(e);
    }
  }
  PollWaiter(const PollWaiter&) = delete;
  PollWaiter& operator=(const PollWaiter&) = delete;

  static void add(poll_table* table, file* f, wait_queue_head& q) {
    PollWaiter* self = static_cast<PollWaiter*>(table);
    Entry* e = knew<Entry>();
    if (e == nullptr) {
      self->out_of_memory = true;
      return;
    }
    e->queue = &q;
    e->f = get_file(f);
    e->next = self->list;
    self->list = e;
    e->wait.private_data = self;
    e->wait.wake = [](wait_queue_entry* w, u32) {
      PollWaiter* p = static_cast<PollWaiter*>(w->private_data);
      p->triggered.store(true);
      wake_up_state(p->task, TASK_INTERRUPTIBLE);
      return true;
    };
    add_wait_queue(q, &e->wait);
  }
};

// Calls scan(table) until it finds something, time runs out or a signal comes. scan gets a null table after the first
// round.
template <class Scan>
long poll_loop(u64 expires, bool timed, Scan scan) {
  PollWaiter waiter;
  poll_table* table = timed && expires == 0 ? nullptr : &waiter;
  for (;;) {
    set_current_state(TASK_INTERRUPTIBLE);
    current->state.store(TASK_RUNNING);  // scanning may sleep on its own locks
    waiter.triggered.store(false);
    const long found = scan(table);
    table = nullptr;
    if (found != 0) return found;
    if (waiter.out_of_memory) return -ENOMEM;
    if (timed && (expires == 0 || ktime_get() >= expires)) return 0;
    if (signal_pending(current)) return -EINTR;
    set_current_state(TASK_INTERRUPTIBLE);
    if (!waiter.triggered.load() && !signal_pending(current)) {
      if (!timed)
        schedule();
      else
        schedule_hrtimeout(expires);
    }
    current->state.store(TASK_RUNNING);
  }
}

long do_poll(pollfd* user, u32 count, u64 expires, bool timed) {
  if (count > current->signal->rlim[RLIMIT_NOFILE].cur) return -EINVAL;
  pollfd fast[16];
  pollfd* fds = fast;
  if (count > array_size(fast)) {
    fds = static_cast<pollfd*>(kmalloc(count * sizeof(pollfd)));
    if (fds == nullptr) return -ENOMEM;
  }
  long result = copy_from_user(fds, user, count * sizeof(pollfd));
  if (result == 0) {
    result = poll_loop(expires, timed, [&](poll_table* table) -> long {
      long ready = 0;
      for (u32 i = 0; i < count; ++i) {
        pollfd& p = fds[i];
        p.revents = 0;
        if (p.fd < 0) continue;
        FileRef f(p.fd);
        u32 events = POLLNVAL;
        if (f)
          events =
              f->f_op->poll(f.get(), ready == 0 ? table : nullptr) & (static_cast<u16>(p.events) | POLLERR | POLLHUP);
        p.revents = static_cast<short>(events);
        if (events != 0) ++ready;
      }
      return ready;
    });
    if (result >= 0) {
      for (u32 i = 0; i < count; ++i) {
        if (put_user(fds[i].revents, &user[i].revents) != 0) result = -EFAULT;
      }
    }
  }
  if (fds != fast) kfree(fds);
  return result;
}

u64 deadline_of(s64 ns) { return ns == 0 ? 0 : ktime_get() + static_cast<u64>(ns); }

constexpr u32 kInSet = POLLRDNORM | POLLRDBAND | POLLIN | POLLHUP | POLLERR;
constexpr u32 kOutSet = POLLWRBAND | POLLWRNORM | POLLOUT | POLLERR;
constexpr u32 kExceptSet = POLLPRI;

long do_select(int n, u64* in, u64* out, u64* except, u64 expires, bool timed) {
  if (n < 0) return -EINVAL;
  n = min(n, static_cast<int>(max(current->files->max_fds, 1024u)));
  const u64 words = div_round_up(static_cast<u64>(n), 64);
  u64* sets = static_cast<u64*>(kzalloc(max<u64>(words, 1) * 6 * 8));
  if (sets == nullptr) return -ENOMEM;
  u64* const wanted[3] = {sets, sets + words, sets + 2 * words};
  u64* const found[3] = {sets + 3 * words, sets + 4 * words, sets + 5 * words};
  u64* const user[3] = {in, out, except};
  const u32 masks[3] = {kInSet, kOutSet, kExceptSet};
  long result = 0;
  for (int k = 0; k < 3; ++k) {
    if (user[k] != nullptr && copy_from_user(wanted[k], user[k], div_round_up(static_cast<u64>(n), 8)) != 0)
      result = -EFAULT;
  }
  if (result == 0) {
    result = poll_loop(expires, timed, [&](poll_table* table) -> long {
      long ready = 0;
      for (int fd = 0; fd < n; ++fd) {
        const u64 bit = 1ul << (fd % 64);
        const int w = fd / 64;
        if (((wanted[0][w] | wanted[1][w] | wanted[2][w]) & bit) == 0) continue;
        FileRef f(fd);
        if (!f) return -EBADF;
        const u32 events = f->f_op->poll(f.get(), ready == 0 ? table : nullptr);
        for (int k = 0; k < 3; ++k) {
          if ((wanted[k][w] & bit) == 0 || (events & masks[k]) == 0) continue;
          found[k][w] |= bit;
          ++ready;
        }
      }
      return ready;
    });
    for (int k = 0; k < 3 && result >= 0; ++k) {
      if (user[k] != nullptr && copy_to_user(user[k], found[k], div_round_up(static_cast<u64>(n), 8)) != 0)
        result = -EFAULT;
    }
  }
  kfree(sets);
  return result;
}

template <class Time>
void store_remaining(Time* user, u64 expires, bool timed) {
  constexpr u64 STICKY_TIMEOUTS = 0x4000000;
  if ((current->personality & STICKY_TIMEOUTS) != 0) return;
  if (user == nullptr || !timed) return;
  const u64 now = ktime_get();
  const u64 left = expires > now ? expires - now : 0;
  if constexpr (__is_same(Time, timespec_abi))
    put_user(ns_to_timespec(left), user);
  else
    put_user(ns_to_timeval(left), user);
}

long poll_restart(task_struct* t) {
  const u64 expires = t->restart_args[2];
  const long r = do_poll(reinterpret_cast<pollfd*>(t->restart_args[0]), static_cast<u32>(t->restart_args[1]), expires,
                         t->restart_args[3] != 0);
  return r == -EINTR ? -ERESTART_RESTARTBLOCK : r;
}

}  // namespace

long sys_poll(pollfd* fds, u32 count, int timeout_ms) {
  const bool timed = timeout_ms >= 0;
  const u64 expires = timed ? deadline_of(timeout_ms * 1000000l) : 0;
  const long r = do_poll(fds, count, expires, timed);
  if (r != -EINTR) return r;
  current->restart_fn = poll_restart;
  current->restart_args[0] = reinterpret_cast<u64>(fds);
  current->restart_args[1] = count;
  current->restart_args[2] = expires;
  current->restart_args[3] = timed ? 1 : 0;
  return -ERESTART_RESTARTBLOCK;
}

long sys_ppoll(pollfd* fds, u32 count, timespec_abi* timeout, const sigset_t* mask, u64 size) {
  u64 expires = 0;
  if (timeout != nullptr) {
    timespec_abi ts;
    TRY_INT(get_user(ts, timeout));
    expires = deadline_of(TRY_INT(timespec_to_ns(ts)));
  }
  if (mask != nullptr) {
    if (size != sizeof(sigset_t)) return -EINVAL;
    sigset_t s;
    TRY_INT(get_user(s, mask));
    set_user_sigmask(s);
  }
  const long r = do_poll(fds, count, expires, timeout != nullptr);
  store_remaining(timeout, expires, timeout != nullptr);
  return r == -EINTR ? -ERESTARTNOHAND : r;
}

long sys_select(int n, u64* in, u64* out, u64* except, timeval_abi* timeout) {
  u64 expires = 0;
  if (timeout != nullptr) {
    timeval_abi tv;
    TRY_INT(get_user(tv, timeout));
    if (tv.tv_sec < 0 || tv.tv_usec < 0) return -EINVAL;
    expires = deadline_of(min<s64>(tv.tv_sec, 9000000000) * 1000000000 + tv.tv_usec * 1000);
  }
  const long r = do_select(n, in, out, except, expires, timeout != nullptr);
  store_remaining(timeout, expires, timeout != nullptr);
  return r == -EINTR ? -ERESTARTNOHAND : r;
}

long sys_pselect6(int n, u64* in, u64* out, u64* except, timespec_abi* timeout, const u64* sig) {
  u64 expires = 0;
  if (timeout != nullptr) {
    timespec_abi ts;
    TRY_INT(get_user(ts, timeout));
    expires = deadline_of(TRY_INT(timespec_to_ns(ts)));
  }
  if (sig != nullptr) {
    u64 pair[2];
    TRY_INT(copy_from_user(pair, sig, sizeof pair));
    if (pair[0] != 0) {
      if (pair[1] != sizeof(sigset_t)) return -EINVAL;
      sigset_t s;
      TRY_INT(get_user_at(s, pair[0]));
      set_user_sigmask(s);
    }
  }
  const long r = do_select(n, in, out, except, expires, timeout != nullptr);
  store_remaining(timeout, expires, timeout != nullptr);
  return r == -EINTR ? -ERESTARTNOHAND : r;
}

}  // namespace xm::os
