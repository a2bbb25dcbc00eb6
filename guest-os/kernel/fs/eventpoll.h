// SPDX-License-Identifier: GPL-2.0-or-later
// epoll and the event files as system calls.
#pragma once

#include "abi/signal.h"

namespace xm::os {

struct timespec_abi;

long sys_epoll_create(int size);
long sys_epoll_create1(u32 flags);
long sys_epoll_ctl(int epfd, int operation, int fd, u64 event);
long sys_epoll_wait(int epfd, u64 events, int limit, int timeout_ms);
long sys_epoll_pwait(int epfd, u64 events, int limit, int timeout_ms, const sigset_t* mask, u64 size);
long sys_epoll_pwait2(int epfd, u64 events, int limit, const timespec_abi* timeout, const sigset_t* mask, u64 size);
long sys_eventfd(u32 count);
long sys_eventfd2(u32 count, u32 flags);

}  // namespace xm::os
