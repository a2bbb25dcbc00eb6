// SPDX-License-Identifier: GPL-2.0-or-later
// Clocks of the PC: the TSC as clock source (tsc.cc finds its rate), the LAPIC timer for events, wall time from the
// CMOS clock. Without a LAPIC, PIT channel 0 in one-shot mode gives the events. GAP: HPET and PM timer are not used as
// clock sources; a TSC that stops or changes its rate is not noticed.
#include "kernel/arch/x86_64/cpu.h"
#include "kernel/arch/x86_64/irq.h"
#include "kernel/arch/x86_64/tsc.h"
#include "kernel/init/printk.h"
#include "kernel/lib/spinlock.h"
#include "kernel/sched/clock.h"
#include "kernel/sched/sched.h"
#include "kernel/time/rtc_time.h"
#include "kernel/time/timer.h"

namespace xm::os {
namespace {

constexpr u64 kPitHz = 1193182;
constinit u64 tsc_khz_value = 0;
constinit u64 tsc_start = 0;
constinit u64 tsc_to_ns_mult = 0;  // ns = ticks * mult >> 32
constinit u64 lapic_khz = 0;       // timer ticks (after the divider) per ms
constinit u64 real_offset = 0;     // CLOCK_REALTIME - CLOCK_MONOTONIC
constinit Atomic<u64> real_changes{0};

struct CpuTimers {
  spinlock_t lock{LockRank::Timer};
  rb_root tree;
  hrtimer tick;
  u64 programmed = 0;
  bool tick_on = false;
};
constinit CpuTimers timers[kMaxCpus]{};

u8 cmos(u8 reg) {
  outb(0x70, reg);
  return inb(0x71);
}
u64 from_bcd(u64 v, bool binary) { return binary ? v : (v >> 4) * 10 + (v & 15); }

void program_event(u64 now, u64 expires) {
  const u64 delta = expires > now ? expires - now : 1;
  if (lapic_present()) {
    lapic_timer_program(min<u64>(delta, 4 * kNsPerSec) * lapic_khz / 1000000 + 1);
    return;
  }
  const u64 count = clamp<u64>(min<u64>(delta, 50000000) * kPitHz / kNsPerSec, 2, 65535);
  outb(0x43, 0x30);  // channel 0, mode 0
  outb(0x40, static_cast<u8>(count));
  outb(0x40, static_cast<u8>(count >> 8));
}

void reprogram_locked(CpuTimers& t, u64 now) {
  rb_node* first = t.tree.leftmost;
  if (first == nullptr) return;
  const u64 expires = container_of(first, hrtimer, node)->expires;
  if (t.programmed != 0 && t.programmed <= expires && t.programmed > now) return;
  t.programmed = expires;
  program_event(now, expires);
}

void enqueue_locked(CpuTimers& t, hrtimer* timer) {
  timer->queued = true;
  rb_insert(t.tree, &timer->node, [](rb_node* a, rb_node* b) {
    return container_of(a, hrtimer, node)->expires < container_of(b, hrtimer, node)->expires;
  });
}

u64 tick_handler(hrtimer* timer) {
  scheduler_tick();
  const u64 now = ktime_get();
  u64 next = timer->expires + kTickNs;
  if (next <= now) next = now + kTickNs;
  return next;
}

IrqReturn pit_handler(u32, void*) {
  timer_interrupt();
  return IrqReturn::Handled;
}

}  // namespace

u64 read_persistent_clock() {
  for (int i = 0; i < 10000 && (cmos(0x0a) & 0x80) != 0; ++i) cpu_relax();
  u8 raw[6];
  const u8 regs[6] = {0, 2, 4, 7, 8, 9};
  for (int i = 0; i < 6; ++i) raw[i] = cmos(regs[i]);
  const u8 status = cmos(0x0b);
  const bool binary = (status & 4) != 0;
  u64 hour = from_bcd(raw[2] & 0x7f, binary);
  if ((status & 2) == 0) hour = hour % 12 + ((raw[2] & 0x80) != 0 ? 12 : 0);
  const u64 year = from_bcd(raw[5], binary);
  const u64 days = days_from_civil(static_cast<s64>(year + (year < 70 ? 2000 : 1900)), from_bcd(raw[4], binary),
                                   from_bcd(raw[3], binary));
  return ((days * 24 + hour) * 60 + from_bcd(raw[1], binary)) * 60 + from_bcd(raw[0], binary);
}

u64 tsc_khz() { return tsc_khz_value; }
u64 local_clock() {
  if (tsc_to_ns_mult == 0) return 0;
  return static_cast<u64>((static_cast<unsigned __int128>(rdtsc() - tsc_start) * tsc_to_ns_mult) >> 32);
}
u64 ktime_get() { return local_clock(); }
u64 ktime_get_real() { return local_clock() + read_once(real_offset); }
void set_real_time(u64 ns) {
  write_once(real_offset, ns - local_clock());
  real_changes.inc();
}
u64 real_time_changes() { return real_changes.load(); }

void ndelay(u64 ns) {
  if (tsc_khz_value == 0) return;
  const u64 until = rdtsc() + ns * tsc_khz_value / 1000000;
  while (rdtsc() < until) cpu_relax();
}
void udelay(u64 us) { ndelay(us * 1000); }

void time_init() {
  const ClockRates rates = calibrate_clocks();
  tsc_khz_value = rates.tsc_khz;
  lapic_khz = rates.lapic_khz;
  tsc_to_ns_mult = (1000000ul << 32) / tsc_khz_value;
  tsc_start = rdtsc();
  set_real_time(read_persistent_clock() * kNsPerSec);
  printk(KERN_INFO "tsc: %lu.%03lu MHz processor, LAPIC timer %lu kHz\n", tsc_khz_value / 1000, tsc_khz_value % 1000,
         lapic_khz);
  if (!lapic_present()) request_irq(0, pit_handler, 0, "timer", nullptr);
  timer_init_cpu();
}

void timer_init_cpu() {
  CpuTimers& t = timers[smp_processor_id()];
  t.tick.function = tick_handler;
  t.tick_on = false;
  tick_restart();
}

void tick_restart() {
  CpuTimers& t = timers[smp_processor_id()];
  if (t.tick_on) return;
  t.tick_on = true;
  hrtimer_start(&t.tick, ktime_get() + kTickNs);
}

void tick_stop_idle() {
  CpuTimers& t = timers[smp_processor_id()];
  if (!t.tick_on) return;
  t.tick_on = false;
  hrtimer_cancel(&t.tick);
}

void hrtimer_start(hrtimer* timer, u64 expires) {
  hrtimer_cancel(timer);
  const u64 flags = local_irq_save();
  CpuTimers& t = timers[smp_processor_id()];
  raw_spin_lock(t.lock);
  timer->cpu = smp_processor_id();
  timer->expires = expires;
  enqueue_locked(t, timer);
  if (t.tree.leftmost == &timer->node) reprogram_locked(t, ktime_get());
  raw_spin_unlock(t.lock);
  local_irq_restore(flags);
}

bool hrtimer_cancel(hrtimer* timer) {
  for (;;) {
    const u64 flags = local_irq_save();
    CpuTimers& t = timers[timer->cpu];
    raw_spin_lock(t.lock);
    const bool busy = timer->running && timer->cpu != smp_processor_id();
    const bool queued = timer->queued;
    if (queued) {
      rb_erase(t.tree, &timer->node);
      timer->queued = false;
    }
    raw_spin_unlock(t.lock);
    local_irq_restore(flags);
    if (!busy) return queued;
    cpu_relax();
  }
}

u64 hrtimer_remaining(const hrtimer* timer) {
  const u64 now = ktime_get();
  return timer->queued && timer->expires > now ? timer->expires - now : 0;
}

void timer_interrupt() {
  Cpu* cpu = this_cpu();
  ++cpu->timer_ticks;
  CpuTimers& t = timers[cpu->id];
  raw_spin_lock(t.lock);
  t.programmed = 0;
  for (;;) {
    rb_node* first = t.tree.leftmost;
    if (first == nullptr) break;
    hrtimer* timer = container_of(first, hrtimer, node);
    if (timer->expires > ktime_get()) break;
    rb_erase(t.tree, first);
    timer->queued = false;
    timer->running = true;
    raw_spin_unlock(t.lock);
    const u64 next = timer->function(timer);
    raw_spin_lock(t.lock);
    timer->running = false;
    if (next != 0 && !timer->queued) {
      timer->expires = next;
      enqueue_locked(t, timer);
    }
  }
  reprogram_locked(t, ktime_get());
  raw_spin_unlock(t.lock);
}

}  // namespace xm::os
