// SPDX-License-Identifier: GPL-2.0-or-later
// virtio console device: console ports as /dev/hvcN, other ports as /dev/vportDpN with their names in
// /sys/class/virtio-ports. [VIRTIO 5.3]. GAP: one device; ports are not unplugged.
#include "kernel/drivers/base/device.h"
#include "kernel/drivers/tty.h"
#include "kernel/drivers/virtio.h"
#include "kernel/fs/poll.h"
#include "kernel/fs/tmpfs.h"
#include "kernel/init/initcall.h"
#include "kernel/init/printk.h"
#include "kernel/lib/format.h"
#include "kernel/mm/slab.h"
#include "kernel/sched/sched.h"
#include "kernel/sched/softirq.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {

constexpr u64 VIRTIO_CONSOLE_F_MULTIPORT = 1 << 1;
enum Control : u16 { DEVICE_READY, DEVICE_ADD, DEVICE_REMOVE, PORT_READY, CONSOLE_PORT, RESIZE, PORT_OPEN, PORT_NAME };
struct ControlMessage {
  u32 id;
  u16 event, value;
};
constexpr u32 kHvcMajor = 229, kPortMajor = 244, kPorts = 16, kRing = 4096, kControlBuffers = 8, kControlBytes = 128;

struct Device;
struct Port {
  Device* d = nullptr;
  u32 id = 0;
  bool there = false, host_open = false, guest_open = false, is_console = false;
  virtqueue rx, tx;
  spinlock_t lock{LockRank::None};
  u8* rx_page = nullptr;
  u8* tx_page = nullptr;
  bool rx_posted = false, tx_busy = false;
  u32 held = 0, held_at = 0;  // bytes in rx_page that the reader has not taken yet
  u8* ring = nullptr;         // output that waits
  u32 head = 0, tail = 0;
  tty_struct* tty = nullptr;
  wait_queue_head wait;
  char name[40]{};
  device dev;
};
struct Device {
  virtio_node* node = nullptr;
  virtio_device virtio;
  bool multiport = false;
  virtqueue control_rx, control_tx;
  u8* control_page = nullptr;  // kControlBuffers receive buffers; the second page is for sending
  spinlock_t control_lock{LockRank::None};
  work_struct control_work;
  Port ports[kPorts];
};
constinit Device* the_device = nullptr;
constinit u32 next_hvc = 0;

// --- data ---
void post_rx(Port* p) {  // locked
  if (p->rx_posted || p->held > 0) return;
  const virtio_segment s{virt_to_phys(p->rx_page), kRing, true};
  p->rx_posted = virtqueue_add(&p->rx, &s, 1, p);
  virtqueue_kick(&p->d->virtio, &p->rx);
}
void transmit(Port* p) {  // locked
  u32 length = 0;
  if (virtqueue_take(&p->tx, &length) != nullptr) p->tx_busy = false;
  if (p->tx_busy || p->head == p->tail) return;
  u32 n = 0;
  while (p->tail != p->head && n < kRing) p->tx_page[n++] = p->ring[p->tail++ % kRing];
  const virtio_segment s{virt_to_phys(p->tx_page), n, false};
  p->tx_busy = virtqueue_add(&p->tx, &s, 1, p);
  virtqueue_kick(&p->d->virtio, &p->tx);
}
size_t queue_output(Port* p, const char* text, size_t n) {
  IrqGuard guard(p->lock);
  size_t done = 0;
  while (done < n && p->head - p->tail < kRing) p->ring[p->head++ % kRing] = static_cast<u8>(text[done++]);
  transmit(p);
  return done;
}
// Gives the terminal what it has room for. In small pieces, because its room is known only after each.
void feed_tty(Port* p) {
  for (;;) {
    u8 piece[64];
    u32 n = 0;
    if (!tty_receive_room(p->tty)) return;
    {
      IrqGuard guard(p->lock);
      while (n < sizeof piece && p->held > 0) {
        piece[n++] = p->rx_page[p->held_at++];
        --p->held;
      }
      if (p->held == 0) post_rx(p);
    }
    if (n == 0) return;
    tty_receive(p->tty, piece, n);
  }
}

void handle_port(Port* p) {
  bool came, room;
  {
    IrqGuard guard(p->lock);
    u32 length = 0;
    came = p->rx_posted && virtqueue_take(&p->rx, &length) != nullptr;
    if (came) {
      p->rx_posted = false;
      p->held = min(length, kRing);
      p->held_at = 0;
    }
    transmit(p);
    room = p->head - p->tail < kRing / 2;
  }
  if (p->tty != nullptr) {
    if (came) feed_tty(p);
    if (room && !p->tty->write_wait.head.empty()) tty_wakeup(p->tty);
  } else if (came || room) {
    wake_up_all(p->wait, POLLIN | POLLOUT);
  }
}

// --- control ---
void send_control(Device* d, u32 id, u16 event, u16 value) {
  IrqGuard guard(d->control_lock);
  u32 length;
  while (virtqueue_take(&d->control_tx, &length) != nullptr) {
  }
  ControlMessage* m = reinterpret_cast<ControlMessage*>(d->control_page + kPageSize) + d->control_tx.free_head % 64;
  *m = {id, event, value};
  const virtio_segment s{virt_to_phys(m), sizeof *m, false};
  if (virtqueue_add(&d->control_tx, &s, 1, m)) virtqueue_kick(&d->virtio, &d->control_tx);
}
void post_control(Device* d, u8* buffer) {  // locked
  const virtio_segment s{virt_to_phys(buffer), kControlBytes, true};
  virtqueue_add(&d->control_rx, &s, 1, buffer);
}

bool setup_port(Device* d, u32 id) {
  Port* p = &d->ports[id];
  if (p->there) return true;
  const u16 first = static_cast<u16>(id == 0 ? 0 : 2 + id * 2);
  p->d = d;
  p->id = id;
  p->rx_page = static_cast<u8*>(get_free_page(GFP_KERNEL | GFP_ZERO));
  p->tx_page = static_cast<u8*>(get_free_page(GFP_KERNEL | GFP_ZERO));
  p->ring = static_cast<u8*>(get_free_page(GFP_KERNEL | GFP_ZERO));
  if (p->rx_page == nullptr || p->tx_page == nullptr || p->ring == nullptr) return false;
  if (virtio_setup_queue(&d->virtio, &p->rx, first, 64) != 0) return false;
  return virtio_setup_queue(&d->virtio, &p->tx, static_cast<u16>(first + 1), 64) == 0;
}

// --- /dev/hvcN ---
Port* port_of(const tty_struct* t) { return static_cast<Port*>(t->driver_data); }
struct HvcOps final : tty_operations {
  size_t write(tty_struct* t, const char* text, size_t n) const override { return queue_output(port_of(t), text, n); }
  size_t write_room(tty_struct* t) const override {
    const size_t used = port_of(t)->head - port_of(t)->tail;
    return kRing - min<size_t>(kRing, used + kEchoReserve);
  }
  u64 chars_in_buffer(tty_struct* t) const override { return port_of(t)->head - port_of(t)->tail; }
  void unthrottle(tty_struct* t) const override { feed_tty(port_of(t)); }
};
constinit const HvcOps hvc_ops{};

void printk_text(const char* text, size_t n) {
  Port* p = the_device != nullptr ? &the_device->ports[0] : nullptr;
  if (p == nullptr || p->tty == nullptr) return;
  for (size_t i = 0; i < n; ++i) {
    if (text[i] == '\n') queue_output(p, "\r", 1);
    queue_output(p, text + i, 1);
  }
}
constinit console hvc_console{"hvc0", printk_text, make_dev(kHvcMajor, 0)};

void become_console(Port* p) {
  if (p->tty != nullptr) return;
  char name[12];
  const u32 number = next_hvc++;
  format(name, sizeof name, "hvc%u", number);
  p->is_console = true;
  register_chrdev(kHvcMajor, number, 1, "hvc", &tty_file_ops);
  p->tty = tty_create(name, make_dev(kHvcMajor, number), &hvc_ops);
  if (p->tty == nullptr) return;
  p->tty->driver_data = p;
  p->tty->window = {24, 80, 0, 0};
  if (number == 0) register_console(&hvc_console);
}

// --- /dev/vport0pN ---
struct PortOps final : file_operations {
  int open(inode* i, file* f) const override {
    Port* p = &the_device->ports[minor_of(i->i_rdev)];
    if (p->guest_open) return -EBUSY;
    p->guest_open = true;
    f->private_data = p;
    send_control(p->d, p->id, PORT_OPEN, 1);
    return 0;
  }
  void release(inode*, file* f) const override {
    Port* p = static_cast<Port*>(f->private_data);
    p->guest_open = false;
    send_control(p->d, p->id, PORT_OPEN, 0);
  }
  ssize_t read_iter(file* f, iov_iter& to, loff_t&) const override {
    Port* p = static_cast<Port*>(f->private_data);
    if (p->held == 0) {
      if (!p->host_open) return 0;
      if ((f->f_flags & O_NONBLOCK) != 0) return -EAGAIN;
      TRY_INT(static_cast<int>(wait_event_interruptible(p->wait, [&] { return p->held > 0 || !p->host_open; })));
    }
    const u64 n = min<u64>(to.count(), p->held);
    const u64 moved = to.copy_to(p->rx_page + p->held_at, n);
    IrqGuard guard(p->lock);
    p->held_at += static_cast<u32>(moved);
    p->held -= static_cast<u32>(moved);
    post_rx(p);
    return moved == 0 && n != 0 ? -EFAULT : static_cast<ssize_t>(moved);
  }
  ssize_t write_iter(file* f, iov_iter& from, loff_t&) const override {
    Port* p = static_cast<Port*>(f->private_data);
    ssize_t done = 0;
    while (from.count() > 0) {
      char piece[256];
      const bool full = p->head - p->tail > kRing - sizeof piece;
      if (full && (f->f_flags & O_NONBLOCK) != 0) return done > 0 ? done : -EAGAIN;
      const long r = wait_event_interruptible(p->wait, [&] { return p->head - p->tail <= kRing - sizeof piece; });
      if (r != 0) return done > 0 ? done : r;
      const u64 got = from.copy_from(piece, min<u64>(sizeof piece, from.count()));
      if (got == 0) return done > 0 ? done : -EFAULT;
      queue_output(p, piece, got);
      done += static_cast<ssize_t>(got);
    }
    return done;
  }
  u32 poll(file* f, poll_table* table) const override {
    Port* p = static_cast<Port*>(f->private_data);
    poll_wait(f, p->wait, table);
    return (p->held > 0 ? POLLIN | POLLRDNORM : 0) | (p->host_open ? 0 : POLLHUP) |
           (p->head - p->tail < kRing / 2 ? POLLOUT | POLLWRNORM : 0);
  }
  bool has_poll() const override { return true; }
};
constinit const PortOps port_ops{};
constinit device_class ports_class{"virtio-ports"};
constexpr device_attribute kName{
    "name", 0444, [](TextBuffer& o, device* d) { o.print("%s\n", static_cast<Port*>(d->driver_data)->name); }, nullptr};

void become_port(Port* p) {
  if (p->dev.path[0] != 0) return;
  format(p->dev.name, sizeof p->dev.name, "vport0p%u", p->id);
  p->dev.cls = &ports_class;
  p->dev.parent = &p->d->node->dev;
  p->dev.number = make_dev(kPortMajor, p->id);
  p->dev.driver_data = p;
  devtmpfs_create(p->dev.name, S_IFCHR | 0600, p->dev.number);
  device_register(&p->dev);
  device_file(&p->dev, &kName);
}

void handle_message(Device* d, const u8* bytes, u32 length) {
  ControlMessage m;
  if (length < sizeof m) return;
  memcpy(&m, bytes, sizeof m);
  if (m.id >= kPorts) return;
  Port* p = &d->ports[m.id];
  switch (m.event) {
    case DEVICE_ADD: {
      if (p->rx_page == nullptr) break;
      p->there = true;
      IrqGuard guard(p->lock);
      post_rx(p);
      break;
    }
    case CONSOLE_PORT: become_console(p); break;
    case PORT_OPEN:
      p->host_open = m.value != 0;
      if (!p->is_console) become_port(p);
      wake_up_all(p->wait, POLLIN | POLLHUP);
      break;
    case PORT_NAME: {
      const u32 n = min<u32>(length - sizeof m, sizeof p->name - 1);
      memcpy(p->name, bytes + sizeof m, n);
      p->name[n] = 0;
      if (!p->is_console) become_port(p);
      break;
    }
    default: break;
  }
  if (m.event == DEVICE_ADD) send_control(d, m.id, PORT_READY, p->there ? 1 : 0);
  if (m.event == CONSOLE_PORT) send_control(d, m.id, PORT_OPEN, 1);
}

// In a kernel thread: messages make devices.
void read_control(work_struct* w) {
  Device* d = container_of(w, Device, control_work);
  for (;;) {
    u8 copy[kControlBytes];
    u32 length = 0;
    {
      IrqGuard guard(d->control_lock);
      u8* buffer = static_cast<u8*>(virtqueue_take(&d->control_rx, &length));
      if (buffer == nullptr) return;
      length = min(length, kControlBytes);
      memcpy(copy, buffer, length);
      post_control(d, buffer);
      virtqueue_kick(&d->virtio, &d->control_rx);
    }
    handle_message(d, copy, length);
  }
}

IrqReturn handle_interrupt(u32, void* device) {
  Device* d = static_cast<Device*>(device);
  if (!d->virtio.msix && (virtio_read_isr(&d->virtio) & 1) == 0) return IrqReturn::None;
  for (Port& p : d->ports) {
    if (p.there) handle_port(&p);
  }
  if (d->multiport) schedule_work(&d->control_work);
  return IrqReturn::Handled;
}

int setup_control(Device* d) {
  d->control_page = static_cast<u8*>(page_to_virt(alloc_pages(GFP_KERNEL | GFP_ZERO, 1)));
  d->control_work.func = read_control;
  if (const int error = virtio_setup_queue(&d->virtio, &d->control_rx, 2, 64); error != 0) return error;
  if (const int error = virtio_setup_queue(&d->virtio, &d->control_tx, 3, 64); error != 0) return error;
  const u32 ports = min(virtio_config32(&d->virtio, 4), kPorts);
  for (u32 id = 0; id < ports; ++id) {
    if (!setup_port(d, id)) return -ENOMEM;
  }
  register_chrdev(kPortMajor, 0, kPorts, "virtio-portsdev", &port_ops);
  return 0;
}

int probe(virtio_node* node) {
  if (the_device != nullptr) return -EBUSY;
  Device* d = knew<Device>();
  if (d == nullptr) return -ENOMEM;
  d->node = node;
  if (const int error = virtio_open(&d->virtio, node->pci, VIRTIO_CONSOLE_F_MULTIPORT); error != 0) return error;
  d->multiport = (d->virtio.features & VIRTIO_CONSOLE_F_MULTIPORT) != 0;
  if (const int error = virtio_request_irq(&d->virtio, handle_interrupt, "virtio-console", d); error != 0) return error;
  if (d->multiport) {
    if (const int error = setup_control(d); error != 0) return error;
  } else if (!setup_port(d, 0)) {
    return -ENOMEM;
  }
  virtio_ready(&d->virtio);
  the_device = d;
  if (d->multiport) {
    {
      IrqGuard guard(d->control_lock);
      for (u32 i = 0; i < kControlBuffers; ++i) post_control(d, d->control_page + i * kControlBytes);
      virtqueue_kick(&d->virtio, &d->control_rx);
    }
    send_control(d, 0xffffffff, DEVICE_READY, 1);
    return 0;
  }
  Port* p = &d->ports[0];
  p->there = true;
  become_console(p);
  IrqGuard guard(p->lock);
  post_rx(p);
  return 0;
}

constinit virtio_driver driver{"virtio_console", VIRTIO_ID_CONSOLE, probe};
void virtio_console_init() { virtio_register_driver(&driver); }
DEVICE_INITCALL(virtio_console_init);

}  // namespace
}  // namespace xm::os
