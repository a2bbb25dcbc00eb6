// SPDX-License-Identifier: GPL-2.0-or-later
// System V message queues. [man 2 msgget], [man 2 msgop], [man 2 msgctl]
#include "kernel/fs/proc/proc.h"
#include "kernel/init/initcall.h"
#include "kernel/ipc/ipc.h"
#include "kernel/mm/uaccess.h"
#include "kernel/syscall/calls.h"

namespace xm::os {
namespace {

constinit s64 msgmax = 8192, msgmnb = 16384;
constinit ipc_ids msg_ids{};
constinit wait_queue_head msg_wait{};  // senders and receivers of all queues

struct msg_msg {
  list_head link;
  s64 type = 0;
  u64 size = 0;
  char* data() { return reinterpret_cast<char*>(this + 1); }
};
struct msg_queue : kern_ipc_perm {
  list_head messages;
  u64 cbytes = 0, qnum = 0, qbytes = 0;
  u64 arrivals = 0;  // messages ever sent here: receivers wait for a change
  s64 stime = 0, rtime = 0, ctime = 0;
  pid_t lspid = 0, lrpid = 0;
};

void msg_put(msg_queue* q) {  // lock held
  if (--q->refcount == 0) kdelete(q);
}

void msg_destroy(msg_queue* q) {
  ipc_remove(msg_ids, q);
  while (msg_msg* m = list_first<&msg_msg::link>(&q->messages)) {
    list_del(&m->link);
    kfree(m);
  }
  wake_up_all(msg_wait);
  msg_put(q);
}

// Sleeps with the lock given up until something changes in any queue; -EIDRM when this one went away.
template <class Ready>
int wait_on(msg_queue* q, Ready ready) {
  ++q->refcount;
  mutex_unlock(msg_ids.lock);
  const long r = wait_event_interruptible(msg_wait, [&] { return read_once(q->deleted) || ready(); });
  mutex_lock(msg_ids.lock);
  const bool gone = q->deleted;
  msg_put(q);
  return gone ? -EIDRM : (r != 0 ? -ERESTARTNOHAND : 0);
}

bool has_room(const msg_queue* q, u64 size) {
  return size + read_once(q->cbytes) <= q->qbytes && read_once(q->qnum) + 1 <= q->qbytes;
}

// The message that msgrcv would take. [man 2 msgop]
msg_msg* choose(msg_queue* q, s64 type, int flags) {
  msg_msg* best = nullptr;
  u64 at = 0;
  for (msg_msg* m : entries<&msg_msg::link>(q->messages)) {
    if ((flags & MSG_COPY) != 0) {
      if (at++ == static_cast<u64>(type)) return m;
      continue;
    }
    if (type == 0) return m;
    if (type > 0) {
      if ((m->type == type) != ((flags & MSG_EXCEPT) != 0)) return m;
    } else if (m->type <= (type == static_cast<s64>(1ul << 63) ? 0x7fffffffffffffff : -type) &&
               (best == nullptr || m->type < best->type)) {
      best = m;
    }
  }
  return best;
}

long msg_info_commands(int command, u64 user) {
  msginfo info{};
  info.msgmni = static_cast<int>(msg_ids.limit);
  info.msgmax = static_cast<int>(msgmax);
  info.msgmnb = static_cast<int>(msgmnb);
  info.msgssz = 16;
  info.msgseg = 0xffff;
  info.msgpool = info.msgmni * info.msgmnb / 1024;
  info.msgmap = info.msgmnb;
  info.msgtql = info.msgmnb;
  if (command == MSG_INFO) {
    u64 messages = 0, bytes = 0;
    for (u32 i = 0; i < msg_ids.capacity; ++i) {
      if (const auto* q = static_cast<const msg_queue*>(msg_ids.slots[i]); q != nullptr)
        messages += q->qnum, bytes += q->cbytes;
    }
    info.msgpool = static_cast<int>(msg_ids.used);
    info.msgmap = static_cast<int>(messages);
    info.msgtql = static_cast<int>(bytes);
  }
  TRY_INT(put_user_at(info, user));
  return ipc_max_index(msg_ids);
}

void show_msg(TextBuffer& out, void*) {
  out.print(
      "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      stime      rtime    "
      "  "
      "ctime\n");
  MutexGuard guard(msg_ids.lock);
  for (u32 i = 0; i < msg_ids.capacity; ++i) {
    const auto* q = static_cast<const msg_queue*>(msg_ids.slots[i]);
    if (q == nullptr) continue;
    out.print("%10d %10d  %4o  %10lu %10lu %5u %5u %5u %5u %5u %5u %10ld %10ld %10ld\n", q->key, q->id, q->mode,
              q->cbytes, q->qnum, q->lspid, q->lrpid, q->uid, q->gid, q->cuid, q->cgid, q->stime, q->rtime, q->ctime);
  }
}

void msg_init() {
  static constinit proc_number next_number{&msg_ids.next_id, -1, 0x7fffffff};
  proc_create_number("sys/kernel/msg_next_id", 0644, &next_number);
  static constinit proc_number max_number{&msgmax, 0, 0x7fffffff};
  static constinit proc_number mnb_number{&msgmnb, 0, 0x7fffffff};
  static constinit proc_number mni_number{&msg_ids.limit, 0, kIpcMaxIds};
  proc_create_number("sys/kernel/msgmax", 0644, &max_number);
  proc_create_number("sys/kernel/msgmnb", 0644, &mnb_number);
  proc_create_number("sys/kernel/msgmni", 0644, &mni_number);
  proc_create(&proc_root, "sysvipc/msg", 0444, show_msg);
}
FS_INITCALL(msg_init);

}  // namespace

long sys_msgget(int key, int flags) {
  return ipc_get(
      msg_ids, key, flags,
      [&]() -> long {
        msg_queue* q = knew<msg_queue>();
        if (q == nullptr) return -ENOMEM;
        q->qbytes = static_cast<u64>(msgmnb);
        q->ctime = ipc_now();
        const int id = ipc_add(msg_ids, q, key, flags);
        if (id < 0) kdelete(q);
        return id;
      },
      [](kern_ipc_perm*) { return 0; });
}

long sys_msgsnd(int id, u64 user, u64 size, int flags) {
  s64 type;
  TRY_INT(get_user_at(type, user));
  if (size > static_cast<u64>(msgmax) || static_cast<s64>(size) < 0 || id < 0) return -EINVAL;
  if (type < 1) return -EINVAL;
  msg_msg* m = static_cast<msg_msg*>(kmalloc(sizeof(msg_msg) + size));
  if (m == nullptr) return -ENOMEM;
  new (m) msg_msg{};
  m->type = type;
  m->size = size;
  long result = copy_from_user(m->data(), reinterpret_cast<const void*>(user + sizeof type), size);
  if (result == 0) {
    MutexGuard guard(msg_ids.lock);
    result = [&]() -> long {
      msg_queue* q = static_cast<msg_queue*>(TRY(ipc_find(msg_ids, id)));
      for (;;) {
        if (!ipc_permitted(*q, 0222)) return -EACCES;
        if (has_room(q, size)) break;
        if ((flags & IPC_NOWAIT) != 0) return -EAGAIN;
        TRY_INT(wait_on(q, [&] { return has_room(q, size); }));
      }
      list_add_tail(&m->link, &q->messages);
      q->cbytes += size;
      ++q->qnum;
      ++q->arrivals;
      q->lspid = current->tgid;
      q->stime = ipc_now();
      return 0;
    }();
  }
  if (result != 0) {
    kfree(m);
    return result;
  }
  wake_up_all(msg_wait);
  return 0;
}

long sys_msgrcv(int id, u64 user, u64 size, s64 type, int flags) {
  if (id < 0 || static_cast<s64>(size) < 0) return -EINVAL;
  if ((flags & MSG_COPY) != 0 && ((flags & MSG_EXCEPT) != 0 || (flags & IPC_NOWAIT) == 0)) return -EINVAL;
  msg_msg* taken = nullptr;
  const auto take = [&]() -> long {
    MutexGuard guard(msg_ids.lock);
    msg_queue* q = static_cast<msg_queue*>(TRY(ipc_find(msg_ids, id)));
    for (;;) {
      if (!ipc_permitted(*q, 0444)) return -EACCES;
      msg_msg* m = choose(q, type, flags);
      if (m != nullptr) {
        if (size < m->size && (flags & MSG_NOERROR) == 0) return -E2BIG;
        if ((flags & MSG_COPY) != 0) {
          taken = static_cast<msg_msg*>(kmalloc(sizeof(msg_msg) + m->size));
          if (taken == nullptr) return -ENOMEM;
          new (taken) msg_msg{};
          taken->type = m->type;
          taken->size = m->size;
          memcpy(taken->data(), m->data(), m->size);
          return 0;
        }
        list_del(&m->link);
        --q->qnum;
        q->cbytes -= m->size;
        q->rtime = ipc_now();
        q->lrpid = current->tgid;
        taken = m;
        return 0;
      }
      if ((flags & IPC_NOWAIT) != 0) return -ENOMSG;
      const u64 seen = q->arrivals;
      TRY_INT(wait_on(q, [&] { return read_once(q->arrivals) != seen; }));
    }
  };
  TRY_INT(take());
  wake_up_all(msg_wait);
  const u64 n = min(size, taken->size);
  long result = static_cast<long>(n);
  if (put_user_at(taken->type, user) != 0 ||
      copy_to_user(reinterpret_cast<void*>(user + sizeof taken->type), taken->data(), n) != 0)
    result = -EFAULT;
  kfree(taken);
  return result;
}

long sys_msgctl(int id, int command, u64 user) {
  command &= ~IPC_64;
  if (id < 0 || command < 0) return -EINVAL;
  msqid64_ds ds;
  if (command == IPC_SET) TRY_INT(get_user_at(ds, user));
  mutex_lock(msg_ids.lock);
  const auto run = [&]() -> long {
    const bool by_index = command == MSG_STAT || command == MSG_STAT_ANY;
    switch (command) {
      case IPC_INFO:
      case MSG_INFO: return msg_info_commands(command, user);
      case IPC_STAT:
      case MSG_STAT:
      case MSG_STAT_ANY: {
        auto* q = static_cast<msg_queue*>(TRY(by_index ? ipc_find_index(msg_ids, id) : ipc_find(msg_ids, id)));
        if (command != MSG_STAT_ANY && !ipc_permitted(*q, 0444)) return -EACCES;
        ds = {};
        ipc_fill(*q, ds.perm);
        ds.stime = q->stime, ds.rtime = q->rtime, ds.ctime = q->ctime;
        ds.cbytes = q->cbytes, ds.qnum = q->qnum, ds.qbytes = q->qbytes;
        ds.lspid = q->lspid, ds.lrpid = q->lrpid;
        return by_index ? q->id : 0;
      }
      case IPC_SET: {
        auto* q = static_cast<msg_queue*>(TRY(ipc_find(msg_ids, id)));
        if (!ipc_owner(*q)) return -EPERM;
        if (ds.qbytes > static_cast<u64>(msgmnb) && !capable(CAP_SYS_RESOURCE)) return -EPERM;
        TRY_INT(ipc_set(*q, ds.perm));
        q->qbytes = ds.qbytes;
        q->ctime = ipc_now();
        wake_up_all(msg_wait);
        return 0;
      }
      case IPC_RMID: {
        auto* q = static_cast<msg_queue*>(TRY(ipc_find(msg_ids, id)));
        if (!ipc_owner(*q)) return -EPERM;
        msg_destroy(q);
        return 0;
      }
      default: return -EINVAL;
    }
  };
  const long result = run();
  mutex_unlock(msg_ids.lock);
  const bool stat = command == IPC_STAT || command == MSG_STAT || command == MSG_STAT_ANY;
  if (result >= 0 && stat) TRY_INT(put_user_at(ds, user));
  return result;
}

}  // namespace xm::os
