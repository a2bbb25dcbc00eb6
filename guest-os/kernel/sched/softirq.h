// SPDX-License-Identifier: GPL-2.0-or-later
// Bottom halves: softirqs run at irq_exit with interrupts on (or in ksoftirqd when they keep coming), work items run in
// a kernel thread.
#pragma once

#include "kernel/lib/atomic.h"
#include "kernel/lib/list.h"
#include "kernel/lib/spinlock.h"

namespace xm::os {

enum Softirq : u32 {
  HI_SOFTIRQ,
  TIMER_SOFTIRQ,
  NET_TX_SOFTIRQ,
  NET_RX_SOFTIRQ,
  BLOCK_SOFTIRQ,
  TASKLET_SOFTIRQ,
  SCHED_SOFTIRQ,
  NR_SOFTIRQS
};
extern const char* const softirq_names[NR_SOFTIRQS];
extern u64 softirq_counts[NR_SOFTIRQS][32];

void open_softirq(Softirq nr, void (*action)());
void raise_softirq(Softirq nr);
void do_softirq();
void local_bh_disable();
void local_bh_enable();

// spin_lock_bh: for data that softirqs and tasks share.
class [[nodiscard]] BhGuard {
 public:
  explicit BhGuard(spinlock_t& lock) : lock_(lock) {
    local_bh_disable();
    raw_spin_lock(lock_);
  }
  ~BhGuard() {
    raw_spin_unlock(lock_);
    local_bh_enable();
  }
  BhGuard(const BhGuard&) = delete;
  BhGuard& operator=(const BhGuard&) = delete;

 private:
  spinlock_t& lock_;
};

// A tasklet runs once for each time it is scheduled, in TASKLET_SOFTIRQ (or HI_SOFTIRQ) of the processor that scheduled
// it, and never on two processors at once.
struct tasklet_struct {
  void (*func)(tasklet_struct*) = nullptr;
  tasklet_struct* next = nullptr;
  Atomic<u32> scheduled{0}, running{0}, disabled{0};
};
void tasklet_schedule(tasklet_struct* t);
void tasklet_hi_schedule(tasklet_struct* t);
void tasklet_kill(tasklet_struct* t);  // waits until it neither waits nor runs

// Deferred work: may sleep. The item must stay alive until it has run; queueing a pending item again does nothing.
struct work_struct {
  void (*func)(work_struct*) = nullptr;
  list_head entry;
  Atomic<u32> pending{0};
};
void schedule_work(work_struct* work);
void softirq_init();  // starts ksoftirqd and kworker threads

}  // namespace xm::os
