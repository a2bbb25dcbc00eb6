// SPDX-License-Identifier: GPL-2.0-or-later
// What a task carries for its scheduling class.
#pragma once

#include "kernel/lib/list.h"
#include "kernel/lib/rbtree.h"

namespace xm::os {

struct sched_class;

struct sched_entity {
  u64 weight = 1024;
  rb_node run_node;
  bool on_tree = false;
  u64 exec_start = 0;
  u64 sum_exec_runtime = 0;
  u64 vruntime = 0;
  u64 slice_start = 0;  // sum_exec_runtime when last picked
  u64 nr_migrations = 0;
};
struct sched_rt_entity {
  list_head run_list;
  u64 time_slice = 0;  // ns left, SCHED_RR
};

}  // namespace xm::os
