// SPDX-License-Identifier: GPL-2.0-or-later
// /dev/input/mice and mouse0: every mouse as one PS/2 mouse, with the wheel for programs that send the ImPS/2 knock.
// [IBM PS/2 mouse technical reference; Linux Documentation/input/input.rst, mousedev]
#include "kernel/drivers/input/input.h"
#include "kernel/fs/poll.h"
#include "kernel/fs/tmpfs.h"
#include "kernel/mm/slab.h"
#include "kernel/sched/sched.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {

constexpr u32 kMajor = 13, kMice = 63, kMouse0 = 32;
constexpr u32 kBytes = 128;

struct Reader {
  Reader* next = nullptr;
  u8 bytes[kBytes]{};
  u32 head = 0, tail = 0;
  u8 knock[6]{};
  bool wheel = false;
  wait_queue_head wait;
};
constinit spinlock_t lock{LockRank::None};
constinit Reader* readers = nullptr;
constinit s32 dx = 0, dy = 0, dz = 0;
constinit u8 buttons = 0, told_buttons = 0;

Reader* reader_of(const file* f) { return static_cast<Reader*>(f->private_data); }

void put(Reader* r, u8 byte) {
  if (r->head - r->tail < kBytes) r->bytes[r->head++ % kBytes] = byte;
}
// One movement; the three bytes hold nine bits of each direction, y upwards.
void put_packet(Reader* r, s32 x, s32 y, s32 z) {
  if (kBytes - (r->head - r->tail) < 4) return;
  put(r, static_cast<u8>(8 | buttons | (x < 0 ? 0x10 : 0) | (y < 0 ? 0x20 : 0)));
  put(r, static_cast<u8>(x));
  put(r, static_cast<u8>(y));
  if (r->wheel) put(r, static_cast<u8>(z));
}

void tell() {
  do {
    const s32 x = clamp(dx, -127, 127), y = clamp(dy, -127, 127), z = clamp(dz, -7, 7);
    for (Reader* r = readers; r != nullptr; r = r->next) put_packet(r, x, y, z);
    dx -= x;
    dy -= y;
    dz -= z;
  } while (dx != 0 || dy != 0 || dz != 0);
  told_buttons = buttons;
  for (Reader* r = readers; r != nullptr; r = r->next) wake_up_all(r->wait, POLLIN | POLLRDNORM);
}

// Commands to the mouse: each is acknowledged; some have an answer.
void command(Reader* r, u8 c) {
  memmove(r->knock, r->knock + 1, 5);
  r->knock[5] = c;
  static constexpr u8 kImPs2[6] = {0xf3, 200, 0xf3, 100, 0xf3, 80};
  if (memcmp(r->knock, kImPs2, 6) == 0) r->wheel = true;
  put(r, 0xfa);
  if (c == 0xf2) put(r, r->wheel ? 3 : 0);
  if (c == 0xff) {
    r->wheel = false;
    put(r, 0xaa);
    put(r, 0);
  }
  if (c == 0xe9) {
    put(r, 0x60);
    put(r, 3);
    put(r, 200);
  }
}

struct MouseOps final : file_operations {
  int open(inode*, file* f) const override {
    Reader* r = knew<Reader>();
    if (r == nullptr) return -ENOMEM;
    f->private_data = r;
    IrqGuard guard(lock);
    r->next = readers;
    readers = r;
    return 0;
  }
  void release(inode*, file* f) const override {
    Reader* r = reader_of(f);
    {
      IrqGuard guard(lock);
      Reader** at = &readers;
      while (*at != r) at = &(*at)->next;
      *at = r->next;
    }
    kdelete(r);
  }
  ssize_t read_iter(file* f, iov_iter& to, loff_t&) const override {
    Reader* r = reader_of(f);
    if (r->head == r->tail && (f->f_flags & O_NONBLOCK) != 0) return -EAGAIN;
    TRY_INT(static_cast<int>(wait_event_interruptible(r->wait, [&] { return r->head != r->tail; })));
    u8 chunk[kBytes];
    u64 n = 0;
    {
      IrqGuard guard(lock);
      while (n < to.count() && r->tail != r->head) chunk[n++] = r->bytes[r->tail++ % kBytes];
    }
    return to.copy_to(chunk, n) == n ? static_cast<ssize_t>(n) : -EFAULT;
  }
  ssize_t write_iter(file* f, iov_iter& from, loff_t&) const override {
    Reader* r = reader_of(f);
    ssize_t done = 0;
    while (from.count() > 0) {
      u8 c;
      if (from.copy_from(&c, 1) != 1) return done > 0 ? done : -EFAULT;
      IrqGuard guard(lock);
      command(r, c);
      ++done;
    }
    wake_up_all(r->wait, POLLIN | POLLRDNORM);
    return done;
  }
  u32 poll(file* f, poll_table* table) const override {
    Reader* r = reader_of(f);
    poll_wait(f, r->wait, table);
    return POLLOUT | POLLWRNORM | (r->head != r->tail ? POLLIN | POLLRDNORM : 0);
  }
  bool has_poll() const override { return true; }
};
constinit const MouseOps mouse_ops{};

void make_node(const char* node, const char* name, u32 minor) {
  register_chrdev(kMajor, minor, 1, "mousedev", &mouse_ops);
  devtmpfs_create(node, S_IFCHR | 0660, make_dev(kMajor, minor));
  device* d = knew<device>();
  if (d == nullptr) return;
  copy_string(d->name, name, sizeof d->name);
  d->node = node;
  d->cls = &input_class;
  d->number = make_dev(kMajor, minor);
  device_register(d);
}

}  // namespace

void mousedev_event(input_dev*, u16 type, u16 code, s32 value) {
  IrqGuard guard(lock);
  if (type == EV_REL && code == REL_X) dx += value;
  if (type == EV_REL && code == REL_Y) dy -= value;
  if (type == EV_REL && code == REL_WHEEL) dz -= value;
  if (type == EV_KEY && code >= BTN_LEFT && code <= BTN_MIDDLE) {
    const u8 bit = static_cast<u8>(1u << (code - BTN_LEFT));
    buttons = static_cast<u8>(value != 0 ? buttons | bit : buttons & ~bit);
  }
  if (type == EV_SYN && (dx != 0 || dy != 0 || dz != 0 || buttons != told_buttons)) tell();
}

void mousedev_init() {
  make_node("input/mice", "mice", kMice);
  make_node("input/mouse0", "mouse0", kMouse0);
}

}  // namespace xm::os
