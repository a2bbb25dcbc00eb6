// SPDX-License-Identifier: GPL-2.0-or-later
// Credentials and the counters of users. [man 7 credentials], [man 7 capabilities]
#include "kernel/task/cred.h"

#include "kernel/mm/slab.h"
#include "kernel/task/task_struct.h"

namespace xm::os {

constinit cred init_cred{};

namespace {
constinit user_struct root_user{};
constinit user_struct* users = &root_user;
constinit spinlock_t users_lock{};
constinit kmem_cache* cred_cache = nullptr;
}  // namespace

void cred_init() {
  cred_cache = kmem_cache_create("cred", sizeof(cred), 64);
  init_cred.user = &root_user;
  init_cred.usage.store(2);
}

user_struct* find_user(uid_t uid) {
  {
    SpinGuard guard(users_lock);
    for (user_struct* u = users; u != nullptr; u = u->next) {
      if (u->uid == uid) return u;
    }
  }
  user_struct* fresh = knew<user_struct>();
  if (fresh == nullptr) return nullptr;
  fresh->uid = uid;
  SpinGuard guard(users_lock);
  fresh->next = users;
  users = fresh;
  return fresh;
}

const cred* current_cred() { return current->cred_; }

Result<cred*> prepare_creds() {
  const cred* old = current->cred_;
  void* memory = kmem_cache_alloc(cred_cache, GFP_KERNEL);
  if (memory == nullptr) return Error{ENOMEM};
  cred* c = new (memory) cred{};
  c->uid = old->uid, c->euid = old->euid, c->suid = old->suid, c->fsuid = old->fsuid;
  c->gid = old->gid, c->egid = old->egid, c->sgid = old->sgid, c->fsgid = old->fsgid;
  c->cap_inheritable = old->cap_inheritable;
  c->cap_permitted = old->cap_permitted;
  c->cap_effective = old->cap_effective;
  c->cap_bset = old->cap_bset;
  c->cap_ambient = old->cap_ambient;
  c->securebits = old->securebits;
  c->user = old->user;
  c->groups = old->groups;
  if (c->groups != nullptr) c->groups->usage.inc();
  return c;
}

void put_cred(cred* c) {
  if (!c->usage.dec_and_test()) return;
  if (c->groups != nullptr && c->groups->usage.dec_and_test()) kfree(c->groups);
  kmem_cache_free(cred_cache, c);
}

void commit_creds(cred* c) {
  task_struct* t = current;
  cred* old = t->cred_;
  if (c->uid != old->uid) {
    user_struct* u = find_user(c->uid);
    if (u != nullptr) c->user = u;
    if (t->pids_charge != nullptr) {
      t->pids_charge->sub(1);
      t->pids_charge = &c->user->processes;
      t->pids_charge->inc();
    }
  }
  const bool changed = old->euid != c->euid || old->egid != c->egid || old->fsuid != c->fsuid ||
                       (c->cap_permitted & ~old->cap_permitted) != 0;
  if (changed && t->mm != nullptr) {
    t->mm->dumpable = false;
    t->pdeath_signal = 0;
  }
  IrqGuard guard(tasklist_lock);  // readers of other tasks' credentials hold it
  t->real_cred = t->cred_ = c;
  c->usage.inc();
  put_cred(old);
  put_cred(old);
}

bool capable(Capability cap) {
  const bool ok = (current->cred_->cap_effective & 1ul << cap) != 0;
  if (ok) current->flags |= PF_SUPERPRIV;
  return ok;
}

bool in_group(const cred* c, gid_t gid) {
  if (c->fsgid == gid) return true;
  if (c->groups == nullptr) return false;
  for (u32 i = 0; i < c->groups->count; ++i) {
    if (c->groups->gids[i] == gid) return true;
  }
  return false;
}

void cap_fix_setuid(cred* to, const cred* from) {
  constexpr u32 kNoSetuidFixup = 1 << 2, kKeepCaps = 1 << 4;
  if ((to->securebits & kNoSetuidFixup) != 0) return;
  const bool had_root = from->uid == 0 || from->euid == 0 || from->suid == 0;
  const bool has_root = to->uid == 0 || to->euid == 0 || to->suid == 0;
  if (had_root && !has_root) {
    if ((to->securebits & kKeepCaps) == 0) {
      to->cap_permitted = 0;
      to->cap_effective = 0;
    }
    to->cap_ambient = 0;
  }
  if (from->euid == 0 && to->euid != 0) to->cap_effective = 0;
  if (from->euid != 0 && to->euid == 0) to->cap_effective = to->cap_permitted;
  constexpr u64 kFsCaps = 0x1f | 1ul << CAP_MKNOD | 1ul << CAP_LINUX_IMMUTABLE | 1ul << CAP_MAC_OVERRIDE;
  if (from->fsuid == 0 && to->fsuid != 0) to->cap_effective &= ~kFsCaps;
  if (from->fsuid != 0 && to->fsuid == 0) to->cap_effective |= to->cap_permitted & kFsCaps;
}

}  // namespace xm::os
