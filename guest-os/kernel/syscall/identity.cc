// SPDX-License-Identifier: GPL-2.0-or-later
// Who a process is: user and group ids, capabilities, process groups and sessions.
#include "kernel/drivers/tty.h"
#include "kernel/mm/slab.h"
#include "kernel/mm/uaccess.h"
#include "kernel/signal/signal.h"
#include "kernel/syscall/calls.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {

constexpr u32 kKeep = ~0u;

// Changes a copy of the credentials; the change returns 0 or an error.
template <class Change>
long change_creds(Change change) {
  cred* c = TRY(prepare_creds());
  if (const long error = change(*c, *current->cred_); error != 0) {
    put_cred(c);
    return error;
  }
  commit_creds(c);
  return 0;
}
bool one_of(u32 id, u32 a, u32 b, u32 c) { return id == a || id == b || id == c; }

}  // namespace

long sys_getuid() { return current->cred_->uid; }
long sys_geteuid() { return current->cred_->euid; }
long sys_getgid() { return current->cred_->gid; }
long sys_getegid() { return current->cred_->egid; }

long sys_setuid(u32 uid) {
  if (uid == kKeep) return -EINVAL;
  return change_creds([&](cred& c, const cred& old) -> long {
    if (capable(CAP_SETUID))
      c.uid = c.suid = uid;
    else if (uid != old.uid && uid != old.suid)
      return -EPERM;
    c.fsuid = c.euid = uid;
    cap_fix_setuid(&c, &old);
    return 0;
  });
}
long sys_setgid(u32 gid) {
  if (gid == kKeep) return -EINVAL;
  return change_creds([&](cred& c, const cred& old) -> long {
    if (capable(CAP_SETGID))
      c.gid = c.sgid = gid;
    else if (gid != old.gid && gid != old.sgid)
      return -EPERM;
    c.fsgid = c.egid = gid;
    return 0;
  });
}
long sys_setreuid(u32 r, u32 e) {
  return change_creds([&](cred& c, const cred& old) -> long {
    const bool may = capable(CAP_SETUID);
    if (r != kKeep && !may && r != old.uid && r != old.euid) return -EPERM;
    if (e != kKeep && !may && !one_of(e, old.uid, old.euid, old.suid)) return -EPERM;
    if (r != kKeep) c.uid = r;
    if (e != kKeep) c.euid = e;
    if (r != kKeep || (e != kKeep && e != old.uid)) c.suid = c.euid;
    c.fsuid = c.euid;
    cap_fix_setuid(&c, &old);
    return 0;
  });
}
long sys_setregid(u32 r, u32 e) {
  return change_creds([&](cred& c, const cred& old) -> long {
    const bool may = capable(CAP_SETGID);
    if (r != kKeep && !may && r != old.gid && r != old.egid) return -EPERM;
    if (e != kKeep && !may && !one_of(e, old.gid, old.egid, old.sgid)) return -EPERM;
    if (r != kKeep) c.gid = r;
    if (e != kKeep) c.egid = e;
    if (r != kKeep || (e != kKeep && e != old.gid)) c.sgid = c.egid;
    c.fsgid = c.egid;
    return 0;
  });
}
long sys_setresuid(u32 r, u32 e, u32 s) {
  return change_creds([&](cred& c, const cred& old) -> long {
    const auto allowed = [&](u32 id) { return id == kKeep || one_of(id, old.uid, old.euid, old.suid); };
    if ((!allowed(r) || !allowed(e) || !allowed(s)) && !capable(CAP_SETUID)) return -EPERM;
    if (r != kKeep) c.uid = r;
    if (e != kKeep) c.euid = e;
    if (s != kKeep) c.suid = s;
    c.fsuid = c.euid;
    cap_fix_setuid(&c, &old);
    return 0;
  });
}
long sys_setresgid(u32 r, u32 e, u32 s) {
  return change_creds([&](cred& c, const cred& old) -> long {
    const auto allowed = [&](u32 id) { return id == kKeep || one_of(id, old.gid, old.egid, old.sgid); };
    if ((!allowed(r) || !allowed(e) || !allowed(s)) && !capable(CAP_SETGID)) return -EPERM;
    if (r != kKeep) c.gid = r;
    if (e != kKeep) c.egid = e;
    if (s != kKeep) c.sgid = s;
    c.fsgid = c.egid;
    return 0;
  });
}
long sys_getresuid(u32* r, u32* e, u32* s) {
  const cred* c = current->cred_;
  TRY_INT(put_user(c->uid, r));
  TRY_INT(put_user(c->euid, e));
  return put_user(c->suid, s);
}
long sys_getresgid(u32* r, u32* e, u32* s) {
  const cred* c = current->cred_;
  TRY_INT(put_user(c->gid, r));
  TRY_INT(put_user(c->egid, e));
  return put_user(c->sgid, s);
}
long sys_setfsuid(u32 uid) {
  const u32 old_id = current->cred_->fsuid;
  if (uid == kKeep) return old_id;
  change_creds([&](cred& c, const cred& old) -> long {
    if (!one_of(uid, old.uid, old.euid, old.suid) && uid != old.fsuid && !capable(CAP_SETUID)) return -EPERM;
    c.fsuid = uid;
    cap_fix_setuid(&c, &old);
    return 0;
  });
  return old_id;
}
long sys_setfsgid(u32 gid) {
  const u32 old_id = current->cred_->fsgid;
  if (gid == kKeep) return old_id;
  change_creds([&](cred& c, const cred& old) -> long {
    if (!one_of(gid, old.gid, old.egid, old.sgid) && gid != old.fsgid && !capable(CAP_SETGID)) return -EPERM;
    c.fsgid = gid;
    return 0;
  });
  return old_id;
}

long sys_getgroups(int n, u32* list) {
  if (n < 0) return -EINVAL;
  const group_info* g = current->cred_->groups;
  const u32 count = g == nullptr ? 0 : g->count;
  if (n == 0) return count;
  if (static_cast<u32>(n) < count) return -EINVAL;
  if (count != 0) TRY_INT(copy_to_user(list, g->gids, count * sizeof(u32)));
  return count;
}

long sys_setgroups(int n, const u32* list) {
  if (!capable(CAP_SETGID)) return -EPERM;
  if (static_cast<u32>(n) > kMaxGroups) return -EINVAL;
  group_info* g = static_cast<group_info*>(kmalloc(sizeof(group_info) + static_cast<u64>(n) * sizeof(u32)));
  if (g == nullptr) return -ENOMEM;
  g->usage.store(1);
  g->count = static_cast<u32>(n);
  if (copy_from_user(g->gids, list, static_cast<u64>(n) * sizeof(u32)) != 0) {
    kfree(g);
    return -EFAULT;
  }
  return change_creds([&](cred& c, const cred&) -> long {
    if (c.groups != nullptr) c.groups->usage.sub(1);
    c.groups = g;
    return 0;
  });
}

namespace {
constexpr u32 kCapV1 = 0x19980330, kCapV2 = 0x20071026, kCapV3 = 0x20080522;
// Words of one side of the data: V1 has one triple, V2 and V3 two.
int cap_words(u32* header, int* pid, u32* triples) {
  u32 head[2];
  TRY_INT(copy_from_user(head, header, sizeof head));
  *pid = static_cast<int>(head[1]);
  *triples = head[0] == kCapV1 ? 1 : 2;
  if (head[0] == kCapV1 || head[0] == kCapV2 || head[0] == kCapV3) return 0;
  TRY_INT(put_user(kCapV3, header));
  return -EINVAL;
}
}  // namespace

long sys_capget(u32* header, u32* data) {
  int pid;
  u32 triples;
  const int error = cap_words(header, &pid, &triples);
  if (error != 0) return data == nullptr && error == -EINVAL ? 0 : error;
  if (pid < 0) return -EINVAL;
  u64 effective, permitted, inheritable;
  {
    IrqGuard guard(tasklist_lock);
    const task_struct* t = pid == 0 ? current : find_task(pid);
    if (t == nullptr) return -ESRCH;
    effective = t->cred_->cap_effective;
    permitted = t->cred_->cap_permitted;
    inheritable = t->cred_->cap_inheritable;
  }
  if (data == nullptr) return 0;
  u32 words[6];
  for (u32 i = 0; i < 2; ++i) {
    words[i * 3] = static_cast<u32>(effective >> (32 * i));
    words[i * 3 + 1] = static_cast<u32>(permitted >> (32 * i));
    words[i * 3 + 2] = static_cast<u32>(inheritable >> (32 * i));
  }
  return copy_to_user(data, words, triples * 12);
}

long sys_capset(u32* header, const u32* data) {
  int pid;
  u32 triples;
  TRY_INT(cap_words(header, &pid, &triples));
  if (pid != 0 && pid != current->pid) return -EPERM;
  u32 words[6]{};
  TRY_INT(copy_from_user(words, data, triples * 12));
  const u64 effective = (words[0] | static_cast<u64>(words[3]) << 32) & kAllCaps;
  const u64 permitted = (words[1] | static_cast<u64>(words[4]) << 32) & kAllCaps;
  const u64 inheritable = (words[2] | static_cast<u64>(words[5]) << 32) & kAllCaps;
  return change_creds([&](cred& c, const cred& old) -> long {
    if ((permitted & ~old.cap_permitted) != 0) return -EPERM;
    if ((effective & ~permitted) != 0) return -EPERM;
    if (!capable(CAP_SETPCAP) && (inheritable & ~(old.cap_inheritable | old.cap_permitted)) != 0) return -EPERM;
    if ((inheritable & ~(old.cap_inheritable | old.cap_bset)) != 0) return -EPERM;
    c.cap_effective = effective;
    c.cap_permitted = permitted;
    c.cap_inheritable = inheritable;
    c.cap_ambient &= permitted & inheritable;
    return 0;
  });
}

long sys_setpgid(int pid, int pgrp) {
  if (pgrp < 0) return -EINVAL;
  IrqGuard guard(tasklist_lock);
  task_struct* self = current->group_leader;
  task_struct* t = pid == 0 || pid == self->pid ? self : find_task(pid);
  if (t == nullptr || (t->flags & PF_KTHREAD) != 0) return -ESRCH;
  if (!thread_group_leader(t)) return -EINVAL;
  if (pgrp == 0) pgrp = t->pid;
  if (t->real_parent->group_leader == self) {
    if (t->signal->session != self->signal->session) return -EPERM;
    if ((t->flags & PF_FORKNOEXEC) == 0) return -EACCES;
  } else if (t != self) {
    return -ESRCH;
  }
  if (t->signal->leader) return -EPERM;
  if (pgrp != t->pid) {  // must exist in the session
    s32 session = self->signal->session;
    if (!for_each_in_pgrp(
            pgrp, [](task_struct* m, void* s) { return m->signal->session == *static_cast<s32*>(s); }, &session))
      return -EPERM;
  }
  if (t->signal->pgrp != pgrp) change_pgrp(t, pgrp);
  return 0;
}

namespace {
template <class Get>
long of_task(int pid, Get get) {
  IrqGuard guard(tasklist_lock);
  const task_struct* t = pid == 0 ? current : find_task(pid);
  return t == nullptr ? -ESRCH : get(t);
}
}  // namespace
long sys_getpgid(int pid) {
  return of_task(pid, [](const task_struct* t) -> long { return t->signal->pgrp; });
}
long sys_getpgrp() { return current->signal->pgrp; }
long sys_getsid(int pid) {
  return of_task(pid, [](const task_struct* t) -> long { return t->signal->session; });
}

long sys_setsid() {
  task_struct* leader = current->group_leader;
  IrqGuard guard(tasklist_lock);
  if (leader->signal->leader) return -EPERM;
  if (for_each_in_pgrp(
          leader->pid, [](task_struct*, void*) { return true; }, nullptr))
    return -EPERM;
  leader->signal->leader = true;
  change_session(leader, leader->pid);
  change_pgrp(leader, leader->pid);
  leader->signal->tty = nullptr;
  return leader->pid;
}

}  // namespace xm::os
