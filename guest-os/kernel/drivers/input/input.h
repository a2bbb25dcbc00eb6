// SPDX-License-Identifier: GPL-2.0-or-later
// The input layer: devices report events; handlers (evdev, mousedev, the console's keyboard) take them. [Linux
// Documentation/input]
#pragma once

#include "abi/input.h"
#include "kernel/drivers/base/device.h"

namespace xm::os {

constexpr u32 kKeyWords = (KEY_MAX + 64) / 64;
struct input_dev {
  const char* name = "";
  const char* phys = "";
  input_id id{};
  u64 events = 1, rels = 0, leds = 0, mscs = 0;  // what it can report, by bit
  u64 keys[kKeyWords]{};
  u64 down[kKeyWords]{};  // keys that are pressed
  u64 lit = 0;            // LEDs
  void (*set_led)(input_dev* d, u32 led, bool on) = nullptr;
  u32 index = 0;
  struct evdev_client* clients = nullptr;
  struct evdev_client* grabbed_by = nullptr;
  input_dev* next = nullptr;
  device dev, node;
  bool has_key(u32 code) const { return code <= KEY_MAX && (keys[code / 64] >> (code % 64) & 1) != 0; }
  void add_keys(u32 first, u32 last) {
    for (u32 c = first; c <= last; ++c) keys[c / 64] |= 1ul << (c % 64);
  }
};
extern input_dev* input_devices;

void input_register(input_dev* d);
// From interrupt handlers. Ends with SYN_REPORT.
void input_event(input_dev* d, u16 type, u16 code, s32 value);
void input_sync(input_dev* d);

void evdev_event(input_dev* d, u16 type, u16 code, s32 value);
void evdev_connect(input_dev* d);
void mousedev_event(input_dev* d, u16 type, u16 code, s32 value);
void mousedev_init();
// The console's part: a key by its code; value 0 released, 1 pressed, 2 repeated.
void keyboard_key(u16 code, s32 value);
void keyboard_raw(u8 byte);  // scan codes, for consoles in K_RAW
void i8042_set_leds(u32 scroll_num_caps);

}  // namespace xm::os
