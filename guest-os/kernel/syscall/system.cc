// SPDX-License-Identifier: GPL-2.0-or-later
// The system as a whole: names, memory and load figures, limits, usage, messages, reboot, random numbers.
#include "kernel/drivers/random.h"
#include "kernel/init/printk.h"
#include "kernel/init/reboot.h"
#include "kernel/lib/format.h"
#include "kernel/lib/string.h"
#include "kernel/mm/gfp.h"
#include "kernel/mm/slab.h"
#include "kernel/mm/uaccess.h"
#include "kernel/sched/clock.h"
#include "kernel/sched/sched.h"
#include "kernel/signal/signal.h"
#include "kernel/syscall/calls.h"
#include "kernel/syscall/convert.h"

namespace xm::os {

long sys_uname(char* out) {
  char u[6][65]{};
  copy_string(u[0], "Linux", 65);
  copy_string(u[1], current->uts_ns->nodename, 65);
  copy_string(u[2], UTSNAME_RELEASE, 65);
  copy_string(u[3], kUtsVersion, 65);
  copy_string(u[4], (current->personality & 0xff) == 8 ? "i686" : "x86_64", 65);
  copy_string(u[5], current->uts_ns->domainname, 65);
  return copy_to_user(out, u, sizeof u);
}

namespace {
long set_name(char* to, const char* name, int n) {
  if (!capable(CAP_SYS_ADMIN)) return -EPERM;
  if (n < 0 || n > 64) return -EINVAL;
  char text[65]{};
  TRY_INT(copy_from_user(text, name, static_cast<u64>(n)));
  memcpy(to, text, sizeof text);
  return 0;
}
}  // namespace
long sys_sethostname(const char* name, int n) { return set_name(current->uts_ns->nodename, name, n); }
long sys_setdomainname(const char* name, int n) { return set_name(current->uts_ns->domainname, name, n); }

long sys_sysinfo(u64 out) {
  struct {
    s64 uptime;
    u64 loads[3], totalram, freeram, sharedram, bufferram, totalswap, freeswap;
    u16 procs, pad;
    u32 pad2;
    u64 totalhigh, freehigh;
    u32 mem_unit;
    u32 tail;
  } s{};
  s.uptime = static_cast<s64>(div_round_up(ktime_get(), kNsPerSec));
  for (int i = 0; i < 3; ++i) s.loads[i] = avenrun[i] << 5;
  s.totalram = total_ram_pages() * kPageSize;
  s.freeram = nr_free_pages() * kPageSize;
  s.sharedram = static_cast<u64>(vm_stat[NR_SHMEM].load()) * kPageSize;
  s.procs = static_cast<u16>(nr_threads.load());
  s.mem_unit = 1;
  return copy_to_user(reinterpret_cast<void*>(out), &s, 112);
}

long sys_syslog(int type, char* buffer, int n) {
  constexpr int kReadAll = 3, kReadClear = 4, kClear = 5, kOff = 6, kOn = 7, kLevel = 8, kUnread = 9, kSize = 10;
  static constinit u64 cleared_at = 0;
  static constinit u64 read_at = 0;
  if (type != kReadAll && type != kSize && !capable(CAP_SYSLOG) && !capable(CAP_SYS_ADMIN)) return -EPERM;
  switch (type) {
    case 0:
    case 1: return 0;
    case 2:
    case kReadAll:
    case kReadClear: {
      if (buffer == nullptr || n < 0) return -EINVAL;
      if (n == 0) return 0;
      LogLine* line = static_cast<LogLine*>(kmalloc(sizeof(LogLine)));
      if (line == nullptr) return -ENOMEM;
      char text[512];
      u64& from = type == 2 ? read_at : cleared_at;
      u64 at = max(from, log_first_sequence());
      // The newest lines that fit.
      if (type != 2) {
        u64 total = 0, s = log_next_sequence();
        while (s > at && log_read(s - 1, *line)) {
          total += line->length + 20;
          if (total > static_cast<u64>(n)) break;
          --s;
        }
        at = s;
      }
      long done = 0;
      while (log_read(at, *line)) {
        const int length = format(text, sizeof text, "<%d>[%5lu.%06lu] %s\n", line->level, line->time_us / 1000000,
                                  line->time_us % 1000000, line->text);
        if (done + length > n) break;
        if (copy_to_user(buffer + done, text, static_cast<u64>(length)) != 0) {
          done = -EFAULT;
          break;
        }
        done += length;
        at = line->sequence + 1;
      }
      if (type == 2) read_at = at;
      if (type == kReadClear) cleared_at = log_next_sequence();
      kfree(line);
      return done;
    }
    case kClear: cleared_at = log_next_sequence(); return 0;
    case kOff: console_loglevel = 1; return 0;
    case kOn: console_loglevel = 7; return 0;
    case kLevel:
      if (n < 1 || n > 8) return -EINVAL;
      console_loglevel = n;
      return 0;
    case kUnread: return static_cast<long>((log_next_sequence() - min(read_at, log_next_sequence())) * 64);
    case kSize: return 1024 * 128;
    default: return -EINVAL;
  }
}

long sys_reboot(u32 magic1, u32 magic2, u32 command, u64) {
  if (!capable(CAP_SYS_BOOT)) return -EPERM;
  const bool magic =
      magic1 == 0xfee1dead && (magic2 == 672274793 || magic2 == 85072278 || magic2 == 369367448 || magic2 == 537993216);
  if (!magic) return -EINVAL;
  switch (command) {
    case 0x01234567:
    case 0xa1b2c3d4: printk(KERN_EMERG "reboot: Restarting system\n"); machine_restart();
    case 0xcdef0123: printk(KERN_EMERG "reboot: System halted\n"); machine_halt();
    case 0x4321fedc: printk(KERN_EMERG "reboot: Power down\n"); machine_power_off();
    case 0x89abcdef:
    case 0: return 0;  // Ctrl-Alt-Del on or off: it always restarts through init here
    default: return -EINVAL;
  }
}

long sys_getrandom(char* buffer, u64 n, u32 flags) {
  if ((flags & ~7u) != 0 || (flags & 6) == 6) return -EINVAL;
  n = min<u64>(n, 0x7fffffff);
  u8 chunk[256];
  for (u64 done = 0; done < n;) {
    const u64 step = min<u64>(n - done, sizeof chunk);
    get_random_bytes(chunk, step);
    if (copy_to_user(buffer + done, chunk, step) != 0) return done > 0 ? static_cast<long>(done) : -EFAULT;
    done += step;
    if (signal_pending(current) && done < n) return static_cast<long>(done);
  }
  return static_cast<long>(n);
}

namespace {
long prlimit(task_struct* t, u32 resource, const rlimit64* fresh, rlimit64* old) {
  if (resource >= RLIM_NLIMITS) return -EINVAL;
  if (fresh != nullptr) {
    if (fresh->cur > fresh->max) return -EINVAL;
    if (resource == RLIMIT_NOFILE && fresh->max > 1048576) return -EPERM;
  }
  IrqGuard guard(t->sighand->siglock);
  rlimit64& l = t->signal->rlim[resource];
  if (fresh != nullptr && fresh->max > l.max && !capable(CAP_SYS_RESOURCE)) return -EPERM;
  if (old != nullptr) *old = l;
  if (fresh != nullptr) l = *fresh;
  return 0;
}
}  // namespace
long sys_getrlimit(u32 resource, rlimit64* out) {
  rlimit64 old;
  TRY_INT(prlimit(current, resource, nullptr, &old));
  return put_user(old, out);
}
long sys_setrlimit(u32 resource, const rlimit64* in) {
  rlimit64 fresh;
  TRY_INT(get_user(fresh, in));
  return prlimit(current, resource, &fresh, nullptr);
}
long sys_prlimit64(int pid, u32 resource, const rlimit64* in, rlimit64* out) {
  rlimit64 fresh, old;
  if (in != nullptr) TRY_INT(get_user(fresh, in));
  task_struct* t = pid == 0 ? current : get_task_by_pid(pid);
  if (t == nullptr) return -ESRCH;
  const cred* mine = current->cred_;
  const cred* theirs = t->real_cred;
  long error = 0;
  if (t != current &&
      !(mine->uid == theirs->euid && mine->uid == theirs->suid && mine->uid == theirs->uid &&
        mine->gid == theirs->egid && mine->gid == theirs->sgid && mine->gid == theirs->gid) &&
      !capable(CAP_SYS_RESOURCE)) {
    error = -EPERM;
  }
  if (error == 0) error = prlimit(t, resource, in != nullptr ? &fresh : nullptr, &old);
  if (pid != 0) put_task(t);
  if (error != 0) return error;
  return out != nullptr ? put_user(old, out) : 0;
}

long sys_getrusage(int who, rusage_abi* out) {
  rusage_times u;
  if (who == 0) {
    fill_rusage_self(current, u);
  } else if (who == 1) {
    task_cputime(current, u.utime, u.stime);
    u.min_flt = current->min_flt, u.maj_flt = current->maj_flt, u.nvcsw = current->nvcsw, u.nivcsw = current->nivcsw;
    u.maxrss = current->mm->hiwater_rss;
  } else if (who == -1) {
    const signal_struct* s = current->signal;
    u = {s->cutime, s->cstime, s->cmaxrss, s->cmin_flt, s->cmaj_flt, s->cnvcsw, s->cnivcsw};
  } else {
    return -EINVAL;
  }
  return put_user(rusage_from(u), out);
}

long sys_vhangup() { return capable(CAP_SYS_TTY_CONFIG) ? 0 : -EPERM; }

}  // namespace xm::os
