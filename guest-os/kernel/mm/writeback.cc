// SPDX-License-Identifier: GPL-2.0-or-later
// Write-back of dirty pages and inodes by a thread: what has been dirty for 30 seconds goes to the disk, and when more
// than a tenth of memory is dirty, the oldest inodes go until it is not. Above a fifth, writers write themselves.
// [Linux Documentation/admin-guide/sysctl/vm: dirty_*]
#include "kernel/fs/fs.h"
#include "kernel/fs/proc/proc.h"
#include "kernel/init/initcall.h"
#include "kernel/mm/gfp.h"
#include "kernel/mm/mm.h"
#include "kernel/mm/reclaim.h"
#include "kernel/sched/clock.h"
#include "kernel/sched/sched.h"
#include "kernel/task/task_struct.h"

namespace xm::os {

// Percent of memory; files of /proc/sys/vm.
constinit s64 dirty_background_ratio = 10, dirty_ratio = 20;

namespace {

constinit s64 dirty_writeback_centisecs = 500, dirty_expire_centisecs = 3000;
constinit proc_number writeback_row{&dirty_writeback_centisecs, 0, 1000000};
constinit proc_number expire_row{&dirty_expire_centisecs, 0, 1000000};
constexpr u64 kCentisecond = kNsPerSec / 100;
constexpr u64 kInodesAtOnce = 64;
constexpr u64 kPauseNs = kNsPerSec / 200;
constexpr u32 kMostPauses = 40;  // a writer is held back for 200 ms at most each time

constinit wait_queue_head flusher_wait{};
constinit Atomic<u32> flush_wanted{0};

// Dirty, or on their way to the disk: neither can be taken for something else.
u64 dirty_pages() {
  const s64 n = vm_stat[NR_FILE_DIRTY].load() + vm_stat[NR_WRITEBACK].load();
  return n > 0 ? static_cast<u64>(n) : 0;
}
bool above(s64 percent) { return dirty_pages() > total_ram_pages() * static_cast<u64>(percent) / 100; }

// Calls f for every mounted file system that can be written.
template <class Function>
void for_each_super(Function f) {
  for (super_block* sb : entries<&super_block::s_list>(super_blocks)) {
    if ((sb->s_flags & MS_RDONLY) != 0 || sb->s_dirty.empty() || !sb->s_active.inc_not_zero()) continue;
    f(sb);
    deactivate_super(sb);
  }
}

int flusher(void*) {
  for (;;) {
    const u64 interval = dirty_writeback_centisecs == 0 ? 500 : static_cast<u64>(dirty_writeback_centisecs);
    wait_event_state(
        flusher_wait, TASK_INTERRUPTIBLE, [] { return flush_wanted.load() != 0; },
        ktime_get() + interval * kCentisecond);
    const bool pressed = flush_wanted.load() != 0;
    flush_wanted.store(0);
    const u64 now = ktime_get(), age = static_cast<u64>(dirty_expire_centisecs) * kCentisecond;
    const u64 expired = now > age ? now - age : 0;
    for_each_super([&](super_block* sb) {
      while (write_old_inodes(sb, expired, kInodesAtOnce) != 0) cond_resched();
    });
    // Once when memory is short, and as long as too much is dirty and something can be done.
    for (bool again = pressed || above(dirty_background_ratio); again;) {
      again = false;
      for_each_super([&](super_block* sb) { again = write_old_inodes(sb, now, kInodesAtOnce) != 0 || again; });
      again = again && above(dirty_background_ratio);
    }
  }
}

void writeback_init() {
  proc_create_number("sys/vm/dirty_writeback_centisecs", 0644, &writeback_row);
  proc_create_number("sys/vm/dirty_expire_centisecs", 0644, &expire_row);
  kthread_run(flusher, nullptr, "kworker/flush");
}
LATE_INITCALL(writeback_init);

}  // namespace

void wake_flusher() {
  flush_wanted.store(1);
  wake_up(flusher_wait);
}

void balance_dirty_pages(address_space* m) {
  if (!m->a_ops->writes_back()) return;
  if (above(dirty_background_ratio)) wake_flusher();
  if (!above(dirty_ratio)) return;
  write_dirty_pages(m, 1024);
  for (u32 i = 0; i < kMostPauses && above(dirty_ratio) && wait_for_writeback(); ++i) {
  }
}

bool wait_for_writeback() {
  if (dirty_pages() == 0) return false;
  wake_flusher();
  static constinit wait_queue_head pause{};
  wait_event_state(
      pause, TASK_UNINTERRUPTIBLE, [] { return false; }, ktime_get() + kPauseNs);
  return true;
}

}  // namespace xm::os
