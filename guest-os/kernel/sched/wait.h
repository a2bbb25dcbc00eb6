// SPDX-License-Identifier: GPL-2.0-or-later
// Wait queues: who sleeps for an event. wait_event*(queue, condition) sleeps until the condition holds; poll and epoll
// hang entries with their own wake function on the same queues.
#pragma once

#include "abi/errno.h"
#include "kernel/lib/list.h"
#include "kernel/lib/spinlock.h"

namespace xm::os {

struct task_struct;

struct wait_queue_entry {
  list_head link;
  task_struct* task = nullptr;
  // Called with the queue's lock held and interrupts off; true: counts as a woken exclusive sleeper. `key` holds poll
  // events (0: all).
  bool (*wake)(wait_queue_entry*, u32 key) = nullptr;
  bool exclusive = false;
  void* private_data = nullptr;
};

struct wait_queue_head {
  spinlock_t lock{LockRank::WaitQueue};
  list_head head;
  constexpr wait_queue_head() = default;
};

void add_wait_queue(wait_queue_head& q, wait_queue_entry* entry);
void remove_wait_queue(wait_queue_head& q, wait_queue_entry* entry);
// Wakes all plain sleepers and `exclusive` exclusive ones.
void wake_up_nr(wait_queue_head& q, int exclusive, u32 key);
inline void wake_up(wait_queue_head& q, u32 key = 0) {
  full_barrier();
  if (!q.head.empty()) wake_up_nr(q, 1, key);
}
inline void wake_up_all(wait_queue_head& q, u32 key = 0) {
  full_barrier();
  if (!q.head.empty()) wake_up_nr(q, 0, key);
}
void prepare_to_wait(wait_queue_head& q, wait_queue_entry* entry, u32 state, bool exclusive = false);
void finish_wait(wait_queue_head& q, wait_queue_entry* entry);
bool default_wake(wait_queue_entry* entry, u32 key);
bool signal_pending_current();
bool fatal_signal_pending_current();
void schedule();
bool schedule_hrtimeout(u64 expires);

constexpr u32 TASK_RUNNING = 0, TASK_INTERRUPTIBLE = 1, TASK_UNINTERRUPTIBLE = 2, TASK_STOPPED = 4, TASK_TRACED = 8,
              EXIT_DEAD = 16, EXIT_ZOMBIE = 32, TASK_DEAD = 128, TASK_WAKEKILL = 256, TASK_NEW = 2048,
              TASK_KILLABLE = TASK_WAKEKILL | TASK_UNINTERRUPTIBLE;

// Sleeps until condition() holds. Returns 0, -ERESTARTSYS (a signal, in interruptible or killable states) or -ETIME
// (`expires` != 0 passed).
template <class Condition>
long wait_event_state(wait_queue_head& q, u32 state, Condition condition, u64 expires = 0, bool exclusive = false) {
  if (condition()) return 0;
  wait_queue_entry entry;
  entry.task = current;
  entry.wake = default_wake;
  long result = 0;
  for (;;) {
    prepare_to_wait(q, &entry, state, exclusive);
    if (condition()) break;
    if ((state & TASK_INTERRUPTIBLE) != 0 ? signal_pending_current()
                                          : ((state & TASK_WAKEKILL) != 0 && fatal_signal_pending_current())) {
      result = -ERESTARTSYS;
      break;
    }
    if (expires == 0) {
      schedule();
    } else if (!schedule_hrtimeout(expires)) {
      result = condition() ? 0 : -ETIME;
      break;
    }
  }
  finish_wait(q, &entry);
  return result;
}
template <class Condition>
long wait_event_interruptible(wait_queue_head& q, Condition condition, u64 expires = 0) {
  return wait_event_state(q, TASK_INTERRUPTIBLE, condition, expires);
}
template <class Condition>
long wait_event_killable(wait_queue_head& q, Condition condition) {
  return wait_event_state(q, TASK_KILLABLE, condition);
}
template <class Condition>
void wait_event(wait_queue_head& q, Condition condition) {
  wait_event_state(q, TASK_UNINTERRUPTIBLE, condition);
}

}  // namespace xm::os
