// SPDX-License-Identifier: GPL-2.0-or-later
// Key maps and the strings of function keys, as loadkeys changes them.
#pragma once

#include "abi/kd.h"

namespace xm::os {

extern u16 key_maps[kKeyTables][kKeys];  // K(type, value), or a rune xor 0xf000
void keymap_default();
const char* function_string(u32 n);
int set_function_string(u32 n, const char* text);

}  // namespace xm::os
