// SPDX-License-Identifier: GPL-2.0-or-later
// The console's keyboard: key codes through the key maps into what the terminal in front reads, and the keys that do
// something to the console itself. [man 1 loadkeys, man 5 keymaps]. GAP: dead keys, compose and numbers by Alt and the
// keypad do nothing.
#include "kernel/drivers/input/keyboard.h"

#include "kernel/drivers/input/input.h"
#include "kernel/drivers/vt/vt.h"
#include "kernel/init/reboot.h"
#include "kernel/signal/signal.h"
#include "kernel/task/task_struct.h"

namespace xm::os {
namespace {

constinit u8 shift_count[9]{};  // by value of KT_SHIFT: how many such keys are down
constinit work_struct reboot_work{};

u32 shift_state() {
  const bool shift = shift_count[0] + shift_count[4] + shift_count[5] > 0, altgr = shift_count[1] > 0,
             control = shift_count[2] + shift_count[6] + shift_count[7] > 0, alt = shift_count[3] > 0;
  return (shift ? 1u : 0) | (altgr ? 2u : 0) | (control ? 4u : 0) | (alt ? 8u : 0);
}

void send(vc_data* vc, const char* text, size_t n) {
  if (vc->tty != nullptr) tty_receive(vc->tty, reinterpret_cast<const u8*>(text), n);
}
void send(vc_data* vc, const char* text) { send(vc, text, strlen(text)); }

void send_rune(vc_data* vc, u32 c) {
  char out[4];
  size_t n = 0;
  if (vc->kbd_mode != K_UNICODE || c < 0x80) {
    out[n++] = static_cast<char>(c);
  } else if (c < 0x800) {
    out[n++] = static_cast<char>(0xc0 | c >> 6);
    out[n++] = static_cast<char>(0x80 | (c & 0x3f));
  } else {
    out[n++] = static_cast<char>(0xe0 | c >> 12);
    out[n++] = static_cast<char>(0x80 | (c >> 6 & 0x3f));
    out[n++] = static_cast<char>(0x80 | (c & 0x3f));
  }
  send(vc, out, n);
}

// Control-Alt-Delete: init hears of it. [reboot(2), LINUX_REBOOT_CMD_CAD_OFF]
void ask_for_restart(work_struct*) {
  task_struct* init = get_task_by_pid(1);
  if (init == nullptr) machine_restart();
  send_sig(SIGINT, init);
  put_task(init);
}

void toggle_lock(vc_data* vc, u32 lock) {
  vc->lock_flags ^= lock;
  keyboard_set_leds(vc->lock_flags);
}

void special_key(vc_data* vc, u16 key, bool repeated) {
  const s32 half = static_cast<s32>(vc->term.rows / 2);
  switch (key) {
    case K_ENTER: send(vc, vc->term.newline_mode ? "\r\n" : "\r"); break;
    case K_CAPS:
      if (!repeated) toggle_lock(vc, LED_CAPS);
      break;
    case K_NUM:
      if (vc->term.keypad)
        send(vc, "\033OP");
      else if (!repeated)
        toggle_lock(vc, LED_NUM);
      break;
    case K_HOLD:
      if (repeated || vc->tty == nullptr) break;
      toggle_lock(vc, LED_SCROLL);
      vc->tty->stopped = (vc->lock_flags & LED_SCROLL) != 0;
      if (!vc->tty->stopped) tty_wakeup(vc->tty);
      break;
    case K_SCROLLBACK: scroll_view(-half); break;
    case K_SCROLLFORW: scroll_view(half); break;
    case K_BOOT:
      reboot_work.func = ask_for_restart;
      schedule_work(&reboot_work);
      break;
    case K_DECRCONSOLE: change_console(foreground > 1 ? foreground - 1 : kConsoles); break;
    case K_INCRCONSOLE: change_console(foreground < kConsoles ? foreground + 1 : 1); break;
    default: break;
  }
}

void cursor_key(vc_data* vc, u8 value) {
  const char text[4] = {'\033', vc->term.cursor_keys ? 'O' : '[', "BDCA"[value & 3], 0};
  send(vc, text);
}

void pad_key(vc_data* vc, u8 value) {
  static constexpr char kDigits[] = "0123456789+-*/\r,.?()#";
  static constexpr char kApplication[] = "pqrstuvwxylSRQMnnmPQS";
  static constexpr u8 kFunction[10] = {21, 23, 0, 25, 0, 0, 0, 20, 0, 24};  // Insert End . PgDn . . . Home . PgUp
  if (value >= sizeof kDigits - 1) return;
  if (vc->term.keypad && shift_count[0] == 0) {
    const char text[4] = {'\033', 'O', kApplication[value], 0};
    return send(vc, text);
  }
  if ((vc->lock_flags & LED_NUM) == 0) {
    if (value == 16) return send(vc, function_string(22));
    if (value == 5) return send(vc, "\033[G");
    if (value == 2 || value == 4 || value == 6 || value == 8) return cursor_key(vc, static_cast<u8>(value / 2 - 1));
    if (value < 10) return send(vc, function_string(kFunction[value]));
  }
  const char text[3] = {kDigits[value], value == 14 && vc->term.newline_mode ? '\n' : '\0', 0};
  send(vc, text);
}

void act(vc_data* vc, u16 keysym, bool repeated) {
  if ((keysym & 0xf000) != 0) return send_rune(vc, keysym ^ 0xf000u);
  const u8 type = static_cast<u8>(keysym >> 8), value = static_cast<u8>(keysym);
  switch (type) {
    case KT_LATIN:
    case KT_LETTER: return send_rune(vc, value);
    case KT_META:
      if (vc->meta_escape) send(vc, "\033");
      return send_rune(vc, vc->meta_escape ? value : value | 0x80u);
    case KT_FN: return send(vc, function_string(value));
    case KT_SPEC: return special_key(vc, keysym, repeated);
    case KT_PAD: return pad_key(vc, value);
    case KT_CUR: return cursor_key(vc, value);
    case KT_CONS:
      if (!repeated) change_console(value + 1u);
      return;
    default: return;
  }
}

// In K_MEDIUMRAW a byte a key, with bit 7 when it goes up.
void medium_raw(vc_data* vc, u16 code, bool down) {
  const char byte = static_cast<char>(code | (down ? 0 : 0x80));
  if (code < 128) send(vc, &byte, 1);
}

}  // namespace

void keyboard_key(u16 code, s32 value) {
  vc_data* vc = foreground_vc();
  if (vc == nullptr || code >= kKeys) return;
  u32 table = shift_state();
  u16 keysym = key_maps[table][code];
  // A shift key works whatever other shift is down.
  const u16 bare = key_maps[0][code];
  if (bare >> 8 == KT_SHIFT) keysym = bare;
  if (keysym >> 8 == KT_SHIFT) {
    u8& n = shift_count[min<u32>(keysym & 0xff, 8)];
    if (value == 1) ++n;
    if (value == 0 && n > 0) --n;
  }
  if (vc->kbd_mode == K_MEDIUMRAW && value != 2) medium_raw(vc, code, value != 0);
  const bool raw = vc->kbd_mode == K_RAW || vc->kbd_mode == K_MEDIUMRAW || vc->kbd_mode == K_OFF;
  if (value == 0 || keysym >> 8 == KT_SHIFT || (value == 2 && !vc->term.autorepeat)) return;
  // What belongs to the console works in raw modes too, unless a graphics program has taken the keyboard away.
  if (raw && (vc->kd_mode == KD_GRAPHICS || (keysym != K_BOOT && keysym >> 8 != KT_CONS))) return;
  if (keysym >> 8 == KT_LETTER && (vc->lock_flags & LED_CAPS) != 0) keysym = key_maps[table ^ 1][code];
  act(vc, keysym, value == 2);
}

void keyboard_raw(u8 byte) {
  vc_data* vc = foreground_vc();
  const char c = static_cast<char>(byte);
  if (vc != nullptr && vc->kbd_mode == K_RAW) send(vc, &c, 1);
}

void keyboard_set_leds(u32 mask) { i8042_set_leds(mask); }

}  // namespace xm::os
