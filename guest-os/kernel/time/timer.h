// SPDX-License-Identifier: GPL-2.0-or-later
// High-resolution timers: each processor keeps a red-black tree of them and programs its one-shot clock event for the
// first. The scheduler tick is one of them and stops while the processor idles. Handlers run in interrupt context.
#pragma once

#include "kernel/lib/rbtree.h"
#include "kernel/lib/types.h"

namespace xm::os {

struct hrtimer {
  rb_node node;
  u64 expires = 0;                      // CLOCK_MONOTONIC, ns
  u64 (*function)(hrtimer*) = nullptr;  // returns the next expiry, or 0 to stop
  u32 cpu = 0;
  bool queued = false;
  bool running = false;
};

void hrtimer_start(hrtimer* t, u64 expires);  // on this processor; restarts a queued one
bool hrtimer_cancel(hrtimer* t);              // true if it was queued; waits for a running handler on another processor
u64 hrtimer_remaining(const hrtimer* t);

void time_init();  // calibrates TSC and LAPIC timer, reads the RTC
void timer_init_cpu();
void timer_interrupt();
void tick_stop_idle();  // entering and leaving idle
void tick_restart();
u64 tsc_khz();

// Sleeps of the current task; false: a signal came first. `expires` is monotonic ns. The state is set by the caller.
bool schedule_hrtimeout(u64 expires);

}  // namespace xm::os
