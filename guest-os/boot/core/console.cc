// SPDX-License-Identifier: GPL-2.0-or-later
// Output goes to text memory, not through INT 10h: firmware that mirrors INT 10h to the serial port would show every
// character twice there. Input: INT 16h, and the serial port with its escape sequences, unless the firmware reads that
// port itself (then INT 16h brings its keys).
#include "boot/core/console.h"

#include <stdarg.h>

#include "boot/core/bios.h"
#include "boot/core/report.h"

namespace xm::boot {
namespace {

constexpr u16 kSerial = 0x3f8, kLineStatus = kSerial + 5;
constexpr u8 kNormal = 0x07, kReverse = 0x70;

u32 row, column;
u8 attribute = kNormal;
bool serial;

void serial_put(char c) {
  if (!serial) return;
  for (u32 turns = 0; (inb(kLineStatus) & 0x20) == 0; ++turns) {
    if (turns > 100000) return;  // nobody empties it
  }
  outb(kSerial, static_cast<u8>(c));
}

void serial_put(const char* text) {
  while (*text != 0) serial_put(*text++);
}

u16* cell(u32 r, u32 c) { return reinterpret_cast<u16*>(physical(0xb8000)) + r * kColumns + c; }

void place_cursor() {
  const u32 position = row * kColumns + column;
  outb(0x3d4, 14);
  outb(0x3d5, static_cast<u8>(position >> 8));
  outb(0x3d4, 15);
  outb(0x3d5, static_cast<u8>(position));
}

void scroll() {
  memmove(cell(0, 0), cell(1, 0), (kRows - 1) * kColumns * 2);
  for (u32 c = 0; c < kColumns; ++c) *cell(kRows - 1, c) = static_cast<u16>(kNormal << 8 | ' ');
}

// A byte of an escape sequence follows within 1/18 s or not at all.
int serial_byte(bool wait) {
  const u32 start = bios_ticks();
  do {
    if ((inb(kLineStatus) & 1) != 0) return inb(kSerial);
    if (wait) bios_idle();
  } while (wait && bios_ticks() - start < 3);
  return -1;
}

Key serial_key() {
  int c = serial ? serial_byte(false) : -1;
  if (c < 0) return Key::None;
  if (c == 0x7f) return Key::Backspace;
  if (c == '\n') return Key::Enter;
  if (c == 24) return Key::F10;  // Ctrl-X
  if (c != 27) return static_cast<Key>(c);
  c = serial_byte(true);
  if (c != '[' && c != 'O') return Key::Escape;
  c = serial_byte(true);
  switch (c) {
    case 'A': return Key::Up;
    case 'B': return Key::Down;
    case 'C': return Key::Right;
    case 'D': return Key::Left;
    case 'H': return Key::Home;
    case 'F': return Key::End;
    default: break;
  }
  const int kind = c;
  while (c >= '0' && c <= '9') c = serial_byte(true);  // "ESC [ 3 ~" and the like
  return kind == '3' ? Key::Delete : kind == '1' ? Key::Home : kind == '4' ? Key::End : Key::None;
}

Key keyboard_key() {
  BiosRegs r{};
  r.eax = 0x0100;
  bios_call(0x16, r);
  if ((r.eflags & 0x40) != 0) return Key::None;
  r = {};
  bios_call(0x16, r);
  const u32 ascii = r.eax & 0xff, scan = r.eax >> 8 & 0xff;
  if (ascii == 24) return Key::F10;
  if (ascii != 0 && ascii != 0xe0) return static_cast<Key>(ascii);
  switch (scan) {
    case 0x48: return Key::Up;
    case 0x50: return Key::Down;
    case 0x4b: return Key::Left;
    case 0x4d: return Key::Right;
    case 0x47: return Key::Home;
    case 0x4f: return Key::End;
    case 0x53: return Key::Delete;
    case 0x44: return Key::F10;
    default: return Key::None;
  }
}

}  // namespace

void console_init() {
  BiosRegs r{};
  r.eax = 0x0f00;
  bios_call(0x10, r);
  if ((r.eax & 0x7f) != 3) {
    r = {};
    r.eax = 3;
    bios_call(0x10, r);
  }
  outb(kSerial + 7, 0x5a);  // the scratch register tells a port from nothing
  serial = inb(kSerial + 7) == 0x5a;
  if (!serial) return;
  outb(kSerial + 1, 0);
  outb(kSerial + 3, 0x80);
  outb(kSerial, 1);  // 115200 baud
  outb(kSerial + 1, 0);
  outb(kSerial + 3, 3);
  outb(kSerial + 2, 1);
  outb(kSerial + 4, 3);
}

void clear_screen() {
  for (u32 i = 0; i < kRows * kColumns; ++i) *cell(0, i) = static_cast<u16>(kNormal << 8 | ' ');
  row = column = 0;
  place_cursor();
  serial_put("\x1b[0m\x1b[2J\x1b[H");
}

void move_to(u32 r, u32 c) {
  row = r;
  column = c;
  place_cursor();
  char text[24];
  print_to(text, sizeof text, "\x1b[%u;%uH", r + 1, c + 1);
  serial_put(text);
}

u32 current_row() { return row; }

void set_reverse(bool on) {
  attribute = on ? kReverse : kNormal;
  serial_put(on ? "\x1b[7m" : "\x1b[0m");
}

void put(char c) {
  if (c == '\n') {
    serial_put("\r\n");
    column = 0;
    ++row;
  } else {
    serial_put(c);
    *cell(row, column) = static_cast<u16>(attribute << 8 | static_cast<u8>(c));
    if (++column == kColumns) {
      column = 0;
      ++row;
    }
  }
  if (row == kRows) {
    scroll();
    row = kRows - 1;
  }
}

void put(const char* text) {
  while (*text != 0) put(*text++);
  place_cursor();
}

void print(const char* format, ...) {
  char text[256];
  va_list args;
  va_start(args, format);
  vprint_to(text, sizeof text, format, args);
  va_end(args);
  put(text);
}

void put_field(const char* text, u32 width) {
  for (; width > 0 && *text != 0; --width) put(*text++);
  for (; width > 0; --width) put(' ');
}

Key poll_key() {
  const Key key = keyboard_key();
  return key != Key::None ? key : serial_key();
}

Key wait_key() {
  for (;;) {
    const Key key = poll_key();
    if (key != Key::None) return key;
    bios_idle();
  }
}

bool edit_line(char* text, u32 size, u32 at_row, u32 at_column, u32 width) {
  u32 length = static_cast<u32>(strlen(text)), cursor = length;
  for (;;) {
    const u32 first = cursor < width ? 0 : cursor - width + 1;  // what is left of the window
    move_to(at_row, at_column);
    put_field(text + first, width);
    move_to(at_row, at_column + cursor - first);
    const Key key = wait_key();
    const u32 code = static_cast<u32>(key);
    if (key == Key::Enter) return true;
    if (key == Key::Escape) return false;
    if (key == Key::Left && cursor > 0) --cursor;
    if (key == Key::Right && cursor < length) ++cursor;
    if (key == Key::Home || code == 1) cursor = 0;
    if (key == Key::End || code == 5) cursor = length;
    const bool rub = key == Key::Backspace && cursor > 0;
    if (rub) --cursor;
    if (rub || (key == Key::Delete && cursor < length)) {
      memmove(text + cursor, text + cursor + 1, length - cursor);
      --length;
    }
    if (code >= 32 && code < 127 && length + 1 < size) {
      memmove(text + cursor + 1, text + cursor, length - cursor + 1);
      text[cursor++] = static_cast<char>(code);
      ++length;
    }
  }
}

}  // namespace xm::boot
