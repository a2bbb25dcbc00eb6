// SPDX-License-Identifier: GPL-2.0-or-later
// mmap, munmap, mprotect, mremap, brk. Order of the checks follows [man 2 mmap] and what Linux tests first.
#include "abi/mman.h"
#include "kernel/arch/x86_64/smp.h"
#include "kernel/fs/fs.h"
#include "kernel/mm/mm.h"
#include "kernel/mm/pte_walk.h"
#include "kernel/mm/shmem.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {

constexpr u64 kMmapMinAddress = 65536;
constexpr u32 kMaxMapCount = 65530;
// What MAP_SHARED_VALIDATE lets pass, [man 2 mmap]: the old flags that every kernel knew.
constexpr u64 kKnownMapFlags = MAP_TYPE | MAP_FIXED | MAP_ANONYMOUS | MAP_DENYWRITE | MAP_EXECUTABLE | MAP_LOCKED |
                               MAP_NORESERVE | MAP_GROWSDOWN | MAP_POPULATE | MAP_NONBLOCK | MAP_STACK | MAP_HUGETLB |
                               MAP_32BIT | MAP_FIXED_NOREPLACE | MAP_SYNC;

u64 prot_to_vm(u64 prot) {
  return ((prot & PROT_READ) != 0 ? VM_READ : 0) | ((prot & PROT_WRITE) != 0 ? VM_WRITE : 0) |
         ((prot & PROT_EXEC) != 0 ? VM_EXEC : 0);
}

// What the file allows of the mapping, or an error.
long file_vm_flags(const file* f, u64 type, u64& flags) {
  if (type == MAP_SHARED) {
    if ((flags & VM_WRITE) != 0 && (f->f_mode & FMODE_WRITE) == 0) return -EACCES;
    flags |= VM_SHARED | VM_MAYSHARE;
    if ((f->f_mode & FMODE_WRITE) == 0) flags &= ~static_cast<u64>(VM_MAYWRITE);
  }
  if ((f->f_mode & FMODE_READ) == 0) return -EACCES;
  if ((f->f_path.mnt->mnt_flags & MNT_NOEXEC) != 0) {
    if ((flags & VM_EXEC) != 0) return -EPERM;
    flags &= ~static_cast<u64>(VM_MAYEXEC);
  }
  return 0;
}

void populate(mm_struct* mm, u64 start, u64 end) {
  for (u64 a = start; a < end; a += kPageSize) {
    ReadGuard guard(mm->mmap_lock);
    vm_area_struct* v = find_vma(mm, a);
    if (v == nullptr || v->vm_start > a ||
        handle_mm_fault(v, a, (v->vm_flags & (VM_WRITE | VM_SHARED)) == VM_WRITE) != 0)
      return;
  }
}

// Splits so that [start, end) begins and ends at area borders.
int isolate(mm_struct* mm, u64 start, u64 end) {
  if (vm_area_struct* v = find_vma(mm, start); v != nullptr && v->vm_start < start) {
    if (mm->map_count >= kMaxMapCount) return -ENOMEM;
    TRY(split_vma(mm, v, start));
  }
  if (vm_area_struct* v = find_vma(mm, end - 1); v != nullptr && v->vm_start < end && v->vm_end > end) {
    if (mm->map_count >= kMaxMapCount) return -ENOMEM;
    TRY(split_vma(mm, v, end));
  }
  return 0;
}

}  // namespace

bool may_expand_vm(mm_struct* mm, u64 pages) {
  return mm->total_vm + pages <= current->signal->rlim[RLIMIT_AS].cur >> kPageShift;
}

u64 get_unmapped_area(mm_struct* mm, u64 hint, u64 length) {
  if (length > mm->task_size) return 0;
  hint = page_align(hint);
  if (hint >= kMmapMinAddress && hint <= mm->task_size - length &&
      find_vma_intersection(mm, hint, hint + length) == nullptr) {
    const vm_area_struct* next = find_vma(mm, hint);
    if (next == nullptr || (next->vm_flags & VM_GROWSDOWN) == 0 || next->vm_start - (hint + length) >= 256 * kPageSize)
      return hint;
  }
  // Top down from mmap_base: the gap below each area, highest first.
  u64 top = mm->mmap_base;
  vm_area_struct* v = find_vma(mm, top);
  v = v == nullptr ? (mm->mm_rb.node == nullptr ? nullptr : container_of(rb_last(mm->mm_rb), vm_area_struct, vm_rb))
                   : (v->vm_start < top ? v : v->vm_prev);
  for (; v != nullptr; v = v->vm_prev) {
    if (v->vm_end <= top && top - v->vm_end >= length) return top - length;
    top = min(top, v->vm_start);
  }
  if (top >= kMmapMinAddress + length) return top - length;
  // Then bottom up above it.
  u64 at = mm->mmap_base;
  for (v = find_vma(mm, at); v != nullptr; v = v->vm_next) {
    if (v->vm_start >= at && v->vm_start - at >= length) return at;
    at = max(at, v->vm_end);
  }
  return mm->task_size - at >= length ? at : 0;
}

long mmap_region(mm_struct* mm, file* f, u64 address, u64 length, u64 vm_flags, u64 pgoff) {
  if (!may_expand_vm(mm, length >> kPageShift)) return -ENOMEM;
  if (find_vma_intersection(mm, address, address + length) != nullptr) TRY_INT(do_munmap(mm, address, length));
  if (mm->map_count > kMaxMapCount) return -ENOMEM;
  file* shm = nullptr;
  if (f == nullptr && (vm_flags & VM_SHARED) != 0) {
    shm = f = TRY(shmem_file_setup("dev/zero", length));
    pgoff = 0;
  }
  vm_area_struct* v = alloc_vma();
  if (v == nullptr) {
    if (shm != nullptr) fput(shm);
    return -ENOMEM;
  }
  v->vm_mm = mm;
  v->vm_start = address;
  v->vm_end = address + length;
  v->vm_flags = vm_flags;
  v->vm_pgoff = f != nullptr ? pgoff : 0;
  v->anon = f == nullptr;
  if (f != nullptr) {
    v->vm_file = shm != nullptr ? shm : get_file(f);
    if (const int error = f->f_op->mmap(f, v); error != 0) {
      v->vm_ops = nullptr;
      free_vma(v);
      return error;
    }
  }
  insert_vma(mm, v);
  if (f == nullptr || (v->vm_flags & VM_PFNMAP) == 0) merge_vma(mm, v);
  return static_cast<long>(address);
}

long do_mmap(file* f, u64 address, u64 length, u64 prot, u64 flags, u64 pgoff) {
  mm_struct* mm = current->mm;
  if (length == 0) return -EINVAL;
  length = page_align(length);
  if (length == 0 || length > mm->task_size) return -ENOMEM;
  if (pgoff + (length >> kPageShift) < pgoff) return -EOVERFLOW;
  if ((flags & MAP_FIXED_NOREPLACE) != 0) flags |= MAP_FIXED;
  if ((current->personality & 0x0400000) != 0 && (prot & PROT_READ) != 0) prot |= PROT_EXEC;  // READ_IMPLIES_EXEC
  u64 type = flags & MAP_TYPE;
  u64 vm_flags = prot_to_vm(prot) | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC;
  if ((flags & MAP_GROWSDOWN) != 0) vm_flags |= VM_GROWSDOWN;
  if ((flags & MAP_LOCKED) != 0 || (mm->def_flags & VM_LOCKED) != 0) vm_flags |= VM_LOCKED;
  if ((flags & MAP_NORESERVE) != 0) vm_flags |= VM_NORESERVE;
  WriteGuard guard(mm->mmap_lock);
  if (mm->map_count > kMaxMapCount) return -ENOMEM;
  if ((flags & MAP_FIXED) != 0) {
    if ((address & ~kPageMask) != 0) return -EINVAL;
    if (address > mm->task_size - length) return -ENOMEM;
    if (address < kMmapMinAddress && !capable(CAP_SYS_RAWIO)) return -EPERM;
    if ((flags & MAP_FIXED_NOREPLACE) != 0 && find_vma_intersection(mm, address, address + length) != nullptr)
      return -EEXIST;
  } else {
    const u64 base = mm->mmap_base;
    if ((flags & MAP_32BIT) != 0) mm->mmap_base = 0x80000000;
    address = get_unmapped_area(mm, address, length);
    mm->mmap_base = base;
    if (address == 0) return -ENOMEM;
  }
  if ((flags & MAP_LOCKED) != 0 && !capable(CAP_IPC_LOCK) &&
      (mm->locked_vm << kPageShift) + length > current->signal->rlim[RLIMIT_MEMLOCK].cur) {
    return -EAGAIN;
  }
  if (f != nullptr) {
    if (type == MAP_SHARED_VALIDATE) {
      if ((flags & ~kKnownMapFlags) != 0 || (flags & MAP_SYNC) != 0) return -EOPNOTSUPP;
      type = MAP_SHARED;
    }
    if (type != MAP_SHARED && type != MAP_PRIVATE) return -EINVAL;
    if (const long error = file_vm_flags(f, type, vm_flags); error != 0) return error;
  } else if (type == MAP_SHARED) {
    if ((flags & MAP_GROWSDOWN) != 0) return -EINVAL;
    vm_flags |= VM_SHARED | VM_MAYSHARE;
  } else if (type != MAP_PRIVATE) {
    return -EINVAL;
  }
  return mmap_region(mm, f, address, length, vm_flags, pgoff);
}

int do_munmap(mm_struct* mm, u64 start, u64 length) {
  if ((start & ~kPageMask) != 0 || start > mm->task_size || length > mm->task_size - start) return -EINVAL;
  length = page_align(length);
  if (length == 0) return -EINVAL;
  const u64 end = start + length;
  if (find_vma_intersection(mm, start, end) == nullptr) return 0;
  TRY_INT(isolate(mm, start, end));
  zap_range(mm, start, end);
  while (vm_area_struct* v = find_vma_intersection(mm, start, end)) {
    unlink_vma(mm, v);
    free_vma(v);
  }
  return 0;
}

int do_mprotect(u64 start, u64 length, u64 prot) {
  mm_struct* mm = current->mm;
  const u64 grows = prot & (PROT_GROWSDOWN | PROT_GROWSUP);
  prot &= ~(PROT_GROWSDOWN | PROT_GROWSUP);
  if (grows == (PROT_GROWSDOWN | PROT_GROWSUP)) return -EINVAL;
  if ((start & ~kPageMask) != 0) return -EINVAL;
  if (length == 0) return 0;
  length = page_align(length);
  u64 end = start + length;
  if (end <= start) return -ENOMEM;
  if ((prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC | PROT_SEM)) != 0) return -EINVAL;
  if ((current->personality & 0x0400000) != 0 && (prot & PROT_READ) != 0) prot |= PROT_EXEC;
  WriteGuard guard(mm->mmap_lock);
  vm_area_struct* v = find_vma(mm, start);
  if (v == nullptr) return -ENOMEM;
  if (grows == PROT_GROWSDOWN) {
    if (v->vm_start >= end || (v->vm_flags & VM_GROWSDOWN) == 0) return v->vm_start >= end ? -ENOMEM : -EINVAL;
    start = v->vm_start;
  } else if (v->vm_start > start) {
    return -ENOMEM;
  }
  const u64 flags = prot_to_vm(prot);
  u64 at = start;
  while (at < end) {
    v = find_vma(mm, at);
    if (v == nullptr || v->vm_start > at) return -ENOMEM;
    const u64 stop = min(end, v->vm_end);
    if ((flags & ~(v->vm_flags >> 4) & (VM_READ | VM_WRITE | VM_EXEC)) != 0) return -EACCES;
    const u64 wanted = (v->vm_flags & ~static_cast<u64>(VM_READ | VM_WRITE | VM_EXEC)) | flags;
    if (wanted != v->vm_flags) {
      TRY_INT(isolate(mm, at, stop));
      v = find_vma(mm, at);
      unlink_vma(mm, v);
      v->vm_flags = wanted;
      insert_vma(mm, v);
      {
        SpinGuard table_guard(mm->page_table_lock);
        for_each_pte(mm->pgd, at, stop, [&](pte_t* pte, u64) {
          // Writing always faults once more, so that copy-on-write and dirty tracking stay right.
          pte_t e = *pte & ~(kPteWrite | kPteNx);
          if ((flags & VM_EXEC) == 0) e |= kPteNx;
          if (flags == 0)
            e &= ~kPteUser;
          else
            e |= kPteUser;
          *pte = e;
        });
      }
      flush_tlb_range(mm, at, stop);
      v = merge_vma(mm, v);
    }
    at = stop;
  }
  return 0;
}

long do_brk(u64 brk) {
  mm_struct* mm = current->mm;
  WriteGuard guard(mm->mmap_lock);
  if (brk < mm->start_brk) return static_cast<long>(mm->brk);
  const u64 old_end = page_align(mm->brk), new_end = page_align(brk);
  const u64 data = brk - mm->start_brk + (mm->end_data - mm->start_data);
  if (data > current->signal->rlim[RLIMIT_DATA].cur) return static_cast<long>(mm->brk);
  if (new_end < old_end) {
    if (do_munmap(mm, new_end, old_end - new_end) != 0) return static_cast<long>(mm->brk);
  } else if (new_end > old_end) {
    if (new_end > mm->task_size || find_vma_intersection(mm, old_end, new_end + kPageSize) != nullptr)
      return static_cast<long>(mm->brk);
    if (!may_expand_vm(mm, (new_end - old_end) >> kPageShift)) return static_cast<long>(mm->brk);
    vm_area_struct* heap = find_vma(mm, old_end - 1);
    if (heap != nullptr && heap->vm_end == old_end && heap->name != nullptr &&
        heap->vm_start >= page_align(mm->start_brk) - kPageSize) {
      unlink_vma(mm, heap);
      heap->vm_end = new_end;
      insert_vma(mm, heap);
    } else {
      heap = alloc_vma();
      if (heap == nullptr) return static_cast<long>(mm->brk);
      heap->vm_start = old_end;
      heap->vm_end = new_end;
      heap->vm_flags = VM_READ | VM_WRITE | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC | (mm->def_flags & VM_LOCKED);
      heap->name = "[heap]";
      heap->anon = true;
      insert_vma(mm, heap);
    }
  }
  mm->brk = brk;
  return static_cast<long>(brk);
}

namespace {

// Moves the pages of [from, from + length) to `to`, entry by entry.
int move_pages(mm_struct* mm, u64 from, u64 to, u64 length) {
  for (u64 i = 0; i < length; i += kPageSize) {
    pte_t* source = pte_find(mm->pgd, from + i);
    if (source == nullptr || *source == 0) continue;
    pte_t* target = pte_alloc(mm->pgd, to + i);
    if (target == nullptr) return -ENOMEM;
    SpinGuard guard(mm->page_table_lock);
    *target = __atomic_exchange_n(source, 0, __ATOMIC_SEQ_CST);
  }
  flush_tlb_range(mm, from, from + length);
  return 0;
}

long move_area(mm_struct* mm, vm_area_struct* v, u64 old_address, u64 old_length, u64 new_length, u64 to, bool keep) {
  TRY_INT(isolate(mm, old_address, old_address + old_length));
  v = find_vma(mm, old_address);
  vm_area_struct* copy = alloc_vma();
  if (copy == nullptr) return -ENOMEM;
  copy->vm_start = to;
  copy->vm_end = to + new_length;
  copy->vm_flags = v->vm_flags;
  copy->vm_pgoff = v->vm_pgoff;
  copy->vm_ops = v->vm_ops;
  copy->name = v->name;
  copy->anon = v->anon;
  if (v->vm_file != nullptr) copy->vm_file = get_file(v->vm_file);
  insert_vma(mm, copy);
  if (copy->vm_ops != nullptr) copy->vm_ops->open(copy);
  TRY_INT(move_pages(mm, old_address, to, min(old_length, new_length)));
  if (!keep) TRY_INT(do_munmap(mm, old_address, old_length));
  return static_cast<long>(to);
}

}  // namespace

long do_mremap(u64 old_address, u64 old_length, u64 new_length, u64 flags, u64 new_address) {
  mm_struct* mm = current->mm;
  if ((flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP)) != 0) return -EINVAL;
  if ((flags & MREMAP_FIXED) != 0 && (flags & MREMAP_MAYMOVE) == 0) return -EINVAL;
  if ((flags & MREMAP_DONTUNMAP) != 0 && ((flags & MREMAP_MAYMOVE) == 0 || old_length != new_length)) return -EINVAL;
  if ((old_address & ~kPageMask) != 0) return -EINVAL;
  old_length = page_align(old_length);
  new_length = page_align(new_length);
  if (new_length == 0) return -EINVAL;
  WriteGuard guard(mm->mmap_lock);
  if ((flags & MREMAP_FIXED) != 0) {
    if ((new_address & ~kPageMask) != 0 || new_length > mm->task_size || new_address > mm->task_size - new_length)
      return -EINVAL;
    if (old_address + old_length > new_address && new_address + new_length > old_address) return -EINVAL;
    TRY_INT(do_munmap(mm, new_address, new_length));
  }
  vm_area_struct* v = find_vma(mm, old_address);
  if (v == nullptr || v->vm_start > old_address) return -EFAULT;
  const bool duplicate = old_length == 0;  // of a shared mapping
  if (duplicate && (v->vm_flags & VM_SHARED) == 0) return -EINVAL;
  if (!duplicate && old_length > v->vm_end - old_address) return -EFAULT;
  const bool must_move = (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) != 0 || duplicate;
  if (!must_move && new_length <= old_length) {
    if (new_length < old_length) TRY_INT(do_munmap(mm, old_address + new_length, old_length - new_length));
    return static_cast<long>(old_address);
  }
  if ((v->vm_flags & (VM_DONTEXPAND | VM_PFNMAP)) != 0 && new_length > old_length) return -EFAULT;
  if (new_length > old_length && !may_expand_vm(mm, (new_length - old_length) >> kPageShift)) return -ENOMEM;
  const u64 end = old_address + old_length, grown = old_address + new_length;
  if (!must_move && end == v->vm_end && grown <= mm->task_size && find_vma_intersection(mm, end, grown) == nullptr) {
    unlink_vma(mm, v);
    v->vm_end = grown;
    insert_vma(mm, v);
    return static_cast<long>(old_address);
  }
  if ((flags & MREMAP_MAYMOVE) == 0) return -ENOMEM;
  u64 to = new_address;
  if ((flags & MREMAP_FIXED) == 0) {
    to = get_unmapped_area(mm, 0, new_length);
    if (to == 0) return -ENOMEM;
  }
  if (duplicate)
    return mmap_region(mm, v->vm_file, to, new_length, v->vm_flags,
                       v->vm_pgoff + ((old_address - v->vm_start) >> kPageShift));
  return move_area(mm, v, old_address, old_length, new_length, to, (flags & MREMAP_DONTUNMAP) != 0);
}

void populate_range(u64 start, u64 length) { populate(current->mm, start, start + page_align(length)); }

}  // namespace xm::os
