// SPDX-License-Identifier: GPL-2.0-or-later
// Futexes: a waiter hangs in a bucket chosen by the word's identity - (mm, address) for private ones, (inode or page,
// offset) for shared ones - and is woken by it. The value is checked under the bucket's lock. PI futexes hand the lock
// over without priority inheritance (GAP).
#include "kernel/task/futex.h"

#include "kernel/fs/fs.h"
#include "kernel/mm/mm.h"
#include "kernel/mm/uaccess.h"
#include "kernel/sched/clock.h"
#include "kernel/sched/sched.h"
#include "kernel/signal/signal.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {

struct Key {
  u64 object = 0;  // mm, or what the page belongs to
  u64 offset = 0;
  bool operator==(const Key& o) const { return object == o.object && offset == o.offset; }
};
struct Waiter {
  list_head link;
  Key key;
  task_struct* task;
  u32 bitset;
  Atomic<bool> woken{false};
  u32 bucket = 0;
  bool pi = false;
};
struct Bucket {
  spinlock_t lock{LockRank::Futex};
  list_head waiters;
};
constexpr u32 kBuckets = 256;
constinit Bucket buckets[kBuckets]{};

u32 index_of(const Key& k) {
  return static_cast<u32>((k.object * 0x9e3779b97f4a7c15ul + k.offset * 0xc2b2ae3d27d4eb4ful) >> 56) % kBuckets;
}

int make_key(u64 address, bool is_private, Key& key) {
  if ((address & 3) != 0) return -EINVAL;
  if (!access_ok(address, 4)) return -EFAULT;
  mm_struct* mm = current->mm;
  if (!is_private) {
    auto got = get_user_page(mm, address, true);
    if (!got.ok()) got = get_user_page(mm, address, false);
    if (!got.ok()) return -EFAULT;
    page* p = got.value();
    const address_space* mapping = p->test(PG_anon) ? nullptr : p->mapping;
    key.object = reinterpret_cast<u64>(mapping);
    key.offset = (p->index << kPageShift) + (address & (kPageSize - 1));
    put_page(p);
    if (mapping != nullptr) return 0;
  }
  key = {reinterpret_cast<u64>(mm), address};
  return 0;
}

void wake_waiter(Waiter* w) {  // the bucket's lock is held; the waiter may be gone after woken is set
  task_struct* t = w->task;
  get_task(t);
  list_del(&w->link);
  w->woken.store(true);
  wake_up_state(t, TASK_INTERRUPTIBLE | TASK_UNINTERRUPTIBLE);
  put_task(t);
}

int wake_locked(Bucket& b, const Key& key, int count, u32 bitset) {
  int n = 0;
  for (Waiter* w : entries<&Waiter::link>(b.waiters)) {
    if (!(w->key == key) || (w->bitset & bitset) == 0) continue;
    if (n == count) break;
    wake_waiter(w);
    ++n;
  }
  return n;
}

long futex_wake(u64 address, bool is_private, int count, u32 bitset) {
  if (bitset == 0) return -EINVAL;
  Key key;
  TRY_INT(make_key(address, is_private, key));
  Bucket& b = buckets[index_of(key)];
  SpinGuard guard(b.lock);
  return wake_locked(b, key, count, bitset);
}

// A requeue may have moved the waiter to another bucket: lock the one it is in.
bool unqueue(Waiter& w) {
  for (;;) {
    const u32 at = read_once(w.bucket);
    SpinGuard guard(buckets[at].lock);
    if (at != w.bucket) continue;
    if (w.woken.load()) return false;
    list_del(&w.link);
    return true;
  }
}

long futex_wait(u64 address, bool is_private, u32 value, u64 expires, u32 bitset) {
  if (bitset == 0) return -EINVAL;
  Key key;
  TRY_INT(make_key(address, is_private, key));
  Waiter w;
  w.key = key;
  w.task = current;
  w.bitset = bitset;
  w.bucket = index_of(key);
  Bucket& b = buckets[w.bucket];
  for (;;) {
    u32 now;
    {
      SpinGuard guard(b.lock);  // a fault under the lock fails: then fault it in and try again
      if (get_user_at(now, address) == 0) {
        if (now != value) return -EAGAIN;
        list_add_tail(&w.link, &b.waiters);
        set_current_state(TASK_INTERRUPTIBLE);
        break;
      }
    }
    TRY_INT(get_user_at(now, address));
  }
  long result = 0;
  bool in_time = true;
  if (!w.woken.load()) {
    if (expires == 0)
      schedule();
    else
      in_time = schedule_hrtimeout(expires);
  }
  current->state.store(TASK_RUNNING);
  if (unqueue(w)) {
    if (signal_pending(current))
      result = -ERESTARTSYS;
    else if (!in_time)
      result = -ETIMEDOUT;
    // else: woken by something else; a spurious return is allowed
  }
  return result;
}

long futex_requeue(u64 from, u64 to, bool is_private, int wake, int move, const u32* compare) {
  if (wake < 0 || move < 0) return -EINVAL;
  Key a, b;
  TRY_INT(make_key(from, is_private, a));
  TRY_INT(make_key(to, is_private, b));
  Bucket* first = &buckets[index_of(a)];
  Bucket* second = &buckets[index_of(b)];
  Bucket* low = min(first, second);
  Bucket* high = max(first, second);
  u32 now;
  TRY_INT(get_user_at(now, from));
  preempt_disable();
  raw_spin_lock(low->lock);
  if (high != low) raw_spin_lock(high->lock);
  long result = 0;
  if (compare != nullptr && (get_user_at(now, from) != 0 || now != *compare)) {
    result = -EAGAIN;
  } else {
    result = wake_locked(*first, a, wake, ~0u);
    for (Waiter* w : entries<&Waiter::link>(first->waiters)) {
      if (move == 0) break;
      if (!(w->key == a)) continue;
      w->key = b;
      w->bucket = index_of(b);
      list_move_tail(&w->link, &second->waiters);
      --move;
      ++result;
    }
  }
  if (high != low) raw_spin_unlock(high->lock);
  raw_spin_unlock(low->lock);
  preempt_enable();
  return result;
}

long futex_wake_op(u64 address, u64 address2, bool is_private, int count, int count2, u32 op) {
  Key a, b;
  TRY_INT(make_key(address, is_private, a));
  TRY_INT(make_key(address2, is_private, b));
  const u32 operation = (op >> 28) & 7, compare = (op >> 24) & 15;
  const s32 op_raw = static_cast<s32>(op << 8) >> 20, compare_value = static_cast<s32>(op << 20) >> 20;
  const u32 op_value = (op & 0x80000000) != 0 ? 1u << (op_raw & 31) : static_cast<u32>(op_raw);
  u32 old, seen;
  TRY_INT(get_user_at(old, address2));
  for (;;) {
    u32 desired;
    switch (operation) {
      case 0: desired = op_value; break;
      case 1: desired = old + op_value; break;
      case 2: desired = old | op_value; break;
      case 3: desired = old & ~op_value; break;
      case 4: desired = old ^ op_value; break;
      default: return -ENOSYS;
    }
    TRY_INT(cmpxchg_user(reinterpret_cast<u32*>(address2), old, desired, &seen));
    if (seen == old) break;
    old = seen;
  }
  const s32 v = static_cast<s32>(old);
  bool also;
  switch (compare) {
    case 0: also = v == compare_value; break;
    case 1: also = v != compare_value; break;
    case 2: also = v < compare_value; break;
    case 3: also = v <= compare_value; break;
    case 4: also = v > compare_value; break;
    case 5: also = v >= compare_value; break;
    default: return -ENOSYS;
  }
  long n = futex_wake(address, is_private, count, ~0u);
  if (n >= 0 && also) n += futex_wake(address2, is_private, count2, ~0u);
  return n;
}

long futex_lock_pi(u64 address, bool is_private, u64 expires, bool try_only) {
  for (;;) {
    u32 now, seen;
    TRY_INT(get_user_at(now, address));
    const u32 owner = now & FUTEX_TID_MASK;
    if (owner == static_cast<u32>(current->pid)) return -EDEADLK;
    if (owner == 0) {
      TRY_INT(cmpxchg_user(reinterpret_cast<u32*>(address), now,
                           static_cast<u32>(current->pid) | (now & (FUTEX_WAITERS | FUTEX_OWNER_DIED)), &seen));
      if (seen == now) return 0;
      continue;
    }
    if (try_only) return -EAGAIN;
    task_struct* t = get_task_by_pid(static_cast<pid_t>(owner));
    if (t == nullptr) return -ESRCH;
    put_task(t);
    if ((now & FUTEX_WAITERS) == 0) {
      TRY_INT(cmpxchg_user(reinterpret_cast<u32*>(address), now, now | FUTEX_WAITERS, &seen));
      if (seen != now) continue;
      now |= FUTEX_WAITERS;
    }
    const long r = futex_wait(address, is_private, now, expires, ~0u);
    if (r != 0 && r != -EAGAIN) return r == -ERESTARTSYS ? -ERESTARTNOINTR : r;
  }
}

long futex_unlock_pi(u64 address, bool is_private) {
  for (;;) {
    u32 now, seen;
    TRY_INT(get_user_at(now, address));
    if ((now & FUTEX_TID_MASK) != static_cast<u32>(current->pid)) return -EPERM;
    TRY_INT(cmpxchg_user(reinterpret_cast<u32*>(address), now, now & FUTEX_WAITERS, &seen));
    if (seen == now) break;
  }
  futex_wake(address, is_private, 1, ~0u);
  return 0;
}

}  // namespace

int futex_wake_address(u64 address, int count) { return static_cast<int>(futex_wake(address, false, count, ~0u)); }

long do_futex(u64 address, int op, u32 value, u64 expires, u64 address2, u32 value2, u32 value3) {
  const bool is_private = (op & FUTEX_PRIVATE_FLAG) != 0;
  const int command = op & FUTEX_CMD_MASK;
  if ((op & FUTEX_CLOCK_REALTIME) != 0 && command != FUTEX_WAIT_BITSET && command != FUTEX_WAIT &&
      command != FUTEX_LOCK_PI)
    return -ENOSYS;
  switch (command) {
    case FUTEX_WAIT: return futex_wait(address, is_private, value, expires, ~0u);
    case FUTEX_WAIT_BITSET: return futex_wait(address, is_private, value, expires, value3);
    case FUTEX_WAKE: return futex_wake(address, is_private, static_cast<int>(value), ~0u);
    case FUTEX_WAKE_BITSET: return futex_wake(address, is_private, static_cast<int>(value), value3);
    case FUTEX_REQUEUE:
      return futex_requeue(address, address2, is_private, static_cast<int>(value), static_cast<int>(value2), nullptr);
    case FUTEX_CMP_REQUEUE:
      return futex_requeue(address, address2, is_private, static_cast<int>(value), static_cast<int>(value2), &value3);
    case FUTEX_WAKE_OP:
      return futex_wake_op(address, address2, is_private, static_cast<int>(value), static_cast<int>(value2), value3);
    case FUTEX_LOCK_PI: return futex_lock_pi(address, is_private, expires, false);
    case FUTEX_TRYLOCK_PI: return futex_lock_pi(address, is_private, 0, true);
    case FUTEX_UNLOCK_PI: return futex_unlock_pi(address, is_private);
    default: return -ENOSYS;
  }
}

// A thread died holding robust mutexes: mark them and wake a waiter. [man 2 get_robust_list]
void exit_robust_list(task_struct* t) {
  struct {
    u64 next;
    s64 offset;
    u64 pending;
  } head;
  if (get_user_at(head, t->robust_list) != 0) return;
  const auto handle = [&](u64 entry) {
    const u64 address = (entry & ~1ul) + static_cast<u64>(head.offset);
    u32 now, seen;
    if ((address & 3) != 0 || get_user_at(now, address) != 0) return;
    while ((now & FUTEX_TID_MASK) == static_cast<u32>(t->pid)) {
      if (cmpxchg_user(reinterpret_cast<u32*>(address), now, (now & FUTEX_WAITERS) | FUTEX_OWNER_DIED, &seen) != 0)
        return;
      if (seen == now) {
        if ((now & FUTEX_WAITERS) != 0) futex_wake(address, false, 1, ~0u);
        return;
      }
      now = seen;
    }
  };
  u64 at = head.next;
  for (int limit = 0; at != t->robust_list && at != 0 && limit < 2048; ++limit) {
    u64 next;
    if (get_user_at(next, at & ~1ul) != 0) break;
    if (at != head.pending) handle(at);
    at = next & ~1ul;
  }
  if (head.pending != 0) handle(head.pending);
  t->robust_list = 0;
}

}  // namespace xm::os
