// SPDX-License-Identifier: GPL-2.0-or-later
// An address space: mm_struct, and its areas (vm_area_struct) in a sorted list and a red-black tree.
#pragma once

#include "kernel/lib/list.h"
#include "kernel/lib/rbtree.h"
#include "kernel/mm/page.h"
#include "kernel/sched/mutex.h"

namespace xm::os {

struct file;
struct vm_area_struct;
struct mm_struct;

constexpr u64 VM_READ = 1, VM_WRITE = 2, VM_EXEC = 4, VM_SHARED = 8, VM_MAYREAD = 0x10, VM_MAYWRITE = 0x20,
              VM_MAYEXEC = 0x40, VM_MAYSHARE = 0x80, VM_GROWSDOWN = 0x100, VM_PFNMAP = 0x400, VM_LOCKED = 0x2000,
              VM_IO = 0x4000, VM_DONTCOPY = 0x20000, VM_DONTEXPAND = 0x40000, VM_NORESERVE = 0x200000,
              VM_WIPEONFORK = 0x2000000, VM_DONTDUMP = 0x4000000;

struct vm_fault {
  vm_area_struct* vma;
  u64 address;  // page-aligned
  u64 pgoff;    // in pages of the file
  bool write;
  page* result;  // set by vm_operations::fault, with a reference
};

// What a file (or device) does with its mappings. fault returns 0, or -EFAULT (SIGSEGV), -EIO (SIGBUS), -ENOMEM.
struct vm_operations {
  virtual int fault(vm_fault&) const { return -EIO; }
  // A shared page is about to become writable; may refuse (-EIO: SIGBUS).
  virtual int page_mkwrite(vm_area_struct*, page*) const { return 0; }
  virtual void open(vm_area_struct*) const {}
  virtual void close(vm_area_struct*) const {}
};

struct vm_area_struct {
  u64 vm_start = 0, vm_end = 0;
  u64 vm_flags = 0;
  mm_struct* vm_mm = nullptr;
  vm_area_struct* vm_next = nullptr;
  vm_area_struct* vm_prev = nullptr;
  rb_node vm_rb;
  u64 vm_pgoff = 0;
  file* vm_file = nullptr;
  const vm_operations* vm_ops = nullptr;
  list_head shared;            // in the file's address_space::i_mmap
  bool anon = false;           // may hold anonymous pages
  const char* name = nullptr;  // [heap], [vdso]: shown in maps
};

struct mm_struct {
  vm_area_struct* mmap = nullptr;  // list, by address
  rb_root mm_rb;
  u32 map_count = 0;
  u64* pgd = nullptr;
  Atomic<s32> mm_users{1};  // threads
  Atomic<s32> mm_count{1};  // mm_users as one, plus borrowers (lazy kernel threads, /proc)
  rw_semaphore mmap_lock;
  spinlock_t page_table_lock{LockRank::PageTable};
  Atomic<u64> cpu_bitmap{0};
  u64 mmap_base = 0, task_size = 0;
  u64 start_code = 0, end_code = 0, start_data = 0, end_data = 0, start_brk = 0, brk = 0, start_stack = 0;
  u64 arg_start = 0, arg_end = 0, env_start = 0, env_end = 0;
  u64 total_vm = 0, locked_vm = 0, data_vm = 0, exec_vm = 0, stack_vm = 0;  // pages
  Atomic<s64> rss_anon{0}, rss_file{0}, rss_shmem{0};
  u64 hiwater_rss = 0;
  u64 def_flags = 0;
  u64 saved_auxv[48]{};
  u32 saved_auxv_count = 0;
  struct kioctx* ioctx = nullptr;  // of asynchronous I/O
  file* exe_file = nullptr;
  u32 coredump_filter = 0x33;  // kinds of memory in a core file, [man 5 core]
  bool compat = false;
  bool dumpable = true;
};

inline s64 mm_rss(const mm_struct* mm) { return mm->rss_anon.load() + mm->rss_file.load() + mm->rss_shmem.load(); }

}  // namespace xm::os
