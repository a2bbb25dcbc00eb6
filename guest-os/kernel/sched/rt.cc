// SPDX-License-Identifier: GPL-2.0-or-later
// The real-time class: 100 queues, the highest non-empty one runs. FIFO tasks run until they block; RR tasks share
// their level in slices of 100 ms. All real-time tasks of a processor together get at most 950 ms of a second while
// others wait. [man 7 sched]
#include "kernel/arch/x86_64/percpu.h"
#include "kernel/sched/sched.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {

constexpr u64 kRrSlice = 100000000;
constexpr u64 kPeriod = kNsPerSec, kRuntime = 950000000;

struct RtClass final : sched_class {
  constexpr RtClass() : sched_class(2) {}

  static void set_bit(rt_rq& rt, int prio) { rt.bitmap[prio / 64] |= 1ul << (prio % 64); }
  static void clear_if_empty(rt_rq& rt, int prio) {
    if (rt.queue[prio].empty()) rt.bitmap[prio / 64] &= ~(1ul << (prio % 64));
  }
  static int highest(const rt_rq& rt) {
    if (rt.bitmap[0] != 0) return __builtin_ctzl(rt.bitmap[0]);
    return rt.bitmap[1] != 0 ? 64 + __builtin_ctzl(rt.bitmap[1]) : kMaxRtPrio;
  }

  void enqueue(rq& q, task_struct* t, bool) const override {
    list_add_tail(&t->rt.run_list, &q.rt.queue[t->prio]);
    set_bit(q.rt, t->prio);
    ++q.rt.nr_running;
  }
  void dequeue(rq& q, task_struct* t, bool) const override {
    list_del(&t->rt.run_list);
    clear_if_empty(q.rt, t->prio);
    --q.rt.nr_running;
  }
  // The running task stays at the head of its list.
  task_struct* pick_next(rq& q) const override {
    refresh_period(q);
    if (q.rt.throttled && q.cfs.nr_running > 0) return nullptr;
    const int prio = highest(q.rt);
    return prio == kMaxRtPrio ? nullptr : container_of(q.rt.queue[prio].next, task_struct, rt.run_list);
  }
  void put_prev(rq&, task_struct*) const override {}

  static void refresh_period(rq& q) {
    if (q.clock - q.rt.period_start < kPeriod) return;
    q.rt.period_start = q.clock;
    q.rt.rt_time = 0;
    q.rt.throttled = false;
  }

  void update_curr(rq& q) const override {
    sched_entity& se = q.curr->se;
    const u64 delta = q.clock - se.exec_start;
    if (static_cast<s64>(delta) <= 0) return;
    se.exec_start = q.clock;
    se.sum_exec_runtime += delta;
    refresh_period(q);
    q.rt.rt_time += delta;
    if (q.rt.rt_time > kRuntime) {
      q.rt.throttled = true;
      if (q.cfs.nr_running > 0) resched_curr(q);
    }
  }
  void task_tick(rq& q, task_struct* t) const override {
    if (t->policy != SCHED_RR) return;
    const u64 tick = kNsPerSec / 250;
    if (t->rt.time_slice > tick) {
      t->rt.time_slice -= tick;
      return;
    }
    t->rt.time_slice = kRrSlice;
    if (q.rt.queue[t->prio].next != q.rt.queue[t->prio].prev) {
      list_move_tail(&t->rt.run_list, &q.rt.queue[t->prio]);
      resched_curr(q);
    }
  }
  void check_preempt(rq& q, task_struct* woken) const override {
    if (woken->prio < q.curr->prio) resched_curr(q);
  }
  void yield(rq& q) const override { list_move_tail(&q.curr->rt.run_list, &q.rt.queue[q.curr->prio]); }
};
constinit const RtClass rt_class{};

}  // namespace

constinit const sched_class& rt_sched_class = rt_class;

}  // namespace xm::os
