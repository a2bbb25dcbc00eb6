// SPDX-License-Identifier: GPL-2.0-or-later
// Process accounting: a record of version 3 is appended to a file when a process ends. [man 2 acct], [man 5 acct]
#include "kernel/task/acct.h"
#include "kernel/fs/namei.h"
#include "kernel/lib/string.h"
#include "kernel/mm/mm.h"
#include "kernel/sched/clock.h"
#include "kernel/syscall/calls.h"
#include "kernel/task/wait.h"

namespace xm::os {
namespace {

constexpr u8 AFORK = 1, ASU = 2, ACORE = 8, AXSIG = 16;
struct acct_v3 {
  u8 flag, version;
  u16 tty;
  u32 exitcode, uid, gid, pid, ppid, btime;
  u32 etime;  // an IEEE single, made without the FPU
  u16 utime, stime, mem, io, rw, minflt, majflt, swaps;
  char comm[16];
};
static_assert(sizeof(acct_v3) == 64);

constinit mutex acct_lock{};
constinit file* acct_file = nullptr;

// comp_t: 3 bits of exponent to the base 8, 13 bits of fraction.
u16 encode_comp(u64 value) {
  u32 exponent = 0;
  bool round = false;
  while (value > 0x1fff && exponent < 7) {
    round = (value & 4) != 0;
    value >>= 3;
    ++exponent;
  }
  if (round && ++value > 0x1fff && exponent < 7) {
    value >>= 3;
    ++exponent;
  }
  return static_cast<u16>(exponent << 13 | min<u64>(value, 0x1fff));
}

u32 encode_float(u64 value) {
  if (value == 0) return 0;
  const u32 top = 63 - static_cast<u32>(__builtin_clzl(value));
  const u32 fraction = static_cast<u32>(top > 23 ? value >> (top - 23) : value << (23 - top)) & 0x7fffff;
  return (127 + top) << 23 | fraction;
}

acct_v3 record_of(task_struct* t, int exit_code) {
  acct_v3 r{};
  constexpr u64 kTick = kNsPerSec / kUserHz;
  u64 utime, stime;
  thread_group_times(t, utime, stime);
  const u64 elapsed = ktime_get() - t->group_leader->start_time;
  r.version = 3;
  r.flag = static_cast<u8>(((t->flags & PF_FORKNOEXEC) != 0 ? AFORK : 0) | ((t->flags & PF_SUPERPRIV) != 0 ? ASU : 0) |
                           ((exit_code & 0x80) != 0 ? ACORE : 0) | ((exit_code & 0x7f) != 0 ? AXSIG : 0));
  r.exitcode = static_cast<u32>(exit_code);
  r.uid = t->real_cred->uid;
  r.gid = t->real_cred->gid;
  r.pid = static_cast<u32>(t->tgid);
  r.ppid = static_cast<u32>(t->group_leader->real_parent->tgid);
  r.btime = static_cast<u32>((ktime_get_real() - elapsed) / kNsPerSec);
  r.etime = encode_float(elapsed / kTick);
  r.utime = encode_comp(utime / kTick);
  r.stime = encode_comp(stime / kTick);
  r.mem = encode_comp(t->mm != nullptr ? t->mm->total_vm * 4 : 0);
  r.minflt = encode_comp(t->signal->min_flt + t->min_flt);
  r.majflt = encode_comp(t->signal->maj_flt + t->maj_flt);
  copy_string(r.comm, t->comm, sizeof r.comm);
  return r;
}

}  // namespace

void acct_process(int exit_code) {
  if (read_once(acct_file) == nullptr) return;
  const acct_v3 record = record_of(current, exit_code);
  MutexGuard guard(acct_lock);
  if (acct_file == nullptr) return;
  loff_t pos = acct_file->f_inode->i_size;
  kernel_write(acct_file, &record, sizeof record, pos);
}

long sys_acct(const char* user_name) {
  if (!capable(CAP_SYS_PACCT)) return -EPERM;
  file* fresh = nullptr;
  if (user_name != nullptr) {
    char* name = TRY(getname(user_name));
    const auto f = filp_open(name, O_WRONLY | O_APPEND | O_LARGEFILE, 0);
    putname(name);
    if (!f.ok()) return -f.error();
    fresh = f.value();
    if (!S_ISREG(fresh->f_inode->i_mode)) {
      fput(fresh);
      return -EACCES;
    }
  }
  file* old;
  {
    MutexGuard guard(acct_lock);
    old = acct_file;
    acct_file = fresh;
  }
  if (old != nullptr) fput(old);
  return 0;
}

}  // namespace xm::os
