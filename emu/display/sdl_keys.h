// SPDX-License-Identifier: GPL-2.0-or-later
// SDL scancodes (USB HID usage numbers [HUT 10]) to Linux key codes.
#pragma once

#include "emu/base/types.h"

namespace xm::display {

u16 linux_keycode_of_scancode(unsigned scancode);  // 0 if there is none

}  // namespace xm::display
