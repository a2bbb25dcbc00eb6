// SPDX-License-Identifier: GPL-2.0-or-later
// Core files.
#pragma once

#include "abi/signal.h"

namespace xm::os {

struct task_struct;

bool do_coredump(const siginfo& info);  // current died of this; true: there is a file
// The thread ends: marks it so and, when its process is being dumped, waits until its registers are in the file.
void coredump_begin_exit(task_struct* t);
extern char core_pattern[128];
extern s64 core_uses_pid;

}  // namespace xm::os
