// SPDX-License-Identifier: GPL-2.0-or-later
// Input events. [Linux linux/input.h, linux/input-event-codes.h]
#pragma once

#include "kernel/lib/types.h"

namespace xm::os {

struct input_event_record {
  s64 seconds, microseconds;
  u16 type, code;
  s32 value;
};
struct input_id {
  u16 bustype, vendor, product, version;
};
constexpr u16 EV_SYN = 0, EV_KEY = 1, EV_REL = 2, EV_ABS = 3, EV_MSC = 4, EV_LED = 0x11, EV_SND = 0x12, EV_REP = 0x14,
              EV_PWR = 0x16;
constexpr u16 SYN_REPORT = 0, MSC_SCAN = 4, REL_X = 0, REL_Y = 1, REL_WHEEL = 8, LED_NUML = 0, LED_CAPSL = 1,
              LED_SCROLLL = 2;
constexpr u16 BTN_LEFT = 0x110, BTN_RIGHT = 0x111, BTN_MIDDLE = 0x112, BTN_SIDE = 0x113, BTN_EXTRA = 0x114,
              KEY_POWER = 116, KEY_MAX = 0x2ff;
constexpr u16 BUS_HOST = 0x19, BUS_I8042 = 0x11, BUS_VIRTUAL = 0x06;
constexpr u32 EV_VERSION = 0x010001;

}  // namespace xm::os
