// SPDX-License-Identifier: GPL-2.0-or-later
// Memory calls: arguments are checked here and the work is in mm/.
#include "abi/mman.h"
#include "kernel/arch/x86_64/smp.h"
#include "kernel/fs/file_table.h"
#include "kernel/mm/mm.h"
#include "kernel/mm/pte_walk.h"
#include "kernel/mm/uaccess.h"
#include "kernel/syscall/calls.h"
#include "kernel/task/task_struct.h"

namespace xm::os {

long sys_mmap(u64 address, u64 length, u64 prot, u64 flags, int fd, u64 offset) {
  if ((offset & ~kPageMask) != 0) return -EINVAL;
  file* f = nullptr;
  if ((flags & MAP_ANONYMOUS) == 0) {
    f = fget(fd);
    if (f == nullptr) return -EBADF;
  }
  const long r = do_mmap(f, address, length, prot, flags, offset >> kPageShift);
  if (f != nullptr) fput(f);
  const bool populate = (flags & MAP_LOCKED) != 0 || (flags & (MAP_POPULATE | 0x10000)) == MAP_POPULATE ||
                        (current->mm->def_flags & VM_LOCKED) != 0;
  if ((r >= 0 || r < -4095) && populate && prot != 0) populate_range(static_cast<u64>(r), length);
  return r;
}

long sys_munmap(u64 address, u64 length) {
  WriteGuard guard(current->mm->mmap_lock);
  return do_munmap(current->mm, address, length);
}
long sys_mprotect(u64 address, u64 length, u64 prot) { return do_mprotect(address, length, prot); }
long sys_mremap(u64 a, u64 b, u64 c, u64 d, u64 e) { return do_mremap(a, b, c, d, e); }
// Another part of the file where one was mapped: a new mapping over it, as Linux does since 4.0. [man 2
// remap_file_pages]
long sys_remap_file_pages(u64 start, u64 size, u64 prot, u64 pgoff, u64 flags) {
  if (prot != 0 || (start & ~kPageMask) != 0 || start + page_align(size) <= start) return -EINVAL;
  size = page_align(size);
  if (pgoff + (size >> kPageShift) < pgoff) return -EINVAL;
  file* f = nullptr;
  u64 rights = 0;
  {
    mm_struct* mm = current->mm;
    ReadGuard guard(mm->mmap_lock);
    const vm_area_struct* v = find_vma(mm, start);
    if (v == nullptr || v->vm_start > start || (v->vm_flags & VM_SHARED) == 0 || v->vm_file == nullptr) return -EINVAL;
    const file* first = v->vm_file;
    for (const vm_area_struct* at = v; at->vm_end < start + size; at = at->vm_next) {
      const vm_area_struct* next = at->vm_next;
      if (next == nullptr || next->vm_start != at->vm_end || next->vm_file != first || next->vm_flags != v->vm_flags)
        return -EINVAL;
    }
    rights = ((v->vm_flags & VM_READ) != 0 ? PROT_READ : 0) | ((v->vm_flags & VM_WRITE) != 0 ? PROT_WRITE : 0) |
             ((v->vm_flags & VM_EXEC) != 0 ? PROT_EXEC : 0);
    f = get_file(v->vm_file);
  }
  const long r = do_mmap(f, start, size, rights, MAP_SHARED | MAP_FIXED | (flags & MAP_NONBLOCK), pgoff);
  fput(f);
  return r < 0 ? r : 0;
}

long sys_brk(u64 address) { return do_brk(address); }

namespace {

// Calls visit(vma, from, to) for the parts of areas in a range; -ENOMEM if there are holes (after visiting what is
// there).
template <class Visit>
long for_each_part(u64 start, u64 end, Visit visit) {
  mm_struct* mm = current->mm;
  long hole = 0;
  u64 at = start;
  while (at < end) {
    vm_area_struct* v = find_vma(mm, at);
    if (v == nullptr || v->vm_start >= end) return -ENOMEM;
    if (v->vm_start > at) {
      hole = -ENOMEM;
      at = v->vm_start;
    }
    const u64 stop = min(end, v->vm_end);
    if (const long error = visit(v, at, stop); error != 0) return error;
    at = stop;
  }
  return hole;
}

int check_range(u64 address, u64& length) {
  if ((address & ~kPageMask) != 0) return -EINVAL;
  length = page_align(length);
  return address + length < address ? -EINVAL : 0;
}

// Changes flags of whole areas in a range, splitting at the borders.
long change_flags(u64 start, u64 end, u64 set, u64 clear) {
  mm_struct* mm = current->mm;
  return for_each_part(start, end, [&](vm_area_struct* v, u64 from, u64 to) -> long {
    if (((v->vm_flags | set) & ~clear) == v->vm_flags) return 0;
    if (v->vm_start < from) v = TRY(split_vma(mm, v, from));
    if (v->vm_end > to) TRY(split_vma(mm, v, to));
    unlink_vma(mm, v);
    v->vm_flags = (v->vm_flags | set) & ~clear;
    insert_vma(mm, v);
    merge_vma(mm, v);
    return 0;
  });
}

}  // namespace

long sys_madvise(u64 address, u64 length, int advice) {
  // No same-page merging and no huge pages: as a kernel built without them.
  const bool known = (advice >= 0 && advice <= 4) || (advice >= 8 && advice <= 11) || (advice >= 16 && advice <= 23);
  if (!known) return -EINVAL;
  TRY_INT(check_range(address, length));
  if (length == 0) return 0;
  const u64 end = address + length;
  mm_struct* mm = current->mm;
  switch (advice) {
    case MADV_DONTNEED:
    case MADV_FREE: {
      ReadGuard guard(mm->mmap_lock);
      return for_each_part(address, end, [&](const vm_area_struct* v, u64 from, u64 to) -> long {
        if ((v->vm_flags & (VM_LOCKED | VM_PFNMAP)) != 0) return -EINVAL;
        if (advice == MADV_FREE && (v->vm_file != nullptr || (v->vm_flags & VM_SHARED) != 0)) return -EINVAL;
        zap_range(mm, from, to);
        return 0;
      });
    }
    case MADV_REMOVE: {
      ReadGuard guard(mm->mmap_lock);
      return for_each_part(address, end, [&](const vm_area_struct* v, u64 from, u64 to) -> long {
        if ((v->vm_flags & VM_LOCKED) != 0 || v->vm_file == nullptr) return -EINVAL;
        if ((v->vm_flags & (VM_SHARED | VM_WRITE)) != (VM_SHARED | VM_WRITE)) return -EACCES;
        const u64 offset = (v->vm_pgoff << kPageShift) + (from - v->vm_start);
        return v->vm_file->f_op->fallocate(v->vm_file, 3, static_cast<loff_t>(offset), static_cast<loff_t>(to - from));
      });
    }
    case MADV_DONTFORK:
    case MADV_DOFORK:
    case MADV_WIPEONFORK:
    case MADV_KEEPONFORK:
    case MADV_DONTDUMP:
    case MADV_DODUMP: {
      WriteGuard guard(mm->mmap_lock);
      const u64 bit = advice <= MADV_DOFORK ? VM_DONTCOPY : (advice <= MADV_DODUMP ? VM_DONTDUMP : VM_WIPEONFORK);
      const bool set = advice == MADV_DONTFORK || advice == MADV_WIPEONFORK || advice == MADV_DONTDUMP;
      if (advice == MADV_WIPEONFORK) {
        const long bad = for_each_part(address, end, [](const vm_area_struct* v, u64, u64) -> long {
          return v->vm_file != nullptr || (v->vm_flags & VM_SHARED) != 0 ? -EINVAL : 0;
        });
        if (bad == -EINVAL) return bad;
      }
      return change_flags(address, end, set ? bit : 0, set ? 0 : bit);
    }
    case MADV_POPULATE_READ:
    case MADV_POPULATE_WRITE:
      for (u64 a = address; a < end; a += kPageSize) {
        auto p = get_user_page(mm, a, advice == MADV_POPULATE_WRITE);
        if (!p.ok()) return -p.error();
        put_page(p.value());
      }
      return 0;
    default: {
      ReadGuard guard(mm->mmap_lock);
      return for_each_part(address, end, [](const vm_area_struct*, u64, u64) -> long { return 0; });
    }
  }
}

long sys_msync(u64 address, u64 length, int flags) {
  if ((flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC)) != 0) return -EINVAL;
  if ((address & ~kPageMask) != 0) return -EINVAL;
  if ((flags & MS_ASYNC) != 0 && (flags & MS_SYNC) != 0) return -EINVAL;
  length = page_align(length);
  const u64 end = address + length;
  if (end < address) return -ENOMEM;
  if (end == address) return 0;
  mm_struct* mm = current->mm;
  long result = 0;
  u64 at = address;
  while (at < end) {
    file* f = nullptr;
    {
      ReadGuard guard(mm->mmap_lock);
      const vm_area_struct* v = find_vma(mm, at);
      if (v == nullptr || v->vm_start >= end) return -ENOMEM;
      if (v->vm_start > at) result = -ENOMEM;
      if ((flags & MS_INVALIDATE) != 0 && (v->vm_flags & VM_LOCKED) != 0) return -EBUSY;
      if ((flags & MS_SYNC) != 0 && v->vm_file != nullptr && (v->vm_flags & VM_SHARED) != 0) f = get_file(v->vm_file);
      at = v->vm_end;
    }
    if (f == nullptr) continue;
    const int error = vfs_fsync(f, true);
    fput(f);
    if (error != 0 && error != -EINVAL) return error;
  }
  return result;
}

long sys_mincore(u64 address, u64 length, u8* vec) {
  if ((address & ~kPageMask) != 0) return -EINVAL;
  const u64 pages = page_align(length) >> kPageShift;
  if (!access_ok(address, length)) return -ENOMEM;
  if (!access_ok(vec, pages)) return -EFAULT;
  mm_struct* mm = current->mm;
  for (u64 i = 0; i < pages; ++i) {
    u8 present = 0;
    const u64 a = address + i * kPageSize;
    {
      ReadGuard guard(mm->mmap_lock);
      const vm_area_struct* v = find_vma(mm, a);
      if (v == nullptr || v->vm_start > a) return -ENOMEM;
      const pte_t* pte = pte_find(mm->pgd, a);
      present = pte != nullptr && (*pte & kPtePresent) != 0;
      if (present == 0 && v->vm_file != nullptr && v->vm_file->f_mapping != nullptr) {
        if (page* p = find_get_page(v->vm_file->f_mapping, v->vm_pgoff + ((a - v->vm_start) >> kPageShift))) {
          present = p->test(PG_uptodate);
          put_page(p);
        }
      }
    }
    TRY_INT(put_user(present, vec + i));
  }
  return 0;
}

namespace {
long lock_range(u64 address, u64 length, bool lock, bool on_fault = false) {
  const u64 start = address & kPageMask;
  length = page_align(length + (address & ~kPageMask));
  const u64 end = start + length;
  if (end < start) return -EINVAL;
  if (lock && current->signal->rlim[RLIMIT_MEMLOCK].cur == 0 && !capable(CAP_IPC_LOCK)) return -EPERM;
  if (length == 0) return 0;
  {
    WriteGuard guard(current->mm->mmap_lock);
    if (lock && !capable(CAP_IPC_LOCK) &&
        (current->mm->locked_vm << kPageShift) + length > current->signal->rlim[RLIMIT_MEMLOCK].cur)
      return -ENOMEM;
    TRY_INT(
        change_flags(start, end, lock ? static_cast<u64>(VM_LOCKED) : 0ul, lock ? 0ul : static_cast<u64>(VM_LOCKED)));
  }
  if (lock && !on_fault) populate_range(start, length);
  return 0;
}
}  // namespace

long sys_mlock(u64 address, u64 length) { return lock_range(address, length, true); }
long sys_mlock2(u64 address, u64 length, int flags) {
  return (flags & ~1) != 0 ? -EINVAL : lock_range(address, length, true, (flags & 1) != 0);
}
long sys_munlock(u64 address, u64 length) { return lock_range(address, length, false); }

long sys_mlockall(int flags) {
  if (flags == 0 || (flags & ~7) != 0 || flags == MCL_ONFAULT) return -EINVAL;
  mm_struct* mm = current->mm;
  const rlimit64& limit = current->signal->rlim[RLIMIT_MEMLOCK];
  if (limit.cur == 0 && !capable(CAP_IPC_LOCK)) return -EPERM;
  if ((flags & MCL_CURRENT) != 0 && !capable(CAP_IPC_LOCK) && mm->total_vm << kPageShift > limit.cur) return -ENOMEM;
  WriteGuard guard(mm->mmap_lock);
  mm->def_flags = (flags & MCL_FUTURE) != 0 ? static_cast<u64>(VM_LOCKED) : 0;
  for (vm_area_struct* v = mm->mmap; (flags & MCL_CURRENT) != 0 && v != nullptr; v = v->vm_next) {
    if ((v->vm_flags & VM_LOCKED) == 0) mm->locked_vm += (v->vm_end - v->vm_start) >> kPageShift;
    v->vm_flags |= VM_LOCKED;
  }
  return 0;
}
long sys_munlockall() {
  mm_struct* mm = current->mm;
  WriteGuard guard(mm->mmap_lock);
  mm->def_flags = 0;
  mm->locked_vm = 0;
  for (vm_area_struct* v = mm->mmap; v != nullptr; v = v->vm_next) v->vm_flags &= ~static_cast<u64>(VM_LOCKED);
  return 0;
}

long sys_membarrier(int command, u32 flags, int) {
  constexpr int kQuery = 0, kSupported = 1 | 2 | 4 | 8 | 16;
  if (flags != 0) return -EINVAL;
  if (command == kQuery) return kSupported;
  if ((command & kSupported) == 0 || (command & (command - 1)) != 0) return -EINVAL;
  smp_call_function_mask(
      ~0ul, [](void*) { full_barrier(); }, nullptr);
  return 0;
}

}  // namespace xm::os
