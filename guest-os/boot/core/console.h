// SPDX-License-Identifier: GPL-2.0-or-later
// The loader's two terminals: VGA text memory with the BIOS keyboard, and the first serial port (115200 8N1, ANSI).
// Both show the same.
#pragma once

#include "boot/core/types.h"

namespace xm::boot {

constexpr u32 kColumns = 80, kRows = 25;

enum class Key : u32 {
  None = 0,
  Backspace = 8,
  Enter = 13,
  Escape = 27,
  Up = 0x100,
  Down,
  Left,
  Right,
  Home,
  End,
  Delete,
  F10,
};

void console_init();
void clear_screen();
void move_to(u32 row, u32 column);
u32 current_row();
void set_reverse(bool on);
void put(char c);
void put(const char* text);
[[gnu::format(printf, 1, 2)]] void print(const char* format, ...);
// Text in a field of fixed width, cut or padded with spaces.
void put_field(const char* text, u32 width);

// A key from either terminal, or None. Printable keys are their ASCII code.
Key poll_key();
// Sleeps until a key comes.
Key wait_key();
// Edits one line in place, at most `size - 1` characters; false if Escape ended it.
bool edit_line(char* text, u32 size, u32 row, u32 column, u32 width);

}  // namespace xm::boot
