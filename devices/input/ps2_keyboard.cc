// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/input/ps2_keyboard.h"

#include "devices/input/scancodes.h"
#include "emu/base/bits.h"

namespace xm::devices {
namespace {

constexpr u8 kResend = 0xFE;
constexpr u8 kSelfTestPassed = 0xAA;
constexpr u8 kBreakPrefix = 0xF0;

constexpr u8 kShift = 1;
constexpr u8 kCtrl = 2;
constexpr u8 kAlt = 4;

constexpr u8 kSet1PrintScreen = 0x37;
constexpr u8 kSet1AltPrintScreen = 0x54;
constexpr u8 kSet1LeftShift = 0x2A;
constexpr u8 kSet1ScrollLock = 0x46;

}  // namespace

void Ps2Keyboard::set_defaults() {
  scan_set_ = 2;
  typematic_ = 0x2B;  // 500 ms, 10.9 characters a second
  held_ = 0;
  repeat_timer_.disarm();
  clear_queue();
}

void Ps2Keyboard::reset() {
  set_defaults();
  scanning_ = true;
  leds_ = 0;
  command_waits_ = 0;
  modifiers_ = 0;
}

void Ps2Keyboard::command(u8 byte) {
  if (command_waits_ != 0 && byte < 0xED) {
    argument(byte);
    return;
  }
  command_waits_ = 0;
  switch (byte) {
    case 0xED:  // set LEDs
    case 0xF0:  // select scan code set
    case 0xF3:  // typematic rate and delay
    case 0xFB:  // key type: typematic, make/break, make only
    case 0xFC:
    case 0xFD:
      command_waits_ = byte;
      acknowledge();
      break;
    case 0xEE: queue(0xEE); break;  // echo
    case 0xF2:                      // identify
      clear_queue();
      acknowledge();
      queue(0xAB);
      queue(0x83);
      break;
    case 0xF4:
      clear_queue();
      scanning_ = true;
      acknowledge();
      break;
    case 0xF5:
      set_defaults();
      scanning_ = false;
      acknowledge();
      break;
    case 0xF6:
      set_defaults();
      acknowledge();
      break;
    case 0xF7:  // all keys: types of set 3
    case 0xF8:
    case 0xF9:
    case 0xFA: acknowledge(); break;
    case 0xFE: queue(last_sent()); break;
    case 0xFF:
      reset();
      acknowledge();
      queue(kSelfTestPassed);
      break;
    default: queue(kResend); break;
  }
}

void Ps2Keyboard::argument(u8 byte) {
  const u8 waiting = command_waits_;
  command_waits_ = 0;
  switch (waiting) {
    case 0xED:
      leds_ = byte & 7;
      acknowledge();
      break;
    case 0xF0:
      if (byte > 3) {
        queue(kResend);
        break;
      }
      clear_queue();
      acknowledge();
      if (byte == 0) {
        queue(scan_set_);
      } else {
        scan_set_ = byte;
      }
      break;
    case 0xF3:
      typematic_ = byte & 0x7F;
      acknowledge();
      break;
    default: acknowledge(); break;
  }
}

void Ps2Keyboard::track_modifier(u16 linux_keycode, bool down) {
  u8 mask = 0;
  if (linux_keycode == keycode::kLeftShift || linux_keycode == keycode::kRightShift) mask = kShift;
  if (linux_keycode == keycode::kLeftCtrl || linux_keycode == keycode::kRightCtrl) mask = kCtrl;
  if (linux_keycode == keycode::kLeftAlt || linux_keycode == keycode::kRightAlt) mask = kAlt;
  modifiers_ = static_cast<u8>(down ? modifiers_ | mask : modifiers_ & ~mask);
}

void Ps2Keyboard::key(u16 linux_keycode, bool down) {
  track_modifier(linux_keycode, down);
  if (!scanning_) return;
  send_key(linux_keycode, down);
  if (down && linux_keycode != keycode::kPause) {
    held_ = linux_keycode;
    repeat_timer_.arm(clock_.now() + repeat_delay_ns());
  } else if (!down && linux_keycode == held_) {
    held_ = 0;
    repeat_timer_.disarm();
  }
}

void Ps2Keyboard::repeat_due() {
  if (held_ == 0 || !scanning_) return;
  if (!has_byte()) send_key(held_, true);  // a guest that does not read gets no heap of repeats
  repeat_timer_.arm(clock_.now() + repeat_period_ns());
}

void Ps2Keyboard::send_key(u16 linux_keycode, bool down) {
  if (room() < 10) return;  // all or nothing, so that no key sticks half-way
  if (scan_set_ == 3) {
    const u8 code = set3_of(linux_keycode);
    if (code == 0) return;
    if (!down) queue(kBreakPrefix);
    queue(code);
    return;
  }
  if (send_special(linux_keycode, down)) return;
  const ScanCode scan = set1_of(linux_keycode);
  if (scan.code != 0) send_code(scan.code, scan.extended, down);
}

void Ps2Keyboard::send_code(u8 set1, bool extended, bool down) {
  if (extended) queue(0xE0);
  if (scan_set_ == 1) {
    queue(static_cast<u8>(set1 | (down ? 0 : 0x80)));
  } else {
    if (!down) queue(kBreakPrefix);
    queue(set2_of_set1(set1));
  }
}

// Print Screen and Pause carry the history of the 84-key keyboard: their codes depend on the modifiers.
bool Ps2Keyboard::send_special(u16 linux_keycode, bool down) {
  if (linux_keycode == keycode::kSysRq) {
    if (modifiers_ & kAlt) {
      send_code(kSet1AltPrintScreen, false, down);
    } else if (modifiers_ & (kShift | kCtrl)) {
      send_code(kSet1PrintScreen, true, down);
    } else if (down) {
      send_code(kSet1LeftShift, true, true);
      send_code(kSet1PrintScreen, true, true);
    } else {
      send_code(kSet1PrintScreen, true, false);
      send_code(kSet1LeftShift, true, false);
    }
    return true;
  }
  if (linux_keycode != keycode::kPause) return false;
  if (!down) return true;  // make and break come together
  if (modifiers_ & kCtrl) {
    send_code(kSet1ScrollLock, true, true);
    send_code(kSet1ScrollLock, true, false);
    return true;
  }
  if (scan_set_ == 1) {
    queue({0xE1, 0x1D, 0x45, 0xE1, 0x9D, 0xC5});
  } else {
    queue({0xE1, 0x14, 0x77, 0xE1, 0xF0, 0x14, 0xF0, 0x77});
  }
  return true;
}

i64 Ps2Keyboard::repeat_delay_ns() const { return static_cast<i64>(bits(typematic_, 6, 5) + 1) * 250'000'000; }

// (8 + A) * 2^B / 240 seconds [IBM PS/2 Keyboard, command F3h].
i64 Ps2Keyboard::repeat_period_ns() const {
  return static_cast<i64>((8 + bits(typematic_, 2, 0)) << bits(typematic_, 4, 3)) * 1'000'000'000 / 240;
}

void Ps2Keyboard::exchange(bus::Archive& archive) {
  exchange_queue(archive);
  archive.field("scanning", scanning_);
  archive.field("scan_set", scan_set_);
  archive.field("leds", leds_);
  archive.field("typematic", typematic_);
  archive.field("command_waits", command_waits_);
  archive.field("modifiers", modifiers_);
  if (!archive.loading()) return;
  held_ = 0;
  repeat_timer_.disarm();
  if (scan_set_ < 1 || scan_set_ > 3) scan_set_ = 2;
}

}  // namespace xm::devices
