// SPDX-License-Identifier: GPL-2.0-or-later
// PS/2 keyboard with scan code sets 1, 2 and 3 [IBM PS/2 Technical Reference, Keyboard]. Repeats a held key by itself.
// Not modelled: per-key types of set 3 (every key is typematic with make and break), fake shifts around the grey keys.
#pragma once

#include "devices/input/input_event.h"
#include "devices/input/ps2_device.h"
#include "emu/bus/virtual_clock.h"

namespace xm::devices {

class Ps2Keyboard final : public Ps2Device, public KeySink {
 public:
  explicit Ps2Keyboard(bus::VirtualClock& clock) : clock_(clock), repeat_timer_(clock, [this] { repeat_due(); }) {}

  void reset();
  void exchange(bus::Archive& archive);
  void command(u8 byte) override;
  void key(u16 linux_keycode, bool down) override;
  // Scroll, Num, Caps in bits 0..2.
  u8 leds() const { return leds_; }

 private:
  void set_defaults();
  void argument(u8 byte);
  void acknowledge() { queue(0xFA); }
  void send_key(u16 linux_keycode, bool down);
  void send_code(u8 set1, bool extended, bool down);
  bool send_special(u16 linux_keycode, bool down);
  void track_modifier(u16 linux_keycode, bool down);
  i64 repeat_delay_ns() const;
  i64 repeat_period_ns() const;
  void repeat_due();

  bus::VirtualClock& clock_;
  bus::Timer repeat_timer_;
  bool scanning_ = true;
  u8 scan_set_ = 2;
  u8 leds_ = 0;
  u8 typematic_ = 0x2B;
  u8 command_waits_ = 0;  // command whose argument comes next
  u16 held_ = 0;          // key that repeats
  u8 modifiers_ = 0;      // shift, ctrl, alt: bits 0..2
};

}  // namespace xm::devices
