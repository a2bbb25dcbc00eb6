// SPDX-License-Identifier: GPL-2.0-or-later
// O_ASYNC: the file is polled for good, and what wakes a poller sends a signal to the file's owner. The wake-up comes
// under a spinlock and often in an interrupt, so the signal is sent by a worker. [man 2 fcntl] "Managing signals"
#include "kernel/fs/fasync.h"

#include "kernel/fs/poll.h"
#include "kernel/mm/slab.h"
#include "kernel/sched/mutex.h"
#include "kernel/sched/softirq.h"
#include "kernel/signal/signal.h"

namespace xm::os {

struct fasync_struct {
  static constexpr u32 kQueues = 4;
  poll_table table;
  work_struct work;
  Atomic<u32> events{0}, queued{0};
  Atomic<s32> count{1};   // the file, and a work item on its way
  file* owner = nullptr;  // fasync_lock; null: the file is gone
  int fd = -1;
  u32 used = 0;
  struct Entry {
    wait_queue_entry entry;
    wait_queue_head* queue = nullptr;
  } entries[kQueues];
};

namespace {

constinit mutex fasync_lock{};

void put(fasync_struct* fa) {
  if (fa->count.dec_and_test()) kdelete(fa);
}

bool may_signal(const file* f, const task_struct* t) {
  const cred* c = t->real_cred;
  return f->f_owner_euid == 0 || f->f_owner_euid == c->suid || f->f_owner_euid == c->uid || f->f_owner_uid == c->suid ||
         f->f_owner_uid == c->uid;
}

struct Message {
  file* f;
  siginfo* info;
  int sig;
};

void deliver(const Message& m, task_struct* t, bool thread) {  // tasklist_lock held
  if (!may_signal(m.f, t)) return;
  if (m.sig == 0) return send_signal_locked_tasklist(SIGIO, nullptr, t);
  if (thread)
    send_thread_signal_locked_tasklist(m.sig, m.info, t);
  else
    send_signal_locked_tasklist(m.sig, m.info, t);
}

void run(work_struct* w) {
  fasync_struct* fa = container_of(w, fasync_struct, work);
  fa->queued.store(0);
  const u32 events = fa->events.exchange(0);
  {
    MutexGuard guard(fasync_lock);
    if (fa->owner != nullptr) {
      // A wake-up without a reason may be about anything: the file says what.
      const u32 ready = fa->owner->f_op->poll(fa->owner, nullptr);
      const u32 what = events == 0 ? ready : events & (ready | POLLHUP | POLLERR);
      if ((what & (POLLIN | POLLHUP)) != 0) send_sigio(fa->owner, fa->fd, (what & POLLIN) != 0 ? POLL_IN : POLL_HUP);
      if ((what & POLLOUT) != 0) send_sigio(fa->owner, fa->fd, POLL_OUT);
      if ((what & POLLPRI) != 0) send_sigio(fa->owner, fa->fd, POLL_PRI);
    }
  }
  put(fa);
}

bool woken(wait_queue_entry* entry, u32 key) {
  fasync_struct* fa = static_cast<fasync_struct*>(entry->private_data);
  fa->events.fetch_or(key);
  if (fa->queued.exchange(1) == 0) {
    fa->count.inc();
    schedule_work(&fa->work);
  }
  return false;
}

void hang(poll_table* table, file*, wait_queue_head& q) {
  fasync_struct* fa = container_of(table, fasync_struct, table);
  if (fa->used == fasync_struct::kQueues) return;
  fasync_struct::Entry& e = fa->entries[fa->used++];
  e.queue = &q;
  e.entry.wake = woken;
  e.entry.private_data = fa;
  add_wait_queue(q, &e.entry);
}

void detach(fasync_struct* fa) {
  for (u32 n = 0; n < fa->used; ++n) remove_wait_queue(*fa->entries[n].queue, &fa->entries[n].entry);
  fa->owner = nullptr;
  put(fa);
}

}  // namespace

int fasync_set(file* f, int fd, bool on) {
  if (!f->f_op->has_poll()) return 0;
  MutexGuard guard(fasync_lock);
  if (on == (f->f_fasync != nullptr)) return 0;
  if (!on) {
    detach(f->f_fasync);
    f->f_fasync = nullptr;
    return 0;
  }
  fasync_struct* fa = knew<fasync_struct>();
  if (fa == nullptr) return -ENOMEM;
  fa->owner = f;
  fa->fd = fd;
  fa->table.queue = hang;
  fa->work.func = run;
  f->f_fasync = fa;
  f->f_op->poll(f, &fa->table);
  return 0;
}

void fasync_release(file* f) {
  if (f->f_fasync == nullptr) return;
  MutexGuard guard(fasync_lock);
  detach(f->f_fasync);
  f->f_fasync = nullptr;
}

long set_file_owner(file* f, int type, int who) {
  if (who != 0) {
    IrqGuard guard(tasklist_lock);
    const bool exists = type == F_OWNER_PGRP ? for_each_in_pgrp(
                                                   who, [](task_struct*, void*) { return true; }, nullptr)
                                             : find_task(who) != nullptr;
    if (!exists) return -ESRCH;
  }
  SpinGuard guard(f->f_lock);
  f->f_owner_type = type;
  f->f_owner = who;
  f->f_owner_uid = current->cred_->uid;
  f->f_owner_euid = current->cred_->euid;
  return 0;
}

void send_sigio(file* f, int fd, int code) {
  siginfo info{};
  info.si_signo = f->f_owner_signal;
  info.si_code = code;
  constexpr s64 kBands[] = {0,
                            POLLIN | POLLRDNORM,
                            POLLOUT | POLLWRNORM,
                            POLLIN | POLLRDNORM | POLLPRI,
                            POLLERR,
                            POLLPRI | 0x80 /* POLLRDBAND */,
                            POLLHUP | POLLERR};
  info.poll.si_band = kBands[code];
  info.poll.si_fd = fd;
  Message m{f, &info, f->f_owner_signal};
  IrqGuard guard(tasklist_lock);
  if (f->f_owner_type == F_OWNER_PGRP) {
    for_each_in_pgrp(
        f->f_owner,
        [](task_struct* t, void* p) {
          deliver(*static_cast<Message*>(p), t, false);
          return false;
        },
        &m);
  } else if (task_struct* t = find_task(f->f_owner); t != nullptr && f->f_owner != 0) {
    deliver(m, t, f->f_owner_type == F_OWNER_TID);
  }
}

}  // namespace xm::os
