// SPDX-License-Identifier: GPL-2.0-or-later
// Credentials: who a task is. A cred is shared and never changed; set*id makes a copy, changes it and commits it.
#pragma once

#include "abi/sched.h"
#include "kernel/lib/atomic.h"
#include "kernel/lib/result.h"

namespace xm::os {

constexpr u32 kMaxGroups = 65536;
struct group_info {
  Atomic<s32> usage{1};
  u32 count = 0;
  gid_t gids[];
};

struct user_struct {  // counters of one user id
  uid_t uid = 0;
  Atomic<s32> processes{0};
  Atomic<s64> sigpending{0};
  Atomic<s64> locked_pages{0};
  Atomic<s64> inotify_instances{0}, inotify_watches{0};
  Atomic<s64> pipe_pages{0};
  Atomic<s64> mq_bytes{0};  // of POSIX message queues
  user_struct* next = nullptr;
};
user_struct* find_user(uid_t uid);  // never freed; null: no memory

struct cred {
  Atomic<s32> usage{1};
  uid_t uid = 0, euid = 0, suid = 0, fsuid = 0;
  gid_t gid = 0, egid = 0, sgid = 0, fsgid = 0;
  u64 cap_inheritable = 0, cap_permitted = kAllCaps, cap_effective = kAllCaps, cap_bset = kAllCaps, cap_ambient = 0;
  u32 securebits = 0;
  user_struct* user = nullptr;
  group_info* groups = nullptr;
};

Result<cred*> prepare_creds();  // a copy of the current task's, to change
void commit_creds(cred* c);
void put_cred(cred* c);
inline cred* get_cred(cred* c) {
  c->usage.inc();
  return c;
}
const cred* current_cred();
bool capable(Capability cap);
bool in_group(const cred* c, gid_t gid);
extern cred init_cred;
void cred_init();

// Capability sets across set*id, [man 7 capabilities] "Effect of user ID changes".
void cap_fix_setuid(cred* to, const cred* from);

}  // namespace xm::os
