// SPDX-License-Identifier: GPL-2.0-or-later
// Looking into other processes: who may, and ptrace itself.
#pragma once

#include "kernel/task/task_struct.h"

namespace xm::os {

// May the current task read and change the other one's state? [man 2 ptrace] "Ptrace access mode checking"
bool ptrace_may_access(task_struct* t);

}  // namespace xm::os
