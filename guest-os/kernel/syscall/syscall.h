// SPDX-License-Identifier: GPL-2.0-or-later
// The system call tables: built from table.def (64-bit) and table32.def (int 0x80).
#pragma once

#include "kernel/lib/types.h"

namespace xm::os {

using syscall_fn = long (*)(u64, u64, u64, u64, u64, u64);
constexpr u32 kNrSyscalls = 452;
constexpr u32 kNrCompatSyscalls = 452;
extern const syscall_fn* const syscall_table;
extern const syscall_fn* const compat_syscall_table;

}  // namespace xm::os
