// SPDX-License-Identifier: GPL-2.0-or-later
// PS/2 keyboard behind the 8042 controller, scan code set 1 as the controller translates it, US layout, feeding tty1.
// Ctrl-Alt-Del restarts. [8042 datasheet; IBM PS/2 keyboard technical reference]. GAP: no key maps, no mouse, LEDs are
// not set.
#include "kernel/arch/x86_64/asm.h"
#include "kernel/arch/x86_64/irq.h"
#include "kernel/drivers/random.h"
#include "kernel/drivers/tty.h"
#include "kernel/init/reboot.h"
#include "kernel/sched/clock.h"
#include "kernel/signal/signal.h"

namespace xm::os {

bool vt_cursor_key_mode();
tty_struct* vt_tty();

namespace {

constexpr char kPlain[] = "\0\0331234567890-=\177\tqwertyuiop[]\r\0asdfghjkl;'`\0\\zxcvbnm,./\0*\0 ";
constexpr char kShifted[] = "\0\033!@#$%^&*()_+\177\tQWERTYUIOP{}\r\0ASDFGHJKL:\"~\0|ZXCVBNM<>?\0*\0 ";
constexpr u8 kCtrl = 0x1d, kLeftShift = 0x2a, kRightShift = 0x36, kAlt = 0x38, kCaps = 0x3a, kNumLock = 0x45,
             kDelete = 0x53;

constinit bool shift = false, control = false, alt = false, caps = false, num_lock = false, extended = false;

void send(const char* text) { tty_receive(vt_tty(), reinterpret_cast<const u8*>(text), strlen(text)); }

const char* function_key(u8 code) {
  static const char* const keys[] = {"\033[[A",  "\033[[B",  "\033[[C",  "\033[[D",  "\033[[E",
                                     "\033[17~", "\033[18~", "\033[19~", "\033[20~", "\033[21~"};
  if (code >= 0x3b && code <= 0x44) return keys[code - 0x3b];
  if (code == 0x57) return "\033[23~";
  return code == 0x58 ? "\033[24~" : nullptr;
}

const char* navigation_key(u8 code) {
  const bool application = vt_cursor_key_mode();
  switch (code) {
    case 0x47: return "\033[1~";
    case 0x48: return application ? "\033OA" : "\033[A";
    case 0x49: return "\033[5~";
    case 0x4b: return application ? "\033OD" : "\033[D";
    case 0x4d: return application ? "\033OC" : "\033[C";
    case 0x4f: return "\033[4~";
    case 0x50: return application ? "\033OB" : "\033[B";
    case 0x51: return "\033[6~";
    case 0x52: return "\033[2~";
    case 0x53: return "\033[3~";
    default: return nullptr;
  }
}

void press(u8 code) {
  if (const char* f = function_key(code)) return send(f);
  if (code >= 0x47 && code <= 0x53) {
    static constexpr char kPad[] = "789-456+1230.";
    if (code == kDelete && control && alt) {
      task_struct* init = get_task_by_pid(1);
      if (init == nullptr) machine_restart();
      send_sig(SIGINT, init);
      put_task(init);
      return;
    }
    if (!extended && (num_lock || code == 0x4a || code == 0x4e)) {
      const char text[2] = {kPad[code - 0x47], 0};
      return send(text);
    }
    if (const char* n = navigation_key(code)) send(n);
    return;
  }
  if (code >= sizeof kPlain - 1) return;
  char c = shift ? kShifted[code] : kPlain[code];
  if (extended && code == 0x35) c = '/';
  if (c == 0) return;
  const bool letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
  if (caps && letter) c = static_cast<char>(c ^ 0x20);
  if (control) {
    if (letter || c == '[' || c == '\\' || c == ']' || c == '^' || c == '_' || c == '@')
      c = static_cast<char>(c & 0x1f);
    else if (c == ' ' || c == '2')
      c = 0;
    else if (c == '?')
      c = 0x7f;
    else if (c == '/' || c == '-')
      c = 0x1f;
  }
  const u8 bytes[2] = {0x1b, static_cast<u8>(c)};
  tty_receive(vt_tty(), alt ? bytes : bytes + 1, alt ? 2 : 1);
}

void handle_code(u8 raw) {
  if (raw == 0xe0) {
    extended = true;
    return;
  }
  const bool down = (raw & 0x80) == 0;
  const u8 code = raw & 0x7f;
  switch (code) {
    case kLeftShift:
    case kRightShift:
      if (!extended) shift = down;
      break;
    case kCtrl: control = down; break;
    case kAlt: alt = down; break;
    case kCaps:
      if (down) caps = !caps;
      break;
    case kNumLock:
      if (down) num_lock = !num_lock;
      break;
    default:
      if (down) press(code);
  }
  extended = false;
}

IrqReturn keyboard_interrupt(u32, void*) {
  bool handled = false;
  for (int i = 0; i < 16; ++i) {
    const u8 status = inb(0x64);
    if ((status & 1) == 0) break;
    const u8 data = inb(0x60);
    handled = true;
    if ((status & 0x20) == 0) handle_code(data);  // the other bytes are the mouse's
  }
  const u64 now = ktime_get();
  add_entropy(&now, sizeof now);
  return handled ? IrqReturn::Handled : IrqReturn::None;
}

bool wait_input_free() {
  for (int i = 0; i < 10000; ++i) {
    if ((inb(0x64) & 2) == 0) return true;
    udelay(1);
  }
  return false;
}

}  // namespace

void keyboard_init() {
  if (inb(0x64) == 0xff || vt_tty() == nullptr) return;
  while ((inb(0x64) & 1) != 0) inb(0x60);
  if (!wait_input_free()) return;
  outb(0x64, 0x20);  // configuration byte: keyboard interrupt on, translation on, clock on
  for (int i = 0; i < 10000 && (inb(0x64) & 1) == 0; ++i) udelay(1);
  const u8 config = inb(0x60);
  wait_input_free();
  outb(0x64, 0x60);
  wait_input_free();
  outb(0x60, static_cast<u8>((config | 0x41) & ~0x10));
  request_irq(1, keyboard_interrupt, 0, "i8042", nullptr);
}

}  // namespace xm::os
