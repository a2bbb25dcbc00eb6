// SPDX-License-Identifier: GPL-2.0-or-later
// Limits of process numbers.
#pragma once

#include "kernel/lib/types.h"

namespace xm::os {

extern pid_t pid_max;
extern pid_t last_pid;
bool pid_free(pid_t n);  // tasklist_lock is held

}  // namespace xm::os
