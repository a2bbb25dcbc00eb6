// SPDX-License-Identifier: GPL-2.0-or-later
// What the three kinds of System V IPC share: a table of objects by identifier and key, permissions, removal.
// An identifier is slot + kIpcMaxIds * sequence number, so that a reused slot has another one. [man 7 sysvipc]
#pragma once

#include "abi/ipc.h"
#include "kernel/lib/text_buffer.h"
#include "kernel/mm/slab.h"
#include "kernel/sched/mutex.h"
#include "kernel/task/cred.h"
#include "kernel/task/task_struct.h"

namespace xm::os {

constexpr u32 kIpcMaxIds = 32768;
constexpr u32 kIpcSlots = 32000;  // objects of one kind: kernel.{shm,sem,msg}mni

struct kern_ipc_perm {
  int id = 0, key = 0;
  u32 uid = 0, gid = 0, cuid = 0, cgid = 0;
  u32 mode = 0;
  u32 seq = 0;
  bool deleted = false;
  s32 refcount = 1;  // the table, and every sleeper; under ipc_ids::lock
};

struct ipc_ids {
  mutex lock;  // the table and everything in its objects
  kern_ipc_perm** slots = nullptr;
  u32 capacity = 0, used = 0, next = 0;
  u32 seq = 0;
  s64 next_id = -1;       // kernel.{shm,sem,msg}_next_id: what the next object gets if it is free
  s64 limit = kIpcSlots;  // kernel.shmmni and its like
};

int ipc_add(ipc_ids& ids, kern_ipc_perm* p, int key, int flags);  // ids.lock held; the new identifier, or -ENOSPC
kern_ipc_perm* ipc_find_key(ipc_ids& ids, int key);
Result<kern_ipc_perm*> ipc_find(ipc_ids& ids, int id);        // -EINVAL: none, -EIDRM: its slot was reused
Result<kern_ipc_perm*> ipc_find_index(ipc_ids& ids, int at);  // for the *_STAT commands
void ipc_remove(ipc_ids& ids, kern_ipc_perm* p);
int ipc_max_index(const ipc_ids& ids);
bool ipc_permitted(const kern_ipc_perm& p, u32 wanted);  // wanted: mode bits in any of the three classes
bool ipc_owner(const kern_ipc_perm& p);                  // may IPC_SET and IPC_RMID
void ipc_fill(const kern_ipc_perm& p, ipc64_perm& out);
int ipc_set(kern_ipc_perm& p, const ipc64_perm& in);
s64 ipc_now();  // seconds

// What the *get calls do: find or make. `create` returns a new object not yet in the table; `check` looks at a found
// one.
template <class Create, class Check>
long ipc_get(ipc_ids& ids, int key, int flags, Create create, Check check) {
  MutexGuard guard(ids.lock);
  kern_ipc_perm* p = key == IPC_PRIVATE ? nullptr : ipc_find_key(ids, key);
  if (p == nullptr) {
    if (key != IPC_PRIVATE && (flags & IPC_CREAT) == 0) return -ENOENT;
    return create();
  }
  if ((flags & (IPC_CREAT | IPC_EXCL)) == (IPC_CREAT | IPC_EXCL)) return -EEXIST;
  TRY_INT(check(p));
  return ipc_permitted(*p, static_cast<u32>(flags)) ? p->id : -EACCES;
}

// System V semaphores that a process must give back when it ends. [man 2 semop] SEM_UNDO
struct sem_undo_list;
void exit_sem(task_struct* t);
int copy_semundo(u64 clone_flags, task_struct* child);

}  // namespace xm::os
