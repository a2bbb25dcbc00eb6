// SPDX-License-Identifier: GPL-2.0-or-later
// X keysyms, which VNC clients send, as Linux key codes [RFC 6143 7.5.4].
#pragma once

#include "emu/base/types.h"

namespace xm::display {

// 0: the PC keyboard has no such key. Symbols are taken for the key that bears them on a US keyboard.
u16 keycode_of_keysym(u32 keysym);

}  // namespace xm::display
