// SPDX-License-Identifier: GPL-2.0-or-later
// What kernel sources take from the processor, for a build on the host: one processor, one task. Included before each
// of them.
#pragma once

#include <cstdint>
#ifdef XM_HOST_SIDE  // before `current` becomes a macro
#include <stdio.h>
#include <stdlib.h>
#include <map>
#include <string>
#include <vector>
// Names of the C library that are constants of the kernel.
#undef RENAME_NOREPLACE
#undef RENAME_EXCHANGE
#undef RENAME_WHITEOUT
#undef SEEK_DATA
#undef SEEK_HOLE
#undef SEEK_SET
#undef SEEK_CUR
#undef SEEK_END
#undef AT_FDCWD
#undef WNOHANG
#undef WUNTRACED
#endif

namespace xm::os {
struct task_struct;
extern task_struct* host_current;
inline uint32_t smp_processor_id() { return 0; }
inline bool in_interrupt() { return false; }
inline void local_irq_disable() {}
inline void local_irq_enable() {}
}  // namespace xm::os
#define current (::xm::os::host_current)
