// SPDX-License-Identifier: GPL-2.0-or-later
// System V semaphores: sets whose operations happen all at once or not at all, and what a process gives back when it
// ends (SEM_UNDO). [man 2 semget], [man 2 semop], [man 2 semctl]
#include "kernel/fs/proc/proc.h"
#include "kernel/init/initcall.h"
#include "kernel/ipc/ipc.h"
#include "kernel/mm/uaccess.h"
#include "kernel/sched/clock.h"
#include "kernel/syscall/calls.h"
#include "kernel/syscall/convert.h"

namespace xm::os {

struct sem_array;
// What one process must add to the semaphores of one set when it ends.
struct sem_undo {
  list_head by_process;  // sem_undo_list::entries
  list_head by_set;      // sem_array::undos
  sem_array* set = nullptr;
  s16* adjust = nullptr;
};
struct sem_undo_list {  // shared by CLONE_SYSVSEM
  Atomic<s32> refcount{1};
  list_head entries;
};

namespace {

constexpr u32 kSemMsl = 32000, kSemOpm = 500;
constexpr int kSemVmx = 32767;
constinit ipc_ids sem_ids{};
constinit u64 total_sems = 0;

struct sem {
  int value = 0;
  pid_t pid = 0;
};
struct sem_waiter {  // a sleeping semop, and the operation it cannot do
  list_head link;
  u16 number;
  bool for_zero;
};

}  // namespace

struct sem_array : kern_ipc_perm {
  sem* sems = nullptr;
  u32 nsems = 0;
  s64 otime = 0, ctime = 0;
  u64 changes = 0;
  list_head waiters, undos;
  wait_queue_head wait;
};

namespace {

void free_undo(sem_undo* u) {
  list_del(&u->by_process);
  list_del(&u->by_set);
  kfree(u->adjust);
  kdelete(u);
}
void sem_put(sem_array* s) {  // lock held
  if (--s->refcount != 0) return;
  kfree(s->sems);
  kdelete(s);
}
void changed(sem_array* s) {
  ++s->changes;
  wake_up_all(s->wait);
}
void sem_destroy(sem_array* s) {
  ipc_remove(sem_ids, s);
  total_sems -= s->nsems;
  for (sem_undo* u : entries<&sem_undo::by_set>(s->undos)) free_undo(u);
  wake_up_all(s->wait);
  sem_put(s);
}

long create_set(int key, int nsems, int flags) {
  if (nsems == 0) return -EINVAL;
  if (total_sems + static_cast<u32>(nsems) > static_cast<u64>(kSemMsl) * kIpcSlots) return -ENOSPC;
  sem_array* s = knew<sem_array>();
  if (s == nullptr) return -ENOMEM;
  s->nsems = static_cast<u32>(nsems);
  s->sems = static_cast<sem*>(kzalloc(s->nsems * sizeof(sem)));
  s->ctime = ipc_now();
  const int id = s->sems == nullptr ? -ENOMEM : ipc_add(sem_ids, s, key, flags);
  if (id < 0) {
    kfree(s->sems);
    kdelete(s);
    return id;
  }
  total_sems += s->nsems;
  return id;
}

// Tries all operations. 0: done; 1: `blocked` cannot be done now; negative errno. Nothing is changed unless 0.
int try_operations(sem_array* s, const sembuf* ops, u32 count, sem_undo* undo, const sembuf** blocked) {
  u32 i = 0;
  int result = 0;
  for (; i < count && result == 0; ++i) {
    sem& one = s->sems[ops[i].sem_num];
    const int op = ops[i].sem_op;
    *blocked = &ops[i];
    if ((op == 0 && one.value != 0) || one.value + op < 0) {
      result = (ops[i].sem_flg & IPC_NOWAIT) != 0 ? -EAGAIN : 1;
    } else if (one.value + op > kSemVmx) {
      result = -ERANGE;
    } else if (undo != nullptr && (ops[i].sem_flg & SEM_UNDO) != 0 &&
               (undo->adjust[ops[i].sem_num] - op < -kSemVmx - 1 || undo->adjust[ops[i].sem_num] - op > kSemVmx)) {
      result = -ERANGE;
    }
    if (result != 0) break;
    one.value += op;
  }
  if (result != 0) {
    while (i-- > 0) s->sems[ops[i].sem_num].value -= ops[i].sem_op;
    return result;
  }
  for (i = 0; i < count; ++i) {
    s->sems[ops[i].sem_num].pid = current->tgid;
    if (undo != nullptr && (ops[i].sem_flg & SEM_UNDO) != 0)
      undo->adjust[ops[i].sem_num] = static_cast<s16>(undo->adjust[ops[i].sem_num] - ops[i].sem_op);
  }
  return 0;
}

Result<sem_undo*> find_undo(sem_array* s) {
  if (current->sysvsem == nullptr) current->sysvsem = knew<sem_undo_list>();
  if (current->sysvsem == nullptr) return Error{ENOMEM};
  for (sem_undo* u : entries<&sem_undo::by_process>(current->sysvsem->entries)) {
    if (u->set == s) return u;
  }
  sem_undo* u = knew<sem_undo>();
  s16* adjust = static_cast<s16*>(kzalloc(s->nsems * sizeof(s16)));
  if (u == nullptr || adjust == nullptr) {
    kdelete(u);
    kfree(adjust);
    return Error{ENOMEM};
  }
  u->set = s;
  u->adjust = adjust;
  list_add(&u->by_process, &current->sysvsem->entries);
  list_add(&u->by_set, &s->undos);
  return u;
}

long do_semop(int id, const sembuf* ops, u32 count, u64 expires) {
  bool alter = false, undoes = false;
  u16 highest = 0;
  for (u32 i = 0; i < count; ++i) {
    highest = max(highest, ops[i].sem_num);
    alter = alter || ops[i].sem_op != 0;
    undoes = undoes || (ops[i].sem_flg & SEM_UNDO) != 0;
  }
  MutexGuard guard(sem_ids.lock);
  sem_array* s = static_cast<sem_array*>(TRY(ipc_find(sem_ids, id)));
  if (highest >= s->nsems) return -EFBIG;
  if (!ipc_permitted(*s, alter ? 0222 : 0444)) return -EACCES;
  sem_undo* undo = undoes ? TRY(find_undo(s)) : nullptr;
  for (;;) {
    const sembuf* blocked = nullptr;
    const int r = try_operations(s, ops, count, undo, &blocked);
    if (r == 0) {
      s->otime = ipc_now();
      if (alter) changed(s);
      return 0;
    }
    if (r < 0) return r;
    if (expires == 1) return -EAGAIN;  // a time-out of zero
    sem_waiter waiter{{}, blocked->sem_num, blocked->sem_op == 0};
    list_add_tail(&waiter.link, &s->waiters);
    ++s->refcount;
    const u64 seen = s->changes;
    mutex_unlock(sem_ids.lock);
    const long slept = wait_event_interruptible(
        s->wait, [&] { return read_once(s->deleted) || read_once(s->changes) != seen; }, expires);
    mutex_lock(sem_ids.lock);
    list_del(&waiter.link);
    const bool gone = s->deleted;
    sem_put(s);
    if (gone) return -EIDRM;
    if (slept == -ETIME) return -EAGAIN;
    if (slept != 0) return -EINTR;
  }
}

long sem_info_commands(int command, u64 user) {
  seminfo info{};
  info.semmni = static_cast<int>(sem_ids.limit);
  info.semmsl = kSemMsl;
  info.semmns = info.semmap = static_cast<int>(kSemMsl * kIpcSlots);
  info.semmnu = info.semmns;
  info.semopm = info.semume = kSemOpm;
  info.semvmx = info.semaem = kSemVmx;
  info.semusz = 20;
  if (command == SEM_INFO) {
    info.semusz = static_cast<int>(sem_ids.used);
    info.semaem = static_cast<int>(total_sems);
  }
  TRY_INT(put_user_at(info, user));
  return ipc_max_index(sem_ids);
}

long count_waiters(sem_array* s, int number, bool for_zero) {
  long n = 0;
  for (sem_waiter* w : entries<&sem_waiter::link>(s->waiters)) {
    if (w->number == number && w->for_zero == for_zero) ++n;
  }
  return n;
}

void forget_adjustments(sem_array* s, int number) {  // number < 0: of all semaphores
  for (sem_undo* u : entries<&sem_undo::by_set>(s->undos)) {
    for (u32 i = 0; i < s->nsems; ++i) {
      if (number < 0 || static_cast<u32>(number) == i) u->adjust[i] = 0;
    }
  }
}

long set_value(sem_array* s, int number, int value) {
  if (value < 0 || value > kSemVmx) return -ERANGE;
  if (number < 0 || static_cast<u32>(number) >= s->nsems) return -EINVAL;
  forget_adjustments(s, number);
  s->sems[number] = {value, current->tgid};
  s->ctime = ipc_now();
  changed(s);
  return 0;
}

long all_values(sem_array* s, u64 user, bool set) {
  const u64 bytes = s->nsems * sizeof(u16);
  u16* values = static_cast<u16*>(kmalloc(bytes));
  if (values == nullptr) return -ENOMEM;
  long result = 0;
  if (!set) {
    for (u32 i = 0; i < s->nsems; ++i) values[i] = static_cast<u16>(s->sems[i].value);
    result = copy_to_user(reinterpret_cast<void*>(user), values, bytes);
  } else {
    result = copy_from_user(values, reinterpret_cast<const void*>(user), bytes);
    for (u32 i = 0; i < s->nsems && result == 0; ++i) {
      if (values[i] > kSemVmx) result = -ERANGE;
    }
    for (u32 i = 0; i < s->nsems && result == 0; ++i) s->sems[i] = {values[i], current->tgid};
    if (result == 0) {
      forget_adjustments(s, -1);
      s->ctime = ipc_now();
      changed(s);
    }
  }
  kfree(values);
  return result;
}

long sem_values(sem_array* s, int number, int command, u64 argument) {
  const bool write = command == SETALL || command == SETVAL;
  if (!ipc_permitted(*s, write ? 0222 : 0444)) return -EACCES;
  if (command == GETALL || command == SETALL) return all_values(s, argument, write);
  if (command == SETVAL) return set_value(s, number, static_cast<int>(argument));
  if (number < 0 || static_cast<u32>(number) >= s->nsems) return -EINVAL;
  switch (command) {
    case GETVAL: return s->sems[number].value;
    case GETPID: return s->sems[number].pid;
    case GETNCNT: return count_waiters(s, number, false);
    default: return count_waiters(s, number, true);
  }
}

void show_sem(TextBuffer& out, void*) {
  out.print("       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n");
  MutexGuard guard(sem_ids.lock);
  for (u32 i = 0; i < sem_ids.capacity; ++i) {
    const auto* s = static_cast<const sem_array*>(sem_ids.slots[i]);
    if (s == nullptr) continue;
    out.print("%10d %10d  %4o %10u %5u %5u %5u %5u %10ld %10ld\n", s->key, s->id, s->mode, s->nsems, s->uid, s->gid,
              s->cuid, s->cgid, s->otime, s->ctime);
  }
}
int show_limits_store(const char*, size_t, void*) { return -EINVAL; }
void show_sem_limits(TextBuffer& out, void*) {
  out.print("%u\t%u\t%u\t%ld\n", kSemMsl, kSemMsl * kIpcSlots, kSemOpm, sem_ids.limit);
}
void sem_init() {
  static constinit proc_number next_number{&sem_ids.next_id, -1, 0x7fffffff};
  proc_create_number("sys/kernel/sem_next_id", 0644, &next_number);
  proc_create(&proc_root, "sysvipc/sem", 0444, show_sem);
  proc_create(&proc_root, "sys/kernel/sem", 0644, show_sem_limits, show_limits_store);
}
FS_INITCALL(sem_init);

}  // namespace

void exit_sem(task_struct* t) {
  sem_undo_list* list = t->sysvsem;
  t->sysvsem = nullptr;
  if (list == nullptr || !list->refcount.dec_and_test()) return;
  MutexGuard guard(sem_ids.lock);
  for (sem_undo* u : entries<&sem_undo::by_process>(list->entries)) {
    sem_array* s = u->set;
    for (u32 i = 0; i < s->nsems; ++i) {
      if (u->adjust[i] == 0) continue;
      s->sems[i].value = clamp(s->sems[i].value + u->adjust[i], 0, kSemVmx);
      s->sems[i].pid = t->tgid;
    }
    changed(s);
    free_undo(u);
  }
  kdelete(list);
}

int copy_semundo(u64 clone_flags, task_struct* child) {
  child->sysvsem = nullptr;
  if ((clone_flags & CLONE_SYSVSEM) == 0) return 0;
  if (current->sysvsem == nullptr) current->sysvsem = knew<sem_undo_list>();
  if (current->sysvsem == nullptr) return -ENOMEM;
  current->sysvsem->refcount.inc();
  child->sysvsem = current->sysvsem;
  return 0;
}

long sys_semget(int key, int nsems, int flags) {
  if (nsems < 0 || nsems > static_cast<int>(kSemMsl)) return -EINVAL;
  return ipc_get(
      sem_ids, key, flags, [&] { return create_set(key, nsems, flags); },
      [&](kern_ipc_perm* p) { return static_cast<u32>(nsems) > static_cast<sem_array*>(p)->nsems ? -EINVAL : 0; });
}

long sys_semtimedop(int id, u64 user, u32 count, u64 timeout) {
  u64 expires = 0;
  if (timeout != 0) {
    timespec_abi ts;
    TRY_INT(get_user_at(ts, timeout));
    const u64 ns = static_cast<u64>(TRY_INT(timespec_to_ns(ts)));
    expires = ns == 0 ? 1 : ktime_get() + ns;
  }
  if (count < 1 || id < 0) return -EINVAL;
  if (count > kSemOpm) return -E2BIG;
  sembuf fast[8];
  sembuf* ops = count > array_size(fast) ? static_cast<sembuf*>(kmalloc(count * sizeof(sembuf))) : fast;
  if (ops == nullptr) return -ENOMEM;
  long result = copy_from_user(ops, reinterpret_cast<const void*>(user), count * sizeof(sembuf));
  if (result == 0) result = do_semop(id, ops, count, expires);
  if (ops != fast) kfree(ops);
  return result;
}
long sys_semop(int id, u64 user, u32 count) { return sys_semtimedop(id, user, count, 0); }

long sys_semctl(int id, int number, int command, u64 argument) {
  command &= ~IPC_64;
  if (id < 0) return -EINVAL;
  semid64_ds ds;
  if (command == IPC_SET) TRY_INT(get_user_at(ds, argument));
  MutexGuard guard(sem_ids.lock);
  const bool by_index = command == SEM_STAT || command == SEM_STAT_ANY;
  switch (command) {
    case IPC_INFO:
    case SEM_INFO: return sem_info_commands(command, argument);
    case IPC_STAT:
    case SEM_STAT:
    case SEM_STAT_ANY: {
      auto* s = static_cast<sem_array*>(TRY(by_index ? ipc_find_index(sem_ids, id) : ipc_find(sem_ids, id)));
      if (command != SEM_STAT_ANY && !ipc_permitted(*s, 0444)) return -EACCES;
      ds = {};
      ipc_fill(*s, ds.perm);
      ds.otime = s->otime;
      ds.ctime = s->ctime;
      ds.nsems = s->nsems;
      TRY_INT(put_user_at(ds, argument));
      return by_index ? s->id : 0;
    }
    case GETALL:
    case GETVAL:
    case GETPID:
    case GETNCNT:
    case GETZCNT:
    case SETALL:
    case SETVAL: return sem_values(static_cast<sem_array*>(TRY(ipc_find(sem_ids, id))), number, command, argument);
    case IPC_SET:
    case IPC_RMID: {
      auto* s = static_cast<sem_array*>(TRY(ipc_find(sem_ids, id)));
      if (!ipc_owner(*s)) return -EPERM;
      if (command == IPC_RMID) {
        sem_destroy(s);
        return 0;
      }
      TRY_INT(ipc_set(*s, ds.perm));
      s->ctime = ipc_now();
      return 0;
    }
    default: return -EINVAL;
  }
}

}  // namespace xm::os
