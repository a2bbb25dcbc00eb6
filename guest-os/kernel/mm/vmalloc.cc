// SPDX-License-Identifier: GPL-2.0-or-later
// Address ranges of the vmalloc area are a sorted list; first fit, one unmapped page between neighbours. Freed stacks
// are kept for reuse, because taking one apart costs a TLB flush on every processor.
#include "kernel/mm/vmalloc.h"

#include "kernel/arch/x86_64/paging.h"
#include "kernel/arch/x86_64/smp.h"
#include "kernel/init/printk.h"
#include "kernel/lib/list.h"
#include "kernel/mm/gfp.h"
#include "kernel/mm/slab.h"

namespace xm::os {
namespace {

struct vm_struct {
  u64 start, pages;
  bool device;
  list_head link;
};
constinit list_head areas{};
constinit spinlock_t areas_lock{};
constinit u64 pages_used = 0;

constexpr u32 kStackCache = 64;
constinit void* stack_cache[kStackCache]{};
constinit u32 stack_cache_count = 0;
constinit spinlock_t stack_lock{};

vm_struct* reserve(u64 pages, bool device) {
  vm_struct* area = knew<vm_struct>();
  if (area == nullptr) return nullptr;
  SpinGuard guard(areas_lock);
  u64 at = kVmallocStart;
  list_head* before = &areas;
  for (vm_struct* v : entries<&vm_struct::link>(areas)) {
    if (v->start - at >= (pages + 1) * kPageSize) {
      before = &v->link;
      break;
    }
    at = v->start + (v->pages + 1) * kPageSize;
  }
  area->start = at;
  area->pages = pages;
  area->device = device;
  list_add_tail(&area->link, before);
  pages_used += pages;
  return area;
}

vm_struct* take(u64 start) {
  SpinGuard guard(areas_lock);
  for (vm_struct* v : entries<&vm_struct::link>(areas)) {
    if (v->start != start) continue;
    return v;
  }
  return nullptr;
}

void release(vm_struct* area) {
  for (u64 i = 0; i < area->pages; ++i) {
    const phys_addr_t phys = unmap_kernel_page(area->start + i * kPageSize);
    if (phys != 0 && !area->device) free_pages(phys_to_page(phys), 0);
  }
  flush_tlb_kernel();
  SpinGuard guard(areas_lock);
  pages_used -= area->pages;
  list_del(&area->link);
  kdelete(area);
}

void* map_device(phys_addr_t phys, size_t size, u64 flags) {
  const u64 offset = phys & (kPageSize - 1);
  vm_struct* area = reserve(page_align(size + offset) >> kPageShift, true);
  if (area == nullptr) return nullptr;
  for (u64 i = 0; i < area->pages; ++i) {
    map_kernel_page(area->start + i * kPageSize, (phys & kPteAddress) + i * kPageSize,
                    kPtePresent | kPteWrite | kPteNx | kPteGlobal | flags);
  }
  return reinterpret_cast<void*>(area->start + offset);
}

}  // namespace

void* vmalloc(size_t size) {
  vm_struct* area = reserve(page_align(size) >> kPageShift, false);
  if (area == nullptr) return nullptr;
  for (u64 i = 0; i < area->pages; ++i) {
    page* p = alloc_page(GFP_KERNEL | GFP_ZERO);
    if (p == nullptr ||
        !map_kernel_page(area->start + i * kPageSize, page_to_phys(p), kPtePresent | kPteWrite | kPteNx | kPteGlobal)) {
      if (p != nullptr) free_pages(p, 0);
      release(area);
      return nullptr;
    }
  }
  return reinterpret_cast<void*>(area->start);
}

void vfree(const void* address) {
  if (address == nullptr) return;
  vm_struct* area = take(reinterpret_cast<u64>(address));
  BUG_ON(area == nullptr);
  release(area);
}

volatile void* ioremap(phys_addr_t phys, size_t size) { return map_device(phys, size, kPtePcd | kPtePwt); }
void* ioremap_cached(phys_addr_t phys, size_t size) { return map_device(phys, size, 0); }
void iounmap(volatile void* address) {
  if (vm_struct* area = take(reinterpret_cast<u64>(address) & kPageMask)) release(area);
}

void* alloc_kernel_stack() {
  {
    SpinGuard guard(stack_lock);
    if (stack_cache_count > 0) return stack_cache[--stack_cache_count];
  }
  void* stack = vmalloc(kKernelStackSize);
  if (stack != nullptr) count_vm(NR_KERNEL_STACK_KB, kKernelStackSize / 1024);
  return stack;
}

void free_kernel_stack(void* stack) {
  {
    SpinGuard guard(stack_lock);
    if (stack_cache_count < kStackCache) {
      stack_cache[stack_cache_count++] = stack;
      return;
    }
  }
  count_vm(NR_KERNEL_STACK_KB, -static_cast<s64>(kKernelStackSize / 1024));
  vfree(stack);
}

u64 vmalloc_used() { return pages_used; }

}  // namespace xm::os
