// SPDX-License-Identifier: GPL-2.0-or-later
// execve: what the system call and the kernel's own start of init share.
#pragma once

#include "kernel/lib/result.h"

namespace xm::os {

struct file;
// argv and envp are arrays of user pointers (4 bytes each for compat), or kernel arrays.
struct ArgSource {
  u64 user = 0;
  bool compat = false;
  const char* const* kernel = nullptr;
};
long do_execve(int dfd, const char* filename, ArgSource argv, ArgSource envp, u32 flags);

}  // namespace xm::os
