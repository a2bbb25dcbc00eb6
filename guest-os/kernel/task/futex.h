// SPDX-License-Identifier: GPL-2.0-or-later
// Fast user-space mutexes, [man 2 futex].
#pragma once

#include "kernel/lib/types.h"

namespace xm::os {

struct task_struct;
constexpr int FUTEX_WAIT = 0, FUTEX_WAKE = 1, FUTEX_REQUEUE = 3, FUTEX_CMP_REQUEUE = 4, FUTEX_WAKE_OP = 5,
              FUTEX_LOCK_PI = 6, FUTEX_UNLOCK_PI = 7, FUTEX_TRYLOCK_PI = 8, FUTEX_WAIT_BITSET = 9,
              FUTEX_WAKE_BITSET = 10, FUTEX_PRIVATE_FLAG = 128, FUTEX_CLOCK_REALTIME = 256,
              FUTEX_CMD_MASK = ~(128 | 256);
constexpr u32 FUTEX_WAITERS = 0x80000000, FUTEX_OWNER_DIED = 0x40000000, FUTEX_TID_MASK = 0x3fffffff;

// expires: absolute monotonic ns, 0: none.
long do_futex(u64 address, int op, u32 value, u64 expires, u64 address2, u32 value2, u32 value3);
int futex_wake_address(u64 address, int count);
void exit_robust_list(task_struct* t);

}  // namespace xm::os
