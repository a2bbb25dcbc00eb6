// SPDX-License-Identifier: GPL-2.0-or-later
// The areas of an address space: list and tree kept together, split and merge, and the life of mm_struct.
#include "kernel/arch/x86_64/paging.h"
#include "kernel/arch/x86_64/smp.h"
#include "kernel/fs/fs.h"
#include "kernel/init/printk.h"
#include "kernel/mm/aio.h"
#include "kernel/mm/mm.h"
#include "kernel/mm/pte_walk.h"
#include "kernel/mm/slab.h"
#include "kernel/task/task_struct.h"

namespace xm::os {

constinit mm_struct init_mm{};
constinit page* zero_page = nullptr;

namespace {

constinit kmem_cache* vma_cache = nullptr;
constinit kmem_cache* mm_cache = nullptr;

vm_area_struct* vma_of(rb_node* n) { return n == nullptr ? nullptr : container_of(n, vm_area_struct, vm_rb); }

vm_area_struct* new_vma(const vm_area_struct* like) {
  void* memory = kmem_cache_alloc(vma_cache, GFP_KERNEL);
  if (memory == nullptr) return nullptr;
  vm_area_struct* v = new (memory) vm_area_struct{};
  if (like == nullptr) return v;
  v->vm_start = like->vm_start;
  v->vm_end = like->vm_end;
  v->vm_flags = like->vm_flags;
  v->vm_mm = like->vm_mm;
  v->vm_pgoff = like->vm_pgoff;
  v->vm_file = like->vm_file;
  v->vm_ops = like->vm_ops;
  v->name = like->name;
  v->anon = like->anon;
  if (v->vm_file != nullptr) get_file(v->vm_file);
  return v;
}

void link_to_file(vm_area_struct* v) {
  if (v->vm_file == nullptr) return;
  address_space* mapping = v->vm_file->f_mapping;
  if (mapping == nullptr) return;
  SpinGuard guard(mapping->i_mmap_lock);
  list_add_tail(&v->shared, &mapping->i_mmap);
}
void unlink_from_file(vm_area_struct* v) {
  if (v->vm_file == nullptr || v->vm_file->f_mapping == nullptr) return;
  SpinGuard guard(v->vm_file->f_mapping->i_mmap_lock);
  list_del(&v->shared);
}

void account_vma(mm_struct* mm, const vm_area_struct* v, s64 sign) {
  const u64 pages = static_cast<u64>(sign) * ((v->vm_end - v->vm_start) >> kPageShift);
  mm->total_vm += pages;
  if ((v->vm_flags & VM_LOCKED) != 0) mm->locked_vm += pages;
  if ((v->vm_flags & VM_GROWSDOWN) != 0) {
    mm->stack_vm += pages;
  } else if ((v->vm_flags & (VM_EXEC | VM_WRITE)) == VM_EXEC) {
    mm->exec_vm += pages;
  } else if ((v->vm_flags & (VM_WRITE | VM_SHARED)) == VM_WRITE) {
    mm->data_vm += pages;
  }
}

bool mergeable(const vm_area_struct* a, const vm_area_struct* b) {
  if (a->vm_end != b->vm_start || a->vm_flags != b->vm_flags || a->vm_file != b->vm_file || a->vm_ops != b->vm_ops ||
      a->name != b->name)
    return false;
  return a->vm_file == nullptr || a->vm_pgoff + ((a->vm_end - a->vm_start) >> kPageShift) == b->vm_pgoff;
}

// Copies what fork must copy of one area: anonymous pages, shared until written.
int copy_area_pages(mm_struct* to, mm_struct* from, vm_area_struct* v) {
  const bool refillable = v->vm_file != nullptr && !v->anon;  // faults bring file pages back
  if (refillable || (v->vm_flags & (VM_PFNMAP | VM_WIPEONFORK)) != 0) return 0;
  const bool cow = (v->vm_flags & (VM_SHARED | VM_MAYWRITE)) == VM_MAYWRITE;
  int error = 0;
  s64 anon = 0;
  pte_t* target_base = nullptr;
  u64 target_table = ~0ul;
  for_each_pte(from->pgd, v->vm_start, v->vm_end, [&](pte_t* pte, u64 address) {
    if (error != 0 || (*pte & kPtePresent) == 0) return;
    const bool special = (*pte & kPteSpecial) != 0;
    page* p = special ? nullptr : phys_to_page(*pte & kPteAddress);
    if (p != nullptr && !p->test(PG_anon) && v->vm_file != nullptr) return;
    if (cow) *pte &= ~kPteWrite;
    const u64 table = address >> 21;
    if (table != target_table) {  // one descent for each page table, not for each page
      pte_t* first = pte_alloc(to->pgd, table << 21);
      target_base = first;
      target_table = table;
    }
    pte_t* target = target_base == nullptr ? nullptr : target_base + ((address >> 12) & 511);
    if (target == nullptr) {
      error = -ENOMEM;
      return;
    }
    *target = *pte;
    if (p != nullptr) {
      p->refcount.inc();
      p->mapcount.inc();
      ++anon;
    }
  });
  to->rss_anon.add(anon);
  return error;
}

}  // namespace

void mm_init() {
  vma_cache = kmem_cache_create("vm_area_struct", sizeof(vm_area_struct), 0);
  mm_cache = kmem_cache_create("mm_struct", sizeof(mm_struct), 64);
  zero_page = alloc_page(GFP_KERNEL | GFP_ZERO);
  zero_page->set(PG_zero);
  init_mm.pgd = kernel_pgd;
}

mm_struct* mm_alloc() {
  void* memory = kmem_cache_alloc(mm_cache, GFP_KERNEL);
  if (memory == nullptr) return nullptr;
  mm_struct* mm = new (memory) mm_struct{};
  mm->pgd = pgd_alloc();
  if (mm->pgd == nullptr) {
    kmem_cache_free(mm_cache, memory);
    return nullptr;
  }
  return mm;
}

void mmdrop(mm_struct* mm) {
  if (!mm->mm_count.dec_and_test()) return;
  pgd_free(mm->pgd);
  mm->~mm_struct();
  kmem_cache_free(mm_cache, mm);
}

void mmput(mm_struct* mm) {
  if (!mm->mm_users.dec_and_test()) return;
  if (mm->ioctx != nullptr) exit_aio(mm);
  zap_range(mm, 0, kTaskSizeMax);
  while (vm_area_struct* v = mm->mmap) {
    unlink_vma(mm, v);
    free_vma(v);
  }
  flush_tlb_mm(mm);
  free_user_tables(mm->pgd);
  if (mm->exe_file != nullptr) fput(mm->exe_file);
  mm->exe_file = nullptr;
  mmdrop(mm);
}

mm_struct* get_task_mm(task_struct* t) {
  IrqGuard guard(tasklist_lock);
  mm_struct* mm = t->mm;
  if (mm != nullptr && ((t->flags & PF_KTHREAD) != 0 || !mm->mm_users.inc_not_zero())) mm = nullptr;
  return mm;
}

vm_area_struct* find_vma(mm_struct* mm, u64 address) {
  vm_area_struct* best = nullptr;
  for (rb_node* n = mm->mm_rb.node; n != nullptr;) {
    vm_area_struct* v = vma_of(n);
    if (v->vm_end > address) {
      best = v;
      if (v->vm_start <= address) break;
      n = n->left;
    } else {
      n = n->right;
    }
  }
  return best;
}

vm_area_struct* find_vma_intersection(mm_struct* mm, u64 start, u64 end) {
  vm_area_struct* v = find_vma(mm, start);
  return v != nullptr && v->vm_start < end ? v : nullptr;
}

int insert_vma(mm_struct* mm, vm_area_struct* v) {
  v->vm_mm = mm;
  rb_insert(mm->mm_rb, &v->vm_rb, [](rb_node* a, rb_node* b) { return vma_of(a)->vm_start < vma_of(b)->vm_start; });
  v->vm_prev = vma_of(rb_prev(&v->vm_rb));
  v->vm_next = vma_of(rb_next(&v->vm_rb));
  (v->vm_prev != nullptr ? v->vm_prev->vm_next : mm->mmap) = v;
  if (v->vm_next != nullptr) v->vm_next->vm_prev = v;
  ++mm->map_count;
  account_vma(mm, v, 1);
  link_to_file(v);
  return 0;
}

void unlink_vma(mm_struct* mm, vm_area_struct* v) {
  unlink_from_file(v);
  rb_erase(mm->mm_rb, &v->vm_rb);
  (v->vm_prev != nullptr ? v->vm_prev->vm_next : mm->mmap) = v->vm_next;
  if (v->vm_next != nullptr) v->vm_next->vm_prev = v->vm_prev;
  --mm->map_count;
  account_vma(mm, v, -1);
}

void free_vma(vm_area_struct* v) {
  if (v->vm_ops != nullptr) v->vm_ops->close(v);
  if (v->vm_file != nullptr) fput(v->vm_file);
  kmem_cache_free(vma_cache, v);
}

vm_area_struct* alloc_vma() { return new_vma(nullptr); }

Result<vm_area_struct*> split_vma(mm_struct* mm, vm_area_struct* v, u64 at) {
  vm_area_struct* upper = new_vma(v);
  if (upper == nullptr) return Error{ENOMEM};
  upper->vm_start = at;
  upper->vm_pgoff += (at - v->vm_start) >> kPageShift;
  unlink_vma(mm, v);
  v->vm_end = at;
  insert_vma(mm, v);
  insert_vma(mm, upper);
  if (upper->vm_ops != nullptr) upper->vm_ops->open(upper);
  return upper;
}

vm_area_struct* merge_vma(mm_struct* mm, vm_area_struct* v) {
  for (int side = 0; side < 2; ++side) {
    vm_area_struct* low = side == 0 ? v->vm_prev : v;
    vm_area_struct* high = side == 0 ? v : v->vm_next;
    if (low == nullptr || high == nullptr || !mergeable(low, high)) continue;
    const u64 end = high->vm_end;
    low->anon |= high->anon;
    unlink_vma(mm, high);
    free_vma(high);
    unlink_vma(mm, low);
    low->vm_end = end;
    insert_vma(mm, low);
    v = low;
  }
  return v;
}

Result<mm_struct*> dup_mm(mm_struct* from) {
  mm_struct* to = mm_alloc();
  if (to == nullptr) return Error{ENOMEM};
  WriteGuard guard(from->mmap_lock);
  to->mmap_base = from->mmap_base;
  to->task_size = from->task_size;
  to->start_code = from->start_code;
  to->end_code = from->end_code;
  to->start_data = from->start_data;
  to->end_data = from->end_data;
  to->start_brk = from->start_brk;
  to->brk = from->brk;
  to->start_stack = from->start_stack;
  to->arg_start = from->arg_start;
  to->arg_end = from->arg_end;
  to->env_start = from->env_start;
  to->env_end = from->env_end;
  to->compat = from->compat;
  to->dumpable = from->dumpable;
  to->saved_auxv_count = from->saved_auxv_count;
  for (u32 i = 0; i < from->saved_auxv_count; ++i) to->saved_auxv[i] = from->saved_auxv[i];
  if (from->exe_file != nullptr) to->exe_file = get_file(from->exe_file);
  int error = 0;
  for (vm_area_struct* v = from->mmap; v != nullptr && error == 0; v = v->vm_next) {
    if ((v->vm_flags & VM_DONTCOPY) != 0) continue;
    vm_area_struct* copy = new_vma(v);
    if (copy == nullptr) {
      error = -ENOMEM;
      break;
    }
    copy->vm_flags &= ~static_cast<u64>(VM_LOCKED);
    insert_vma(to, copy);
    if (copy->vm_ops != nullptr) copy->vm_ops->open(copy);
    error = copy_area_pages(to, from, v);
  }
  flush_tlb_mm(from);  // pages that became copy-on-write
  if (error != 0) {
    mmput(to);
    return Error{-error};
  }
  return to;
}

}  // namespace xm::os
