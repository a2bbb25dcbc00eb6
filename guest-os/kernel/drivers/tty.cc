// SPDX-License-Identifier: GPL-2.0-or-later
// The terminal core: opening by device number, controlling terminals, job-control ioctls, hang-up. [man 4 tty_ioctl],
// [man 4 tty]
#include "kernel/drivers/tty.h"

#include "kernel/drivers/base/device.h"
#include "kernel/fs/poll.h"
#include "kernel/fs/tmpfs.h"
#include "kernel/init/printk.h"
#include "kernel/mm/slab.h"
#include "kernel/signal/signal.h"
#include "kernel/task/task_struct.h"

namespace xm::os {

int tty_check_change(tty_struct* t);

namespace {

constinit tty_struct* ttys[96]{};
constinit u32 tty_count = 0;

void set_controlling(tty_struct* t) {  // tasklist_lock is held
  current->signal->tty = t;
  t->session = current->signal->session;
  t->pgrp = current->signal->pgrp;
}

long take_controlling(tty_struct* t, u64 steal) {
  IrqGuard guard(tasklist_lock);
  if (current->signal->leader && current->signal->session == t->session && t->session != 0) {
    current->signal->tty = t;
    return 0;
  }
  if (!current->signal->leader || current->signal->tty != nullptr) return -EPERM;
  if (t->session > 0) {
    if (steal != 1 || !capable(CAP_SYS_ADMIN)) return -EPERM;
    for_each_in_session(
        t->session,
        [](task_struct* m, void* p) {
          if (m->signal->tty == p) m->signal->tty = nullptr;
          return false;
        },
        t);
  }
  set_controlling(t);
  return 0;
}

long set_foreground(tty_struct* t, u64 argument) {
  TRY_INT(tty_check_change(t));
  int pgrp;
  TRY_INT(get_user_at(pgrp, argument));
  if (current->signal->tty != t || t->session != current->signal->session) return -ENOTTY;
  if (pgrp < 0) return -EINVAL;
  IrqGuard guard(tasklist_lock);
  bool exists = false, ours = false;
  struct Find {
    bool* exists;
    bool* ours;
    pid_t session;
  } find{&exists, &ours, current->signal->session};
  for_each_in_pgrp(
      pgrp,
      [](task_struct* m, void* p) {
        const Find* fi = static_cast<Find*>(p);
        *fi->exists = true;
        *fi->ours |= m->signal->session == fi->session;
        return false;
      },
      &find);
  if (!exists) return -ESRCH;
  if (!ours) return -EPERM;
  t->pgrp = pgrp;
  return 0;
}

long set_window(tty_struct* t, u64 argument) {
  winsize w;
  TRY_INT(get_user_at(w, argument));
  if (memcmp(&w, &t->window, sizeof w) == 0) return 0;
  t->window = w;
  if (t->link != nullptr) t->link->window = w;
  const pid_t a = t->pgrp, b = t->link != nullptr ? t->link->pgrp : 0;
  if (a > 0) kill_pgrp(a, SIGWINCH);
  if (b > 0 && b != a) kill_pgrp(b, SIGWINCH);
  t->ops->resized(t);
  return 0;
}

void drain_output(tty_struct* t) {
  wait_event_interruptible(t->write_wait,
                           [&] { return t->ops->chars_in_buffer(t) == 0 || t->hung_up || t->other_closed; });
}

long apply_termios(tty_struct* t, const termios& fresh, bool drain, bool flush) {
  TRY_INT(tty_check_change(t));
  if (drain) drain_output(t);
  if (flush) n_tty_flush_input(t);
  const termios old = t->term;
  t->term = fresh;
  n_tty_set_termios(t, old);
  t->ops->set_termios(t, old);
  return 0;
}

long termios_ioctl(tty_struct* t, u32 command, u64 argument) {
  termios fresh = t->term;
  switch (command) {
    case TCGETS: return put_user_at(t->term, argument);
    case TCGETS2: {
      termios2 two{};
      memcpy(&two, &t->term, offsetof(termios, c_cc) + kNccs);
      two.c_ispeed = two.c_ospeed = t->speed;
      return put_user_at(two, argument);
    }
    case TCSETS:
    case TCSETSW:
    case TCSETSF:
      TRY_INT(get_user_at(fresh, argument));
      return apply_termios(t, fresh, command != TCSETS, command == TCSETSF);
    case TCSETS2:
    case TCSETSW2:
    case TCSETSF2: {
      termios2 two;
      TRY_INT(get_user_at(two, argument));
      memcpy(&fresh, &two, offsetof(termios, c_cc) + kNccs);
      t->speed = two.c_ospeed;
      return apply_termios(t, fresh, command != TCSETS2, command == TCSETSF2);
    }
    case TCGETA: {
      termio old_form{static_cast<u16>(t->term.c_iflag),
                      static_cast<u16>(t->term.c_oflag),
                      static_cast<u16>(t->term.c_cflag),
                      static_cast<u16>(t->term.c_lflag),
                      t->term.c_line,
                      {}};
      memcpy(old_form.c_cc, t->term.c_cc, 8);
      return put_user_at(old_form, argument);
    }
    case TCSETA:
    case TCSETAW:
    case TCSETAF: {
      termio old_form;
      TRY_INT(get_user_at(old_form, argument));
      fresh.c_iflag = (fresh.c_iflag & 0xffff0000) | old_form.c_iflag;
      fresh.c_oflag = (fresh.c_oflag & 0xffff0000) | old_form.c_oflag;
      fresh.c_cflag = (fresh.c_cflag & 0xffff0000) | old_form.c_cflag;
      fresh.c_lflag = (fresh.c_lflag & 0xffff0000) | old_form.c_lflag;
      memcpy(fresh.c_cc, old_form.c_cc, 8);
      return apply_termios(t, fresh, command != TCSETA, command == TCSETAF);
    }
    default: return -ENOIOCTLCMD;
  }
}

long flush_ioctl(tty_struct* t, u64 what) {
  TRY_INT(tty_check_change(t));
  if (what > 2) return -EINVAL;
  if (what != 1) n_tty_flush_input(t);
  if (what != 0) t->ops->flush_output(t);
  return 0;
}

long job_ioctl(tty_struct* t, u32 command, u64 argument) {
  tty_struct* real = t->is_pty_master ? t->link : t;
  switch (command) {
    case TIOCGPGRP:
      if (t == real && current->signal->tty != t) return -ENOTTY;
      return put_user_at(real->pgrp, argument);
    case TIOCSPGRP: return set_foreground(real, argument);
    case TIOCGSID:
      if (t == real && current->signal->tty != t) return -ENOTTY;
      if (real->session <= 0) return -ENOTTY;
      return put_user_at(real->session, argument);
    case TIOCSCTTY: return take_controlling(real, argument);
    case TIOCNOTTY:
      if (current->signal->tty != t) return -ENOTTY;
      disassociate_ctty();
      return 0;
    default: return -ENOIOCTLCMD;
  }
}

long tty_ioctl(file* f, u32 command, u64 argument) {
  tty_struct* t = file_tty(f);
  if (t->hung_up) return -EIO;
  long r = termios_ioctl(t->is_pty_master ? t->link : t, command, argument);
  if (r != -ENOIOCTLCMD) return r;
  r = job_ioctl(t, command, argument);
  if (r != -ENOIOCTLCMD) return r;
  switch (command) {
    case TIOCGWINSZ: return put_user_at(t->window, argument);
    case TIOCSWINSZ: return set_window(t, argument);
    case TIOCINQ: return put_user_at(static_cast<int>(n_tty_chars_available(t)), argument);
    case TIOCOUTQ: return put_user_at(static_cast<int>(t->ops->chars_in_buffer(t)), argument);
    case TCFLSH: return flush_ioctl(t, argument);
    case TCSBRK:
    case TCSBRKP:
      TRY_INT(tty_check_change(t));
      drain_output(t);
      return 0;
    case TCXONC:
      TRY_INT(tty_check_change(t));
      if (argument > 3) return -EINVAL;
      if (argument < 2) t->stopped = argument == 0;
      if (argument == 1) tty_wakeup(t);
      return 0;
    case TIOCSTI: {
      u8 c;
      if (current->signal->tty != t && !capable(CAP_SYS_ADMIN)) return -EPERM;
      TRY_INT(get_user_at(c, argument));
      tty_receive(t, &c, 1);
      return 0;
    }
    case TIOCEXCL: t->exclusive = true; return 0;
    case TIOCNXCL: t->exclusive = false; return 0;
    case TIOCGETD: return put_user_at(0, argument);
    case TIOCSETD: {
      int discipline;
      TRY_INT(get_user_at(discipline, argument));
      return discipline == 0 ? 0 : -EINVAL;
    }
    case TIOCGDEV: return put_user_at(static_cast<u32>(encode_dev(t->device)), argument);
    case TIOCVHANGUP:
      if (!capable(CAP_SYS_ADMIN)) return -EPERM;
      tty_hangup(t);
      return 0;
    default: return t->ops->ioctl(t, command, argument);
  }
}

struct TtyFileOps final : file_operations {
  int open(inode* i, file* f) const override {
    tty_struct* t = nullptr;
    bool take = true;
    if (i->i_rdev == make_dev(5, 0)) {  // /dev/tty
      t = current->signal->tty;
      take = false;
      if (t == nullptr) return -ENXIO;
    } else if (i->i_rdev == make_dev(5, 1)) {  // /dev/console
      t = find_tty(preferred_console_device());
      take = false;
    } else if (i->i_rdev == make_dev(4, 0)) {
      t = find_tty(make_dev(4, vt_foreground_minor()));
    } else {
      t = find_tty(i->i_rdev);
    }
    if (t == nullptr) return i->i_rdev == make_dev(5, 1) ? -ENODEV : -ENXIO;
    TRY_INT(tty_open_common(t, f));
    if (!take || (f->f_flags & O_NOCTTY) != 0) return 0;
    IrqGuard guard(tasklist_lock);
    if (current->signal->leader && current->signal->tty == nullptr && t->session == 0 && (f->f_mode & FMODE_READ) != 0)
      set_controlling(t);
    return 0;
  }
  void release(inode*, file* f) const override {
    tty_struct* t = file_tty(f);
    if (--t->open_count == 0) t->ops->close(t);
  }
  ssize_t read_iter(file* f, iov_iter& to, loff_t&) const override {
    tty_struct* t = file_tty(f);
    if (t->hung_up) return 0;
    const ssize_t n = n_tty_read(t, f, to);
    if (n > 0) f->f_inode->i_atime = current_time();
    return n;
  }
  ssize_t write_iter(file* f, iov_iter& from, loff_t&) const override {
    tty_struct* t = file_tty(f);
    if (t->hung_up) return -EIO;
    const ssize_t n = n_tty_write(t, f, from);
    if (n > 0) f->f_inode->i_mtime = current_time();
    return n;
  }
  u32 poll(file* f, poll_table* table) const override { return n_tty_poll(file_tty(f), f, table); }
  bool has_poll() const override { return true; }
  long ioctl(file* f, u32 command, u64 argument) const override { return tty_ioctl(f, command, argument); }
  loff_t llseek(file*, loff_t, int) const override { return -ESPIPE; }
};
constinit const TtyFileOps ops{};

}  // namespace

constinit const file_operations& tty_file_ops = ops;

int tty_open_common(tty_struct* t, file* f) {
  if (t->exclusive && t->open_count > 0 && !capable(CAP_SYS_ADMIN)) return -EBUSY;
  if (t->open_count++ == 0) {
    t->hung_up = false;
    if (const int error = t->ops->open(t); error != 0) {
      --t->open_count;
      return error;
    }
  }
  f->private_data = t;
  f->f_op = &tty_file_ops;
  f->f_mode &= ~FMODE_LSEEK;
  return 0;
}

void tty_set_default_termios(termios& t) {
  t.c_iflag = ICRNL | IXON;
  t.c_oflag = OPOST | ONLCR;
  t.c_cflag = B38400 | CS8 | CREAD | HUPCL;
  t.c_lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN;
  static constexpr u8 kChars[kNccs] = {3, 28, 127, 21, 4, 0, 1, 0, 17, 19, 26, 0, 18, 15, 23, 22, 0};
  memcpy(t.c_cc, kChars, kNccs);
}

tty_struct* tty_alloc(const char* name, dev_t device, const tty_operations* driver_ops) {
  tty_struct* t = knew<tty_struct>();
  if (t == nullptr) return nullptr;
  copy_string(t->name, name, sizeof t->name);
  t->device = device;
  t->ops = driver_ops;
  tty_set_default_termios(t->term);
  return t;
}
void tty_free(tty_struct* t) {
  // Nobody may keep it as a controlling terminal.
  {
    IrqGuard guard(tasklist_lock);
    for (task_struct* p : entries<&task_struct::tasks>(all_processes)) {
      if (p->signal->tty == t) p->signal->tty = nullptr;
    }
  }
  kdelete(t);
}

tty_struct* tty_create(const char* name, dev_t device, const tty_operations* driver_ops) {
  tty_struct* t = tty_alloc(name, device, driver_ops);
  if (t == nullptr || tty_count == array_size(ttys)) return nullptr;
  ttys[tty_count++] = t;
  devtmpfs_create(name, S_IFCHR | 0620, device);
  device_create(&tty_class, major_of(device) == 4 && minor_of(device) >= 64 ? platform_device("serial8250") : nullptr,
                device, name);
  return t;
}

tty_struct* find_tty(dev_t device) {
  for (u32 i = 0; i < tty_count; ++i) {
    if (ttys[i]->device == device) return ttys[i];
  }
  return nullptr;
}

void tty_wakeup(tty_struct* t) { wake_up_all(t->write_wait, POLLOUT | POLLWRNORM); }

void tty_hangup(tty_struct* t) {
  const pid_t session = t->session, pgrp = t->pgrp;
  {
    IrqGuard guard(tasklist_lock);
    if (session > 0) {
      for_each_in_session(
          session,
          [](task_struct* m, void* p) {
            if (m->signal->tty != p) return false;
            m->signal->tty = nullptr;
            if (m->signal->leader) {
              send_signal_locked_tasklist(SIGHUP, nullptr, m);
              send_signal_locked_tasklist(SIGCONT, nullptr, m);
            }
            return false;
          },
          t);
    }
    if (pgrp > 0) {
      kill_pgrp_locked(pgrp, SIGHUP);
      kill_pgrp_locked(pgrp, SIGCONT);
    }
    t->session = t->pgrp = 0;
  }
  if (t->open_count > 0) t->hung_up = true;
  n_tty_flush_input(t);
  wake_up_all(t->read_wait, POLLIN | POLLHUP);
  wake_up_all(t->write_wait, POLLOUT | POLLHUP);
}

// The session leader ends or gives the terminal up: the foreground group hears of it.
void disassociate_ctty() {
  IrqGuard guard(tasklist_lock);
  tty_struct* t = current->signal->tty;
  if (!current->signal->leader) {
    current->signal->tty = nullptr;
    return;
  }
  if (t == nullptr) return;
  if (t->pgrp > 0) {
    kill_pgrp_locked(t->pgrp, SIGHUP);
    kill_pgrp_locked(t->pgrp, SIGCONT);
  }
  const pid_t session = current->signal->session;
  t->session = t->pgrp = 0;
  for_each_in_session(
      session,
      [](task_struct* m, void* p) {
        if (m->signal->tty == p) m->signal->tty = nullptr;
        return false;
      },
      t);
}

void tty_init() {
  register_chrdev(4, 0, 256, "tty", &tty_file_ops);
  register_chrdev(5, 0, 2, "console", &tty_file_ops);
  devtmpfs_create("tty", S_IFCHR | 0666, make_dev(5, 0));
  devtmpfs_create("console", S_IFCHR | 0600, make_dev(5, 1));
  device_create(&tty_class, nullptr, make_dev(5, 0), "tty");
  device_create(&tty_class, nullptr, make_dev(5, 1), "console");
}

}  // namespace xm::os
