// SPDX-License-Identifier: GPL-2.0-or-later
// Pipes as system calls see them.
#pragma once

#include "kernel/fs/fs.h"
#include "kernel/fs/iov_iter.h"

namespace xm::os {

void pipe_init();
int create_pipe_files(file** out, u32 flags);
bool is_pipe(const file* f);
// For splice and its family: what is in a pipe stays there until it is consumed; as much is written as fits.
ssize_t pipe_peek(file* f, void* buffer, u64 n, bool nonblock);
void pipe_consume(file* f, u64 n);
long pipe_wait_room(file* f, bool nonblock);  // bytes that fit, or a negative errno
ssize_t pipe_write_some(file* f, iov_iter& from, bool nonblock);
bool pipe_is_empty(const file* f);
long pipe_size(const file* f);
long pipe_set_size(file* f, u64 bytes);

}  // namespace xm::os
