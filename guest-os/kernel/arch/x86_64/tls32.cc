// SPDX-License-Identifier: GPL-2.0-or-later
// Thread-local storage of 32-bit programs: set_thread_area puts a descriptor into one of three GDT slots of the task.
// [man 2 set_thread_area]
#include "kernel/arch/x86_64/tls32.h"
#include "kernel/arch/x86_64/cpu.h"
#include "kernel/arch/x86_64/switch.h"
#include "kernel/mm/uaccess.h"
#include "kernel/signal/signal.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {

struct user_desc {
  u32 entry_number, base_addr, limit;
  u32 flags;  // seg_32bit:1 contents:2 read_exec_only:1 limit_in_pages:1 seg_not_present:1 useable:1
};

bool is_empty(const user_desc& d) { return d.base_addr == 0 && d.limit == 0 && (d.flags == 0x28 || d.flags == 0); }

u64 encode(const user_desc& d) {
  if (is_empty(d)) return 0;
  const u32 f = d.flags;
  u64 v = d.limit & 0xffff;
  v |= static_cast<u64>(d.base_addr & 0xffffff) << 16 | static_cast<u64>(d.base_addr >> 24) << 56;
  v |= static_cast<u64>((d.limit >> 16) & 15) << 48;
  const u64 type = ((f >> 3 & 1) ^ 1) << 1 | (f >> 1 & 3) << 2 | 1;  // accessed; writable unless read-only
  v |= (type | 0x10 | 0x60 | ((f >> 5 & 1) ^ 1) << 7) << 40;         // code or data, DPL 3, present
  v |= static_cast<u64>((f >> 6 & 1) | (f & 1) << 2 | (f >> 4 & 1) << 3) << 52;
  return v;
}

int install(task_struct* t, u64 user, bool may_choose) {
  user_desc d;
  TRY_INT(get_user_at(d, user));
  u32 slot = d.entry_number;
  if (slot == ~0u && may_choose) {
    for (slot = kGdtTlsMin; slot < kGdtTlsMin + kGdtTlsEntries && t->thread.tls_array[slot - kGdtTlsMin] != 0;) ++slot;
    if (slot == kGdtTlsMin + kGdtTlsEntries) return -ESRCH;
    TRY_INT(put_user_at(slot, user));
  }
  if (slot < kGdtTlsMin || slot >= kGdtTlsMin + kGdtTlsEntries) return -EINVAL;
  if ((d.flags & 1) == 0 && !is_empty(d)) return -EINVAL;  // 16-bit segments are not offered
  t->thread.tls_array[slot - kGdtTlsMin] = encode(d);
  return 0;
}

}  // namespace

int set_compat_tls(task_struct* t, u64 user_desc_at) {
  // The child of a 32-bit clone gets the slot its GS names.
  return install(t, user_desc_at, false);
}

long set_thread_area_current(u64 user) {
  TRY_INT(install(current, user, true));
  preempt_disable();
  load_tls(current);
  preempt_enable();
  return 0;
}

}  // namespace xm::os
