// SPDX-License-Identifier: GPL-2.0-or-later
// Ticket spinlocks. Holding one disables preemption; irq variants also disable interrupts of this CPU. In a debug build
// every lock has a rank (docs/guest-os.md, "Lock order") and taking one below a rank already held panics. Host unit
// tests get locks that only count.
#pragma once

#include "kernel/lib/atomic.h"
#if !__STDC_HOSTED__
#include "kernel/arch/x86_64/percpu.h"
#endif

namespace xm::os {

// Lock order, outermost first. A lock may be taken while locks of strictly lower rank (or of rank None) are held.
enum class LockRank : u8 {
  None,
  Tty,
  Wait1,
  Tasklist,
  Sighand,
  Files,
  Inode,
  Dcache,
  Mapping,
  Socket,
  BindHash,  // owners of local ports
  SockHash,  // the protocols' tables of sockets
  InetPeer,  // fragments, routes' exceptions, multicast lists
  NetDevice,
  Neighbour,
  Qdisc,
  Xmit,
  SkbQueue,  // taps queue what is being sent
  PageTable,
  Futex,
  WaitQueue,
  RunQueue,
  SoftTimer,
  TimerItem,  // one protocol timer
  Timer,
  Slab,
  Zone,
  Console
};

struct spinlock_t {
  constexpr explicit spinlock_t(LockRank r = LockRank::None) : rank(r) {}
  spinlock_t(const spinlock_t&) = delete;
  spinlock_t& operator=(const spinlock_t&) = delete;
  u16 next = 0;
  u16 owner = 0;
  LockRank rank;
};

#if __STDC_HOSTED__
inline void preempt_disable() {}
inline void preempt_enable() {}
inline u64 local_irq_save() { return 0; }
inline void local_irq_restore(u64) {}
inline void cpu_relax() {}
#endif

#ifdef XM_DEBUG_LOCKS
void lock_order_acquired(spinlock_t* lock);
void lock_order_released(spinlock_t* lock);
#else
inline void lock_order_acquired(spinlock_t*) {}
inline void lock_order_released(spinlock_t*) {}
#endif

inline void raw_spin_lock(spinlock_t& lock) {
  const u16 ticket = __atomic_fetch_add(&lock.next, 1, __ATOMIC_ACQUIRE);
  while (unlikely(__atomic_load_n(&lock.owner, __ATOMIC_ACQUIRE) != ticket)) cpu_relax();
  lock_order_acquired(&lock);
}
inline void raw_spin_unlock(spinlock_t& lock) {
  lock_order_released(&lock);
  __atomic_store_n(&lock.owner, static_cast<u16>(lock.owner + 1), __ATOMIC_RELEASE);
}
inline bool raw_spin_trylock(spinlock_t& lock) {
  u16 owner = __atomic_load_n(&lock.owner, __ATOMIC_ACQUIRE);
  u16 expected = owner;
  if (!__atomic_compare_exchange_n(&lock.next, &expected, static_cast<u16>(owner + 1), false, __ATOMIC_ACQUIRE,
                                   __ATOMIC_RELAXED))
    return false;
  lock_order_acquired(&lock);
  return true;
}
inline bool spin_is_locked(const spinlock_t& lock) { return read_once(lock.next) != read_once(lock.owner); }

inline void spin_lock(spinlock_t& lock) {
  preempt_disable();
  raw_spin_lock(lock);
}
inline void spin_unlock(spinlock_t& lock) {
  raw_spin_unlock(lock);
  preempt_enable();
}
inline u64 spin_lock_irqsave(spinlock_t& lock) {
  const u64 flags = local_irq_save();
  preempt_disable();
  raw_spin_lock(lock);
  return flags;
}
inline void spin_unlock_irqrestore(spinlock_t& lock, u64 flags) {
  raw_spin_unlock(lock);
  local_irq_restore(flags);
  preempt_enable();
}

class [[nodiscard]] SpinGuard {
 public:
  explicit SpinGuard(spinlock_t& lock) : lock_(lock) { spin_lock(lock_); }
  ~SpinGuard() { spin_unlock(lock_); }
  SpinGuard(const SpinGuard&) = delete;
  SpinGuard& operator=(const SpinGuard&) = delete;

 private:
  spinlock_t& lock_;
};
class [[nodiscard]] IrqGuard {
 public:
  explicit IrqGuard(spinlock_t& lock) : lock_(lock), flags_(spin_lock_irqsave(lock_)) {}
  ~IrqGuard() { spin_unlock_irqrestore(lock_, flags_); }
  IrqGuard(const IrqGuard&) = delete;
  IrqGuard& operator=(const IrqGuard&) = delete;

 private:
  spinlock_t& lock_;
  u64 flags_;
};

}  // namespace xm::os
