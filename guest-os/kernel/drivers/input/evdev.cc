// SPDX-License-Identifier: GPL-2.0-or-later
// /dev/input/eventN: events as records, with time stamps of the clock the reader chose. [Linux
// Documentation/input/event-codes.rst, linux/input.h]. GAP: 32-bit programs, whose records are shorter, are not served.
#include "kernel/drivers/input/input.h"
#include "kernel/fs/poll.h"
#include "kernel/fs/tmpfs.h"
#include "kernel/init/initcall.h"
#include "kernel/lib/format.h"
#include "kernel/mm/slab.h"
#include "kernel/mm/uaccess.h"
#include "kernel/sched/clock.h"
#include "kernel/sched/sched.h"
#include "kernel/task/task_struct.h"

namespace xm::os {

constexpr u32 kRing = 64;
struct evdev_client {
  input_dev* d = nullptr;
  evdev_client* next = nullptr;
  input_event_record ring[kRing]{};
  u32 head = 0, tail = 0, packet = 0;  // up to `packet` readers may look: the last SYN_REPORT
  bool monotonic = false, revoked = false;
  wait_queue_head wait;
};

namespace {

constexpr u32 kMajor = 13, kFirstMinor = 64;
constinit spinlock_t lock{LockRank::None};

evdev_client* client_of(const file* f) { return static_cast<evdev_client*>(f->private_data); }

void put(evdev_client* c, u16 type, u16 code, s32 value) {
  const u64 now = c->monotonic ? ktime_get() : ktime_get_real();
  if (c->head - c->tail == kRing) {  // the reader is late: what it missed is told by SYN_DROPPED
    c->tail = c->head - 1;
    c->ring[c->tail % kRing] = {static_cast<s64>(now / kNsPerSec), static_cast<s64>(now % kNsPerSec / 1000), EV_SYN, 3,
                                0};
  }
  c->ring[c->head++ % kRing] = {static_cast<s64>(now / kNsPerSec), static_cast<s64>(now % kNsPerSec / 1000), type, code,
                                value};
  if (type == EV_SYN && code == SYN_REPORT) c->packet = c->head;
}
bool ready(const evdev_client* c) { return static_cast<s32>(c->packet - c->tail) > 0; }

// Bytes of a bit set, as much as the caller has room for; returns their number.
long copy_bits(const u64* words, size_t bytes, u32 room, u64 argument) {
  const size_t n = min<size_t>(bytes, room);
  const int error = copy_to_user(reinterpret_cast<void*>(argument), words, n);
  return error != 0 ? error : static_cast<long>(n);
}
long copy_text(const char* text, u32 room, u64 argument) {
  const size_t n = min<size_t>(strlen(text) + 1, room);
  const int error = copy_to_user(reinterpret_cast<void*>(argument), text, n);
  return error != 0 ? error : static_cast<long>(n);
}

long capability_bits(input_dev* d, u32 type, u32 room, u64 argument) {
  const u64 none = 0;
  switch (type) {
    case 0: return copy_bits(&d->events, 4, room, argument);
    case EV_KEY: return copy_bits(d->keys, sizeof d->keys, room, argument);
    case EV_REL: return copy_bits(&d->rels, 8, room, argument);
    case EV_MSC: return copy_bits(&d->mscs, 8, room, argument);
    case EV_LED: return copy_bits(&d->leds, 8, room, argument);
    case EV_ABS:
    case EV_SND:
    case 5:  // EV_SW
      return copy_bits(&none, 8, room, argument);
    default: return -EINVAL;
  }
}

long grab(evdev_client* c, bool on) {
  IrqGuard guard(lock);
  if (on) {
    if (c->d->grabbed_by != nullptr) return -EBUSY;
    c->d->grabbed_by = c;
    return 0;
  }
  if (c->d->grabbed_by != c) return -EINVAL;
  c->d->grabbed_by = nullptr;
  return 0;
}

struct EvdevOps final : file_operations {
  int open(inode* i, file* f) const override {
    for (input_dev* d = input_devices; d != nullptr; d = d->next) {
      if (d->index + kFirstMinor != minor_of(i->i_rdev)) continue;
      evdev_client* c = knew<evdev_client>();
      if (c == nullptr) return -ENOMEM;
      c->d = d;
      f->private_data = c;
      IrqGuard guard(lock);
      c->next = d->clients;
      d->clients = c;
      return 0;
    }
    return -ENODEV;
  }
  void release(inode*, file* f) const override {
    evdev_client* c = client_of(f);
    {
      IrqGuard guard(lock);
      if (c->d->grabbed_by == c) c->d->grabbed_by = nullptr;
      evdev_client** at = &c->d->clients;
      while (*at != c) at = &(*at)->next;
      *at = c->next;
    }
    kdelete(c);
  }
  ssize_t read_iter(file* f, iov_iter& to, loff_t&) const override {
    evdev_client* c = client_of(f);
    if (to.count() != 0 && to.count() < sizeof(input_event_record)) return -EINVAL;
    if (!ready(c) && (f->f_flags & O_NONBLOCK) != 0) return c->revoked ? -ENODEV : -EAGAIN;
    TRY_INT(static_cast<int>(wait_event_interruptible(c->wait, [&] { return ready(c) || c->revoked; })));
    if (c->revoked) return -ENODEV;
    ssize_t done = 0;
    while (to.count() >= sizeof(input_event_record)) {
      input_event_record r;
      {
        IrqGuard guard(lock);
        if (!ready(c)) break;
        r = c->ring[c->tail++ % kRing];
      }
      if (to.copy_to(&r, sizeof r) != sizeof r) return done > 0 ? done : -EFAULT;
      done += static_cast<ssize_t>(sizeof r);
    }
    return done;
  }
  ssize_t write_iter(file* f, iov_iter& from, loff_t&) const override {
    evdev_client* c = client_of(f);
    if (c->revoked) return -ENODEV;
    if (from.count() != 0 && from.count() < sizeof(input_event_record)) return -EINVAL;
    ssize_t done = 0;
    while (from.count() >= sizeof(input_event_record)) {
      input_event_record r;
      if (from.copy_from(&r, sizeof r) != sizeof r) return done > 0 ? done : -EFAULT;
      input_dev* d = c->d;
      if (r.type == EV_LED && r.code < 64 && (d->leds >> r.code & 1) != 0) {
        d->lit = r.value != 0 ? d->lit | 1ul << r.code : d->lit & ~(1ul << r.code);
        if (d->set_led != nullptr) d->set_led(d, r.code, r.value != 0);
      } else if (r.type == EV_KEY || r.type == EV_REL || r.type == EV_SYN) {
        input_event(d, r.type, r.code, r.value);
      }
      done += static_cast<ssize_t>(sizeof r);
    }
    return done;
  }
  u32 poll(file* f, poll_table* table) const override {
    evdev_client* c = client_of(f);
    poll_wait(f, c->wait, table);
    return (c->revoked ? POLLHUP | POLLERR : POLLOUT | POLLWRNORM) | (ready(c) ? POLLIN | POLLRDNORM : 0);
  }
  bool has_poll() const override { return true; }
  long ioctl(file* f, u32 command, u64 argument) const override {
    evdev_client* c = client_of(f);
    input_dev* d = c->d;
    if (c->revoked) return -ENODEV;
    if ((command >> 8 & 0xff) != 'E') return -EINVAL;
    const u32 number = command & 0xff, room = command >> 16 & 0x3fff;
    switch (command) {
      case 0x80044501: return put_user_at(static_cast<int>(EV_VERSION), argument);
      case 0x80084502: return put_user_at(d->id, argument);
      case 0x80084503: {
        const u32 repeat[2] = {250, 33};
        return copy_to_user(reinterpret_cast<void*>(argument), repeat, sizeof repeat);
      }
      case 0x40044590: return grab(c, argument != 0);
      case 0x40044591:
        c->revoked = true;
        wake_up_all(c->wait, POLLHUP);
        return 0;
      case 0x400445a0: {
        int clock;
        TRY_INT(get_user_at(clock, argument));
        if (clock != 0 && clock != 1 && clock != 7) return -EINVAL;
        c->monotonic = clock != 0;
        return 0;
      }
      default: break;
    }
    if (command >> 30 != 2) return -EINVAL;
    if (number == 0x06) return copy_text(d->name, room, argument);
    if (number == 0x07) return copy_text(d->phys, room, argument);
    if (number == 0x08) return -ENOENT;
    const u64 properties = d->rels != 0 ? 1 : 0;
    if (number == 0x09) return copy_bits(&properties, 8, room, argument);
    if (number == 0x18) return copy_bits(d->down, sizeof d->down, room, argument);
    if (number == 0x19) return copy_bits(&d->lit, 8, room, argument);
    const u64 none = 0;
    if (number == 0x1a || number == 0x1b) return copy_bits(&none, 8, room, argument);
    if (number >= 0x20 && number < 0x40) return capability_bits(d, number - 0x20, room, argument);
    return -EINVAL;
  }
};
constinit const EvdevOps evdev_ops{};

}  // namespace

void evdev_event(input_dev* d, u16 type, u16 code, s32 value) {
  IrqGuard guard(lock);
  for (evdev_client* c = d->clients; c != nullptr; c = c->next) {
    if (c->revoked || (d->grabbed_by != nullptr && d->grabbed_by != c)) continue;
    put(c, type, code, value);
    if (type == EV_SYN) wake_up_all(c->wait, POLLIN | POLLRDNORM);
  }
}

void evdev_connect(input_dev* d) {
  if (d->index == 0) register_chrdev(kMajor, kFirstMinor, 32, "evdev", &evdev_ops);
  char name[24];
  const dev_t number = make_dev(kMajor, kFirstMinor + d->index);
  format(name, sizeof name, "input/event%u", d->index);
  devtmpfs_create(name, S_IFCHR | 0660, number);
  format(d->node.name, sizeof d->node.name, "event%u", d->index);
  d->node.node = kstrdup(name);
  d->node.parent = &d->dev;
  d->node.cls = &input_class;
  d->node.number = number;
  device_register(&d->node);
}

}  // namespace xm::os
