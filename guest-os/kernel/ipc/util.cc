// SPDX-License-Identifier: GPL-2.0-or-later
// The table of System V IPC objects.
#include "kernel/ipc/ipc.h"

#include "kernel/lib/string.h"
#include "kernel/sched/clock.h"

namespace xm::os {

namespace {
int enter(ipc_ids& ids, kern_ipc_perm* p, int key, int flags, u32 slot, u32 seq) {
  const cred* c = current_cred();
  p->key = key;
  p->uid = p->cuid = c->euid;
  p->gid = p->cgid = c->egid;
  p->mode = static_cast<u32>(flags) & 0777;
  p->seq = seq;
  p->id = static_cast<int>(seq * kIpcMaxIds + slot);
  ids.slots[slot] = p;
  ++ids.used;
  return p->id;
}
}  // namespace

int ipc_add(ipc_ids& ids, kern_ipc_perm* p, int key, int flags) {
  if (ids.used >= static_cast<u64>(ids.limit) || ids.used >= kIpcSlots) return -ENOSPC;
  const u32 wanted_slot = ids.next_id >= 0 ? static_cast<u32>(ids.next_id) % kIpcMaxIds : 0;
  if (ids.used == ids.capacity || wanted_slot >= ids.capacity) {
    const u32 capacity = max(max(ids.capacity * 2, 64u), static_cast<u32>(align_up(wanted_slot + 1, 64)));
    kern_ipc_perm** slots = static_cast<kern_ipc_perm**>(kzalloc(capacity * sizeof(kern_ipc_perm*)));
    if (slots == nullptr) return -ENOMEM;
    if (ids.slots != nullptr) memcpy(slots, ids.slots, ids.capacity * sizeof(kern_ipc_perm*));
    kfree(ids.slots);
    ids.slots = slots;
    ids.capacity = capacity;
  }
  if (ids.next_id >= 0) {
    const u32 sequence = static_cast<u32>(ids.next_id) / kIpcMaxIds;
    ids.next_id = -1;
    if (ids.slots[wanted_slot] == nullptr) return enter(ids, p, key, flags, wanted_slot, sequence);
  }
  // Slots are taken round about, so that identifiers are not reused at once.
  u32 slot = ids.next;
  while (slot >= ids.capacity || ids.slots[slot] != nullptr) slot = slot + 1 >= ids.capacity ? 0 : slot + 1;
  if (slot < ids.next) ids.seq = (ids.seq + 1) % (0x7fffffff / kIpcMaxIds);
  ids.next = slot + 1;
  return enter(ids, p, key, flags, slot, ids.seq);
}

kern_ipc_perm* ipc_find_key(ipc_ids& ids, int key) {
  for (u32 i = 0; i < ids.capacity; ++i) {
    if (ids.slots[i] != nullptr && ids.slots[i]->key == key) return ids.slots[i];
  }
  return nullptr;
}

Result<kern_ipc_perm*> ipc_find_index(ipc_ids& ids, int at) {
  if (at < 0) return Error{EINVAL};
  const u32 slot = static_cast<u32>(at) % kIpcMaxIds;
  if (slot >= ids.capacity || ids.slots[slot] == nullptr) return Error{EINVAL};
  return ids.slots[slot];
}

Result<kern_ipc_perm*> ipc_find(ipc_ids& ids, int id) {
  kern_ipc_perm* p = TRY(ipc_find_index(ids, id));
  if (p->id != id) return Error{EIDRM};
  return p;
}

void ipc_remove(ipc_ids& ids, kern_ipc_perm* p) {
  ids.slots[static_cast<u32>(p->id) % kIpcMaxIds] = nullptr;
  --ids.used;
  p->deleted = true;
}

int ipc_max_index(const ipc_ids& ids) {
  for (u32 i = ids.capacity; i > 0; --i) {
    if (ids.slots[i - 1] != nullptr) return static_cast<int>(i - 1);
  }
  return 0;
}

bool ipc_permitted(const kern_ipc_perm& p, u32 wanted) {
  const cred* c = current_cred();
  wanted = (wanted >> 6) | (wanted >> 3) | wanted;
  u32 granted = p.mode;
  if (c->euid == p.cuid || c->euid == p.uid)
    granted >>= 6;
  else if (in_group(c, p.cgid) || in_group(c, p.gid))
    granted >>= 3;
  return (wanted & ~granted & 7) == 0 || capable(CAP_IPC_OWNER);
}

bool ipc_owner(const kern_ipc_perm& p) {
  const u32 euid = current_cred()->euid;
  return euid == p.cuid || euid == p.uid || capable(CAP_SYS_ADMIN);
}

void ipc_fill(const kern_ipc_perm& p, ipc64_perm& out) {
  out.key = p.key;
  out.uid = p.uid;
  out.gid = p.gid;
  out.cuid = p.cuid;
  out.cgid = p.cgid;
  out.mode = p.mode;
  out.seq = static_cast<u16>(p.seq);
}

int ipc_set(kern_ipc_perm& p, const ipc64_perm& in) {
  if (in.uid == ~0u || in.gid == ~0u) return -EINVAL;
  p.uid = in.uid;
  p.gid = in.gid;
  p.mode = (p.mode & ~0777u) | (in.mode & 0777);
  return 0;
}

s64 ipc_now() { return static_cast<s64>(ktime_get_real() / kNsPerSec); }

}  // namespace xm::os
