// SPDX-License-Identifier: GPL-2.0-or-later
// Terminals: tty_struct with the line discipline's state (n_tty), and what a driver (serial, console, pty) provides.
#pragma once

#include "abi/termios.h"
#include "kernel/fs/fs.h"
#include "kernel/sched/mutex.h"

namespace xm::os {

struct tty_struct;

struct tty_operations {
  virtual size_t write(tty_struct*, const char* text, size_t n) const = 0;  // any context; returns bytes taken
  // What write would take, less kEchoReserve where the room is limited.
  virtual size_t write_room(tty_struct*) const { return 2048; }
  virtual void set_termios(tty_struct*, const termios& /*old*/) const {}
  virtual int open(tty_struct*) const { return 0; }
  virtual void close(tty_struct*) const {}
  virtual long ioctl(tty_struct*, u32, u64) const { return -ENOIOCTLCMD; }
  virtual void unthrottle(tty_struct*) const {}  // there is room to receive again
  virtual void flush_output(tty_struct*) const {}
  virtual u64 chars_in_buffer(tty_struct*) const { return 0; }
  virtual void resized(tty_struct*) const {}
};

constexpr u32 kTtyBuffer = 4096;
constexpr size_t kEchoReserve = 512;  // room in a driver's ring that writers leave for echo
struct tty_struct {
  char name[16]{};
  dev_t device = 0;
  const tty_operations* ops = nullptr;
  void* driver_data = nullptr;
  termios term{};
  u32 speed = 38400;
  winsize window{25, 80, 0, 0};
  spinlock_t lock{LockRank::Tty};
  pid_t pgrp = 0, session = 0;
  u32 open_count = 0;
  bool hung_up = false, exclusive = false, stopped = false, packet = false;
  u8 packet_status = 0;
  tty_struct* link = nullptr;  // the other side of a pty
  bool is_pty_master = false, pty_locked = false, other_closed = false;
  // n_tty
  u8 buffer[kTtyBuffer];
  u64 eol_bitmap[kTtyBuffer / 64]{};  // canonical mode: which bytes end a line
  u64 head = 0, tail = 0;             // all bytes, and where the reader is
  u64 canon_head = 0;                 // end of the last complete line
  u32 canon_lines = 0;
  u32 column = 0, canon_column = 0;
  bool literal_next = false, erasing = false;
  wait_queue_head read_wait, write_wait;
  mutex read_mutex, write_mutex;
  Atomic<s32> refs{1};
};

tty_struct* tty_create(const char* name, dev_t device, const tty_operations* ops);  // for good; makes the /dev node
tty_struct* tty_alloc(const char* name, dev_t device, const tty_operations* ops);   // without a node
void tty_free(tty_struct* tty);
void tty_receive(tty_struct* tty, const u8* bytes, size_t n);  // from the driver, any context
bool tty_receive_room(tty_struct* tty);  // false: bytes would be lost, the driver may hold them back
void tty_wakeup(tty_struct* tty);        // the driver can take more output
void tty_hangup(tty_struct* tty);
void disassociate_ctty();
tty_struct* find_tty(dev_t device);
int tty_open_common(tty_struct* tty, file* f);
void tty_set_default_termios(termios& t);
extern const file_operations& tty_file_ops;
inline tty_struct* file_tty(const file* f) { return static_cast<tty_struct*>(f->private_data); }

// n_tty.cc
ssize_t n_tty_read(tty_struct* tty, file* f, iov_iter& to);
ssize_t n_tty_write(tty_struct* tty, file* f, iov_iter& from);
u32 n_tty_poll(tty_struct* tty, file* f, struct poll_table* table);
void n_tty_flush_input(tty_struct* tty);
void n_tty_set_termios(tty_struct* tty, const termios& old);
u64 n_tty_chars_available(tty_struct* tty);

void tty_init();
void serial_init();
void serial_early_init();
void vt_init();
u32 vt_foreground_minor();
void pty_init();
void keyboard_init();
void mem_devices_init();

}  // namespace xm::os
