// SPDX-License-Identifier: GPL-2.0-or-later
// The 8042 and the keyboard buffer, shared by INT 9, INT 15h C2, INT 16h, INT 74h and the boot menu.
#pragma once

#include "services/bda.h"
#include "services/frame.h"

namespace xm::fw {

void initialise_keyboard();
// Puts a key (scan code and character) into the BIOS buffer; false if it is full.
bool push_key(u16 key);
// Takes or only looks at the next key; also polls the serial mirror.
bool next_key(u16* key, bool take);

// 8042 access with bounded waits [8042; IBM PS/2 keyboard controller].
bool controller_command(u8 command);
bool controller_data(u8 data);
// Sends a byte to the mouse and expects its acknowledge.
bool mouse_command(u8 byte);
bool mouse_read(u8* byte);
void int15_mouse(Frame& f);
void int15_apm(Frame& f);

}  // namespace xm::fw
