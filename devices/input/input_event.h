// SPDX-License-Identifier: GPL-2.0-or-later
// Input as it comes from a window, a VNC client or the monitor's sendkey: keys by Linux key code (KEY_* of
// linux/input-event-codes.h, the numbering evdev and SDL scancodes map to), pointer motion and buttons. Devices that
// take it (PS/2 keyboard and mouse, later USB or virtio tablets) implement InputSink. Machine lock held.
#pragma once

#include "emu/base/types.h"

namespace xm::devices {

enum class MouseButton : u8 { Left = 0, Right = 1, Middle = 2, Side = 3, Extra = 4 };

class KeySink {
 public:
  // One key goes down or up. Auto-repeat is the keyboard's own work: hosts send each press once.
  virtual void key(u16 linux_keycode, bool down) = 0;

 protected:
  ~KeySink() = default;
};

class PointerSink {
 public:
  // Relative motion in counts: x to the right, y DOWN (screen sense), wheel away from the user positive.
  virtual void pointer_motion(int dx, int dy, int wheel) = 0;
  virtual void pointer_button(MouseButton button, bool down) = 0;
  // The events since the last sync belong together (one report).
  virtual void pointer_sync() = 0;

 protected:
  ~PointerSink() = default;
};

// Linux key codes by the names the monitor's sendkey uses ("a", "ret", "shift", "ctrl", "f1", "kp_5" ...); 0 if
// unknown.
u16 keycode_by_name(const char* name);

// The keys to type one ASCII character on a US keyboard.
struct Keystroke {
  u16 linux_keycode = 0;  // 0: no such key
  bool shift = false;
};
Keystroke keystroke_of(char ascii);

}  // namespace xm::devices
