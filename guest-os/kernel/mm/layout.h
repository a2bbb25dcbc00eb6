// SPDX-License-Identifier: GPL-2.0-or-later
// The kernel half of the address space (Linux's four-level layout) and the conversions between physical and linear
// addresses.
//   ffff888000000000  direct map of all physical memory
//   ffffc90000000000  vmalloc: kernel stacks with guard pages, ioremap
//   ffffffff80000000  kernel image
// Host unit tests put the "direct map" over an ordinary buffer.
#pragma once

#include "kernel/lib/types.h"

namespace xm::os {

#if __STDC_HOSTED__
extern u64 kDirectMap;
#else
constexpr u64 kDirectMap = 0xffff888000000000;
#endif
constexpr u64 kVmallocStart = 0xffffc90000000000;
constexpr u64 kVmallocEnd = 0xffffc97fffffffff;
constexpr u64 kKernelBase = 0xffffffff80000000;
constexpr u64 kTaskSizeMax = 0x00007ffffffff000;  // end of user space, with a guard page below the hole
constexpr u64 kTaskSize32 = 0xffffe000;

inline void* phys_to_virt(phys_addr_t p) { return reinterpret_cast<void*>(p + kDirectMap); }
inline phys_addr_t virt_to_phys(const void* v) {
  const u64 a = reinterpret_cast<u64>(v);
#if !__STDC_HOSTED__
  if (a >= kKernelBase) return a - kKernelBase;
#endif
  return a - kDirectMap;
}

}  // namespace xm::os
