// SPDX-License-Identifier: GPL-2.0-or-later
// Wait queues and the sleeping locks built on them.
#include "kernel/sched/wait.h"

#include "kernel/sched/mutex.h"
#include "kernel/sched/sched.h"
#include "kernel/task/task_struct.h"

namespace xm::os {

void add_wait_queue(wait_queue_head& q, wait_queue_entry* entry) {
  IrqGuard guard(q.lock);
  if (entry->exclusive) {
    list_add_tail(&entry->link, &q.head);
  } else {
    list_add(&entry->link, &q.head);
  }
}

void remove_wait_queue(wait_queue_head& q, wait_queue_entry* entry) {
  IrqGuard guard(q.lock);
  list_del(&entry->link);
}

void wake_up_nr(wait_queue_head& q, int exclusive, u32 key) {
  IrqGuard guard(q.lock);
  for (wait_queue_entry* e : entries<&wait_queue_entry::link>(q.head)) {
    const bool is_exclusive = e->exclusive;
    if (e->wake(e, key) && is_exclusive && --exclusive == 0) break;
  }
}

bool default_wake(wait_queue_entry* entry, u32) {
  if (!wake_up_process(entry->task)) return false;
  list_del(&entry->link);
  return true;
}

void prepare_to_wait(wait_queue_head& q, wait_queue_entry* entry, u32 state, bool exclusive) {
  IrqGuard guard(q.lock);
  entry->exclusive = exclusive;
  if (entry->link.empty()) {
    if (exclusive) {
      list_add_tail(&entry->link, &q.head);
    } else {
      list_add(&entry->link, &q.head);
    }
  }
  set_current_state(state);
}

void finish_wait(wait_queue_head& q, wait_queue_entry* entry) {
  current->state.store(TASK_RUNNING);
  IrqGuard guard(q.lock);
  if (!entry->link.empty()) list_del(&entry->link);
}

void mutex_lock_slow(mutex& m) {
  wait_event_state(
      m.waiters, TASK_UNINTERRUPTIBLE, [&] { return mutex_trylock(m); }, 0, true);
}

int mutex_lock_interruptible(mutex& m) {
  const long r = wait_event_state(
      m.waiters, TASK_INTERRUPTIBLE, [&] { return mutex_trylock(m); }, 0, true);
  if (r != 0) wake_up(m.waiters);  // a wake-up meant for us may have been used up
  return static_cast<int>(r);
}

namespace {
bool try_read(rw_semaphore& s) {
  if (s.writers_waiting.load() > 0) return false;
  for (s32 n = s.count.load(); n >= 0; n = s.count.load()) {
    if (s.count.compare_exchange(n, n + 1)) return true;
  }
  return false;
}
}  // namespace

void down_read(rw_semaphore& s) {
  if (try_read(s)) return;
  wait_event(s.waiters, [&] { return try_read(s); });
}
void up_read(rw_semaphore& s) {
  if (s.count.sub(1) == 0) wake_up_all(s.waiters);
}
void down_write(rw_semaphore& s) {
  if (s.count.compare_exchange(0, -1)) return;
  s.writers_waiting.inc();
  wait_event(s.waiters, [&] { return s.count.compare_exchange(0, -1); });
  s.writers_waiting.sub(1);
}
void up_write(rw_semaphore& s) {
  s.count.store(0);
  wake_up_all(s.waiters);
}

void complete(completion& c) {
  c.done.add(1);
  wake_up_all(c.wait);
}
namespace {
bool take_completion(completion& c) {
  const u32 n = c.done.load();
  return n != 0 && c.done.compare_exchange(n, n - 1);
}
}  // namespace
void wait_for_completion(completion& c) {
  wait_event(c.wait, [&] { return take_completion(c); });
  IrqGuard settle(c.wait.lock);  // complete() may still hold the lock of a completion on our stack
}
long wait_for_completion_killable(completion& c) {
  return wait_event_killable(c.wait, [&] { return take_completion(c); });
}

}  // namespace xm::os
