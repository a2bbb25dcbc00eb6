// SPDX-License-Identifier: GPL-2.0-or-later
// Scheduling attributes: policy, priority, affinity. [man 7 sched]
#include "kernel/arch/x86_64/smp.h"
#include "kernel/mm/uaccess.h"
#include "kernel/sched/sched.h"
#include "kernel/syscall/calls.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {

// The task named by pid (0: self), referenced.
class TaskRef {
 public:
  explicit TaskRef(int pid) : task_(pid == 0 ? current : get_task_by_pid(pid)), counted_(pid != 0) {}
  ~TaskRef() {
    if (counted_ && task_ != nullptr) put_task(task_);
  }
  TaskRef(const TaskRef&) = delete;
  TaskRef& operator=(const TaskRef&) = delete;
  explicit operator bool() const { return task_ != nullptr; }
  task_struct* get() const { return task_; }
  task_struct* operator->() const { return task_; }

 private:
  task_struct* task_;
  bool counted_;
};

bool same_owner(const task_struct* t) {
  return current->cred_->euid == t->real_cred->euid || current->cred_->euid == t->real_cred->uid;
}
bool is_rt(int policy) { return policy == SCHED_FIFO || policy == SCHED_RR; }
bool known_policy(int policy) {
  return policy == SCHED_NORMAL || policy == SCHED_BATCH || policy == SCHED_IDLE || is_rt(policy);
}

long change_policy(task_struct* t, int policy, u32 priority, bool keep_reset, int nice, bool set_nice) {
  const bool reset = (policy & SCHED_RESET_ON_FORK) != 0;
  policy &= ~SCHED_RESET_ON_FORK;
  if (!known_policy(policy)) return -EINVAL;
  if (priority > 99 || is_rt(policy) != (priority != 0)) return -EINVAL;
  if (!capable(CAP_SYS_NICE)) {
    if (!same_owner(t)) return -EPERM;
    if (is_rt(policy)) {
      const u64 limit = t->signal->rlim[RLIMIT_RTPRIO].cur;
      if (policy != t->policy && limit == 0) return -EPERM;
      if (priority > t->rt_priority && priority > limit) return -EPERM;
    }
    if (t->reset_on_fork && !reset && !keep_reset) return -EPERM;
    if (set_nice && nice < prio_to_nice(t->static_prio) &&
        static_cast<u64>(20 - nice) > t->signal->rlim[RLIMIT_NICE].cur)
      return -EPERM;
  }
  if (!keep_reset) t->reset_on_fork = reset;
  if (set_nice && !is_rt(policy)) t->static_prio = nice_to_prio(clamp(nice, -20, 19));
  return set_scheduler(t, policy, priority);
}

}  // namespace

long sys_sched_yield() {
  sched_yield_current();
  return 0;
}
long sys_sched_setscheduler(int pid, int policy, const int* param) {
  if (policy < 0 || pid < 0 || param == nullptr) return -EINVAL;
  int priority;
  TRY_INT(get_user(priority, param));
  TaskRef t(pid);
  if (!t) return -ESRCH;
  if (priority < 0) return -EINVAL;
  return change_policy(t.get(), policy, static_cast<u32>(priority), false, 0, false);
}
long sys_sched_setparam(int pid, const int* param) {
  if (pid < 0 || param == nullptr) return -EINVAL;
  int priority;
  TRY_INT(get_user(priority, param));
  TaskRef t(pid);
  if (!t) return -ESRCH;
  if (priority < 0) return -EINVAL;
  return change_policy(t.get(), t->policy, static_cast<u32>(priority), true, 0, false);
}
long sys_sched_getparam(int pid, int* param) {
  if (pid < 0 || param == nullptr) return -EINVAL;
  TaskRef t(pid);
  if (!t) return -ESRCH;
  return put_user(static_cast<int>(t->rt_priority), param);
}
long sys_sched_getscheduler(int pid) {
  if (pid < 0) return -EINVAL;
  TaskRef t(pid);
  if (!t) return -ESRCH;
  return t->policy | (t->reset_on_fork ? SCHED_RESET_ON_FORK : 0);
}

namespace {
struct sched_attr {
  u32 size, policy;
  u64 flags;
  s32 nice;
  u32 priority;
  u64 runtime, deadline, period;
  u32 util_min, util_max;
};
}  // namespace

long sys_sched_setattr(int pid, u64 user, u32 flags) {
  if (user == 0 || pid < 0 || flags != 0) return -EINVAL;
  sched_attr a{};
  u32 size;
  TRY_INT(get_user_at(size, user));
  if (size == 0) size = 48;
  if (size < 48 || size > kPageSize) {
    TRY_INT(put_user_at(static_cast<u32>(sizeof a), user));
    return -E2BIG;
  }
  TRY_INT(copy_from_user(&a, reinterpret_cast<void*>(user), min<u64>(size, sizeof a)));
  if (static_cast<int>(a.policy) < 0 || (a.flags & ~0x7ful) != 0) return -EINVAL;
  TaskRef t(pid);
  if (!t) return -ESRCH;
  return change_policy(t.get(), static_cast<int>(a.policy) | ((a.flags & 1) != 0 ? SCHED_RESET_ON_FORK : 0), a.priority,
                       false, a.nice, true);
}
long sys_sched_getattr(int pid, u64 user, u32 size, u32 flags) {
  if (user == 0 || pid < 0 || flags != 0 || size < 48 || size > kPageSize) return -EINVAL;
  TaskRef t(pid);
  if (!t) return -ESRCH;
  sched_attr a{};
  a.size = min<u32>(size, sizeof a);
  a.policy = static_cast<u32>(t->policy);
  a.flags = t->reset_on_fork ? 1 : 0;
  if (is_rt(t->policy))
    a.priority = t->rt_priority;
  else
    a.nice = prio_to_nice(t->static_prio);
  a.util_max = 1024;
  return copy_to_user(reinterpret_cast<void*>(user), &a, a.size);
}

long sys_sched_get_priority_max(int policy) {
  return is_rt(policy) ? 99 : (known_policy(policy) || policy == SCHED_DEADLINE ? 0 : -EINVAL);
}
long sys_sched_get_priority_min(int policy) {
  return is_rt(policy) ? 1 : (known_policy(policy) || policy == SCHED_DEADLINE ? 0 : -EINVAL);
}
long sys_sched_rr_get_interval(int pid, timespec_abi* out) {
  if (pid < 0) return -EINVAL;
  TaskRef t(pid);
  if (!t) return -ESRCH;
  s64 ns = 4000000;
  if (t->policy == SCHED_RR) ns = 100000000;
  if (t->policy == SCHED_FIFO) ns = 0;
  return put_user(timespec_abi{0, ns}, out);
}

long sys_sched_setaffinity(int pid, u32 size, const u64* mask) {
  u64 m = 0;
  TRY_INT(copy_from_user(&m, mask, min<u64>(size, 8)));
  TaskRef t(pid);
  if (!t) return -ESRCH;
  if (!same_owner(t.get()) && !capable(CAP_SYS_NICE)) return -EPERM;
  return set_cpus_allowed(t.get(), m);
}
long sys_sched_getaffinity(int pid, u32 size, u64* mask) {
  if (size * 8 < nr_cpus || (size & 7) != 0) return -EINVAL;
  TaskRef t(pid);
  if (!t) return -ESRCH;
  const u64 m = t->cpus_allowed & cpu_online_mask();
  TRY_INT(put_user(m, mask));
  return 8;
}
long sys_getcpu(u32* cpu, u32* node, u64) {
  if (cpu != nullptr) TRY_INT(put_user(smp_processor_id(), cpu));
  return node != nullptr ? put_user(0u, node) : 0;
}

namespace {

constexpr int PRIO_PROCESS = 0, PRIO_PGRP = 1, PRIO_USER = 2;

// Visits the tasks named by (which, who); visit returns an error or 0. -ESRCH when there are none.
template <class Visit>
long for_each_named(int which, int who, Visit visit) {
  if (which < PRIO_PROCESS || which > PRIO_USER) return -EINVAL;
  long result = -ESRCH;
  const auto merge = [&](long r) {
    if (result == -ESRCH || (result == 0 && r != 0)) result = r;
  };
  IrqGuard guard(tasklist_lock);
  if (which == PRIO_PROCESS) {
    task_struct* t = who == 0 ? current : find_task(who);
    return t == nullptr ? -ESRCH : visit(t);
  }
  for (task_struct* leader : entries<&task_struct::tasks>(all_processes)) {
    if (which == PRIO_PGRP && leader->signal->pgrp != (who == 0 ? current->signal->pgrp : who)) continue;
    if (which == PRIO_USER && leader->real_cred->uid != (who == 0 ? current->cred_->uid : static_cast<u32>(who)))
      continue;
    for (task_struct* t : entries<&task_struct::thread_node>(leader->signal->thread_head)) merge(visit(t));
  }
  return result;
}

}  // namespace

long sys_getpriority(int which, int who) {
  long best = -1;
  const long r = for_each_named(which, who, [&](const task_struct* t) -> long {
    best = max<long>(best, 20 - prio_to_nice(t->static_prio));
    return 0;
  });
  return r != 0 ? r : best;
}
long sys_setpriority(int which, int who, int nice) {
  nice = clamp(nice, -20, 19);
  return for_each_named(which, who, [&](task_struct* t) -> long {
    if (!same_owner(t) && !capable(CAP_SYS_NICE)) return -EPERM;
    const bool allowed = nice >= prio_to_nice(t->static_prio) ||
                         static_cast<u64>(20 - nice) <= t->signal->rlim[RLIMIT_NICE].cur || capable(CAP_SYS_NICE);
    if (!allowed) return -EACCES;
    set_user_nice(t, nice);
    return 0;
  });
}

long sys_ioprio_get(int which, int who) {
  long best = -ESRCH;
  const long r = for_each_named(which - 1, who, [&](const task_struct* t) -> long {
    best = t->ioprio;
    return 0;
  });
  return r != 0 ? r : best;
}
long sys_ioprio_set(int which, int who, int prio) {
  const int io_class = prio >> 13, data = prio & 0x1fff;
  if (io_class > 3 || data > 7 || (io_class == 0 && data != 0)) return -EINVAL;
  if (io_class == 1 && !capable(CAP_SYS_ADMIN)) return -EPERM;
  return for_each_named(which - 1, who, [&](task_struct* t) -> long {
    if (!same_owner(t) && !capable(CAP_SYS_NICE)) return -EPERM;
    t->ioprio = prio;
    return 0;
  });
}

}  // namespace xm::os
