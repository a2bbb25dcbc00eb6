// SPDX-License-Identifier: GPL-2.0-or-later
// Secure computing: a thread gives up system calls, by the fixed list of strict mode or by filter programs. Filters
// form a tree through `prev` that threads share; they are only ever added. [man 2 seccomp]
#pragma once

#include "kernel/lib/types.h"

namespace xm::os {

struct task_struct;
struct pt_regs;
struct seccomp_filter;

seccomp_filter* seccomp_get(seccomp_filter* f);
void seccomp_put(seccomp_filter* f);
int seccomp_mode(const task_struct* t);  // 0, 1 strict, 2 filter
int seccomp_count(const task_struct* t);
bool seccomp_allows(pt_regs* regs);  // false: the call is not made; its result is in place
long prctl_set_seccomp(u64 mode, u64 filter);

}  // namespace xm::os
