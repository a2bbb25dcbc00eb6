// SPDX-License-Identifier: GPL-2.0-or-later
// The text screen on a serial line: what INT 10h writes goes out as ASCII with ECMA-48 cursor and colour sequences,
// what comes in becomes keys. On when fw_cfg's etc/sercon-port names a port, or on COM1 when the machine has no VGA.
#include "services/video.h"

namespace xm::fw {
namespace {

TextPosition g_terminal{0, 0};  // where the terminal's cursor is
u8 g_attribute = 7;
u8 g_escape[4];
u8 g_escape_length;

u16 port() { return g_boot_info.screen_serial_port; }

void put(u8 byte) {
  for (int tries = 0; tries < 100000 && !(in8(static_cast<u16>(port() + 5)) & 0x20); tries++) cpu_relax();
  out8(port(), byte);
}

void put_number(u8 value) {
  if (value >= 100) put(static_cast<u8>('0' + value / 100));
  if (value >= 10) put(static_cast<u8>('0' + value / 10 % 10));
  put(static_cast<u8>('0' + value % 10));
}

void move_to(TextPosition at) {
  if (at.row == g_terminal.row && at.column == g_terminal.column) return;
  if (at.column == 0 && at.row == g_terminal.row + 1) {
    put('\r');
    put('\n');
  } else {
    put(0x1B), put('[');
    put_number(static_cast<u8>(at.row + 1));
    put(';');
    put_number(static_cast<u8>(at.column + 1));
    put('H');
  }
  g_terminal = at;
}

void set_colour(u8 attribute) {
  if (attribute == g_attribute) return;
  g_attribute = attribute;
  constexpr u8 kAnsi[] = {0, 4, 2, 6, 1, 5, 3, 7};  // blue and red change places
  put(0x1B), put('['), put('0');
  if (attribute & 8) put(';'), put('1');
  put(';'), put('3'), put(static_cast<u8>('0' + kAnsi[attribute & 7]));
  put(';'), put('4'), put(static_cast<u8>('0' + kAnsi[attribute >> 4 & 7]));
  put('m');
}

u8 plain(u8 character) {
  if (character >= 0x20 && character < 0x7F) return character;
  if (character >= 0xB3 && character <= 0xDA) {  // box drawing
    if (character == 0xB3 || character == 0xBA) return '|';
    if (character == 0xC4 || character == 0xCD) return '-';
    return '+';
  }
  if (character == 0x10) return '>';
  if (character == 0x11) return '<';
  if (character == 0x18) return '^';
  if (character == 0x19) return 'v';
  if (character == 0 || character == 0xFF) return ' ';
  return character >= 0xB0 && character <= 0xDF ? '#' : '?';
}

// Scan code and ASCII of a terminal's escape sequence, or 0.
u16 key_of_escape(const u8* text, u8 length) {
  if (length == 3 && (text[1] == '[' || text[1] == 'O')) {
    switch (text[2]) {
      case 'A': return 0x4800;
      case 'B': return 0x5000;
      case 'C': return 0x4D00;
      case 'D': return 0x4B00;
      case 'H': return 0x4700;
      case 'F': return 0x4F00;
      case 'P': return 0x3B00;
      case 'Q': return 0x3C00;
      case 'R': return 0x3D00;
      case 'S': return 0x3E00;
      default: return 0;
    }
  }
  if (length == 4 && text[3] == '~') {
    switch (text[2]) {
      case '1': return 0x4700;
      case '2': return 0x5200;
      case '3': return 0x5300;
      case '4': return 0x4F00;
      case '5': return 0x4900;
      case '6': return 0x5100;
      default: return 0;
    }
  }
  return 0;
}

// Scan codes of the characters of a US keyboard, so that programs looking at AH see what they expect.
u16 key_of_character(u8 c) {
  constexpr char kKeys[] =
      "\x1B"
      "1234567890-=\b\tqwertyuiop[]\r\0asdfghjkl;'`\0\\zxcvbnm,./";
  constexpr char kShifted[] = "\0!@#$%^&*()_+\0\0QWERTYUIOP{}\0\0ASDFGHJKL:\"~\0|ZXCVBNM<>?";
  if (c == ' ') return 0x3920;
  if (c == 0x7F) return 0x0E08;
  if (c == '\n') c = '\r';
  for (u32 i = 0; i < sizeof kKeys - 1; i++) {
    if (c && (static_cast<u8>(kKeys[i]) == c || static_cast<u8>(kShifted[i]) == c)) {
      return static_cast<u16>((i + 1) << 8 | c);
    }
  }
  return c;
}

}  // namespace

void mirror_cell(TextPosition at, u8 character, u8 attribute) {
  if (!port()) return;
  // Blanks behind the text need not be sent, unless something stood there: the terminal was cleared with the screen.
  move_to(at);
  set_colour(attribute);
  put(plain(character));
  g_terminal.column++;
  if (g_terminal.column >= bda<u16>(bda_at::kColumns)) g_terminal = {0xFF, 0xFF};  // terminals differ at the margin
}

void mirror_clear() {
  if (!port()) return;
  set_colour(7);
  for (const char* c = "\x1B[2J\x1B[H"; *c; c++) put(static_cast<u8>(*c));
  g_terminal = {0, 0};
}

void mirror_scroll_up() {
  if (!port()) return;
  set_colour(7);
  const u8 last = bda<u8>(bda_at::kRows);
  if (g_terminal.row != last) move_to({0, last});
  put('\r');
  put('\n');
  g_terminal = {0, last};
}

void mirror_control(u8 character) {
  if (port()) put(character);
}

bool mirror_read_key(u16* key) {
  if (!port()) return false;
  while (in8(static_cast<u16>(port() + 5)) & 1) {
    const u8 byte = in8(port());
    if (g_escape_length == 0 && byte != 0x1B) {
      *key = key_of_character(byte);
      return true;
    }
    g_escape[g_escape_length++] = byte;
    const bool complete = g_escape_length >= 3 && !(byte >= '0' && byte <= '9');
    if (complete || g_escape_length == sizeof g_escape) {
      *key = key_of_escape(g_escape, g_escape_length);
      g_escape_length = 0;
      if (*key) return true;
    }
  }
  // A lone escape: nothing followed it by the time of this poll.
  if (g_escape_length == 1) {
    g_escape_length = 0;
    *key = 0x011B;
    return true;
  }
  return false;
}

}  // namespace xm::fw
