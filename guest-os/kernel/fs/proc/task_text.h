// SPDX-License-Identifier: GPL-2.0-or-later
// The texts of /proc/PID/*.
#pragma once

#include "kernel/lib/text_buffer.h"
#include "kernel/task/task_struct.h"

namespace xm::os {

class iov_iter;
ssize_t transfer_memory(task_struct* t, iov_iter& it, loff_t& pos, bool write);
ssize_t transfer_pagemap(task_struct* t, iov_iter& it, loff_t& pos, bool write);

void show_auxv(TextBuffer& out, task_struct* t);
void show_cgroup(TextBuffer& out, task_struct* t);
void show_cmdline(TextBuffer& out, task_struct* t);
void show_comm(TextBuffer& out, task_struct* t);
void show_environ(TextBuffer& out, task_struct* t);
void show_io(TextBuffer& out, task_struct* t);
void show_limits(TextBuffer& out, task_struct* t);
void show_maps(TextBuffer& out, task_struct* t);
void show_smaps(TextBuffer& out, task_struct* t);
void show_task_mountinfo(TextBuffer& out, task_struct* t);
void show_task_mounts(TextBuffer& out, task_struct* t);
void show_oom_score(TextBuffer& out, task_struct* t);
void show_oom_score_adj(TextBuffer& out, task_struct* t);
void show_stat(TextBuffer& out, task_struct* t);
void show_statm(TextBuffer& out, task_struct* t);
void show_status(TextBuffer& out, task_struct* t);
void show_wchan(TextBuffer& out, task_struct* t);

}  // namespace xm::os
