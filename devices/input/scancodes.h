// SPDX-License-Identifier: GPL-2.0-or-later
// Scan codes of PC keyboards by Linux key code [IBM AT Technical Reference, keyboard] [PS/2 Hot-Plug].
#pragma once

#include "emu/base/types.h"

namespace xm::devices {

// A key's code in scan code set 1; the set 2 code is what the 8042 translates to it. 0: the key has none.
struct ScanCode {
  u8 code = 0;
  bool extended = false;  // E0 prefix
};
ScanCode set1_of(u16 linux_keycode);
// The code in set 2, same prefix.
u8 set2_of_set1(u8 set1);
// The single code in set 3, 0 if none.
u8 set3_of(u16 linux_keycode);
// What an 8042 in translation mode makes of a set 2 byte (never F0, the break prefix).
u8 translate_set2(u8 set2);

namespace keycode {  // linux/input-event-codes.h
inline constexpr u16 kLeftCtrl = 29;
inline constexpr u16 kLeftShift = 42;
inline constexpr u16 kRightShift = 54;
inline constexpr u16 kLeftAlt = 56;
inline constexpr u16 kRightCtrl = 97;
inline constexpr u16 kSysRq = 99;
inline constexpr u16 kRightAlt = 100;
inline constexpr u16 kPause = 119;
}  // namespace keycode

}  // namespace xm::devices
