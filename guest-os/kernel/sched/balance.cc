// SPDX-License-Identifier: GPL-2.0-or-later
// Load balancing: a processor about to idle takes a waiting task from the busiest one; busy ones compare every few
// ticks. The other queue is only tried, never waited for, so no order between run-queue locks is needed. Also the load
// averages.
#include "kernel/arch/x86_64/smp.h"
#include "kernel/sched/clock.h"
#include "kernel/sched/sched.h"
#include "kernel/task/task_struct.h"

namespace xm::os {

constinit u64 avenrun[3]{};

namespace {

constexpr u64 kBalanceNs = 8000000;
constexpr u64 kLoadPeriodNs = 5 * kNsPerSec;
constinit u64 next_load = 0;

rq* busiest_other(const rq& self, u32 at_least) {
  rq* busiest = nullptr;
  for (u32 i = 0; i < nr_cpus; ++i) {
    if (i == self.cpu || runqueues[i].cfs.nr_running < at_least) continue;
    if (busiest == nullptr || runqueues[i].cfs.nr_running > busiest->cfs.nr_running) busiest = &runqueues[i];
  }
  return busiest;
}

// A waiting task of `from` that may run on `to`, taken off; both locks are held.
task_struct* detach_one(rq& from, rq& to) {
  for (rb_node* n = rb_last(from.cfs.tasks_timeline); n != nullptr; n = rb_prev(n)) {
    task_struct* t = container_of(n, task_struct, se.run_node);
    if ((t->cpus_allowed & 1ul << to.cpu) == 0 || t->on_cpu.load() != 0) continue;
    fair_sched_class.dequeue(from, t, false);
    --from.nr_running;
    t->on_rq = false;
    t->se.vruntime = t->se.vruntime - min(t->se.vruntime, from.cfs.min_vruntime) + to.cfs.min_vruntime;
    t->cpu = to.cpu;
    ++t->se.nr_migrations;
    return t;
  }
  return nullptr;
}

}  // namespace

task_struct* steal_task_for(rq& q) {
  rq* from = busiest_other(q, 2);
  if (from == nullptr || !raw_spin_trylock(from->lock)) return nullptr;
  task_struct* t = detach_one(*from, q);
  raw_spin_unlock(from->lock);
  return t;
}

void load_balance_tick(rq& q) {
  const u64 now = local_clock();
  if (nr_cpus == 1 || now < q.next_balance) return;
  q.next_balance = now + kBalanceNs;
  rq* from = busiest_other(q, q.cfs.nr_running + 2);
  if (from == nullptr) return;
  raw_spin_lock(q.lock);
  if (raw_spin_trylock(from->lock)) {
    if (task_struct* t = detach_one(*from, q)) {
      fair_sched_class.enqueue(q, t, false);
      t->on_rq = true;
      ++q.nr_running;
      if (q.curr == q.idle) resched_curr(q);
    }
    raw_spin_unlock(from->lock);
  }
  raw_spin_unlock(q.lock);
}

// Exponential averages over 1, 5 and 15 minutes in 11-bit fixed point. [proc(5) loadavg]
void calc_load_tick() {
  const u64 now = local_clock();
  if (now < next_load) return;
  next_load = now + kLoadPeriodNs;
  const u64 active = static_cast<u64>(nr_running_total()) << 11;
  const u64 decay[3] = {1884, 2014, 2037};
  for (int i = 0; i < 3; ++i) avenrun[i] = (avenrun[i] * decay[i] + active * (2048 - decay[i])) >> 11;
}

}  // namespace xm::os
