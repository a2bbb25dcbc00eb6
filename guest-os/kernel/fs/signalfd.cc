// SPDX-License-Identifier: GPL-2.0-or-later
// signalfd: pending signals of the reader, read as records. [man 2 signalfd]
#include "kernel/fs/file_table.h"
#include "kernel/fs/poll.h"
#include "kernel/lib/format.h"
#include "kernel/mm/slab.h"
#include "kernel/signal/signal.h"
#include "kernel/syscall/calls.h"

namespace xm::os {
namespace {

struct signalfd_siginfo {
  u32 signo;
  s32 error, code;
  u32 pid, uid;
  s32 fd;
  u32 tid, band, overrun, trapno;
  s32 status, value_int;
  u64 value_ptr, utime, stime, addr;
  u16 addr_lsb, pad2;
  s32 syscall;
  u64 call_addr;
  u32 arch;
  u8 pad[28];
};
static_assert(sizeof(signalfd_siginfo) == 128);

struct signalfd_ctx {
  sigset_t mask;
};
signalfd_ctx* ctx_of(const file* f) { return static_cast<signalfd_ctx*>(f->private_data); }

signalfd_siginfo record_of(const siginfo& i) {
  signalfd_siginfo r{};
  r.signo = static_cast<u32>(i.si_signo);
  r.error = i.si_errno;
  r.code = i.si_code;
  const int sig = i.si_signo;
  if (i.si_code == SI_TIMER) {
    r.tid = static_cast<u32>(i.timer.si_tid);
    r.overrun = static_cast<u32>(i.timer.si_overrun);
    r.value_ptr = i.timer.si_value;
    r.value_int = static_cast<s32>(i.timer.si_value);
  } else if (i.si_code > 0 && i.si_code != SI_KERNEL && sig == SIGCHLD) {
    r.pid = static_cast<u32>(i.chld.si_pid);
    r.uid = i.chld.si_uid;
    r.status = i.chld.si_status;
    r.utime = static_cast<u64>(i.chld.si_utime);
    r.stime = static_cast<u64>(i.chld.si_stime);
  } else if (i.si_code > 0 && i.si_code != SI_KERNEL && sig == SIGIO) {
    r.band = static_cast<u32>(i.poll.si_band);
    r.fd = i.poll.si_fd;
  } else if (i.si_code > 0 && i.si_code != SI_KERNEL &&
             (sig == SIGSEGV || sig == SIGBUS || sig == SIGILL || sig == SIGFPE || sig == SIGTRAP)) {
    r.addr = i.fault.si_addr;
    r.addr_lsb = i.fault.si_addr_lsb;
  } else {
    r.pid = static_cast<u32>(i.rt.si_pid);
    r.uid = i.rt.si_uid;
    r.value_ptr = i.rt.si_value;
    r.value_int = static_cast<s32>(i.rt.si_value);
  }
  return r;
}

sigset_t pending_of_current() { return current->pending.signal | current->signal->shared_pending.signal; }

struct SignalfdOps final : file_operations {
  ssize_t read_iter(file* f, iov_iter& to, loff_t&) const override {
    signalfd_ctx* c = ctx_of(f);
    if (to.count() < sizeof(signalfd_siginfo)) return -EINVAL;
    ssize_t done = 0;
    while (to.count() >= sizeof(signalfd_siginfo)) {
      siginfo info;
      int sig;
      {
        IrqGuard guard(current->sighand->siglock);
        sig = dequeue_signal(current, ~c->mask, &info);
      }
      if (sig == 0) {
        if (done > 0) break;
        if ((f->f_flags & O_NONBLOCK) != 0) return -EAGAIN;
        TRY_INT(wait_event_interruptible(signalfd_wait, [&] { return (pending_of_current() & c->mask) != 0; }));
        continue;
      }
      const signalfd_siginfo r = record_of(info);
      if (to.copy_to(&r, sizeof r) != sizeof r) return done > 0 ? done : -EFAULT;
      done += static_cast<ssize_t>(sizeof r);
    }
    return done;
  }
  u32 poll(file* f, poll_table* table) const override {
    poll_wait(f, signalfd_wait, table);
    return (pending_of_current() & ctx_of(f)->mask) != 0 ? POLLIN : 0;
  }
  bool has_poll() const override { return true; }
  void release(inode*, file* f) const override { kdelete(ctx_of(f)); }
  void show_fdinfo(file* f, char* text, size_t size) const override {
    format(text, size, "sigmask:\t%016lx\n", ctx_of(f)->mask);
  }
};
constinit const SignalfdOps signalfd_ops{};

}  // namespace

long sys_signalfd4(int fd, const sigset_t* user, u64 size, u32 flags) {
  if (size != sizeof(sigset_t)) return -EINVAL;
  sigset_t mask;
  TRY_INT(get_user(mask, user));
  if ((flags & ~(O_CLOEXEC | O_NONBLOCK)) != 0) return -EINVAL;
  mask &= ~(sigmask(SIGKILL) | sigmask(SIGSTOP));
  if (fd != -1) {
    FileRef f(fd);
    if (!f) return -EBADF;
    if (f->f_op != &signalfd_ops) return -EINVAL;
    ctx_of(f.get())->mask = mask;
    wake_up_all(signalfd_wait, POLLIN);
    return fd;
  }
  signalfd_ctx* c = knew<signalfd_ctx>();
  if (c == nullptr) return -ENOMEM;
  c->mask = mask;
  file* f = TRY(anon_inode_file("[signalfd]", &signalfd_ops, c, O_RDWR | (flags & O_NONBLOCK)));
  const int made = receive_fd(f, flags);
  if (made < 0) fput(f);
  return made;
}
long sys_signalfd(int fd, const sigset_t* mask, u64 size) { return sys_signalfd4(fd, mask, size, 0); }

}  // namespace xm::os
