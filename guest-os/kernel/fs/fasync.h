// SPDX-License-Identifier: GPL-2.0-or-later
// Signals from files: O_ASYNC (SIGIO when a file becomes ready), the owner and signal of fcntl(2), leases and directory
// notification, which use the same owner.
#pragma once

#include "kernel/fs/fs.h"

namespace xm::os {

constexpr int F_OWNER_TID = 0, F_OWNER_PID = 1, F_OWNER_PGRP = 2;
constexpr int POLL_IN = 1, POLL_OUT = 2, POLL_MSG = 3, POLL_ERR = 4, POLL_PRI = 5, POLL_HUP = 6;

int fasync_set(file* f, int fd, bool on);
void fasync_release(file* f);
// To the file's owner: the signal of F_SETSIG with what happened, or plain SIGIO. May sleep.
void send_sigio(file* f, int fd, int code);
long set_file_owner(file* f, int type, int who);

// leases.cc
long set_lease(int fd, file* f, int type);
int get_lease(file* f);
void release_leases(file* f);
int break_lease(inode* i, u32 open_flags);  // somebody opens or cuts the file: waits for the holders

// inotify.cc
long dnotify_set(int fd, file* f, u64 mask);
void dnotify_release(file* f);

}  // namespace xm::os
