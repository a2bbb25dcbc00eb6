// SPDX-License-Identifier: GPL-2.0-or-later
// /proc/PID/mem and /proc/PID/pagemap: a process's memory as a file, and what is behind each of its pages.
// [man 5 proc], [Linux Documentation/admin-guide/mm/pagemap]
#include "kernel/arch/x86_64/paging.h"
#include "kernel/fs/iov_iter.h"
#include "kernel/fs/proc/task_text.h"
#include "kernel/mm/mm.h"
#include "kernel/mm/pte_walk.h"
#include "kernel/mm/slab.h"
#include "kernel/task/ptrace.h"

namespace xm::os {

ssize_t transfer_memory(task_struct* t, iov_iter& it, loff_t& pos, bool write) {
  mm_struct* mm = get_task_mm(t);
  if (mm == nullptr) return 0;
  char* buffer = static_cast<char*>(kmalloc(kPageSize));
  ssize_t done = buffer == nullptr ? -ENOMEM : 0;
  while (done >= 0 && it.count() > 0) {
    const u64 n = min(it.count(), kPageSize);
    u64 moved;
    if (write) {
      moved = it.copy_from(buffer, n);
      if (moved == 0 && done == 0) done = -EFAULT;
      if (moved == 0) break;
      moved = static_cast<u64>(access_process_vm(mm, static_cast<u64>(pos), buffer, moved, true, true));
    } else {
      moved = static_cast<u64>(access_process_vm(mm, static_cast<u64>(pos), buffer, n, false, true));
      if (moved != 0 && it.copy_to(buffer, moved) != moved) {
        if (done == 0) done = -EFAULT;
        break;
      }
    }
    if (moved == 0) {
      if (done == 0) done = -EIO;
      break;
    }
    done += static_cast<ssize_t>(moved);
    pos += static_cast<loff_t>(moved);
    if (moved < n) break;
  }
  kfree(buffer);
  mmput(mm);
  return done;
}

ssize_t transfer_pagemap(task_struct* t, iov_iter& it, loff_t& pos, bool write) {
  constexpr u64 kPresent = 1ul << 63, kFile = 1ul << 61, kExclusive = 1ul << 56, kSoftDirty = 1ul << 55;
  if (write) return -EINVAL;
  if ((pos & 7) != 0 || (it.count() & 7) != 0) return -EINVAL;
  mm_struct* mm = get_task_mm(t);
  if (mm == nullptr) return 0;
  const bool sees_frames = capable(CAP_SYS_ADMIN);
  ssize_t done = 0;
  for (; it.count() >= 8; pos += 8, done += 8) {
    const u64 address = static_cast<u64>(pos) / 8 << kPageShift;
    if (address >= kTaskSizeMax) break;
    u64 entry = 0;
    {
      SpinGuard guard(mm->page_table_lock);
      for_each_pte(mm->pgd, address, address + kPageSize, [&](pte_t* pte, u64) {
        if ((*pte & kPtePresent) == 0) return;
        entry = kPresent | kSoftDirty | (sees_frames ? (*pte & kPteAddress) >> kPageShift : 0);
        if ((*pte & kPteSpecial) != 0) return;
        const page* p = phys_to_page(*pte & kPteAddress);
        if (!p->test(PG_anon)) entry |= kFile;
        if (p->mapcount.load() == 1) entry |= kExclusive;
      });
    }
    if (it.copy_to(&entry, 8) != 8) {
      if (done == 0) done = -EFAULT;
      break;
    }
  }
  mmput(mm);
  return done;
}

}  // namespace xm::os
