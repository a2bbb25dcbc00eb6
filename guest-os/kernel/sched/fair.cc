// SPDX-License-Identifier: GPL-2.0-or-later
// The completely fair scheduler: every task has a virtual run time that grows with its real one, slower for heavy
// weights; the task with the smallest runs. Waiting tasks are in a red-black tree by vruntime, the leftmost is next.
// The current task is not in the tree.
#include "kernel/arch/x86_64/percpu.h"
#include "kernel/sched/sched.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {

constexpr u64 kLatency = 6000000;        // each runnable task runs once in this time ...
constexpr u64 kMinGranularity = 750000;  // ... unless that would be less than this
constexpr u64 kWakeupGranularity = 1000000;
constexpr u64 kNiceZeroWeight = 1024;

// 1.25 between neighbours: one nice level is about 10 % of a processor. [Linux sched_prio_to_weight]
constexpr u64 kWeights[40] = {88761, 71755, 56483, 46273, 36291, 29154, 23254, 18705, 14949, 11916,
                              9548,  7620,  6100,  4904,  3906,  3121,  2501,  1991,  1586,  1277,
                              1024,  820,   655,   526,   423,   335,   272,   215,   172,   137,
                              110,   87,    70,    56,    45,    36,    29,    23,    18,    15};

u64 virtual_time(u64 ns, u64 weight) { return weight == kNiceZeroWeight ? ns : ns * kNiceZeroWeight / weight; }
sched_entity* leftmost(const cfs_rq& cfs) {
  return cfs.tasks_timeline.leftmost == nullptr ? nullptr
                                                : container_of(cfs.tasks_timeline.leftmost, sched_entity, run_node);
}
task_struct* task_of(sched_entity* se) { return container_of(se, task_struct, se); }

void insert(cfs_rq& cfs, sched_entity* se) {
  rb_insert(cfs.tasks_timeline, &se->run_node, [](rb_node* a, rb_node* b) {
    return static_cast<s64>(container_of(a, sched_entity, run_node)->vruntime -
                            container_of(b, sched_entity, run_node)->vruntime) < 0;
  });
  se->on_tree = true;
}
void remove(cfs_rq& cfs, sched_entity* se) {
  rb_erase(cfs.tasks_timeline, &se->run_node);
  se->on_tree = false;
}

u64 slice_of(const cfs_rq& cfs, const sched_entity* se) {
  const u64 period = max(kLatency, cfs.nr_running * kMinGranularity);
  return cfs.load_weight == 0 ? period : max(period * se->weight / cfs.load_weight, kMinGranularity / 4);
}

void update_min_vruntime(rq& q) {
  cfs_rq& cfs = q.cfs;
  u64 v = cfs.min_vruntime;
  const sched_entity* left = leftmost(cfs);
  const bool curr_fair = q.curr->sched_class_ == &fair_sched_class && q.curr->on_rq;
  if (curr_fair) v = q.curr->se.vruntime;
  if (left != nullptr && (!curr_fair || static_cast<s64>(left->vruntime - v) < 0)) v = left->vruntime;
  if (static_cast<s64>(v - cfs.min_vruntime) > 0) cfs.min_vruntime = v;
}

struct FairClass final : sched_class {
  constexpr FairClass() : sched_class(1) {}

  void update_curr(rq& q) const override {
    sched_entity& se = q.curr->se;
    const u64 delta = q.clock - se.exec_start;
    if (static_cast<s64>(delta) <= 0) return;
    se.exec_start = q.clock;
    se.sum_exec_runtime += delta;
    se.vruntime += virtual_time(delta, se.weight);
    update_min_vruntime(q);
  }

  void enqueue(rq& q, task_struct* t, bool wakeup) const override {
    sched_entity& se = t->se;
    if (q.curr->sched_class_ == this && q.curr != t) update_curr(q);
    if (wakeup) {  // a sleeper gets half a period of credit, not all it slept
      const u64 floor = q.cfs.min_vruntime - min(q.cfs.min_vruntime, kLatency / 2);
      if (static_cast<s64>(se.vruntime - floor) < 0) se.vruntime = floor;
    }
    q.cfs.load_weight += se.weight;
    ++q.cfs.nr_running;
    if (q.curr != t) insert(q.cfs, &se);
  }

  void dequeue(rq& q, task_struct* t, bool) const override {
    if (t->se.on_tree) remove(q.cfs, &t->se);
    q.cfs.load_weight -= t->se.weight;
    --q.cfs.nr_running;
    update_min_vruntime(q);
  }

  task_struct* pick_next(rq& q) const override {
    sched_entity* se = leftmost(q.cfs);
    if (se == nullptr) return nullptr;
    remove(q.cfs, se);
    return task_of(se);
  }

  void put_prev(rq& q, task_struct* t) const override {
    if (!t->se.on_tree) insert(q.cfs, &t->se);
  }

  void task_tick(rq& q, task_struct* t) const override {
    if (q.cfs.nr_running < 2) return;
    const u64 ran = t->se.sum_exec_runtime - t->se.slice_start;
    const u64 slice = slice_of(q.cfs, &t->se);
    if (ran > slice) {
      resched_curr(q);
      return;
    }
    const sched_entity* left = leftmost(q.cfs);
    if (ran >= kMinGranularity && left != nullptr &&
        static_cast<s64>(t->se.vruntime - left->vruntime) > static_cast<s64>(slice))
      resched_curr(q);
  }

  void check_preempt(rq& q, task_struct* woken) const override {
    if (woken->policy == SCHED_BATCH || woken->policy == SCHED_IDLE) return;
    if (q.curr->policy == SCHED_IDLE) return resched_curr(q);
    update_curr(q);
    const s64 ahead = static_cast<s64>(q.curr->se.vruntime - woken->se.vruntime);
    if (ahead > static_cast<s64>(virtual_time(kWakeupGranularity, woken->se.weight))) resched_curr(q);
  }

  void yield(rq& q) const override {  // behind everyone now waiting
    rb_node* last = rb_last(q.cfs.tasks_timeline);
    if (last == nullptr) return;
    const u64 v = container_of(last, sched_entity, run_node)->vruntime;
    if (static_cast<s64>(v - q.curr->se.vruntime) > 0) q.curr->se.vruntime = v;
  }

  void task_fork(rq& q, task_struct* t) const override {
    const u64 start = q.cfs.min_vruntime + virtual_time(slice_of(q.cfs, &t->se), t->se.weight);
    if (static_cast<s64>(t->se.vruntime - start) < 0) t->se.vruntime = start;
  }
};
constinit const FairClass fair_class{};

struct IdleClass final : sched_class {
  constexpr IdleClass() : sched_class(0) {}
  void enqueue(rq&, task_struct*, bool) const override {}
  void dequeue(rq&, task_struct*, bool) const override {}
  task_struct* pick_next(rq& q) const override { return q.idle; }
  void put_prev(rq&, task_struct*) const override {}
  void update_curr(rq&) const override {}
  void task_tick(rq&, task_struct*) const override {}
  void check_preempt(rq& q, task_struct*) const override { resched_curr(q); }
  void yield(rq&) const override {}
};
constinit const IdleClass idle_class{};

}  // namespace

constinit const sched_class& fair_sched_class = fair_class;
constinit const sched_class& idle_sched_class = idle_class;

u64 weight_of_nice(int nice) { return kWeights[clamp(nice, -20, 19) + 20]; }

}  // namespace xm::os
