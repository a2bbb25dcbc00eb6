// SPDX-License-Identifier: GPL-2.0-or-later
// The 8250/16550A serial ports COM1-COM4: polled as a console, interrupt driven as ttyS0-3. Output waits in a ring
// until the transmitter asks for it. [16550 datasheet]. GAP: no modem control, no flow control by RTS/CTS, one line
// speed (115200).
#include "kernel/arch/x86_64/asm.h"
#include "kernel/arch/x86_64/irq.h"
#include "kernel/drivers/tty.h"
#include "kernel/init/printk.h"
#include "kernel/lib/format.h"

namespace xm::os {
namespace {

enum Register : u16 {
  kData = 0,
  kInterruptEnable = 1,
  kFifoControl = 2,
  kInterruptId = 2,
  kLineControl = 3,
  kModemControl = 4,
  kLineStatus = 5,
  kScratch = 7
};
constexpr u8 kRxReady = 1, kTxEmpty = 0x20;
constexpr u8 kIerRx = 1, kIerTx = 2;

constexpr u32 kRing = 4096;
struct Port {
  u16 base;
  u8 irq;
  bool present = false;
  bool open = false;
  bool throttled = false;  // the reader is behind: bytes stay in the FIFO, and with the sender
  u8 ier = 0;
  tty_struct* tty = nullptr;
  spinlock_t lock{LockRank::Console};
  char ring[kRing];
  u32 head = 0, tail = 0;
};
constinit Port ports[4] = {{0x3f8, 4}, {0x2f8, 3}, {0x3e8, 4}, {0x2e8, 3}};

bool probe(Port& p) {
  outb(p.base + kScratch, 0x5a);
  if (inb(p.base + kScratch) != 0x5a) return false;
  outb(p.base + kScratch, 0xa5);
  return inb(p.base + kScratch) == 0xa5;
}

void setup(Port& p) {
  outb(p.base + kInterruptEnable, 0);
  outb(p.base + kLineControl, 0x80);  // divisor
  outb(p.base + kData, 1);
  outb(p.base + kInterruptEnable, 0);
  outb(p.base + kLineControl, 3);      // 8N1
  outb(p.base + kFifoControl, 0x07);   // FIFOs on and cleared, interrupt at each byte
  outb(p.base + kModemControl, 0x0b);  // DTR, RTS, OUT2: interrupts reach the PIC
}

// Feeds the FIFO: up to 16 bytes while it is empty.
void transmit_locked(Port& p) {
  if ((inb(p.base + kLineStatus) & kTxEmpty) != 0) {
    for (int i = 0; i < 16 && p.tail != p.head; ++i) outb(p.base + kData, static_cast<u8>(p.ring[p.tail++ % kRing]));
  }
  const u8 wanted = static_cast<u8>(p.tail != p.head ? p.ier | kIerTx : p.ier & ~kIerTx);
  if (wanted != p.ier) {
    p.ier = wanted;
    outb(p.base + kInterruptEnable, wanted);
  }
}

void set_throttled(Port& p, bool on) {
  IrqGuard guard(p.lock);
  p.throttled = on;
  p.ier = static_cast<u8>(on ? p.ier & ~kIerRx : p.ier | kIerRx);
  outb(p.base + kInterruptEnable, p.ier);
}

void receive(Port& p) {
  u8 received[64];
  size_t n = 0;
  if (p.tty != nullptr && !tty_receive_room(p.tty)) {
    set_throttled(p, true);
    if (tty_receive_room(p.tty)) set_throttled(p, false);  // a reader came in between
    return;
  }
  while (n < sizeof received && (inb(p.base + kLineStatus) & kRxReady) != 0) received[n++] = inb(p.base + kData);
  if (n > 0 && p.tty != nullptr) tty_receive(p.tty, received, n);
}

void handle_port(Port& p) {
  if (!p.throttled) receive(p);
  bool room;
  {
    IrqGuard guard(p.lock);
    transmit_locked(p);
    room = p.head - p.tail < kRing / 2;
  }
  if (room && p.tty != nullptr && !p.tty->write_wait.head.empty()) tty_wakeup(p.tty);
}

// The line is edge triggered: a handler that returns while a port still asserts it would never be called again. After
// many rounds (a sender without pause) the interrupts are switched off and on, which makes a new edge.
IrqReturn serial_interrupt(u32 irq, void*) {
  bool handled = false;
  for (u32 round = 0; round < 32; ++round) {
    bool pending = false;
    for (Port& p : ports) {
      if (!p.present || p.irq != irq || (inb(p.base + kInterruptId) & 1) != 0) continue;
      handle_port(p);
      pending = true;
    }
    if (!pending) return handled ? IrqReturn::Handled : IrqReturn::None;
    handled = true;
  }
  for (Port& p : ports) {
    if (!p.present || p.irq != irq) continue;
    IrqGuard guard(p.lock);
    outb(p.base + kInterruptEnable, 0);
    outb(p.base + kInterruptEnable, p.ier);
  }
  return IrqReturn::Handled;
}

Port& port_of(const tty_struct* t) { return *static_cast<Port*>(t->driver_data); }

struct SerialOps final : tty_operations {
  size_t write(tty_struct* t, const char* text, size_t n) const override {
    Port& p = port_of(t);
    IrqGuard guard(p.lock);
    size_t done = 0;
    while (done < n && p.head - p.tail < kRing) p.ring[p.head++ % kRing] = text[done++];
    transmit_locked(p);
    return done;
  }
  size_t write_room(tty_struct* t) const override {
    const Port& p = port_of(t);
    const size_t used = p.head - p.tail;
    return kRing - min<size_t>(kRing, used + kEchoReserve);
  }
  void unthrottle(tty_struct* t) const override {
    Port& p = port_of(t);
    if (p.throttled && tty_receive_room(t)) set_throttled(p, false);  // what waits interrupts at once
  }
  u64 chars_in_buffer(tty_struct* t) const override { return port_of(t).head - port_of(t).tail; }
  void flush_output(tty_struct* t) const override {
    Port& p = port_of(t);
    IrqGuard guard(p.lock);
    p.tail = p.head;
  }
};
constinit const SerialOps serial_ops{};

void console_putc(const Port& p, char c) {
  for (int i = 0; i < 100000 && (inb(p.base + kLineStatus) & kTxEmpty) == 0; ++i) cpu_relax();
  outb(p.base + kData, static_cast<u8>(c));
}
// The same lock as the interrupt-driven path: two processors that both see an empty FIFO would overrun it. A panic does
// not wait for whoever held it.
void console_write_port(Port& p, const char* text, size_t n) {
  const u64 flags = local_irq_save();
  preempt_disable();
  bool locked = true;
  if (panic_in_progress) {
    locked = raw_spin_trylock(p.lock);
  } else {
    raw_spin_lock(p.lock);
  }
  for (size_t i = 0; i < n; ++i) {
    if (text[i] == '\n') console_putc(p, '\r');
    console_putc(p, text[i]);
  }
  if (locked) raw_spin_unlock(p.lock);
  local_irq_restore(flags);
  preempt_enable_no_resched();
}
void write_ttyS0(const char* text, size_t n) { console_write_port(ports[0], text, n); }
void write_ttyS1(const char* text, size_t n) { console_write_port(ports[1], text, n); }
constinit console consoles[2] = {{"ttyS0", write_ttyS0, make_dev(4, 64)}, {"ttyS1", write_ttyS1, make_dev(4, 65)}};

}  // namespace

void serial_early_init() {
  for (int i = 0; i < 2; ++i) {
    Port& p = ports[i];
    p.present = probe(p);
    if (!p.present) continue;
    setup(p);
    register_console(&consoles[i]);
  }
}

void serial_init() {
  for (u32 i = 0; i < 4; ++i) {
    Port& p = ports[i];
    if (!p.present) {
      p.present = probe(p);
      if (!p.present) continue;
      setup(p);
    }
    char name[8];
    format(name, sizeof name, "ttyS%u", i);
    p.tty = tty_create(name, make_dev(4, 64 + i), &serial_ops);
    if (p.tty == nullptr) continue;
    p.tty->driver_data = &p;
    p.tty->window = {24, 80, 0, 0};
    p.tty->term.c_cflag = B115200 | CS8 | CREAD | HUPCL | CLOCAL;
    p.tty->speed = 115200;
    request_irq(p.irq, serial_interrupt, IRQF_SHARED, "ttyS", &p);
    p.ier = kIerRx;
    outb(p.base + kInterruptEnable, kIerRx);
    printk(KERN_INFO "serial8250: %s at I/O %#x (irq = %u) is a 16550A\n", name, p.base, p.irq);
  }
}

}  // namespace xm::os
