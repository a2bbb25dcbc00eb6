// SPDX-License-Identifier: GPL-2.0-or-later
// The line discipline: input editing, echo, signals, output processing. [man 3 termios], [POSIX 11]. tty->lock protects
// the buffer; it is taken from interrupt handlers. GAP: no parity marking, no XTABS below column tracking of wide
// characters.
#include "kernel/drivers/tty.h"
#include "kernel/fs/poll.h"
#include "kernel/sched/clock.h"
#include "kernel/sched/sched.h"
#include "kernel/signal/signal.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {

bool local(const tty_struct* t, u32 flag) { return (t->term.c_lflag & flag) != 0; }
bool input(const tty_struct* t, u32 flag) { return (t->term.c_iflag & flag) != 0; }
bool is_char(const tty_struct* t, u8 c, u32 which) { return t->term.c_cc[which] != 0 && c == t->term.c_cc[which]; }
u64 used(const tty_struct* t) { return t->head - t->tail; }
u8& at(tty_struct* t, u64 i) { return t->buffer[i % kTtyBuffer]; }
void set_eol(tty_struct* t, u64 i, bool on) {
  const u64 slot = i % kTtyBuffer, bit = 1ul << (slot % 64);
  u64& word = t->eol_bitmap[slot / 64];
  word = on ? word | bit : word & ~bit;
}
bool is_eol(const tty_struct* t, u64 i) { return (t->eol_bitmap[(i % kTtyBuffer) / 64] >> (i % 64) & 1) != 0; }

// Output processing of one byte into `out`; returns its length. Tracks the column.
size_t process_output(tty_struct* t, u8 c, char* out) {
  if ((t->term.c_oflag & OPOST) == 0) {
    out[0] = static_cast<char>(c);
    return 1;
  }
  switch (c) {
    case '\n':
      if ((t->term.c_oflag & ONLRET) != 0) t->column = 0;
      if ((t->term.c_oflag & ONLCR) != 0) {
        t->column = t->canon_column = 0;
        out[0] = '\r';
        out[1] = '\n';
        return 2;
      }
      t->canon_column = t->column;
      break;
    case '\r':
      if ((t->term.c_oflag & ONOCR) != 0 && t->column == 0) return 0;
      if ((t->term.c_oflag & OCRNL) != 0) {
        out[0] = '\n';
        return 1;
      }
      t->column = t->canon_column = 0;
      break;
    case '\t': {
      const u32 spaces = 8 - (t->column & 7);
      t->column += spaces;
      if ((t->term.c_oflag & TABDLY) == XTABS) {
        memset(out, ' ', spaces);
        return spaces;
      }
      break;
    }
    case '\b':
      if (t->column > 0) --t->column;
      break;
    default:
      if ((t->term.c_oflag & OLCUC) != 0 && c >= 'a' && c <= 'z') c = static_cast<u8>(c - 32);
      if (c >= 0x20 && c != 0x7f && (c & 0xc0) != 0x80) ++t->column;
  }
  out[0] = static_cast<char>(c);
  return 1;
}

void put(tty_struct* t, u8 c) {
  char out[8];
  const size_t n = process_output(t, c, out);
  t->ops->write(t, out, n);
}
void put_raw(tty_struct* t, const char* text, size_t n) { t->ops->write(t, text, n); }

void echo(tty_struct* t, u8 c) {
  if (!local(t, ECHO) && !(c == '\n' && local(t, ECHONL) && local(t, ICANON))) return;
  if (local(t, ECHOCTL) && (c < 0x20 || c == 0x7f) && c != '\t' && c != '\n') {
    const char text[2] = {'^', static_cast<char>(c ^ 0x40)};
    put_raw(t, text, 2);
    t->column += 2;
    return;
  }
  put(t, c);
}

u32 echo_width(const tty_struct* t, u8 c) {
  if ((c & 0xc0) == 0x80 && input(t, IUTF8)) return 0;
  if (c < 0x20 || c == 0x7f) return local(t, ECHOCTL) && c != '\t' ? 2 : 0;
  return 1;
}

void rub_out(tty_struct* t, u8 c, u64 position) {
  if (!local(t, ECHO)) return;
  if (!local(t, ECHOE)) return echo(t, t->term.c_cc[VERASE]);
  if (c == '\t') {  // back to the column before the tab
    u32 column = t->canon_column;
    for (u64 i = t->canon_head; i < position; ++i)
      column = at(t, i) == '\t' ? (column | 7) + 1 : column + echo_width(t, at(t, i));
    while (t->column > column) {
      put_raw(t, "\b", 1);
      --t->column;
    }
    return;
  }
  for (u32 i = echo_width(t, c); i > 0; --i) {
    put_raw(t, "\b \b", 3);
    if (t->column > 0) --t->column;
  }
}

void erase_one(tty_struct* t) {
  if (t->head == t->canon_head) return;
  do {
    --t->head;
    rub_out(t, at(t, t->head), t->head);
  } while (t->head > t->canon_head && input(t, IUTF8) && (at(t, t->head) & 0xc0) == 0x80);
}
bool word_byte(u8 c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80;
}
void erase_word(tty_struct* t) {
  bool seen = false;
  while (t->head > t->canon_head) {
    const bool word = word_byte(at(t, t->head - 1));
    if (word)
      seen = true;
    else if (seen)
      break;
    erase_one(t);
  }
}
void erase_line(tty_struct* t) {
  if (local(t, ECHO) && (!local(t, ECHOK) || !local(t, ECHOKE) || !local(t, ECHOE))) {
    t->head = t->canon_head;
    echo(t, t->term.c_cc[VKILL]);
    if (local(t, ECHOK)) put(t, '\n');
    return;
  }
  while (t->head > t->canon_head) erase_one(t);
}

void flush_locked(tty_struct* t) {
  t->head = t->tail = t->canon_head = 0;
  t->canon_lines = 0;
  memset(t->eol_bitmap, 0, sizeof t->eol_bitmap);
}

void send_signal_char(tty_struct* t, int sig, u8 c) {
  if (!local(t, NOFLSH)) {
    flush_locked(t);
    t->ops->flush_output(t);
  }
  t->stopped = false;
  echo(t, c);
  if (t->pgrp > 0) kill_pgrp(t->pgrp, sig);
}

void store(tty_struct* t, u8 c) {
  if (used(t) >= kTtyBuffer - 1) {
    if (input(t, IMAXBEL)) put_raw(t, "\a", 1);
    return;
  }
  set_eol(t, t->head, false);
  at(t, t->head++) = c;
}

void finish_line(tty_struct* t, u8 c) {
  if (used(t) >= kTtyBuffer) return;
  at(t, t->head) = c;
  set_eol(t, t->head, true);
  ++t->head;
  t->canon_head = t->head;
  ++t->canon_lines;
  t->canon_column = t->column;
}

// Signals and flow control; true if the byte is used up.
bool control_char(tty_struct* t, u8 c) {
  if (input(t, IXON)) {
    if (is_char(t, c, VSTART)) {
      t->stopped = false;
      tty_wakeup(t);
      return true;
    }
    if (is_char(t, c, VSTOP)) {
      t->stopped = true;
      return true;
    }
    if (t->stopped && input(t, IXANY)) {
      t->stopped = false;
      tty_wakeup(t);
    }
  }
  if (!local(t, ISIG)) return false;
  const int sig =
      is_char(t, c, VINTR) ? SIGINT : (is_char(t, c, VQUIT) ? SIGQUIT : (is_char(t, c, VSUSP) ? SIGTSTP : 0));
  if (sig == 0) return false;
  send_signal_char(t, sig, c);
  return true;
}

void canonical_char(tty_struct* t, u8 c) {
  if (is_char(t, c, VERASE)) return erase_one(t);
  if (is_char(t, c, VKILL)) return erase_line(t);
  if (local(t, IEXTEN)) {
    if (is_char(t, c, VWERASE)) return erase_word(t);
    if (is_char(t, c, VLNEXT)) {
      t->literal_next = true;
      if (local(t, ECHO) && local(t, ECHOCTL)) put_raw(t, "^\b", 2);
      return;
    }
    if (is_char(t, c, VREPRINT) && local(t, ECHO)) {
      echo(t, c);
      put(t, '\n');
      for (u64 i = t->canon_head; i < t->head; ++i) echo(t, at(t, i));
      return;
    }
  }
  if (is_char(t, c, VEOF)) return finish_line(t, 0);
  if (c == '\n') {
    echo(t, c);
    return finish_line(t, c);
  }
  if (is_char(t, c, VEOL) || (local(t, IEXTEN) && is_char(t, c, VEOL2))) {
    echo(t, c);
    return finish_line(t, c);
  }
  if (t->head == t->canon_head) t->canon_column = t->column;
  echo(t, c);
  store(t, c);
}

void receive_char(tty_struct* t, u8 c) {
  if (input(t, ISTRIP)) c &= 0x7f;
  if (t->literal_next) {
    t->literal_next = false;
    echo(t, c);
    return store(t, c);
  }
  if (control_char(t, c)) return;
  if (c == '\r') {
    if (input(t, IGNCR)) return;
    if (input(t, ICRNL)) c = '\n';
  } else if (c == '\n' && input(t, INLCR)) {
    c = '\r';
  }
  if (input(t, IUCLC) && local(t, IEXTEN) && c >= 'A' && c <= 'Z') c = static_cast<u8>(c + 32);
  if (local(t, ICANON)) return canonical_char(t, c);
  echo(t, c);
  store(t, c);
}

bool input_ready(tty_struct* t, u64 wanted) {
  if (local(t, ICANON)) return t->canon_lines > 0;
  return used(t) >= max<u64>(wanted, 1);
}

// One line, or part of it; stops after the end-of-line byte. The EOF byte ends the read and is not delivered.
u64 take_canonical(tty_struct* t, u8* out, u64 n, bool* eof) {
  u64 done = 0;
  *eof = false;
  while (done < n && t->tail < t->canon_head) {
    const bool eol = is_eol(t, t->tail);
    const u8 c = at(t, t->tail);
    ++t->tail;
    if (eol) {
      set_eol(t, t->tail - 1, false);
      --t->canon_lines;
      if (c == 0) {
        *eof = true;
        return done;
      }
      out[done++] = c;
      return done;
    }
    out[done++] = c;
  }
  // A line that exactly fills the buffer and ends in EOF: the EOF goes with it.
  if (done > 0 && t->tail < t->canon_head && is_eol(t, t->tail) && at(t, t->tail) == 0) {
    set_eol(t, t->tail, false);
    ++t->tail;
    --t->canon_lines;
  }
  return done;
}

// Background processes may not read. [POSIX 11.1.4]
int check_background(tty_struct* t, int sig) {
  if (current->signal->tty != t || t->pgrp <= 0 || current->signal->pgrp == t->pgrp) return 0;
  const bool deaf = (current->blocked & sigmask(sig)) != 0 || current->sighand->action[sig - 1].handler == SIG_IGN;
  if (deaf) return sig == SIGTTIN ? -EIO : 0;
  kill_pgrp(current->signal->pgrp, sig);
  set_tif(current, TIF_SIGPENDING);
  return -ERESTARTSYS;
}

}  // namespace

int tty_check_change(tty_struct* t) { return check_background(t, SIGTTOU); }

void tty_receive(tty_struct* t, const u8* bytes, size_t n) {
  {
    IrqGuard guard(t->lock);
    for (size_t i = 0; i < n; ++i) receive_char(t, bytes[i]);
  }
  if (input_ready(t, 1)) wake_up_all(t->read_wait, POLLIN | POLLRDNORM);
}

// A line without end is cut, as POSIX has it; everything else can wait for the reader.
bool tty_receive_room(tty_struct* t) {
  IrqGuard guard(t->lock);
  return used(t) < kTtyBuffer - 128 || (local(t, ICANON) && t->canon_lines == 0);
}

void n_tty_flush_input(tty_struct* t) {
  IrqGuard guard(t->lock);
  flush_locked(t);
}

void n_tty_set_termios(tty_struct* t, const termios& old) {
  if (((old.c_lflag ^ t->term.c_lflag) & ICANON) == 0) return;
  IrqGuard guard(t->lock);
  memset(t->eol_bitmap, 0, sizeof t->eol_bitmap);
  if (local(t, ICANON) && used(t) > 0) {  // what is there already counts as a line
    set_eol(t, t->head - 1, true);
    t->canon_head = t->head;
    t->canon_lines = 1;
  } else {
    t->canon_head = t->head;
    t->canon_lines = 0;
  }
  wake_up_all(t->read_wait, POLLIN | POLLRDNORM);
}

u64 n_tty_chars_available(tty_struct* t) {
  IrqGuard guard(t->lock);
  return local(t, ICANON) ? t->canon_head - t->tail : used(t);
}

ssize_t n_tty_read(tty_struct* t, file* f, iov_iter& to) {
  TRY_INT(check_background(t, SIGTTIN));
  if (to.count() == 0) return 0;
  const u8 vmin = t->term.c_cc[VMIN], vtime = t->term.c_cc[VTIME];
  const bool canonical = local(t, ICANON);
  if ((f->f_flags & O_NONBLOCK) != 0) {
    if (!mutex_trylock(t->read_mutex)) return -EAGAIN;
  } else {
    TRY_INT(mutex_lock_interruptible(t->read_mutex));
  }
  ssize_t done = 0;
  u64 deadline = !canonical && vmin == 0 && vtime != 0 ? ktime_get() + vtime * 100000000ul : 0;
  for (;;) {
    u8 chunk[256];
    u64 got = 0;
    bool eof = false;
    {
      IrqGuard guard(t->lock);
      if (canonical) {
        if (t->canon_lines > 0) got = take_canonical(t, chunk, min<u64>(sizeof chunk, to.count()), &eof);
      } else {
        got = min(min<u64>(sizeof chunk, to.count()), used(t));
        for (u64 i = 0; i < got; ++i) chunk[i] = at(t, t->tail + i);
        t->tail += got;
      }
      if (!canonical) t->canon_head = max(t->canon_head, t->tail);
    }
    if (got > 0) {
      t->ops->unthrottle(t);
      const u64 moved = to.copy_to(chunk, got);
      done += static_cast<ssize_t>(moved);
      if (moved < got) {
        if (done == 0) done = -EFAULT;
        break;
      }
    }
    if (eof) break;
    if (canonical && got > 0 && (chunk[got - 1] == '\n' || got < sizeof chunk || to.count() == 0)) break;
    if (to.count() == 0) break;
    if (!canonical && got == sizeof chunk) continue;
    if (!canonical && done >= max<ssize_t>(vmin, 1)) break;
    if (!canonical && vmin == 0 && (vtime == 0 || done > 0)) break;
    if (t->hung_up || t->other_closed) {
      if (t->is_pty_master && t->other_closed && done == 0) done = -EIO;
      break;
    }
    if ((f->f_flags & O_NONBLOCK) != 0) {
      if (done == 0) done = -EAGAIN;
      break;
    }
    if (!canonical && vmin > 0 && vtime > 0 && done > 0) deadline = ktime_get() + vtime * 100000000ul;
    const bool packet_before = t->packet_status != 0;
    const long r = wait_event_interruptible(
        t->read_wait,
        [&] {
          return input_ready(t, 1) || t->hung_up || t->other_closed || local(t, ICANON) != canonical ||
                 (t->packet && (t->packet_status != 0) != packet_before);
        },
        deadline);
    if (r == -ETIME) break;
    if (r != 0) {
      if (done == 0) done = r;
      break;
    }
    if (local(t, ICANON) != canonical) {
      mutex_unlock(t->read_mutex);
      return done > 0 ? done : n_tty_read(t, f, to);
    }
  }
  mutex_unlock(t->read_mutex);
  return done;
}

ssize_t n_tty_write(tty_struct* t, file* f, iov_iter& from) {
  if ((t->term.c_lflag & TOSTOP) != 0) TRY_INT(check_background(t, SIGTTOU));
  TRY_INT(mutex_lock_interruptible(t->write_mutex));
  ssize_t done = 0;
  while (from.count() > 0) {
    if (t->hung_up || t->other_closed) {
      done = -EIO;
      break;
    }
    const size_t room = t->stopped ? 0 : t->ops->write_room(t);
    if (room < 16) {
      if ((f->f_flags & O_NONBLOCK) != 0) {
        if (done == 0) done = -EAGAIN;
        break;
      }
      const long r = wait_event_interruptible(
          t->write_wait, [&] { return (!t->stopped && t->ops->write_room(t) >= 16) || t->hung_up || t->other_closed; });
      if (r != 0) {
        if (done == 0) done = r;
        break;
      }
      continue;
    }
    u8 in[128];
    char out[128 * 8];
    const u64 want = min<u64>(min<u64>(sizeof in, from.count()), room / 8);
    const u64 got = from.copy_from(in, want);
    {
      IrqGuard guard(t->lock);
      size_t n = 0;
      for (u64 i = 0; i < got; ++i) n += process_output(t, in[i], out + n);
      t->ops->write(t, out, n);  // fits: echo, which needs the lock too, has kEchoReserve of its own
    }
    done += static_cast<ssize_t>(got);
    if (got < want) {
      if (done == 0) done = -EFAULT;
      break;
    }
    cond_resched();
  }
  mutex_unlock(t->write_mutex);
  return done;
}

u32 n_tty_poll(tty_struct* t, file* f, poll_table* table) {
  poll_wait(f, t->read_wait, table);
  poll_wait(f, t->write_wait, table);
  u32 events = 0;
  const u64 wanted = t->term.c_cc[VTIME] == 0 && t->term.c_cc[VMIN] != 0 ? t->term.c_cc[VMIN] : 1;
  if (input_ready(t, wanted)) events |= POLLIN | POLLRDNORM;
  if (t->packet && t->packet_status != 0) events |= POLLPRI | POLLIN | POLLRDNORM;
  if (t->hung_up || t->other_closed) events |= POLLHUP | (t->hung_up ? POLLIN | POLLRDNORM : 0);
  if (!t->stopped && t->ops->write_room(t) >= 16) events |= POLLOUT | POLLWRNORM;
  return events;
}

}  // namespace xm::os
