// SPDX-License-Identifier: GPL-2.0-or-later
// pidfd: a file that stands for a process, readable when it has ended. [man 2 pidfd_open], [man 2 pidfd_send_signal],
// [man 2 pidfd_getfd]
#include "kernel/fs/pidfd.h"

#include "kernel/fs/file_table.h"
#include "kernel/fs/poll.h"
#include "kernel/fs/proc/proc.h"
#include "kernel/lib/format.h"
#include "kernel/mm/uaccess.h"
#include "kernel/signal/signal.h"
#include "kernel/syscall/calls.h"
#include "kernel/task/ptrace.h"

namespace xm::os {
namespace {

task_struct* task_of(const file* f) { return static_cast<task_struct*>(f->private_data); }

struct PidfdOps final : file_operations {
  void release(inode*, file* f) const override { put_task(task_of(f)); }
  u32 poll(file* f, poll_table* table) const override {
    task_struct* t = task_of(f);
    poll_wait(f, t->signal->pidfd_wait, table);
    return t->exit_state != 0 && t->signal->nr_threads <= 1 ? POLLIN | POLLRDNORM : 0;
  }
  bool has_poll() const override { return true; }
  void show_fdinfo(file* f, char* text, size_t size) const override {
    const task_struct* t = task_of(f);
    const int pid = t->exit_state == EXIT_DEAD ? -1 : t->pid;
    format(text, size, "Pid:\t%d\nNSpid:\t%d\n", pid, pid);
  }
};
constinit const PidfdOps pidfd_ops{};

}  // namespace

int pidfd_create(task_struct* t, u32 flags) {
  get_task(t);
  auto f = anon_inode_file("[pidfd]", &pidfd_ops, t, O_RDWR | (flags & O_NONBLOCK));
  if (!f.ok()) {
    put_task(t);
    return -f.error();
  }
  const int fd = receive_fd(f.value(), O_CLOEXEC);
  if (fd < 0) fput(f.value());
  return fd;
}

int pidfd_to_pid(int fd, bool* nonblocking) {
  FileRef f(fd);
  if (!f || f->f_op != &pidfd_ops) return -EBADF;
  *nonblocking = (f->f_flags & O_NONBLOCK) != 0;
  return task_of(f.get())->pid;
}

long sys_pidfd_open(int pid, u32 flags) {
  if ((flags & ~O_NONBLOCK) != 0) return -EINVAL;
  if (pid <= 0) return -EINVAL;
  task_struct* t = get_task_by_pid(pid);
  if (t == nullptr) return -ESRCH;
  const int fd = thread_group_leader(t) ? pidfd_create(t, flags) : -EINVAL;
  put_task(t);
  return fd;
}

long sys_pidfd_send_signal(int fd, int sig, const siginfo* user, u32 flags) {
  if (flags != 0) return -EINVAL;
  FileRef f(fd);
  if (!f) return -EBADF;
  task_struct* t = f->f_op == &pidfd_ops ? task_of(f.get()) : proc_task_of(f.get());
  if (t == nullptr) return -EBADF;
  siginfo info{};
  if (user != nullptr) {
    TRY_INT(get_user(info, user));
    if (sig != info.si_signo) return -EINVAL;
    if ((info.si_code >= 0 || info.si_code == SI_TKILL) && current->tgid != t->tgid) return -EPERM;
  } else {
    info.si_signo = sig;
    info.si_code = SI_USER;
    info.rt.si_pid = current->tgid;
    info.rt.si_uid = current->cred_->uid;
  }
  if (t->exit_state == EXIT_DEAD) return -ESRCH;
  TRY_INT(check_kill_permission(sig, &info, t));
  return sig == 0 ? 0 : send_signal(sig, &info, t, true);
}

long sys_pidfd_getfd(int fd, int target_fd, u32 flags) {
  if (flags != 0) return -EINVAL;
  FileRef f(fd);
  if (!f || f->f_op != &pidfd_ops) return -EBADF;
  task_struct* t = task_of(f.get());
  if (t->exit_state == EXIT_DEAD || t->files == nullptr) return -ESRCH;
  if (!ptrace_may_access(t)) return -EPERM;
  file* taken = fget_task(t, target_fd);
  if (taken == nullptr) return -EBADF;
  const int made = receive_fd(taken, O_CLOEXEC);
  if (made < 0) fput(taken);
  return made;
}

}  // namespace xm::os
