// SPDX-License-Identifier: GPL-2.0-or-later
// The parameters of the clock discipline: adjtimex and clock_adjtime. [man 2 adjtimex]
// DEVIATION: frequency, tick and offset are kept and reported but do not steer the clock: it follows the host's, which
// is disciplined already. ADJ_SETOFFSET does step it.
#include "kernel/mm/uaccess.h"
#include "kernel/sched/clock.h"
#include "kernel/sched/mutex.h"
#include "kernel/syscall/calls.h"
#include "kernel/syscall/convert.h"
#include "kernel/task/cred.h"

namespace xm::os {
namespace {

constexpr u32 ADJ_OFFSET = 1, ADJ_FREQUENCY = 2, ADJ_MAXERROR = 4, ADJ_ESTERROR = 8, ADJ_STATUS = 0x10,
              ADJ_TIMECONST = 0x20, ADJ_TAI = 0x80, ADJ_SETOFFSET = 0x100, ADJ_MICRO = 0x1000, ADJ_NANO = 0x2000,
              ADJ_TICK = 0x4000, ADJ_ADJTIME = 0x8000;
constexpr int STA_UNSYNC = 0x40, STA_CLOCKERR = 0x1000, STA_NANO = 0x2000, STA_RONLY = 0xff00;
constexpr int TIME_OK = 0, TIME_ERROR = 5;
constexpr s64 kMaxFrequency = 500l << 16;
constexpr s64 kMaxPhase = 500000000;  // ns

struct timex {
  u32 modes, pad0;
  s64 offset, freq, maxerror, esterror;
  int status, pad1;
  s64 constant, precision, tolerance, tv_sec, tv_usec, tick, ppsfreq, jitter;
  int shift, pad2;
  s64 stabil, jitcnt, calcnt, errcnt, stbcnt;
  int tai, pad3[11];
};
static_assert(sizeof(timex) == 208);

constinit mutex ntp_lock{};
constinit struct {
  s64 offset = 0, freq = 0, maxerror = 16000000, esterror = 16000000, constant = 2, tick = 10000, adjust = 0;
  int status = STA_UNSYNC, tai = 0;
} ntp;

int validate(const timex& t) {
  if ((t.modes & ADJ_ADJTIME) != 0) {
    if ((t.modes & ADJ_OFFSET) == 0) return -EINVAL;
    if ((t.modes & ADJ_NANO) == 0 && !capable(CAP_SYS_TIME)) return -EPERM;  // NANO means: only read here
  } else {
    if (t.modes != 0 && !capable(CAP_SYS_TIME)) return -EPERM;
    if ((t.modes & ADJ_TICK) != 0 && (t.tick < 9000 || t.tick > 11000)) return -EINVAL;
  }
  if ((t.modes & ADJ_SETOFFSET) != 0) {
    if (!capable(CAP_SYS_TIME)) return -EPERM;
    const s64 limit = (t.modes & ADJ_NANO) != 0 ? 1000000000 : 1000000;
    if (t.tv_usec < 0 || t.tv_usec >= limit) return -EINVAL;
  }
  return 0;
}

void apply(const timex& t) {
  if ((t.modes & ADJ_STATUS) != 0) ntp.status = (ntp.status & STA_RONLY) | (t.status & ~STA_RONLY);
  if ((t.modes & ADJ_NANO) != 0) ntp.status |= STA_NANO;
  if ((t.modes & ADJ_MICRO) != 0) ntp.status &= ~STA_NANO;
  if ((t.modes & ADJ_FREQUENCY) != 0) ntp.freq = clamp(t.freq, -kMaxFrequency, kMaxFrequency);
  if ((t.modes & ADJ_MAXERROR) != 0) ntp.maxerror = clamp<s64>(t.maxerror, 0, 16000000);
  if ((t.modes & ADJ_ESTERROR) != 0) ntp.esterror = clamp<s64>(t.esterror, 0, 16000000);
  if ((t.modes & ADJ_TIMECONST) != 0)
    ntp.constant = clamp<s64>(t.constant + ((ntp.status & STA_NANO) == 0 ? 4 : 0), 0, 10);
  if ((t.modes & ADJ_TAI) != 0 && t.constant >= 0) ntp.tai = static_cast<int>(t.constant);
  if ((t.modes & ADJ_OFFSET) != 0) {
    const s64 ns = (ntp.status & STA_NANO) != 0 ? t.offset : clamp<s64>(t.offset, -1000000, 1000000) * 1000;
    ntp.offset = clamp(ns, -kMaxPhase, kMaxPhase);
  }
  if ((t.modes & ADJ_TICK) != 0) ntp.tick = t.tick;
}

void fill(timex& t) {
  const bool nano = (ntp.status & STA_NANO) != 0;
  t.offset = nano ? ntp.offset : ntp.offset / 1000;
  t.freq = ntp.freq;
  t.maxerror = ntp.maxerror;
  t.esterror = ntp.esterror;
  t.status = ntp.status;
  t.constant = ntp.constant;
  t.precision = 1;
  t.tolerance = kMaxFrequency;
  t.tick = ntp.tick;
  t.ppsfreq = t.jitter = t.stabil = t.jitcnt = t.calcnt = t.errcnt = t.stbcnt = 0;
  t.shift = 0;
  t.tai = ntp.tai;
  const u64 now = ktime_get_real();
  t.tv_sec = static_cast<s64>(now / kNsPerSec);
  t.tv_usec = static_cast<s64>(now % kNsPerSec) / (nano ? 1 : 1000);
}

long do_adjtimex(timex& t) {
  TRY_INT(validate(t));
  MutexGuard guard(ntp_lock);
  if ((t.modes & ADJ_SETOFFSET) != 0) {
    const s64 delta = t.tv_sec * 1000000000 + t.tv_usec * ((t.modes & ADJ_NANO) != 0 ? 1 : 1000);
    set_real_time(ktime_get_real() + static_cast<u64>(delta));
  }
  if ((t.modes & ADJ_ADJTIME) != 0) {
    const s64 before = ntp.adjust;
    if ((t.modes & ADJ_NANO) == 0) {  // adjtime(3): the clock is stepped by what is asked for
      set_real_time(ktime_get_real() + static_cast<u64>(t.offset * 1000));
      ntp.adjust = 0;
    }
    fill(t);
    t.offset = before;
  } else {
    apply(t);
    fill(t);
  }
  return (ntp.status & (STA_UNSYNC | STA_CLOCKERR)) != 0 ? TIME_ERROR : TIME_OK;
}

}  // namespace

long sys_adjtimex(u64 user) {
  timex t;
  TRY_INT(get_user_at(t, user));
  const long state = TRY_INT(do_adjtimex(t));
  TRY_INT(put_user_at(t, user));
  return state;
}

long sys_clock_adjtime(int clock, u64 user) {
  timex t;
  TRY_INT(get_user_at(t, user));
  u64 ns;
  TRY_INT(clock_now(clock, ns));
  if (clock != 0) return -EOPNOTSUPP;
  const long state = TRY_INT(do_adjtimex(t));
  TRY_INT(put_user_at(t, user));
  return state;
}

}  // namespace xm::os
