// SPDX-License-Identifier: GPL-2.0-or-later
// POSIX message queues: named queues of messages by priority, each open one a file. [man 7 mq_overview], [man 2
// mq_notify] GAP: the mqueue file system is not mountable; SIGEV_THREAD notification needs netlink sockets.
#include "kernel/fs/file_table.h"
#include "kernel/fs/namei.h"
#include "kernel/fs/poll.h"
#include "kernel/fs/proc/proc.h"
#include "kernel/init/initcall.h"
#include "kernel/lib/format.h"
#include "kernel/mm/slab.h"
#include "kernel/sched/clock.h"
#include "kernel/signal/itimer.h"
#include "kernel/signal/signal.h"
#include "kernel/syscall/convert.h"

namespace xm::os {
namespace {

constexpr s64 kHardMessages = 65536, kHardSize = 16 << 20;
constexpr u32 kMaxPriority = 32768;
constinit s64 queues_max = 256, msg_max = 10, msgsize_max = 8192, msg_default = 10, msgsize_default = 8192;

struct mq_attr {
  s64 flags, maxmsg, msgsize, curmsgs, reserved[4];
};
struct mq_message {
  list_head link;
  u32 priority = 0;
  u32 length = 0;
  char* data() { return reinterpret_cast<char*>(this + 1); }
};
struct mqueue {
  list_head link;  // all named queues
  char name[kNameMax + 1]{};
  umode_t mode = 0;
  uid_t uid = 0;
  gid_t gid = 0;
  s32 users = 0;  // open files, and the name
  s64 maxmsg = 0, msgsize = 0, curmsgs = 0;
  u64 bytes = 0;       // of all messages
  list_head messages;  // highest priority first
  u32 receivers = 0;   // sleeping ones: they get a message before anybody is notified
  u64 charged = 0;     // to the owner's RLIMIT_MSGQUEUE
  user_struct* user = nullptr;
  wait_queue_head wait;  // senders, receivers, poll
  pid_t notify_pid = 0;  // tgid that registered, 0: none
  task_struct* notify_task = nullptr;
  int notify_kind = 0, notify_signal = 0;
  u64 notify_value = 0;
};
constinit mutex mq_lock{};  // the table and all queues
constinit list_head mq_all{};
constinit s64 mq_count = 0;

mqueue* queue_of(const file* f) { return static_cast<mqueue*>(f->private_data); }

void put_queue(mqueue* q) {  // lock held
  if (--q->users != 0) return;
  while (mq_message* m = list_first<&mq_message::link>(&q->messages)) {
    list_del(&m->link);
    kfree(m);
  }
  q->user->mq_bytes.sub(static_cast<s64>(q->charged));
  --mq_count;
  kdelete(q);
}

void forget_notification(mqueue* q) {
  if (q->notify_task != nullptr) put_task(q->notify_task);
  q->notify_task = nullptr;
  q->notify_pid = 0;
}

// A message came into an empty queue that nobody waits on: tells the registered process, once.
void notify(mqueue* q) {
  if (q->notify_pid == 0) return;
  if (q->notify_kind == SIGEV_SIGNAL) {
    siginfo info{};
    info.si_signo = q->notify_signal;
    info.si_code = SI_MESGQ;
    info.rt.si_pid = current->tgid;
    info.rt.si_uid = current->cred_->uid;
    info.rt.si_value = q->notify_value;
    send_signal(q->notify_signal, &info, q->notify_task, true);
  }
  forget_notification(q);
}

struct MqueueOps final : file_operations {
  ssize_t read_iter(file* f, iov_iter& to, loff_t& pos) const override {
    char text[96];
    mqueue* q = queue_of(f);
    int n;
    {
      MutexGuard guard(mq_lock);
      n = format(text, sizeof text, "QSIZE:%-10lu NOTIFY:%-5d SIGNO:%-5d NOTIFY_PID:%-6d\n", q->bytes,
                 q->notify_pid != 0 ? q->notify_kind : 0, q->notify_pid != 0 ? q->notify_signal : 0, q->notify_pid);
    }
    if (pos >= n) return 0;
    const u64 moved = to.copy_to(text + pos, static_cast<u64>(n - pos));
    pos += static_cast<loff_t>(moved);
    return static_cast<ssize_t>(moved);
  }
  u32 poll(file* f, poll_table* table) const override {
    mqueue* q = queue_of(f);
    poll_wait(f, q->wait, table);
    const s64 n = read_once(q->curmsgs);
    return (n > 0 ? POLLIN | POLLRDNORM : 0) | (n < q->maxmsg ? POLLOUT | POLLWRNORM : 0);
  }
  bool has_poll() const override { return true; }
  int flush(file* f) const override {
    MutexGuard guard(mq_lock);
    if (queue_of(f)->notify_pid == current->tgid) forget_notification(queue_of(f));
    return 0;
  }
  void release(inode*, file* f) const override {
    MutexGuard guard(mq_lock);
    put_queue(queue_of(f));
  }
};
constinit const MqueueOps mqueue_ops{};

mqueue* find_queue(const char* name) {
  for (mqueue* q : entries<&mqueue::link>(mq_all)) {
    if (strcmp(q->name, name) == 0) return q;
  }
  return nullptr;
}

Result<mqueue*> create_queue(const char* name, umode_t mode, const mq_attr* attr) {
  const bool privileged = capable(CAP_SYS_RESOURCE);
  if (mq_count >= queues_max && !privileged) return Error{ENOSPC};
  s64 maxmsg = min(msg_default, msg_max), msgsize = min(msgsize_default, msgsize_max);
  if (attr != nullptr) {
    maxmsg = attr->maxmsg;
    msgsize = attr->msgsize;
    if (maxmsg <= 0 || msgsize <= 0) return Error{EINVAL};
    if (maxmsg > (privileged ? kHardMessages : msg_max) || msgsize > (privileged ? kHardSize : msgsize_max))
      return Error{EINVAL};
  }
  const u64 charged =
      static_cast<u64>(maxmsg) * static_cast<u64>(msgsize) + static_cast<u64>(maxmsg) * sizeof(mq_message);
  user_struct* user = current->cred_->user;
  if (static_cast<u64>(user->mq_bytes.load()) + charged > current->signal->rlim[RLIMIT_MSGQUEUE].cur)
    return Error{EMFILE};
  mqueue* q = knew<mqueue>();
  if (q == nullptr) return Error{ENOMEM};
  copy_string(q->name, name, sizeof q->name);
  q->mode = mode & 0777 & ~current->fs->umask;
  q->uid = current->cred_->fsuid;
  q->gid = current->cred_->fsgid;
  q->maxmsg = maxmsg;
  q->msgsize = msgsize;
  q->user = user;
  q->charged = charged;
  user->mq_bytes.add(static_cast<s64>(charged));
  q->users = 1;
  ++mq_count;
  list_add_tail(&q->link, &mq_all);
  return q;
}

bool may_open(const mqueue* q, u32 flags) {
  static constexpr u32 kWanted[] = {4, 2, 6};
  u32 granted = q->mode;
  const cred* c = current_cred();
  if (c->fsuid == q->uid)
    granted >>= 6;
  else if (in_group(c, q->gid))
    granted >>= 3;
  return (kWanted[flags & O_ACCMODE] & ~granted & 7) == 0 || capable(CAP_DAC_OVERRIDE);
}

// A queue's file with the right to read or write; -EBADF.
Result<file*> get_queue_file(int fd, u32 mode) {
  file* f = fget(fd);
  if (f == nullptr) return Error{EBADF};
  if (f->f_op == &mqueue_ops && (f->f_mode & mode) == mode) return f;
  fput(f);
  return Error{EBADF};
}

// Absolute CLOCK_REALTIME to monotonic ns; 0: no time-out.
long deadline_from(u64 user, u64& expires) {
  expires = 0;
  if (user == 0) return 0;
  timespec_abi ts;
  TRY_INT(get_user_at(ts, user));
  expires = realtime_to_monotonic(static_cast<u64>(TRY_INT(timespec_to_ns(ts))));
  return 0;
}

// Sleeps with the lock given up; the file keeps the queue alive.
template <class Ready>
long wait_on(file* f, u64 expires, Ready ready) {
  if ((f->f_flags & O_NONBLOCK) != 0) return -EAGAIN;
  mqueue* q = queue_of(f);
  mutex_unlock(mq_lock);
  const long r = wait_event_interruptible(
      q->wait, [&] { return ready(q); }, expires);
  mutex_lock(mq_lock);
  return r == -ETIME ? -ETIMEDOUT : r;
}

long open_queue(const char* name, u32 flags, umode_t mode, const mq_attr* attr) {
  MutexGuard guard(mq_lock);
  mqueue* q = find_queue(name);
  if (q == nullptr) {
    if ((flags & O_CREAT) == 0) return -ENOENT;
    q = TRY(create_queue(name, mode, attr));
  } else {
    if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL)) return -EEXIST;
    if ((flags & O_ACCMODE) == O_ACCMODE) return -EINVAL;
    if (!may_open(q, flags)) return -EACCES;
  }
  ++q->users;
  const auto f = anon_inode_file("[mqueue]", &mqueue_ops, q, flags & (O_ACCMODE | O_NONBLOCK));
  if (!f.ok()) {
    put_queue(q);
    return -f.error();
  }
  const int fd = get_unused_fd(0, O_CLOEXEC);
  if (fd < 0) {
    mutex_unlock(mq_lock);
    fput(f.value());
    mutex_lock(mq_lock);
    return fd;
  }
  fd_install(fd, f.value());
  return fd;
}

void mqueue_init() {
  static constinit proc_number rows[] = {{&queues_max, 0, 1 << 20},
                                         {&msg_max, 1, kHardMessages},
                                         {&msgsize_max, 128, kHardSize},
                                         {&msg_default, 1, kHardMessages},
                                         {&msgsize_default, 128, kHardSize}};
  proc_create_number("sys/fs/mqueue/queues_max", 0644, &rows[0]);
  proc_create_number("sys/fs/mqueue/msg_max", 0644, &rows[1]);
  proc_create_number("sys/fs/mqueue/msgsize_max", 0644, &rows[2]);
  proc_create_number("sys/fs/mqueue/msg_default", 0644, &rows[3]);
  proc_create_number("sys/fs/mqueue/msgsize_default", 0644, &rows[4]);
}
FS_INITCALL(mqueue_init);

// A name of one component, as mq_open passes it on without its slash.
Result<char*> get_queue_name(const char* user) {
  char* name = TRY(getname(user));
  const int error = strchr(name, '/') != nullptr ? EACCES : (strlen(name) > kNameMax ? ENAMETOOLONG : 0);
  if (error == 0) return name;
  putname(name);
  return Error{error};
}

}  // namespace

long sys_mq_open(const char* user_name, u32 flags, umode_t mode, u64 user_attr) {
  mq_attr attr;
  if (user_attr != 0) TRY_INT(get_user_at(attr, user_attr));
  char* name = TRY(get_queue_name(user_name));
  const long r = open_queue(name, flags, mode, user_attr != 0 ? &attr : nullptr);
  putname(name);
  return r;
}

long sys_mq_unlink(const char* user_name) {
  char* name = TRY(get_queue_name(user_name));
  const auto run = [&]() -> long {
    MutexGuard guard(mq_lock);
    mqueue* q = find_queue(name);
    if (q == nullptr) return -ENOENT;
    if (current_cred()->fsuid != q->uid && !capable(CAP_FOWNER)) return -EPERM;  // the directory is sticky
    list_del(&q->link);
    put_queue(q);
    return 0;
  };
  const long r = run();
  putname(name);
  return r;
}

long sys_mq_timedsend(int fd, const char* text, u64 length, u32 priority, u64 timeout) {
  u64 expires;
  TRY_INT(deadline_from(timeout, expires));
  if (priority >= kMaxPriority) return -EINVAL;
  file* f = TRY(get_queue_file(fd, FMODE_WRITE));
  mqueue* q = queue_of(f);
  const auto run = [&]() -> long {
    if (length > static_cast<u64>(q->msgsize)) return -EMSGSIZE;
    mq_message* m = static_cast<mq_message*>(kmalloc(sizeof(mq_message) + length));
    if (m == nullptr) return -ENOMEM;
    new (m) mq_message{};
    m->priority = priority;
    m->length = static_cast<u32>(length);
    long error = copy_from_user(m->data(), text, length);
    MutexGuard guard(mq_lock);
    while (error == 0 && q->curmsgs >= q->maxmsg)
      error = wait_on(f, expires, [](const mqueue* mq) { return read_once(mq->curmsgs) < mq->maxmsg; });
    if (error != 0) {
      kfree(m);
      return error;
    }
    list_head* before = &q->messages;  // after all of its own and higher priorities
    for (mq_message* other : entries<&mq_message::link>(q->messages)) {
      if (other->priority >= priority) continue;
      before = &other->link;
      break;
    }
    list_add_tail(&m->link, before);
    q->bytes += length;
    if (++q->curmsgs == 1 && q->receivers == 0) notify(q);
    wake_up_all(q->wait, POLLIN | POLLRDNORM);
    return 0;
  };
  const long r = run();
  fput(f);
  return r;
}

long sys_mq_timedreceive(int fd, char* text, u64 length, u32* priority, u64 timeout) {
  u64 expires;
  TRY_INT(deadline_from(timeout, expires));
  file* f = TRY(get_queue_file(fd, FMODE_READ));
  mqueue* q = queue_of(f);
  const auto run = [&]() -> long {
    mq_message* m;
    {
      MutexGuard guard(mq_lock);
      if (length < static_cast<u64>(q->msgsize)) return -EMSGSIZE;
      long error = 0;
      while (error == 0 && q->curmsgs == 0) {
        ++q->receivers;
        error = wait_on(f, expires, [](const mqueue* mq) { return read_once(mq->curmsgs) > 0; });
        --q->receivers;
      }
      if (error != 0) return error;
      m = list_first<&mq_message::link>(&q->messages);
      list_del(&m->link);
      --q->curmsgs;
      q->bytes -= m->length;
    }
    wake_up_all(q->wait, POLLOUT | POLLWRNORM);
    long result = m->length;
    if (copy_to_user(text, m->data(), m->length) != 0 || (priority != nullptr && put_user(m->priority, priority) != 0))
      result = -EFAULT;
    kfree(m);
    return result;
  };
  const long r = run();
  fput(f);
  return r;
}

long sys_mq_notify(int fd, u64 user) {
  struct {
    u64 value;
    int signo, notify;
    u64 rest[6];
  } e{};
  if (user != 0) {
    TRY_INT(get_user_at(e, user));
    if (e.notify != SIGEV_NONE && e.notify != SIGEV_SIGNAL && e.notify != SIGEV_THREAD) return -EINVAL;
    if (e.notify == SIGEV_SIGNAL && (e.signo < 0 || e.signo > kNsig)) return -EINVAL;
    if (e.notify == SIGEV_THREAD) return -EBADF;  // its signo is a netlink socket: there are none
  }
  file* f = TRY(get_queue_file(fd, 0));
  const auto run = [&]() -> long {
    MutexGuard guard(mq_lock);
    mqueue* q = queue_of(f);
    if (user == 0) {
      if (q->notify_pid == current->tgid) forget_notification(q);
      return 0;
    }
    if (q->notify_pid != 0) return -EBUSY;
    q->notify_pid = current->tgid;
    q->notify_task = current->group_leader;
    get_task(q->notify_task);
    q->notify_kind = e.notify;
    q->notify_signal = e.signo;
    q->notify_value = e.value;
    return 0;
  };
  const long r = run();
  fput(f);
  return r;
}

long sys_mq_getsetattr(int fd, u64 user_new, u64 user_old) {
  mq_attr fresh{};
  if (user_new != 0) {
    TRY_INT(get_user_at(fresh, user_new));
    if ((fresh.flags & ~static_cast<s64>(O_NONBLOCK)) != 0) return -EINVAL;
  }
  file* f = TRY(get_queue_file(fd, 0));
  mq_attr old{};
  {
    MutexGuard guard(mq_lock);
    const mqueue* q = queue_of(f);
    old = {f->f_flags & O_NONBLOCK, q->maxmsg, q->msgsize, q->curmsgs, {}};
    if (user_new != 0) f->f_flags = (f->f_flags & ~O_NONBLOCK) | static_cast<u32>(fresh.flags);
  }
  fput(f);
  return user_old != 0 ? put_user_at(old, user_old) : 0;
}

}  // namespace xm::os
