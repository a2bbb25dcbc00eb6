// SPDX-License-Identifier: GPL-2.0-or-later
// set_thread_area of 32-bit programs.
#pragma once

#include "kernel/lib/types.h"

namespace xm::os {
long set_thread_area_current(u64 user);
}
