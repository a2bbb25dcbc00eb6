// SPDX-License-Identifier: GPL-2.0-or-later
// pidfd: a descriptor that names a process. [man 2 pidfd_open]
#pragma once

#include "kernel/lib/types.h"

namespace xm::os {

struct task_struct;
int pidfd_create(task_struct* t, u32 flags);  // a new descriptor
int pidfd_to_pid(int fd, bool* nonblocking);  // -EBADF: not one

}  // namespace xm::os
