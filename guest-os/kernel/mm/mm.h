// SPDX-License-Identifier: GPL-2.0-or-later
// Address-space operations: life cycle, areas, faults, and what mmap and its family do. Callers hold mmap_lock as noted
// (R, W).
#pragma once

#include "kernel/lib/result.h"
#include "kernel/mm/gfp.h"
#include "kernel/mm/mm_types.h"

namespace xm::os {

struct pt_regs;

mm_struct* mm_alloc();                          // mm_users 1
Result<mm_struct*> dup_mm(mm_struct* from);     // fork
void mmput(mm_struct* mm);                      // drops a user; the last one unmaps everything
void mmdrop(mm_struct* mm);                     // drops a borrower
mm_struct* get_task_mm(struct task_struct* t);  // with a user reference, or null
extern mm_struct init_mm;

vm_area_struct* find_vma(mm_struct* mm, u64 address);  // R: first area ending above address
vm_area_struct* find_vma_intersection(mm_struct* mm, u64 start, u64 end);
int insert_vma(mm_struct* mm, vm_area_struct* vma);   // W: links it
void unlink_vma(mm_struct* mm, vm_area_struct* vma);  // W
Result<vm_area_struct*> split_vma(mm_struct* mm, vm_area_struct* vma,
                                  u64 at);                      // W: vma ends at `at`, returns the upper part
vm_area_struct* merge_vma(mm_struct* mm, vm_area_struct* vma);  // W: joins equal neighbours
vm_area_struct* alloc_vma();
void free_vma(vm_area_struct* vma);

u64 get_unmapped_area(mm_struct* mm, u64 hint, u64 length);                                  // W; 0: no room
long do_mmap(file* f, u64 address, u64 length, u64 prot, u64 flags, u64 pgoff);              // takes the lock itself
long mmap_region(mm_struct* mm, file* f, u64 address, u64 length, u64 vm_flags, u64 pgoff);  // W
int do_munmap(mm_struct* mm, u64 start, u64 length);                                         // W
int do_mprotect(u64 start, u64 length, u64 prot);
long do_brk(u64 brk);
long do_mremap(u64 old_address, u64 old_length, u64 new_length, u64 flags, u64 new_address);
int expand_stack(mm_struct* mm, vm_area_struct* vma, u64 address);
bool may_expand_vm(mm_struct* mm, u64 pages);
void populate_range(u64 start, u64 length);  // takes the lock itself

int handle_mm_fault(vm_area_struct* vma, u64 address, bool write);  // R: 0 or -EFAULT, -EIO, -ENOMEM
void do_page_fault(pt_regs* regs, u64 error_code, u64 address);
// The page behind a user address, with a reference; faults it in. For futex keys, ptrace, /proc/PID/mem.
// `force`: as a tracer, who may read what is PROT_NONE and write into a private copy of what is read-only.
Result<page*> get_user_page(mm_struct* mm, u64 address, bool write, bool force = false);
long access_process_vm(mm_struct* mm, u64 address, void* buffer, size_t length, bool write, bool force = false);

void zap_range(mm_struct* mm, u64 start, u64 end);  // drops pages, keeps areas
// Unmaps file pages [first, last] from every mapping of the file (truncate).
void unmap_mapping_range(address_space* mapping, u64 first, u64 last);
// Write-protects every mapping of a page; true if one was dirty (write-back of shared mappings).
bool page_mkclean(page* p);
u64 vm_pte_flags(u64 vm_flags);

extern page* zero_page;
void mm_init();

}  // namespace xm::os
