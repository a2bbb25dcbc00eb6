// SPDX-License-Identifier: GPL-2.0-or-later
// File locks: flock(2) by open file, fcntl(2) records by process (POSIX) or by open file (OFD).
#pragma once

#include "kernel/fs/file_table.h"

namespace xm::os {

long set_flock(file* f, int kind, bool nonblocking);
int get_record_lock(file* f, flock& request, bool ofd);
long set_record_lock(int fd, file* f, const flock& request, bool wait, bool ofd);
void release_posix_locks(files_struct* owner, file* f);
void release_file_locks(file* f);

}  // namespace xm::os
