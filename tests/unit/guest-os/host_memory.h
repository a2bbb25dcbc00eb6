// SPDX-License-Identifier: GPL-2.0-or-later
// A zone of ordinary host memory for tests of the buddy and slab allocators.
#pragma once

#include "kernel/mm/buddy.h"

namespace xm::os {

constexpr pfn_t kHostPages = 16384;  // 64 MiB
zone& host_zone();                   // fresh on first use, with kmalloc on top

}  // namespace xm::os
