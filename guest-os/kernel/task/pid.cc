// SPDX-License-Identifier: GPL-2.0-or-later
// Process numbers and the hashes by pid, process group and session. tasklist_lock protects all of it and is taken with
// interrupts off, because terminals send signals from interrupt handlers.
#include "kernel/task/pid.h"

#include "kernel/mm/slab.h"
#include "kernel/task/task_struct.h"

namespace xm::os {

constinit spinlock_t tasklist_lock{LockRank::Tasklist};
constinit list_head all_processes{};
constinit Atomic<s32> nr_threads{0};
constinit Atomic<u64> total_forks{0};
constinit pid_t pid_max = 32768;
constinit pid_t last_pid = 0;

namespace {

constexpr u32 kBuckets = 1024;
constinit list_head by_pid[kBuckets]{};
constinit list_head by_pgrp[kBuckets]{};
constinit list_head by_session[kBuckets]{};
u32 slot(pid_t n) { return static_cast<u32>(n) % kBuckets; }

bool number_in_use(pid_t n) {
  if (find_task(n) != nullptr) return true;
  for (task_struct* t : entries<&task_struct::pgrp_link>(by_pgrp[slot(n)])) {
    if (t->signal->pgrp == n) return true;
  }
  for (task_struct* t : entries<&task_struct::session_link>(by_session[slot(n)])) {
    if (t->signal->session == n) return true;
  }
  return false;
}

}  // namespace

pid_t alloc_pid() {  // tasklist_lock is held
  for (pid_t tries = 0; tries < pid_max; ++tries) {
    last_pid = last_pid + 1 >= pid_max ? 300 : last_pid + 1;
    if (!number_in_use(last_pid)) return last_pid;
  }
  return -EAGAIN;
}

bool pid_free(pid_t n) { return n > 0 && n < pid_max && !number_in_use(n); }

void attach_pid(task_struct* t) {
  list_add(&t->pid_link, &by_pid[slot(t->pid)]);
  if (!thread_group_leader(t)) return;
  list_add_tail(&t->tasks, &all_processes);
  list_add_tail(&t->pgrp_link, &by_pgrp[slot(t->signal->pgrp)]);
  list_add_tail(&t->session_link, &by_session[slot(t->signal->session)]);
}

void detach_pid(task_struct* t) {
  list_del(&t->pid_link);
  if (!t->tasks.empty()) list_del(&t->tasks);
  if (!t->pgrp_link.empty()) list_del(&t->pgrp_link);
  if (!t->session_link.empty()) list_del(&t->session_link);
}

void change_pgrp(task_struct* leader, pid_t pgrp) {
  list_del(&leader->pgrp_link);
  leader->signal->pgrp = pgrp;
  list_add_tail(&leader->pgrp_link, &by_pgrp[slot(pgrp)]);
}
void change_session(task_struct* leader, pid_t session) {
  list_del(&leader->session_link);
  leader->signal->session = session;
  list_add_tail(&leader->session_link, &by_session[slot(session)]);
}

task_struct* find_task(pid_t pid) {
  if (pid <= 0) return nullptr;
  for (task_struct* t : entries<&task_struct::pid_link>(by_pid[slot(pid)])) {
    if (t->pid == pid) return t;
  }
  return nullptr;
}

task_struct* get_task_by_pid(pid_t pid) {
  IrqGuard guard(tasklist_lock);
  task_struct* t = find_task(pid);
  if (t != nullptr) get_task(t);
  return t;
}

bool for_each_in_pgrp(pid_t pgrp, bool (*visit)(task_struct*, void*), void* argument) {
  for (task_struct* t : entries<&task_struct::pgrp_link>(by_pgrp[slot(pgrp)])) {
    if (t->signal->pgrp == pgrp && visit(t, argument)) return true;
  }
  return false;
}
bool for_each_in_session(pid_t session, bool (*visit)(task_struct*, void*), void* argument) {
  for (task_struct* t : entries<&task_struct::session_link>(by_session[slot(session)])) {
    if (t->signal->session == session && visit(t, argument)) return true;
  }
  return false;
}

}  // namespace xm::os
