// SPDX-License-Identifier: GPL-2.0-or-later
// The scheduler: classes in order (stop, real-time, fair, idle), one run queue for each processor.
#pragma once

#include "kernel/lib/rbtree.h"
#include "kernel/lib/spinlock.h"
#include "kernel/sched/sched_entity.h"
#include "kernel/sched/wait.h"

namespace xm::os {

struct task_struct;
struct rq;

constexpr int kMaxRtPrio = 100;
constexpr int kDefaultPrio = 120;
constexpr int nice_to_prio(int nice) { return nice + kDefaultPrio; }
constexpr int prio_to_nice(int prio) { return prio - kDefaultPrio; }

struct cfs_rq {
  rb_root tasks_timeline;  // by vruntime
  u64 min_vruntime = 0;
  u64 load_weight = 0;
  u32 nr_running = 0;
};
struct rt_rq {
  u64 bitmap[2]{};
  list_head queue[kMaxRtPrio];
  u32 nr_running = 0;
  u64 rt_time = 0, period_start = 0;  // throttling: at most 950 ms of each second
  bool throttled = false;
};

struct rq {
  spinlock_t lock{LockRank::RunQueue};
  u32 cpu = 0;
  u32 nr_running = 0;
  u64 nr_switches = 0;
  task_struct* curr = nullptr;
  task_struct* idle = nullptr;
  u64 clock = 0;
  cfs_rq cfs;
  rt_rq rt;
  u64 next_balance = 0;
  u64 idle_ns = 0, idle_since = 0;
  u64 user_ns = 0, nice_ns = 0, system_ns = 0, irq_ns = 0;  // for /proc/stat
};
extern rq runqueues[];

struct sched_class {
  virtual void enqueue(rq&, task_struct*, bool wakeup) const = 0;
  virtual void dequeue(rq&, task_struct*, bool sleep) const = 0;
  virtual task_struct* pick_next(rq&) const = 0;       // takes it off the tree/list position of waiting tasks
  virtual void put_prev(rq&, task_struct*) const = 0;  // still runnable: back among the waiting
  virtual void update_curr(rq&) const = 0;
  virtual void task_tick(rq&, task_struct*) const = 0;
  virtual void check_preempt(rq&, task_struct* woken) const = 0;
  virtual void yield(rq&) const = 0;
  virtual void task_fork(rq&, task_struct*) const {}
  int rank;  // higher runs first
  constexpr explicit sched_class(int r) : rank(r) {}
};
extern const sched_class& fair_sched_class;
extern const sched_class& rt_sched_class;
extern const sched_class& idle_sched_class;

void sched_init();
void schedule();
bool wake_up_process(task_struct* t);  // false: it was not sleeping
bool wake_up_state(task_struct* t, u32 states);
void wake_up_new_task(task_struct* t);
void sched_fork(task_struct* t);
void set_user_nice(task_struct* t, int nice);
int set_scheduler(task_struct* t, int policy, u32 rt_priority);
int set_cpus_allowed(task_struct* t, u64 mask);
void sched_yield_current();
void scheduler_tick();
void resched_curr(rq& q);
void cond_resched();
[[noreturn]] void cpu_idle_loop();
[[noreturn]] void schedule_dead();
extern "C" void schedule_tail(task_struct* prev);
void task_cputime(const task_struct* t, u64& utime,
                  u64& stime);  // ns, scaled so that they add up to the exact run time
u64 task_sched_runtime(task_struct* t);
u64 weight_of_nice(int nice);
void load_balance_tick(rq& q);
task_struct* steal_task_for(rq& q);
void calc_load_tick();
extern u64 avenrun[3];
u32 nr_running_total();
u64 nr_switches_total();

}  // namespace xm::os
