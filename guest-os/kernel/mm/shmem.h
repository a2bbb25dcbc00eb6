// SPDX-License-Identifier: GPL-2.0-or-later
// Memory files without a name: shared anonymous mappings, memfd, System V shared memory. They live on a hidden tmpfs.
#pragma once

#include "kernel/lib/result.h"

namespace xm::os {

struct file;
Result<file*> shmem_file_setup(const char* name, u64 size);

}  // namespace xm::os
