// SPDX-License-Identifier: GPL-2.0-or-later
// Getting memory back: page cache, dentries, inodes, then the OOM killer, which ends the process with the most pages
// (oom_score_adj counts). GAP: no LRU of anonymous pages and no swap yet.
#include "kernel/mm/reclaim.h"

#include "kernel/fs/fs.h"
#include "kernel/init/printk.h"
#include "kernel/sched/sched.h"
#include "kernel/signal/signal.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {
constinit shrinker* shrinkers = nullptr;
constinit mutex reclaim_mutex{};
}  // namespace

void register_shrinker(shrinker* s) {
  s->next = shrinkers;
  shrinkers = s;
}

bool try_to_free_pages(gfp_t gfp, u32 order) {
  if (current == nullptr || (current->flags & PF_EXITING) != 0 || preempt_count() != 0) return false;
  if (!mutex_trylock(reclaim_mutex)) {
    if (!wait_for_writeback()) sched_yield_current();
    return true;
  }
  const u64 wanted = 64ul << order;
  u64 freed = shrink_page_cache(wanted);
  if (freed < wanted) wake_flusher();
  if (freed < wanted && (gfp & GFP_NOFS) == 0) {
    freed += shrink_dcache(wanted);
    freed += shrink_icache(wanted);
    freed += shrink_page_cache(wanted);
  }
  for (shrinker* s = shrinkers; s != nullptr && freed < wanted; s = s->next) freed += s->scan(wanted);
  mutex_unlock(reclaim_mutex);
  // What is dirty now is clean soon.
  return freed > 0 || wait_for_writeback();
}

void out_of_memory() {
  task_struct* victim = nullptr;
  s64 worst = 0;
  {
    IrqGuard guard(tasklist_lock);
    for (task_struct* t : entries<&task_struct::tasks>(all_processes)) {
      if (t->mm == nullptr || t->pid == 1 || t->signal->oom_score_adj == -1000) continue;
      if (test_tif(t, TIF_MEMDIE) && t->exit_state == 0) return;  // one is dying already: let it
      const s64 points = mm_rss(t->mm) + t->signal->oom_score_adj * static_cast<s64>(total_ram_pages()) / 1000;
      if (points > worst) {
        worst = points;
        victim = t;
      }
    }
    if (victim != nullptr) {
      set_tif(victim, TIF_MEMDIE);
      get_task(victim);
    }
  }
  if (victim == nullptr) return;
  printk(KERN_ERR "Out of memory: Killed process %d (%s) rss:%ldkB\n", victim->pid, victim->comm, worst * 4);
  count_vm(OOM_KILL);
  send_sig(SIGKILL, victim);
  put_task(victim);
  for (int i = 0; i < 10; ++i) sched_yield_current();
}

}  // namespace xm::os
