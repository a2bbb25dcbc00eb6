// SPDX-License-Identifier: GPL-2.0-or-later
// Pipes as system calls see them.
#pragma once

#include "kernel/fs/fs.h"

namespace xm::os {

void pipe_init();
int create_pipe_files(file** out, u32 flags);
bool is_pipe(const file* f);
long pipe_size(const file* f);
long pipe_set_size(file* f, u64 bytes);

}  // namespace xm::os
