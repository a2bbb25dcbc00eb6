// SPDX-License-Identifier: GPL-2.0-or-later
// Kernel threads. kthreadd (task 2) makes them, so that all are its children; kthread_run asks it and waits.
#include "kernel/init/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/slab.h"
#include "kernel/sched/sched.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {

struct Request {
  list_head link;
  int (*fn)(void*);
  void* argument;
  char name[16];
  task_struct* result;
  completion done;
};
constinit list_head requests{};
constinit spinlock_t requests_lock{LockRank::WaitQueue};
constinit wait_queue_head kthreadd_wait{};

int kthread_main(void* p) {
  Request* r = static_cast<Request*>(p);
  copy_string(current->comm, r->name, sizeof current->comm);
  current->blocked = ~0ul;
  r->result = current;
  int (*const fn)(void*) = r->fn;
  void* const argument = r->argument;
  complete(r->done);
  do_exit(fn(argument));
}

Request* take() {
  IrqGuard guard(requests_lock);
  Request* r = list_first<&Request::link>(&requests);
  if (r != nullptr) list_del(&r->link);
  return r;
}

}  // namespace

pid_t kernel_thread(int (*fn)(void*), void* argument, u64 flags) {
  CloneRequest r;
  r.flags = flags;
  r.thread_fn = fn;
  r.thread_arg = argument;
  return static_cast<pid_t>(do_clone(r));
}

int kthreadd(void*) {
  copy_string(current->comm, "kthreadd", sizeof current->comm);
  current->blocked = ~0ul;
  for (;;) {
    wait_event_state(kthreadd_wait, TASK_UNINTERRUPTIBLE, [] { return !requests.empty(); });
    while (Request* r = take()) {
      if (kernel_thread(kthread_main, r, 0) < 0) complete(r->done);
    }
  }
}

task_struct* kthread_run(int (*fn)(void*), void* argument, const char* name) {
  Request r{};
  r.fn = fn;
  r.argument = argument;
  copy_string(r.name, name, sizeof r.name);
  {
    IrqGuard guard(requests_lock);
    list_add_tail(&r.link, &requests);
  }
  wake_up(kthreadd_wait);
  wait_for_completion(r.done);
  return r.result;
}

}  // namespace xm::os
