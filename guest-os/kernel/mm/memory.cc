// SPDX-License-Identifier: GPL-2.0-or-later
// Page faults and unmapping: demand zero, copy-on-write, file pages, stack growth. The page-table lock is taken only to
// look at an entry again and install the new one; pages come before. A user mapping of a page holds one reference and
// one mapcount. GAP: no reverse map of anonymous pages, hence no swap yet; no huge pages.
#include "kernel/arch/x86_64/paging.h"
#include "kernel/arch/x86_64/smp.h"
#include "kernel/fs/fs.h"
#include "kernel/init/printk.h"
#include "kernel/lib/string.h"
#include "kernel/mm/mm.h"
#include "kernel/mm/pte_walk.h"
#include "kernel/mm/uaccess.h"
#include "kernel/signal/signal.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {

Atomic<s64>& rss_of(mm_struct* mm, const page* p) {
  if (p->test(PG_anon)) return mm->rss_anon;
  return p->test(PG_swapbacked) ? mm->rss_shmem : mm->rss_file;
}

void forget_mapping(mm_struct* mm, page* p, bool dirty) {
  rss_of(mm, p).sub(1);
  p->mapcount.sub(1);
  if (p->test(PG_anon)) {
    if (p->mapcount.load() == 0) count_vm(NR_ANON_PAGES, -1);
  } else {
    if (dirty) set_page_dirty(p);
    if (p->mapcount.load() == 0) count_vm(NR_FILE_MAPPED, -1);
  }
}

// Installs a page if the entry still is what it was; consumes the reference either way.
int install(vm_area_struct* v, u64 address, pte_t* pte, pte_t seen, page* p, bool writable, bool dirty) {
  mm_struct* mm = v->vm_mm;
  u64 entry = page_to_phys(p) | kPtePresent | kPteUser | kPteAccessed | ((v->vm_flags & VM_EXEC) != 0 ? 0 : kPteNx);
  if (writable) entry |= kPteWrite;
  if (dirty) entry |= kPteDirty;
  page* replaced = nullptr;
  {
    SpinGuard guard(mm->page_table_lock);
    if (*pte != seen) {
      put_page(p);
      return 0;
    }
    if (p->mapcount.add(1) == 1) count_vm(p->test(PG_anon) ? NR_ANON_PAGES : NR_FILE_MAPPED);
    rss_of(mm, p).add(1);
    if (p->test(PG_anon)) v->anon = true;
    if ((seen & kPtePresent) != 0 && (seen & kPteSpecial) == 0) {
      replaced = phys_to_page(seen & kPteAddress);
      forget_mapping(mm, replaced, false);
    }
    *pte = entry;
    if ((seen & kPtePresent) != 0) flush_tlb_page(mm, address);
  }
  if (replaced != nullptr) put_page(replaced);
  mm->hiwater_rss = max(mm->hiwater_rss, static_cast<u64>(mm_rss(mm)));
  return 0;
}

page* new_anon_page(bool zero) {
  page* p = alloc_page(GFP_USER | (zero ? GFP_ZERO : GFP_KERNEL));
  if (p != nullptr) p->flags.fetch_or(PG_anon | PG_swapbacked | PG_uptodate);
  return p;
}

int anonymous_fault(vm_area_struct* v, u64 address, pte_t* pte, bool write) {
  if (!write) {
    SpinGuard guard(v->vm_mm->page_table_lock);
    if (*pte == 0)
      *pte =
          page_to_phys(zero_page) | kPtePresent | kPteUser | kPteSpecial | ((v->vm_flags & VM_EXEC) != 0 ? 0 : kPteNx);
    return 0;
  }
  page* p = new_anon_page(true);
  if (p == nullptr) return -ENOMEM;
  return install(v, address, pte, 0, p, (v->vm_flags & VM_WRITE) != 0, true);
}

int copy_on_write(vm_area_struct* v, u64 address, pte_t* pte, pte_t seen) {
  const bool writable = (v->vm_flags & VM_WRITE) != 0;  // not when a tracer wants a copy of its own
  if ((seen & kPteSpecial) != 0) {
    page* p = new_anon_page(true);
    return p == nullptr ? -ENOMEM : install(v, address, pte, seen, p, writable, true);
  }
  page* old = phys_to_page(seen & kPteAddress);
  if (old->test(PG_anon) && old->refcount.load() == 1) {  // the other side is gone: take it as it is
    SpinGuard guard(v->vm_mm->page_table_lock);
    if (*pte == seen && old->refcount.load() == 1) {
      *pte = seen | (writable ? kPteWrite : 0) | kPteDirty | kPteAccessed;
      flush_tlb_page(v->vm_mm, address);
    }
    return 0;
  }
  page* copy = new_anon_page(false);
  if (copy == nullptr) return -ENOMEM;
  {
    SpinGuard guard(v->vm_mm->page_table_lock);
    if (*pte != seen) {
      put_page(copy);
      return 0;
    }
    memcpy(page_to_virt(copy), page_to_virt(old), kPageSize);
  }
  return install(v, address, pte, seen, copy, writable, true);
}

int file_fault(vm_area_struct* v, u64 address, pte_t* pte, bool write) {
  vm_fault f{v, address, v->vm_pgoff + ((address - v->vm_start) >> kPageShift), write, nullptr};
  TRY_INT(v->vm_ops->fault(f));
  page* p = f.result;
  if (p == nullptr) return 0;  // the operation installed the entry itself
  const bool shared = (v->vm_flags & VM_SHARED) != 0;
  if (write && !shared) {
    page* copy = new_anon_page(false);
    if (copy != nullptr) memcpy(page_to_virt(copy), page_to_virt(p), kPageSize);
    put_page(p);
    return copy == nullptr ? -ENOMEM : install(v, address, pte, 0, copy, (v->vm_flags & VM_WRITE) != 0, true);
  }
  if (write) {
    if (const int error = v->vm_ops->page_mkwrite(v, p); error != 0) {
      put_page(p);
      return error;
    }
    set_page_dirty(p);
  }
  return install(v, address, pte, 0, p, write, write);
}

int make_shared_writable(vm_area_struct* v, u64 address, pte_t* pte, pte_t seen) {
  page* p = phys_to_page(seen & kPteAddress);
  get_page(p);
  const int error = v->vm_ops != nullptr ? v->vm_ops->page_mkwrite(v, p) : 0;
  if (error == 0) {
    set_page_dirty(p);
    SpinGuard guard(v->vm_mm->page_table_lock);
    if (*pte == seen) {
      *pte = seen | kPteWrite | kPteDirty;
      flush_tlb_page(v->vm_mm, address);
    }
  }
  put_page(p);
  return error;
}

struct FreeBatch {
  mm_struct* mm;
  u64 start, end;
  u32 count = 0;
  page* pages[128];
  void flush() {
    if (count == 0) return;
    flush_tlb_range(mm, start, end);
    for (u32 i = 0; i < count; ++i) put_page(pages[i]);
    count = 0;
  }
};

}  // namespace

int handle_mm_fault(vm_area_struct* v, u64 address, bool write) {
  address &= kPageMask;
  pte_t* pte = pte_alloc(v->vm_mm->pgd, address);
  if (pte == nullptr) return -ENOMEM;
  const pte_t seen = read_once(*pte);
  if ((seen & kPtePresent) == 0) {
    ++current->min_flt;
    count_vm(PGFAULT);
    return v->vm_ops == nullptr ? anonymous_fault(v, address, pte, write) : file_fault(v, address, pte, write);
  }
  if (!write || (seen & kPteWrite) != 0) {
    flush_tlb_page(v->vm_mm, address);  // another processor was faster, or a stale entry
    return 0;
  }
  ++current->min_flt;
  count_vm(PGFAULT);
  if ((v->vm_flags & VM_SHARED) != 0 && (seen & kPteSpecial) == 0) return make_shared_writable(v, address, pte, seen);
  return copy_on_write(v, address, pte, seen);
}

void zap_range(mm_struct* mm, u64 start, u64 end) {
  FreeBatch batch{mm, start, end};
  SpinGuard guard(mm->page_table_lock);
  for_each_pte(mm->pgd, start, end, [&](pte_t* pte, u64) {
    const pte_t entry = __atomic_exchange_n(pte, 0, __ATOMIC_SEQ_CST);
    if ((entry & kPtePresent) == 0 || (entry & kPteSpecial) != 0) return;
    page* p = phys_to_page(entry & kPteAddress);
    forget_mapping(mm, p, (entry & kPteDirty) != 0);
    batch.pages[batch.count++] = p;
    if (batch.count == array_size(batch.pages)) batch.flush();
  });
  batch.flush();
  if (mm->cpu_bitmap.load() != 0) flush_tlb_range(mm, start, end);
}

void unmap_mapping_range(address_space* mapping, u64 first, u64 last) {
  SpinGuard guard(mapping->i_mmap_lock);
  for (vm_area_struct* v : entries<&vm_area_struct::shared>(mapping->i_mmap)) {
    const u64 pages = (v->vm_end - v->vm_start) >> kPageShift;
    const u64 from = max(first, v->vm_pgoff);
    const u64 to = min(last, v->vm_pgoff + pages - 1);
    if (from > to) continue;
    const u64 start = v->vm_start + ((from - v->vm_pgoff) << kPageShift);
    const u64 end = v->vm_start + ((to - v->vm_pgoff + 1) << kPageShift);
    mm_struct* mm = v->vm_mm;
    FreeBatch batch{mm, start, end};
    SpinGuard table_guard(mm->page_table_lock);
    for_each_pte(mm->pgd, start, end, [&](pte_t* pte, u64) {
      const bool file_page =
          (*pte & kPtePresent) != 0 && (*pte & kPteSpecial) == 0 && !phys_to_page(*pte & kPteAddress)->test(PG_anon);
      if (!file_page) return;
      const pte_t entry = __atomic_exchange_n(pte, 0, __ATOMIC_SEQ_CST);
      page* p = phys_to_page(entry & kPteAddress);
      forget_mapping(mm, p, false);
      batch.pages[batch.count++] = p;
      if (batch.count == array_size(batch.pages)) batch.flush();
    });
    batch.flush();
  }
}

bool page_mkclean(page* p) {
  address_space* mapping = p->mapping;
  if (mapping == nullptr || p->mapcount.load() == 0) return false;
  bool dirty = false;
  SpinGuard guard(mapping->i_mmap_lock);
  for (vm_area_struct* v : entries<&vm_area_struct::shared>(mapping->i_mmap)) {
    if ((v->vm_flags & VM_SHARED) == 0 || p->index < v->vm_pgoff) continue;
    const u64 address = v->vm_start + ((p->index - v->vm_pgoff) << kPageShift);
    if (address >= v->vm_end) continue;
    SpinGuard table_guard(v->vm_mm->page_table_lock);
    pte_t* pte = pte_find(v->vm_mm->pgd, address);
    if (pte == nullptr || (*pte & kPteWrite) == 0 || (*pte & kPteAddress) != page_to_phys(p)) continue;
    dirty |= (*pte & kPteDirty) != 0;
    *pte &= ~(kPteWrite | kPteDirty);
    flush_tlb_page(v->vm_mm, address);
  }
  return dirty;
}

Result<page*> get_user_page(mm_struct* mm, u64 address, bool write, bool force) {
  ReadGuard guard(mm->mmap_lock);
  vm_area_struct* v = find_vma(mm, address);
  if (v == nullptr || v->vm_start > address) return Error{EFAULT};
  const bool allowed = (v->vm_flags & (write ? VM_WRITE : VM_READ)) != 0;
  const bool can_force =
      force && (v->vm_flags & (VM_IO | VM_PFNMAP)) == 0 &&
      (write ? (v->vm_flags & (VM_SHARED | VM_MAYWRITE)) == VM_MAYWRITE : (v->vm_flags & VM_MAYREAD) != 0);
  if (!allowed && !can_force) return Error{EFAULT};
  for (int attempt = 0; attempt < 8; ++attempt) {
    {
      SpinGuard table_guard(mm->page_table_lock);
      const pte_t* pte = pte_find(mm->pgd, address);
      page* p = pte != nullptr && (*pte & kPtePresent) != 0 ? phys_to_page(*pte & kPteAddress) : nullptr;
      const bool own_copy = p != nullptr && !allowed && p->test(PG_anon) && p->mapcount.load() == 1;
      if (p != nullptr && (!write || (*pte & kPteWrite) != 0 || own_copy)) {
        get_page(p);
        return p;
      }
    }
    if (const int error = handle_mm_fault(v, address, write); error != 0) return Error{-error};
  }
  return Error{EFAULT};
}

long access_process_vm(mm_struct* mm, u64 address, void* buffer, size_t length, bool write, bool force) {
  size_t done = 0;
  while (done < length) {
    const u64 offset = (address + done) & (kPageSize - 1);
    const size_t step = min(length - done, static_cast<size_t>(kPageSize - offset));
    auto got = get_user_page(mm, address + done, write, force);
    if (!got.ok()) break;
    char* at = static_cast<char*>(page_to_virt(got.value())) + offset;
    char* mine = static_cast<char*>(buffer) + done;
    if (write) {
      memcpy(at, mine, step);
    } else {
      memcpy(mine, at, step);
    }
    put_page(got.value());
    done += step;
  }
  return static_cast<long>(done);
}

int expand_stack(mm_struct* mm, vm_area_struct* v, u64 address) {
  address &= kPageMask;
  const u64 grow = v->vm_start - address;
  const u64 limit = current->signal->rlim[RLIMIT_STACK].cur;
  if (v->vm_end - address > limit || !may_expand_vm(mm, grow >> kPageShift)) return -ENOMEM;
  const u64 gap = 256 * kPageSize;  // stack_guard_gap
  if (v->vm_prev != nullptr && v->vm_prev->vm_end + gap > address && (v->vm_prev->vm_flags & VM_GROWSDOWN) == 0)
    return -ENOMEM;
  unlink_vma(mm, v);
  v->vm_start = address;
  insert_vma(mm, v);
  return 0;
}

namespace {

void bad_kernel_access(pt_regs* regs, u64 error_code, u64 address) {
  if (const u64 fixup = search_exception_table(regs->rip)) {
    regs->rip = fixup;
    return;
  }
  printk(KERN_EMERG "BUG: unable to handle kernel %s at address %016lx, error %#lx\n",
         (error_code & 2) != 0 ? "write" : "access", address, error_code);
  show_regs(regs);
  panic("fatal exception: page fault");
}

void bad_user_access(pt_regs* regs, u64 error_code, u64 address, int signal, int code) {
  if (!user_mode(regs)) return bad_kernel_access(regs, error_code, address);
  current->thread.trap_nr = 14;
  current->thread.error_code = error_code | 4;
  current->thread.cr2 = address;
  force_sig_fault(signal, code, address);
}

// The area for a fault, growing the stack if that is what it asks for. The read lock is held on return.
vm_area_struct* area_for_fault(mm_struct* mm, u64 address) {
  down_read(mm->mmap_lock);
  vm_area_struct* v = find_vma(mm, address);
  if (v == nullptr || v->vm_start <= address) return v;
  if ((v->vm_flags & VM_GROWSDOWN) == 0) return nullptr;
  up_read(mm->mmap_lock);
  down_write(mm->mmap_lock);
  v = find_vma(mm, address);
  if (v != nullptr && v->vm_start > address && ((v->vm_flags & VM_GROWSDOWN) == 0 || expand_stack(mm, v, address) != 0))
    v = nullptr;
  up_write(mm->mmap_lock);
  down_read(mm->mmap_lock);
  v = find_vma(mm, address);
  return v != nullptr && v->vm_start <= address ? v : nullptr;
}

}  // namespace

void do_page_fault(pt_regs* regs, u64 error_code, u64 address) {
  mm_struct* mm = current->mm;
  const bool reserved_bit = (error_code & 8) != 0;
  const bool kernel_address = address >= kTaskSizeMax;
  const bool nested = preempt_count() != 0 || mm == nullptr;
  const bool foreign =
      !user_mode(regs) && search_exception_table(regs->rip) == 0;  // only the door may touch user memory
  if (kernel_address || nested || reserved_bit || foreign)
    return bad_user_access(regs, error_code, address, SIGSEGV, SEGV_MAPERR);
  if ((regs->eflags & kFlagIf) != 0) local_irq_enable();
  const bool write = (error_code & 2) != 0, fetch = (error_code & 16) != 0;
  vm_area_struct* v = area_for_fault(mm, address);
  if (v == nullptr) {
    up_read(mm->mmap_lock);
    return bad_user_access(regs, error_code, address, SIGSEGV, SEGV_MAPERR);
  }
  const u64 needed = write ? VM_WRITE : (fetch ? VM_EXEC : VM_READ | VM_EXEC | VM_WRITE);
  if ((v->vm_flags & needed) == 0) {
    up_read(mm->mmap_lock);
    return bad_user_access(regs, error_code, address, SIGSEGV, SEGV_ACCERR);
  }
  const int result = handle_mm_fault(v, address, write);
  up_read(mm->mmap_lock);
  if (result == 0) return;
  if (result == -ENOMEM) {
    if (!user_mode(regs)) return bad_kernel_access(regs, error_code, address);
    return force_sig(SIGKILL);
  }
  bad_user_access(regs, error_code, address, result == -EIO ? SIGBUS : SIGSEGV,
                  result == -EIO ? BUS_ADRERR : SEGV_MAPERR);
}

}  // namespace xm::os
