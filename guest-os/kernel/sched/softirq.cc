// SPDX-License-Identifier: GPL-2.0-or-later
// Softirqs and the work queue. A softirq that is raised again while they run is retried a few times, then left to
// ksoftirqd of that CPU.
#include "kernel/sched/softirq.h"

#include "kernel/arch/x86_64/smp.h"
#include "kernel/init/printk.h"
#include "kernel/lib/format.h"
#include "kernel/sched/sched.h"
#include "kernel/task/task_struct.h"

namespace xm::os {

const char* const softirq_names[NR_SOFTIRQS] = {"HI", "TIMER", "NET_TX", "NET_RX", "BLOCK", "TASKLET", "SCHED"};
constinit u64 softirq_counts[NR_SOFTIRQS][kMaxCpus]{};

namespace {

using softirq_action = void (*)();
constinit softirq_action actions[NR_SOFTIRQS]{};
constinit task_struct* ksoftirqd_task[kMaxCpus]{};
constinit list_head work_list{};
constinit spinlock_t work_lock{LockRank::WaitQueue};
constinit wait_queue_head work_wait{};

// Waiting tasklets of each processor: [0] high, [1] normal. Touched with interrupts off, by their processor only.
struct TaskletList {
  tasklet_struct* first = nullptr;
  tasklet_struct** last = nullptr;
};
constinit TaskletList tasklets[2][kMaxCpus]{};

void append(TaskletList& list, tasklet_struct* t) {
  t->next = nullptr;
  if (list.first == nullptr)
    list.first = t;
  else
    *list.last = t;
  list.last = &t->next;
}

void run_tasklets(u32 kind) {
  const u64 flags = local_irq_save();
  TaskletList& list = tasklets[kind][smp_processor_id()];
  tasklet_struct* t = list.first;
  list.first = nullptr;
  local_irq_restore(flags);
  while (t != nullptr) {
    tasklet_struct* following = t->next;
    // Running elsewhere or switched off: once more later.
    if (t->disabled.load() != 0 || t->running.exchange(1) != 0) {
      const u64 again = local_irq_save();
      append(tasklets[kind][smp_processor_id()], t);
      raise_softirq(kind == 0 ? HI_SOFTIRQ : TASKLET_SOFTIRQ);
      local_irq_restore(again);
    } else {
      t->scheduled.store(0);
      t->func(t);
      t->running.store(0);
    }
    t = following;
  }
}

void schedule_tasklet(tasklet_struct* t, u32 kind) {
  if (t->scheduled.exchange(1) != 0) return;
  const u64 flags = local_irq_save();
  append(tasklets[kind][smp_processor_id()], t);
  raise_softirq(kind == 0 ? HI_SOFTIRQ : TASKLET_SOFTIRQ);
  local_irq_restore(flags);
}

int ksoftirqd(void* argument) {
  const u32 cpu = static_cast<u32>(reinterpret_cast<u64>(argument));
  set_cpus_allowed(current, 1ul << cpu);
  for (;;) {
    set_current_state(TASK_INTERRUPTIBLE);
    if (cpus[cpu].softirq_pending == 0) schedule();
    current->state.store(TASK_RUNNING);
    local_irq_disable();
    if (this_cpu()->softirq_pending != 0) do_softirq();
    local_irq_enable();
    cond_resched();
  }
}

work_struct* take_work() {
  IrqGuard guard(work_lock);
  work_struct* w = list_first<&work_struct::entry>(&work_list);
  if (w != nullptr) list_del(&w->entry);
  return w;
}

int kworker(void*) {
  for (;;) {
    wait_event_interruptible(work_wait, [] { return !work_list.empty(); });
    while (work_struct* w = take_work()) {
      w->pending.store(0);
      w->func(w);
    }
  }
}

}  // namespace

void open_softirq(Softirq nr, void (*action)()) { actions[nr] = action; }

void raise_softirq(Softirq nr) {
  const u64 flags = local_irq_save();
  Cpu* cpu = this_cpu();
  cpu->softirq_pending |= 1u << nr;
  if (!in_interrupt() && ksoftirqd_task[cpu->id] != nullptr) wake_up_process(ksoftirqd_task[cpu->id]);
  local_irq_restore(flags);
}

void do_softirq() {  // interrupts are off here and on return
  Cpu* cpu = this_cpu();
  if (in_interrupt()) return;
  preempt_count_add(kSoftirqOffset);
  for (int round = 0; round < 8 && cpu->softirq_pending != 0; ++round) {
    const u32 pending = cpu->softirq_pending;
    cpu->softirq_pending = 0;
    local_irq_enable();
    for (u32 i = 0; i < NR_SOFTIRQS; ++i) {
      if ((pending & 1u << i) == 0 || actions[i] == nullptr) continue;
      ++softirq_counts[i][cpu->id];
      actions[i]();
    }
    local_irq_disable();
  }
  preempt_count_add(-kSoftirqOffset);
  if (cpu->softirq_pending != 0 && ksoftirqd_task[cpu->id] != nullptr) wake_up_process(ksoftirqd_task[cpu->id]);
}

void local_bh_disable() { preempt_count_add(kSoftirqOffset); }
void local_bh_enable() {
  preempt_count_add(-kSoftirqOffset);
  if (!in_interrupt() && this_cpu()->softirq_pending != 0) {
    const u64 flags = local_irq_save();
    do_softirq();
    local_irq_restore(flags);
  }
  if (preempt_count() == 0 && need_resched()) preempt_schedule();
}

void schedule_work(work_struct* w) {
  if (w->pending.exchange(1) != 0) return;
  {
    IrqGuard guard(work_lock);
    list_add_tail(&w->entry, &work_list);
  }
  wake_up(work_wait);
}

void tasklet_schedule(tasklet_struct* t) { schedule_tasklet(t, 1); }
void tasklet_hi_schedule(tasklet_struct* t) { schedule_tasklet(t, 0); }
void tasklet_kill(tasklet_struct* t) {
  while (t->scheduled.load() != 0 || t->running.load() != 0) sched_yield_current();
}

void softirq_init() {
  open_softirq(HI_SOFTIRQ, [] { run_tasklets(0); });
  open_softirq(TASKLET_SOFTIRQ, [] { run_tasklets(1); });
  for (u32 i = 0; i < nr_cpus; ++i) {
    char name[16];
    format(name, sizeof name, "ksoftirqd/%u", i);
    ksoftirqd_task[i] = kthread_run(ksoftirqd, reinterpret_cast<void*>(static_cast<u64>(i)), name);
  }
  for (int i = 0; i < 2; ++i) {
    char name[16];
    format(name, sizeof name, "kworker/%d", i);
    kthread_run(kworker, nullptr, name);
  }
}

}  // namespace xm::os
