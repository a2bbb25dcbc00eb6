// SPDX-License-Identifier: GPL-2.0-or-later
// The core of the scheduler: schedule(), wake-ups, the tick, preemption, and the switch itself. preempt_count is 1
// whenever a switch happens, so it need not be saved with the task. Four places preempt: return from a system call or
// interrupt to user mode (exit_to_user_mode), return from an interrupt to the kernel, preempt_enable, and cond_resched.
#include "kernel/arch/x86_64/smp.h"
#include "kernel/arch/x86_64/switch.h"
#include "kernel/init/printk.h"
#include "kernel/mm/uaccess.h"
#include "kernel/sched/clock.h"
#include "kernel/sched/sched.h"
#include "kernel/signal/signal.h"
#include "kernel/task/task_struct.h"
#include "kernel/time/timer.h"

namespace xm::os {

constinit rq runqueues[kMaxCpus]{};

namespace {

rq& this_rq() { return runqueues[smp_processor_id()]; }
void update_clock(rq& q) { q.clock = local_clock(); }

// Locks the run queue a task is on; interrupts are off.
rq& lock_task_rq(task_struct* t) {
  for (;;) {
    rq& q = runqueues[read_once(t->cpu)];
    raw_spin_lock(q.lock);
    if (t->cpu == q.cpu) return q;
    raw_spin_unlock(q.lock);
  }
}

void activate(rq& q, task_struct* t, bool wakeup) {
  t->sched_class_->enqueue(q, t, wakeup);
  t->on_rq = true;
  ++q.nr_running;
}
void deactivate(rq& q, task_struct* t, bool sleep) {
  t->sched_class_->dequeue(q, t, sleep);
  t->on_rq = false;
  --q.nr_running;
}

void check_preempt_curr(rq& q, task_struct* woken) {
  const task_struct* curr = q.curr;
  if (woken->sched_class_->rank > curr->sched_class_->rank) {
    resched_curr(q);
  } else if (woken->sched_class_ == curr->sched_class_) {
    woken->sched_class_->check_preempt(q, woken);
  }
}

task_struct* pick_next_task(rq& q) {
  if (q.rt.nr_running > 0) {
    if (task_struct* t = rt_sched_class.pick_next(q)) return t;
  }
  if (q.cfs.nr_running > 0) return fair_sched_class.pick_next(q);
  if (task_struct* t = steal_task_for(q)) {
    activate(q, t, false);
    return t->sched_class_->pick_next(q);
  }
  return q.idle;
}

u32 select_cpu(const task_struct* t) {
  const u64 allowed = t->cpus_allowed & cpu_online_mask();
  if (allowed == 0) return t->cpu;
  if ((allowed & 1ul << t->cpu) != 0 && runqueues[t->cpu].nr_running == 0) return t->cpu;
  for (u32 i = 0; i < nr_cpus; ++i) {
    if ((allowed & 1ul << i) != 0 && runqueues[i].nr_running == 0) return i;
  }
  return (allowed & 1ul << t->cpu) != 0 ? t->cpu : static_cast<u32>(__builtin_ctzl(allowed));
}

void finish_task_switch(task_struct* prev) {
  rq& q = this_rq();
  const u32 prev_state = prev->state.load();
  prev->on_cpu.store(0);
  raw_spin_unlock(q.lock);
  local_irq_enable();
  if (unlikely(prev_state == TASK_DEAD)) put_task(prev);
}

void context_switch(rq& q, task_struct* prev, task_struct* next) {
  ++q.nr_switches;
  next->on_cpu.store(1);
  q.curr = next;
  finish_task_switch(switch_to(prev, next));
}

void do_schedule(bool preempt) {
  local_irq_disable();
  rq& q = this_rq();
  task_struct* prev = q.curr;
  if (unlikely((preempt_count() & 0xffff) != 1))
    panic("scheduling while atomic: %s/%d count %#x", prev->comm, prev->pid, preempt_count());
  raw_spin_lock(q.lock);
  this_cpu()->need_resched = 0;
  update_clock(q);
  const u32 state = prev->state.load();
  if (prev != q.idle) prev->sched_class_->update_curr(q);
  if (!preempt && state != TASK_RUNNING) {
    const bool interrupted = ((state & TASK_INTERRUPTIBLE) != 0 && signal_pending(prev)) ||
                             ((state & TASK_WAKEKILL) != 0 && fatal_signal_pending(prev));
    if (interrupted) {
      prev->state.store(TASK_RUNNING);
    } else {
      deactivate(q, prev, true);
    }
    ++prev->nvcsw;
  } else if (prev != q.idle) {
    ++prev->nivcsw;
  }
  if (prev->on_rq && prev != q.idle) prev->sched_class_->put_prev(q, prev);
  task_struct* next = pick_next_task(q);
  next->se.exec_start = q.clock;
  next->se.slice_start = next->se.sum_exec_runtime;
  if (next == prev) {
    if (prev != q.idle && state == TASK_RUNNING && !preempt && prev->nivcsw > 0) --prev->nivcsw;
    raw_spin_unlock(q.lock);
    local_irq_enable();
    return;
  }
  context_switch(q, prev, next);
}

}  // namespace

void schedule() {
  do {
    preempt_disable();
    do_schedule(false);
    preempt_enable_no_resched();
  } while (need_resched());
}

// The end of a task, called with preemption off. It must stay off from the moment it is marked dead: whoever runs next
// frees it, so it may not be put back on the queue.
void schedule_dead() {
  current->state.store(TASK_DEAD);
  do_schedule(false);
  panic("a dead task ran");
}

void preempt_schedule() {
  if (preempt_count() != 0 || irqs_disabled()) return;
  do {
    preempt_disable();
    do_schedule(true);
    preempt_enable_no_resched();
  } while (need_resched());
}

// The same from the end of an interrupt, with interrupts off here and on return. They are on only while preemption is
// off, so that an interrupt in between cannot preempt again: otherwise a storm of them fills the stack.
void preempt_schedule_irq() {
  do {
    preempt_disable();
    do_schedule(true);
    local_irq_disable();
    preempt_enable_no_resched();
  } while (need_resched());
}

void cond_resched() {
  if (need_resched() && preempt_count() == 0) preempt_schedule();
}

extern "C" void schedule_tail(task_struct* prev) {
  finish_task_switch(prev);
  preempt_enable();
  if (current->set_child_tid != 0) put_user_at(current->pid, current->set_child_tid);  // CLONE_CHILD_SETTID
}

void resched_curr(rq& q) {
  if (q.cpu == smp_processor_id()) {
    this_cpu()->need_resched = 1;
  } else if (__atomic_exchange_n(&cpus[q.cpu].need_resched, 1, __ATOMIC_SEQ_CST) == 0) {
    smp_send_reschedule(q.cpu);
  }
}

bool wake_up_state(task_struct* t, u32 states) {
  const u64 flags = spin_lock_irqsave(t->pi_lock);
  bool woken = false;
  if ((t->state.load() & states) != 0) {
    woken = true;
    rq* q = &lock_task_rq(t);
    if (t->on_rq) {
      t->state.store(TASK_RUNNING);
      raw_spin_unlock(q->lock);
    } else {
      raw_spin_unlock(q->lock);
      while (t->on_cpu.load() != 0) cpu_relax();
      t->state.store(TASK_RUNNING);
      const u32 cpu = select_cpu(t);
      if (cpu != t->cpu) {
        t->se.vruntime -= min(t->se.vruntime, runqueues[t->cpu].cfs.min_vruntime);
        t->se.vruntime += runqueues[cpu].cfs.min_vruntime;
        ++t->se.nr_migrations;
        t->cpu = cpu;
      }
      q = &runqueues[cpu];
      raw_spin_lock(q->lock);
      update_clock(*q);
      activate(*q, t, true);
      check_preempt_curr(*q, t);
      raw_spin_unlock(q->lock);
    }
  }
  spin_unlock_irqrestore(t->pi_lock, flags);
  return woken;
}

bool wake_up_process(task_struct* t) { return wake_up_state(t, TASK_INTERRUPTIBLE | TASK_UNINTERRUPTIBLE); }

void sched_fork(task_struct* t) {
  t->state.store(TASK_NEW);
  t->on_rq = false;
  t->on_cpu.store(0);
  t->se.on_tree = false;
  t->se.run_node = rb_node{};
  t->se.sum_exec_runtime = t->se.nr_migrations = 0;
  t->rt.run_list.init();
  t->cpu = current->cpu;
  if (t->reset_on_fork) {
    t->reset_on_fork = false;
    if (t->policy == SCHED_FIFO || t->policy == SCHED_RR) {
      t->policy = SCHED_NORMAL;
      t->rt_priority = 0;
      t->static_prio = kDefaultPrio;
    } else if (t->static_prio < kDefaultPrio) {
      t->static_prio = kDefaultPrio;
    }
    t->prio = t->normal_prio = t->static_prio;
    t->se.weight = t->policy == SCHED_IDLE ? 3 : weight_of_nice(prio_to_nice(t->static_prio));
    t->sched_class_ = &fair_sched_class;
  }
}

void wake_up_new_task(task_struct* t) {
  const u64 flags = spin_lock_irqsave(t->pi_lock);
  t->state.store(TASK_RUNNING);
  const u32 origin = t->cpu;
  t->cpu = select_cpu(t);
  rq& q = runqueues[t->cpu];
  raw_spin_lock(q.lock);
  update_clock(q);
  if (origin != t->cpu) t->se.vruntime = q.cfs.min_vruntime;
  t->sched_class_->task_fork(q, t);
  activate(q, t, false);
  check_preempt_curr(q, t);
  raw_spin_unlock(q.lock);
  spin_unlock_irqrestore(t->pi_lock, flags);
}

namespace {

// Changes scheduling attributes with the task off its queue.
template <class Change>
void change_task(task_struct* t, Change change) {
  const u64 flags = local_irq_save();
  preempt_disable();
  rq& q = lock_task_rq(t);
  update_clock(q);
  const bool queued = t->on_rq, is_running = q.curr == t;
  if (is_running) t->sched_class_->update_curr(q);
  if (queued) deactivate(q, t, false);
  const sched_class* before = t->sched_class_;
  change();
  if (queued) {
    if (before != t->sched_class_ && t->sched_class_ == &fair_sched_class) t->se.vruntime = q.cfs.min_vruntime;
    activate(q, t, false);
    if (is_running)
      resched_curr(q);
    else
      check_preempt_curr(q, t);
  }
  raw_spin_unlock(q.lock);
  local_irq_restore(flags);
  preempt_enable();
}

void apply_policy(task_struct* t) {
  const bool rt = t->policy == SCHED_FIFO || t->policy == SCHED_RR;
  t->sched_class_ = rt ? &rt_sched_class : &fair_sched_class;
  t->normal_prio = t->prio = rt ? kMaxRtPrio - 1 - static_cast<int>(t->rt_priority) : t->static_prio;
  t->se.weight = t->policy == SCHED_IDLE ? 3 : weight_of_nice(prio_to_nice(t->static_prio));
}

}  // namespace

void set_user_nice(task_struct* t, int nice) {
  change_task(t, [&] {
    t->static_prio = nice_to_prio(nice);
    apply_policy(t);
  });
}

int set_scheduler(task_struct* t, int policy, u32 rt_priority) {
  change_task(t, [&] {
    t->policy = policy;
    t->rt_priority = rt_priority;
    t->rt.time_slice = 100000000;
    apply_policy(t);
  });
  return 0;
}

int set_cpus_allowed(task_struct* t, u64 mask) {
  if ((mask & cpu_online_mask()) == 0) return -EINVAL;
  const u64 flags = spin_lock_irqsave(t->pi_lock);
  t->cpus_allowed = mask;
  bool move_self = false;
  rq& q = lock_task_rq(t);
  if ((mask & 1ul << t->cpu) == 0 && t->on_rq) {
    if (q.curr == t) {
      resched_curr(q);
      move_self = t == current;
    } else {
      update_clock(q);
      deactivate(q, t, false);
      const u64 base = q.cfs.min_vruntime;
      t->cpu = select_cpu(t);
      raw_spin_unlock(q.lock);
      rq& to = runqueues[t->cpu];
      raw_spin_lock(to.lock);
      update_clock(to);
      t->se.vruntime = t->se.vruntime - min(t->se.vruntime, base) + to.cfs.min_vruntime;
      activate(to, t, false);
      check_preempt_curr(to, t);
      raw_spin_unlock(to.lock);
      spin_unlock_irqrestore(t->pi_lock, flags);
      return 0;
    }
  }
  raw_spin_unlock(q.lock);
  spin_unlock_irqrestore(t->pi_lock, flags);
  if (move_self) {  // sleep for a moment: the wake-up chooses a processor that is allowed
    set_current_state(TASK_UNINTERRUPTIBLE);
    schedule_hrtimeout(ktime_get() + 100000);
    current->state.store(TASK_RUNNING);
  }
  return 0;
}

void sched_yield_current() {
  const u64 flags = local_irq_save();
  preempt_disable();
  rq& q = this_rq();
  raw_spin_lock(q.lock);
  update_clock(q);
  current->sched_class_->update_curr(q);
  current->sched_class_->yield(q);
  raw_spin_unlock(q.lock);
  local_irq_restore(flags);
  preempt_enable_no_resched();
  schedule();
}

void scheduler_tick() {
  rq& q = this_rq();
  raw_spin_lock(q.lock);
  update_clock(q);
  task_struct* curr = q.curr;
  const pt_regs* regs = this_cpu()->irq_regs;
  const bool user = regs != nullptr && user_mode(regs);
  if (curr != q.idle) {
    curr->sched_class_->update_curr(q);
    (user ? curr->utime : curr->stime) += kTickNs;
    u64& kind = !user ? q.system_ns : (prio_to_nice(curr->static_prio) > 0 ? q.nice_ns : q.user_ns);
    kind += kTickNs;
    curr->sched_class_->task_tick(q, curr);
  }
  raw_spin_unlock(q.lock);
  if (curr != q.idle && curr->signal != nullptr && (curr->flags & PF_KTHREAD) == 0) run_cpu_timers(curr, user, kTickNs);
  if (q.cpu == 0) calc_load_tick();
  load_balance_tick(q);
}

void task_cputime(const task_struct* t, u64& utime, u64& stime) {
  const u64 total = t->se.sum_exec_runtime, sampled = t->utime + t->stime;
  if (sampled == 0) {
    stime = total / 2;
    utime = total - stime;
    return;
  }
  // In microseconds and ticks, so that the product fits.
  stime = min(total, total / 1000 * (t->stime / kTickNs) / (sampled / kTickNs) * 1000);
  utime = total - stime;
}

u64 task_sched_runtime(task_struct* t) {
  const u64 flags = local_irq_save();
  rq& q = lock_task_rq(t);
  update_clock(q);
  if (q.curr == t) t->sched_class_->update_curr(q);
  const u64 ns = t->se.sum_exec_runtime;
  raw_spin_unlock(q.lock);
  local_irq_restore(flags);
  return ns;
}

void cpu_idle_loop() {
  rq& q = this_rq();
  for (;;) {
    local_irq_disable();
    if (!need_resched()) {
      q.idle_since = local_clock();
      this_cpu()->in_idle = true;
      tick_stop_idle();
      asm volatile("sti; hlt" : : : "memory");
      local_irq_disable();
      this_cpu()->in_idle = false;
      q.idle_ns += local_clock() - q.idle_since;
      tick_restart();
    }
    local_irq_enable();
    if (need_resched()) do_schedule(false);
  }
}

void sched_init() {
  for (u32 i = 0; i < kMaxCpus; ++i) runqueues[i].cpu = i;
  runqueues[0].curr = runqueues[0].idle = &init_task;
  init_task.sched_class_ = &idle_sched_class;
  init_task.state.store(TASK_RUNNING);
  init_task.on_cpu.store(1);
}

bool schedule_hrtimeout(u64 expires) {
  struct Sleeper {
    hrtimer timer;
    task_struct* task;
    bool fired;
  } sleeper{{}, current, false};
  if (ktime_get() >= expires) return false;
  sleeper.timer.function = [](hrtimer* t) -> u64 {
    Sleeper* s = container_of(t, Sleeper, timer);
    s->fired = true;
    wake_up_state(s->task, TASK_INTERRUPTIBLE | TASK_UNINTERRUPTIBLE);
    return 0;
  };
  hrtimer_start(&sleeper.timer, expires);
  schedule();
  hrtimer_cancel(&sleeper.timer);
  return !read_once(sleeper.fired);
}

u32 nr_running_total() {
  u32 n = 0;
  for (u32 i = 0; i < nr_cpus; ++i) n += runqueues[i].nr_running;
  return n;
}
u64 nr_switches_total() {
  u64 n = 0;
  for (u32 i = 0; i < nr_cpus; ++i) n += runqueues[i].nr_switches;
  return n;
}

}  // namespace xm::os
