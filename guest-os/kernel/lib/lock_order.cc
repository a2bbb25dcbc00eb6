// SPDX-License-Identifier: GPL-2.0-or-later
// Debug builds: each processor keeps the locks it holds; taking one whose rank is not above the highest held one is a
// bug and panics.
#include "kernel/init/printk.h"
#include "kernel/lib/spinlock.h"

#ifdef XM_DEBUG_LOCKS
namespace xm::os {

void lock_order_acquired(spinlock_t* lock) {
  if (panic_in_progress) return;
  const u64 flags = local_irq_save();
  Cpu* cpu = this_cpu();
  for (int i = cpu->lock_base; i < cpu->locks_held && lock->rank != LockRank::None; ++i) {
    const spinlock_t* held = static_cast<spinlock_t*>(cpu->held_locks[i]);
    if (held->rank > lock->rank)
      panic("lock order: rank %d taken while rank %d is held", static_cast<int>(lock->rank),
            static_cast<int>(held->rank));
  }
  if (cpu->locks_held < 16) cpu->held_locks[cpu->locks_held++] = lock;
  local_irq_restore(flags);
}

void lock_order_released(spinlock_t* lock) {
  const u64 flags = local_irq_save();
  Cpu* cpu = this_cpu();
  for (int i = cpu->locks_held; i-- > 0;) {
    if (cpu->held_locks[i] != lock) continue;
    for (int k = i; k + 1 < cpu->locks_held; ++k) cpu->held_locks[k] = cpu->held_locks[k + 1];
    --cpu->locks_held;
    break;
  }
  local_irq_restore(flags);
}

}  // namespace xm::os
#endif
