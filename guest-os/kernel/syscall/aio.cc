// SPDX-License-Identifier: GPL-2.0-or-later
// Asynchronous I/O: a context with room for a number of requests, requests that are done while they are submitted, and
// a list of events to fetch. The context's name is the address of a page in the process, as on Linux; its header says
// that events are to be fetched by the call (magic 0). [man 2 io_setup], [Linux uapi linux/aio_abi.h]
// GAP: a request is complete when io_submit returns; IOCB_CMD_POLL is refused.
#include "kernel/mm/aio.h"
#include "abi/mman.h"
#include "kernel/fs/anon_inodes.h"
#include "kernel/fs/file_table.h"
#include "kernel/fs/proc/proc.h"
#include "kernel/init/initcall.h"
#include "kernel/mm/mm.h"
#include "kernel/mm/slab.h"
#include "kernel/mm/vmalloc.h"
#include "kernel/sched/clock.h"
#include "kernel/signal/signal.h"
#include "kernel/syscall/calls.h"
#include "kernel/syscall/convert.h"
#include "kernel/syscall/iovec.h"
#include "kernel/task/task_struct.h"

namespace xm::os {

struct io_event {
  u64 data, obj;
  s64 res, res2;
};
struct kioctx {
  kioctx* next = nullptr;
  u64 id = 0;
  u32 room = 0, head = 0, count = 0;  // events: a ring
  bool dying = false;
  u32 users = 0;  // aio_lock
  mutex lock;
  wait_queue_head wait;
  io_event* events = nullptr;
};

namespace {

struct iocb {
  u64 data;
  u32 key, rw_flags;
  u16 opcode;
  s16 reqprio;
  u32 fd;
  u64 buf, nbytes;
  s64 offset;
  u64 reserved2;
  u32 flags, resfd;
};
static_assert(sizeof(iocb) == 64);
enum IocbCommand : u16 { PREAD = 0, PWRITE = 1, FSYNC = 2, FDSYNC = 3, PREADV = 7, PWRITEV = 8 };
constexpr u32 IOCB_FLAG_RESFD = 1, IOCB_FLAG_IOPRIO = 2;

constinit mutex aio_lock{};  // the lists of contexts
constinit s64 aio_max_nr = 65536, aio_nr = 0;

void free_context(kioctx* c) {
  vfree(c->events);
  kdelete(c);
}

// A context in use by a call.
class ContextRef {
 public:
  explicit ContextRef(u64 id) {
    MutexGuard guard(aio_lock);
    for (kioctx* c = current->mm->ioctx; c != nullptr; c = c->next) {
      if (c->id != id || c->dying) continue;
      ++c->users;
      context_ = c;
      return;
    }
  }
  ~ContextRef() {
    if (context_ == nullptr) return;
    MutexGuard guard(aio_lock);
    if (--context_->users == 0 && context_->dying) free_context(context_);
  }
  ContextRef(const ContextRef&) = delete;
  ContextRef& operator=(const ContextRef&) = delete;
  kioctx* operator->() const { return context_; }
  explicit operator bool() const { return context_ != nullptr; }

 private:
  kioctx* context_ = nullptr;
};

// The descriptor's own rights are checked before the memory, as Linux does.
long transfer(file* f, const iocb& r) {
  const bool write = r.opcode == PWRITE || r.opcode == PWRITEV;
  if ((f->f_mode & (write ? FMODE_WRITE : FMODE_READ)) == 0) return -EBADF;
  IoVector v;
  if (r.opcode == PREADV || r.opcode == PWRITEV) {
    TRY_INT(import_iovec(r.buf, r.nbytes, false, v));
  } else {
    if (static_cast<s64>(r.nbytes) < 0) return -EINVAL;
    if (!access_ok(r.buf, r.nbytes)) return -EFAULT;
    v.fast[0] = {r.buf, min(r.nbytes, kMaxTransfer)};
    v.total = v.fast[0].length;
  }
  iov_iter it(v.pieces, r.opcode >= PREADV ? static_cast<u32>(r.nbytes) : 1, v.total);
  it.rwf = r.rw_flags;
  loff_t pos = r.offset;
  const bool seeks = (f->f_mode & FMODE_LSEEK) != 0;
  loff_t& at = seeks ? pos : f->f_pos;
  const long done = write ? vfs_write(f, it, at) : vfs_read(f, it, at);
  return done == -ERESTARTSYS ? -EINTR : done;
}

bool is_transfer(u16 opcode) { return opcode == PREAD || opcode == PWRITE || opcode == PREADV || opcode == PWRITEV; }

// Errors that io_submit itself returns; others are results of the request.
int check_transfer(const file* f, const iocb& r) {
  const bool write = r.opcode == PWRITE || r.opcode == PWRITEV;
  if ((f->f_mode & (write ? FMODE_WRITE : FMODE_READ)) == 0) return -EBADF;
  if (r.offset < 0) return -EINVAL;
  if (r.opcode >= PREADV) return 0;
  return access_ok(r.buf, r.nbytes) ? 0 : -EFAULT;
}

void add_event(kioctx* c, const io_event& e) {
  MutexGuard guard(c->lock);
  c->events[(c->head + c->count++) % c->room] = e;
  wake_up_all(c->wait);
}

long submit_one(kioctx* c, u64 user) {
  iocb r;
  TRY_INT(get_user_at(r, user));
  if (r.reserved2 != 0 || static_cast<s64>(r.nbytes) < 0) return -EINVAL;
  if ((r.flags & ~(IOCB_FLAG_RESFD | IOCB_FLAG_IOPRIO)) != 0) return -EINVAL;
  if (c->count == c->room) return -EAGAIN;
  FileRef f(static_cast<int>(r.fd));
  if (!f) return -EBADF;
  file* notify = nullptr;
  if ((r.flags & IOCB_FLAG_RESFD) != 0) {
    notify = fget(static_cast<int>(r.resfd));
    if (notify == nullptr) return -EBADF;
    if (!is_eventfd(notify)) {
      fput(notify);
      return -EINVAL;
    }
  }
  long error = put_user_at(u32{0}, user + 8);
  long result = 0;
  if (error == 0 && is_transfer(r.opcode)) {
    error = check_transfer(f.get(), r);
    if (error == 0) result = transfer(f.get(), r);
  } else if (error == 0 && (r.opcode == FSYNC || r.opcode == FDSYNC)) {
    if (r.buf != 0 || r.offset != 0 || r.nbytes != 0 || r.rw_flags != 0)
      error = -EINVAL;
    else
      result = vfs_fsync(f.get(), r.opcode == FDSYNC);
    if (result == -EINVAL) error = -EINVAL;  // a file that cannot
  } else if (error == 0) {
    error = -EINVAL;
  }
  if (error == 0) {
    add_event(c, {r.data, user, result, 0});
    u64 one = 1;
    loff_t pos = 0;
    if (notify != nullptr) kernel_write(notify, &one, sizeof one, pos);
  }
  if (notify != nullptr) fput(notify);
  return error;
}

long take_events(kioctx* c, s64 least, s64 most, u64 user, u64 expires, bool timed) {
  s64 got = 0;
  for (;;) {
    {
      MutexGuard guard(c->lock);
      for (; got < most && c->count > 0; ++got) {
        if (put_user_at(c->events[c->head], user + static_cast<u64>(got) * sizeof(io_event)) != 0)
          return got > 0 ? got : -EFAULT;
        c->head = (c->head + 1) % c->room;
        --c->count;
      }
    }
    if (got >= least || (timed && expires <= ktime_get()) || c->dying) return got;
    const long r = wait_event_interruptible(
        c->wait, [&] { return read_once(c->count) > 0 || read_once(c->dying); }, timed ? expires : 0);
    if (r == -ERESTARTSYS) return got > 0 ? got : -EINTR;
    if (r == -ETIME) return got;
  }
}

long get_events(u64 id, s64 least, s64 most, u64 user, const timespec_abi* timeout) {
  u64 expires = 0;
  if (timeout != nullptr) {
    timespec_abi ts;
    TRY_INT(get_user(ts, timeout));
    expires = ktime_get() + TRY_INT(timespec_to_ns(ts));
  }
  ContextRef c(id);
  if (!c) return -EINVAL;
  if (least > most || least < 0) return -EINVAL;
  return take_events(c.operator->(), least, most, user, expires, timeout != nullptr);
}

void aio_sysctls() {
  static constinit proc_number rows[] = {{&aio_max_nr, 0, 1l << 32}, {&aio_nr, 0, 0}};
  proc_create_number("sys/fs/aio-max-nr", 0644, &rows[0]);
  proc_create_number("sys/fs/aio-nr", 0444, &rows[1]);
}
FS_INITCALL(aio_sysctls);

}  // namespace

// The address space goes: nobody can be inside a call any more.
void exit_aio(mm_struct* mm) {
  MutexGuard guard(aio_lock);
  while (kioctx* c = mm->ioctx) {
    mm->ioctx = c->next;
    aio_nr -= c->room;
    free_context(c);
  }
}

long sys_io_setup(u32 room, u64* user_id) {
  u64 id;
  TRY_INT(get_user(id, user_id));
  if (id != 0 || room == 0 || room > 0x10000000) return -EINVAL;
  {
    MutexGuard guard(aio_lock);
    if (aio_nr + room > aio_max_nr) return -EAGAIN;
    aio_nr += room;
  }
  kioctx* c = knew<kioctx>();
  io_event* events = static_cast<io_event*>(vmalloc(room * sizeof(io_event)));
  long error = c == nullptr || events == nullptr ? -ENOMEM : 0;
  const long at =
      error != 0 ? error : do_mmap(nullptr, 0, kPageSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, 0);
  if (at < 0) error = at;
  if (error == 0) error = put_user(static_cast<u64>(at), user_id);
  MutexGuard guard(aio_lock);
  if (error != 0) {
    aio_nr -= room;
    vfree(events);
    if (c != nullptr) kdelete(c);
    return error;
  }
  c->id = static_cast<u64>(at);
  c->room = room;
  c->events = events;
  c->next = current->mm->ioctx;
  current->mm->ioctx = c;
  return 0;
}

long sys_io_destroy(u64 id) {
  {
    MutexGuard guard(aio_lock);
    kioctx** at = &current->mm->ioctx;
    while (*at != nullptr && (*at)->id != id) at = &(*at)->next;
    kioctx* c = *at;
    if (c == nullptr) return -EINVAL;
    *at = c->next;
    aio_nr -= c->room;
    c->dying = true;
    if (c->users == 0)
      free_context(c);
    else
      wake_up_all(c->wait);
  }
  WriteGuard guard(current->mm->mmap_lock);
  do_munmap(current->mm, id, kPageSize);
  return 0;
}

long sys_io_submit(u64 id, s64 n, u64 user) {
  if (n < 0) return -EINVAL;
  ContextRef c(id);
  if (!c) return -EINVAL;
  for (s64 i = 0; i < min<s64>(n, c->room); ++i) {
    u64 request;
    long error = get_user_at(request, user + static_cast<u64>(i) * 8);
    if (error == 0) error = submit_one(c.operator->(), request);
    if (error != 0) return i > 0 ? i : error;
  }
  return min<s64>(n, c->room);
}

// Every request is finished by now: none is left to cancel.
long sys_io_cancel(u64, u64 user, u64) {
  u32 key;
  TRY_INT(get_user_at(key, user + 8));
  return -EINVAL;
}

long sys_io_getevents(u64 id, s64 least, s64 most, u64 events, const timespec_abi* timeout) {
  return get_events(id, least, most, events, timeout);
}

long sys_io_pgetevents(u64 id, s64 least, s64 most, u64 events, const timespec_abi* timeout, u64 user_mask) {
  struct {
    u64 mask, size;
  } m{};
  if (user_mask != 0) TRY_INT(get_user_at(m, user_mask));
  if (m.mask != 0) {
    if (m.size != sizeof(sigset_t)) return -EINVAL;
    sigset_t set;
    TRY_INT(get_user_at(set, m.mask));
    set_user_sigmask(set);
  }
  const long got = get_events(id, least, most, events, timeout);
  if (m.mask != 0 && !(got == -EINTR || (got == 0 && signal_pending(current)))) restore_saved_sigmask();
  return got;
}

}  // namespace xm::os
