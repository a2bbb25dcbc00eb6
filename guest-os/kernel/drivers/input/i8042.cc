// SPDX-License-Identifier: GPL-2.0-or-later
// The 8042 controller with its keyboard (scan code set 1, as the controller translates it) and PS/2 mouse (with a
// wheel, if it answers the knock). [8042 data sheet; IBM PS/2 keyboard and mouse technical references]
#include "kernel/arch/x86_64/asm.h"
#include "kernel/arch/x86_64/irq.h"
#include "kernel/drivers/input/input.h"
#include "kernel/drivers/random.h"
#include "kernel/drivers/tty.h"
#include "kernel/init/initcall.h"
#include "kernel/init/printk.h"
#include "kernel/sched/clock.h"
#include "kernel/sched/sched.h"
#include "kernel/sched/softirq.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {

constexpr u16 kData = 0x60, kStatus = 0x64;
constexpr u8 kOutputFull = 1, kInputFull = 2, kFromMouse = 0x20;
constexpr u8 kAck = 0xfa;

constinit bool extended = false;
constinit u32 pause_left = 0;  // E1 1D 45: Pause comes as six bytes
constinit input_dev keyboard{}, mouse{};
constinit spinlock_t port_lock{LockRank::None};
constinit Atomic<u32> acks{0};
constinit u8 packet[4]{};
constinit u32 packet_bytes = 0, packet_size = 3;
constinit bool mouse_there = false;

bool wait_status(u8 mask, bool set) {
  for (int i = 0; i < 20000; ++i) {
    if (((inb(kStatus) & mask) != 0) == set) return true;
    udelay(1);
  }
  return false;
}
void controller(u8 command) {
  wait_status(kInputFull, false);
  outb(kStatus, command);
}
void send(u8 byte) {
  wait_status(kInputFull, false);
  outb(kData, byte);
}
int receive() { return wait_status(kOutputFull, true) ? inb(kData) : -1; }
void drain() {
  for (int i = 0; i < 64 && (inb(kStatus) & kOutputFull) != 0; ++i) inb(kData);
}

// Before its interrupt is on: a command and its acknowledgement.
bool mouse_command(u8 byte) {
  controller(0xd4);
  send(byte);
  return receive() == kAck;
}

// Codes of keys with E0 in front; the others have the number of their scan code. [Linux input-event-codes.h]
u16 extended_code(u8 code) {
  switch (code) {
    case 0x1c: return 96;
    case 0x1d: return 97;
    case 0x35: return 98;
    case 0x37: return 99;
    case 0x38: return 100;
    case 0x47: return 102;
    case 0x48: return 103;
    case 0x49: return 104;
    case 0x4b: return 105;
    case 0x4d: return 106;
    case 0x4f: return 107;
    case 0x50: return 108;
    case 0x51: return 109;
    case 0x52: return 110;
    case 0x53: return 111;
    case 0x5b: return 125;
    case 0x5c: return 126;
    case 0x5d: return 127;
    case 0x5e: return KEY_POWER;
    default: return 0;
  }
}

void key(u16 code, bool down) {
  if (code == 0) return;
  const bool was_down = (keyboard.down[code / 64] >> (code % 64) & 1) != 0;
  input_event(&keyboard, EV_KEY, code, down ? (was_down ? 2 : 1) : 0);
  input_sync(&keyboard);
}

void keyboard_byte(u8 raw) {
  if (raw == kAck || raw == 0xfe) {
    acks.inc();
    return;
  }
  keyboard_raw(raw);
  if (pause_left > 0) {
    if (--pause_left == 0) key(119, (raw & 0x80) == 0);
    return;
  }
  if (raw == 0xe1) {
    pause_left = 2;
    return;
  }
  if (raw == 0xe0) {
    extended = true;
    return;
  }
  const u8 code = raw & 0x7f;
  const bool fake_shift = extended && (code == 0x2a || code == 0x36);
  if (!fake_shift) key(extended ? extended_code(code) : code, (raw & 0x80) == 0);
  extended = false;
}

void mouse_byte(u8 raw) {
  if (packet_bytes == 0 && (raw & 8) == 0) return;  // out of step: bit 3 of the first byte is one
  packet[packet_bytes++] = raw;
  if (packet_bytes < packet_size) return;
  packet_bytes = 0;
  const u8 flags = packet[0];
  for (u32 b = 0; b < 3; ++b) {
    const u16 code = static_cast<u16>(BTN_LEFT + b);
    const bool down = (flags >> b & 1) != 0, was = (mouse.down[code / 64] >> (code % 64) & 1) != 0;
    if (down != was) input_event(&mouse, EV_KEY, code, down ? 1 : 0);
  }
  const s32 x = static_cast<s32>(packet[1]) - ((flags & 0x10) != 0 ? 256 : 0);
  const s32 y = static_cast<s32>(packet[2]) - ((flags & 0x20) != 0 ? 256 : 0);
  if (x != 0) input_event(&mouse, EV_REL, REL_X, x);
  if (y != 0) input_event(&mouse, EV_REL, REL_Y, -y);
  const s32 z = packet_size == 4 ? static_cast<s32>(packet[3] & 15) - ((packet[3] & 8) != 0 ? 16 : 0) : 0;
  if (z != 0) input_event(&mouse, EV_REL, REL_WHEEL, -z);
  input_sync(&mouse);
}

// The top half takes the bytes from the controller; what they mean is found out in a tasklet.
constexpr u32 kWaiting = 256;
constinit u16 waiting[kWaiting]{};  // status << 8 | byte
constinit u32 waiting_head = 0, waiting_tail = 0;
constinit tasklet_struct decode_tasklet{};

void decode_bytes(tasklet_struct*) {
  for (;;) {
    u16 v;
    {
      IrqGuard guard(port_lock);
      if (waiting_head == waiting_tail) return;
      v = waiting[waiting_tail++ % kWaiting];
    }
    if ((v >> 8 & kFromMouse) != 0)
      mouse_byte(static_cast<u8>(v));
    else
      keyboard_byte(static_cast<u8>(v));
  }
}

IrqReturn handle_interrupt(u32, void*) {
  bool handled = false;
  {
    IrqGuard guard(port_lock);
    for (int i = 0; i < 32; ++i) {
      const u8 status = inb(kStatus);
      if ((status & kOutputFull) == 0) break;
      const u8 data = inb(kData);
      handled = true;
      if (waiting_head - waiting_tail < kWaiting)
        waiting[waiting_head++ % kWaiting] = static_cast<u16>(status << 8 | data);
    }
  }
  if (handled) tasklet_schedule(&decode_tasklet);
  const u64 now = ktime_get();
  add_entropy(&now, sizeof now);
  return handled ? IrqReturn::Handled : IrqReturn::None;
}

// LEDs are set by a kernel thread: command ED, then the mask, each acknowledged through the interrupt.
constinit work_struct led_work{};
constinit Atomic<u32> led_mask{0};
void keyboard_command(u8 byte) {
  const u32 before = acks.load();
  {
    IrqGuard guard(port_lock);
    send(byte);
  }
  for (int i = 0; i < 20 && acks.load() == before; ++i) {
    set_current_state(TASK_UNINTERRUPTIBLE);
    schedule_hrtimeout(ktime_get() + 500000);
    set_current_state(TASK_RUNNING);
  }
}
void set_leds_now(work_struct*) {
  keyboard_command(0xed);
  keyboard_command(static_cast<u8>(led_mask.load()));
}

void setup_mouse() {
  mouse_there = mouse_command(0xf6);
  if (!mouse_there) return;
  static constexpr u8 kWheelKnock[] = {200, 100, 80};
  for (const u8 rate : kWheelKnock) {
    mouse_command(0xf3);
    mouse_command(rate);
  }
  mouse_command(0xf2);
  packet_size = receive() == 3 ? 4 : 3;
  static constexpr u8 kEnable[] = {0xf3, 100, 0xf4};
  for (const u8 byte : kEnable) mouse_command(byte);
}

void describe() {
  keyboard.name = "AT Translated Set 2 keyboard";
  keyboard.phys = "isa0060/serio0/input0";
  keyboard.id = {BUS_I8042, 1, 1, 0xab41};
  keyboard.events |= 1ul << EV_KEY | 1ul << EV_LED | 1ul << EV_REP;
  keyboard.leds = 7;
  keyboard.add_keys(1, 0x58);
  keyboard.add_keys(96, 119);
  keyboard.add_keys(125, 127);
  keyboard.set_led = [](input_dev* d, u32, bool) {
    i8042_set_leds(
        static_cast<u32>((d->lit >> LED_SCROLLL & 1) | (d->lit >> LED_NUML & 1) << 1 | (d->lit >> LED_CAPSL & 1) << 2));
  };
  mouse.name = packet_size == 4 ? "ImExPS/2 Generic Explorer Mouse" : "PS/2 Generic Mouse";
  mouse.phys = "isa0060/serio1/input0";
  mouse.id = {BUS_I8042, 2, packet_size == 4 ? u16{6} : u16{1}, 0};
  mouse.events |= 1ul << EV_KEY | 1ul << EV_REL;
  mouse.rels = 1ul << REL_X | 1ul << REL_Y | (packet_size == 4 ? 1ul << REL_WHEEL : 0);
  mouse.add_keys(BTN_LEFT, BTN_MIDDLE);
}

void i8042_init() {
  if (inb(kStatus) == 0xff) return;
  controller(0xad);  // both ports off while we set up
  controller(0xa7);
  drain();
  controller(0x20);
  const int config = receive();
  if (config < 0) return;
  controller(0xa8);
  setup_mouse();
  drain();
  controller(0xae);
  controller(0x60);
  send(static_cast<u8>((config | 0x41 | (mouse_there ? 2 : 0)) & ~(mouse_there ? 0x30 : 0x10)));
  describe();
  decode_tasklet.func = decode_bytes;
  input_register(&keyboard);
  if (mouse_there) input_register(&mouse);
  request_irq(1, handle_interrupt, 0, "i8042", nullptr);
  if (mouse_there) request_irq(12, handle_interrupt, 0, "i8042", nullptr);
}
DEVICE_INITCALL(i8042_init);

}  // namespace

void i8042_set_leds(u32 mask) {
  led_mask.store(mask & 7);
  if (keyboard.name[0] == 0) return;
  led_work.func = set_leds_now;
  schedule_work(&led_work);
}

}  // namespace xm::os
