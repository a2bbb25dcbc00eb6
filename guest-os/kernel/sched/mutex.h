// SPDX-License-Identifier: GPL-2.0-or-later
// Sleeping locks: mutex (one owner), rw_semaphore (readers or one writer, writers first), and completion.
#pragma once

#include "kernel/lib/result.h"
#include "kernel/sched/wait.h"

namespace xm::os {

struct mutex {
  Atomic<task_struct*> owner{nullptr};
  wait_queue_head waiters;
};
void mutex_lock_slow(mutex& m);
inline bool mutex_trylock(mutex& m) { return m.owner.compare_exchange(nullptr, current); }
inline void mutex_lock(mutex& m) {
  if (unlikely(!mutex_trylock(m))) mutex_lock_slow(m);
}
int mutex_lock_interruptible(mutex& m);  // 0 or -ERESTARTSYS
inline void mutex_unlock(mutex& m) {
  m.owner.store(nullptr);
  wake_up(m.waiters);
}

struct rw_semaphore {
  Atomic<s32> count{0};  // -1: a writer; n: readers
  Atomic<s32> writers_waiting{0};
  wait_queue_head waiters;
};
void down_read(rw_semaphore& s);
void up_read(rw_semaphore& s);
void down_write(rw_semaphore& s);
void up_write(rw_semaphore& s);

struct completion {
  Atomic<u32> done{0};
  wait_queue_head wait;
};
void complete(completion& c);
void wait_for_completion(completion& c);
long wait_for_completion_killable(completion& c);

class [[nodiscard]] MutexGuard {
 public:
  explicit MutexGuard(mutex& m) : mutex_(m) { mutex_lock(mutex_); }
  ~MutexGuard() { mutex_unlock(mutex_); }
  MutexGuard(const MutexGuard&) = delete;
  MutexGuard& operator=(const MutexGuard&) = delete;

 private:
  mutex& mutex_;
};
class [[nodiscard]] ReadGuard {
 public:
  explicit ReadGuard(rw_semaphore& s) : sem_(s) { down_read(sem_); }
  ~ReadGuard() { up_read(sem_); }
  ReadGuard(const ReadGuard&) = delete;
  ReadGuard& operator=(const ReadGuard&) = delete;

 private:
  rw_semaphore& sem_;
};
class [[nodiscard]] WriteGuard {
 public:
  explicit WriteGuard(rw_semaphore& s) : sem_(s) { down_write(sem_); }
  ~WriteGuard() { up_write(sem_); }
  WriteGuard(const WriteGuard&) = delete;
  WriteGuard& operator=(const WriteGuard&) = delete;

 private:
  rw_semaphore& sem_;
};

}  // namespace xm::os
