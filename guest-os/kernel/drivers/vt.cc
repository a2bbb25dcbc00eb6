// SPDX-License-Identifier: GPL-2.0-or-later
// The text console tty1 on VGA mode 3 (80 x 25 cells at B8000): the escape sequences that TERM=linux programs use. [man
// 4 console_codes], [VGA: CRT controller registers 0C-0F]. UTF-8 is decoded and shown in code page 437 as far as it
// goes. GAP: one virtual terminal, no scroll-back, no framebuffer console, no loadable font.
#include "kernel/arch/x86_64/asm.h"
#include "kernel/arch/x86_64/bootinfo.h"
#include "kernel/drivers/tty.h"
#include "kernel/fs/tmpfs.h"
#include "kernel/init/printk.h"
#include "kernel/lib/format.h"
#include "kernel/mm/layout.h"
#include "kernel/sched/softirq.h"

namespace xm::os {
namespace {

constexpr u32 kColumns = 80, kRows = 25;
constexpr u32 kMaxParameters = 16;

struct Screen {
  volatile u16* cells = nullptr;
  u32 x = 0, y = 0, saved_x = 0, saved_y = 0;
  u32 top = 0, bottom = kRows;  // scroll region
  u8 foreground = 7, background = 0;
  bool bold = false, reverse = false, underline = false, wrap_pending = false, autowrap = true, insert = false,
       cursor_keys = false, origin = false;
  enum class State { Plain, Escape, Csi, Osc, Skip } state = State::Plain;
  u32 parameters[kMaxParameters]{};
  u32 count = 0;
  bool question = false;
  u32 rune = 0, rune_left = 0;  // UTF-8
  spinlock_t lock{LockRank::Console};
};
constinit Screen screen{};
constinit tty_struct* tty1 = nullptr;

u16 attribute(const Screen& s) {
  u8 fg = static_cast<u8>(s.foreground | (s.bold ? 8 : 0)), bg = s.background;
  if (s.reverse) swap(fg, bg);
  return static_cast<u16>((bg & 7) << 12 | (fg & 15) << 8);
}

void crtc(u8 reg, u8 v) {
  outb(0x3d4, reg);
  outb(0x3d5, v);
}
void show_cursor(const Screen& s) {
  const u32 at = s.y * kColumns + s.x;
  crtc(0x0e, static_cast<u8>(at >> 8));
  crtc(0x0f, static_cast<u8>(at));
}

void fill(Screen& s, u32 from, u32 to) {
  const u16 blank = static_cast<u16>(attribute(s) | ' ');
  for (u32 i = from; i < to; ++i) s.cells[i] = blank;
}
void scroll_up(Screen& s, u32 top, u32 bottom, u32 n) {
  n = min(n, bottom - top);
  for (u32 i = top * kColumns; i < (bottom - n) * kColumns; ++i) s.cells[i] = s.cells[i + n * kColumns];
  fill(s, (bottom - n) * kColumns, bottom * kColumns);
}
void scroll_down(Screen& s, u32 top, u32 bottom, u32 n) {
  n = min(n, bottom - top);
  for (u32 i = bottom * kColumns; i-- > (top + n) * kColumns;) s.cells[i] = s.cells[i - n * kColumns];
  fill(s, top * kColumns, (top + n) * kColumns);
}
void line_feed(Screen& s) {
  s.wrap_pending = false;
  if (s.y + 1 == s.bottom)
    scroll_up(s, s.top, s.bottom, 1);
  else if (s.y + 1 < kRows)
    ++s.y;
}
void reverse_line_feed(Screen& s) {
  s.wrap_pending = false;
  if (s.y == s.top)
    scroll_down(s, s.top, s.bottom, 1);
  else if (s.y > 0)
    --s.y;
}
void move_to(Screen& s, u32 x, u32 y) {
  s.x = min(x, kColumns - 1);
  s.y = min(y, kRows - 1);
  s.wrap_pending = false;
}

// Code page 437 of what a text screen shows most: box drawing, Latin-1 letters, arrows.
u8 to_cp437(u32 c) {
  static constexpr struct {
    u16 rune;
    u8 code;
  } kMap[] = {
      {0x00a1, 0xad}, {0x00a3, 0x9c}, {0x00a7, 0x15}, {0x00ab, 0xae}, {0x00b0, 0xf8}, {0x00b1, 0xf1}, {0x00b2, 0xfd},
      {0x00b5, 0xe6}, {0x00b7, 0xfa}, {0x00bb, 0xaf}, {0x00bc, 0xac}, {0x00bd, 0xab}, {0x00bf, 0xa8}, {0x00c4, 0x8e},
      {0x00c5, 0x8f}, {0x00c7, 0x80}, {0x00c9, 0x90}, {0x00d1, 0xa5}, {0x00d6, 0x99}, {0x00dc, 0x9a}, {0x00df, 0xe1},
      {0x00e0, 0x85}, {0x00e1, 0xa0}, {0x00e2, 0x83}, {0x00e4, 0x84}, {0x00e5, 0x86}, {0x00e6, 0x91}, {0x00e7, 0x87},
      {0x00e8, 0x8a}, {0x00e9, 0x82}, {0x00ea, 0x88}, {0x00eb, 0x89}, {0x00ed, 0xa1}, {0x00ee, 0x8c}, {0x00f1, 0xa4},
      {0x00f3, 0xa2}, {0x00f4, 0x93}, {0x00f6, 0x94}, {0x00f7, 0xf6}, {0x00fa, 0xa3}, {0x00fb, 0x96}, {0x00fc, 0x81},
      {0x2022, 0x07}, {0x2190, 0x1b}, {0x2191, 0x18}, {0x2192, 0x1a}, {0x2193, 0x19}, {0x2500, 0xc4}, {0x2502, 0xb3},
      {0x250c, 0xda}, {0x2510, 0xbf}, {0x2514, 0xc0}, {0x2518, 0xd9}, {0x251c, 0xc3}, {0x2524, 0xb4}, {0x252c, 0xc2},
      {0x2534, 0xc1}, {0x253c, 0xc5}, {0x2550, 0xcd}, {0x2551, 0xba}, {0x2554, 0xc9}, {0x2557, 0xbb}, {0x255a, 0xc8},
      {0x255d, 0xbc}, {0x2588, 0xdb}, {0x2591, 0xb0}, {0x2592, 0xb1}, {0x2593, 0xb2}};
  if (c < 0x80) return static_cast<u8>(c);
  for (const auto& m : kMap) {
    if (m.rune == c) return m.code;
  }
  return '?';
}

void put_rune(Screen& s, u32 c) {
  if (s.wrap_pending && s.autowrap) {
    s.x = 0;
    line_feed(s);
  }
  const u32 at = s.y * kColumns + s.x;
  if (s.insert) {
    for (u32 i = s.y * kColumns + kColumns - 1; i > at; --i) s.cells[i] = s.cells[i - 1];
  }
  s.cells[at] = static_cast<u16>(attribute(s) | to_cp437(c));
  if (s.x + 1 < kColumns)
    ++s.x;
  else
    s.wrap_pending = true;
}

void set_graphics(Screen& s) {
  static constexpr u8 kColours[8] = {0, 4, 2, 6, 1, 5, 3, 7};  // ANSI order to VGA order
  for (u32 i = 0; i <= s.count && i < kMaxParameters; ++i) {
    const u32 p = s.parameters[i];
    if (p == 0) {
      s.foreground = 7;
      s.background = 0;
      s.bold = s.reverse = s.underline = false;
    } else if (p == 1) {
      s.bold = true;
    } else if (p == 2 || p == 22) {
      s.bold = false;
    } else if (p == 7 || p == 27) {
      s.reverse = p == 7;
    } else if (p >= 30 && p <= 37) {
      s.foreground = kColours[p - 30];
    } else if (p == 39) {
      s.foreground = 7;
    } else if (p >= 40 && p <= 47) {
      s.background = kColours[p - 40];
    } else if (p == 49) {
      s.background = 0;
    } else if (p >= 90 && p <= 97) {
      s.foreground = static_cast<u8>(kColours[p - 90] | 8);
    } else if (p == 38 || p == 48) {
      i += i + 1 <= s.count && s.parameters[i + 1] == 5 ? 2 : 4;
    }
  }
}

// Answers to queries are input. They are delivered by a work item, because the writer holds the terminal's lock.
struct Answer {
  work_struct work;
  char text[64];
};
constinit Answer pending_answer{};

void deliver_answer(work_struct*) {
  char text[64];
  {
    IrqGuard guard(screen.lock);
    copy_string(text, pending_answer.text, sizeof text);
    pending_answer.text[0] = 0;
  }
  if (tty1 != nullptr) tty_receive(tty1, reinterpret_cast<const u8*>(text), strlen(text));
}
void reply(const char* text) {
  {
    IrqGuard guard(screen.lock);
    const size_t used = strlen(pending_answer.text);
    copy_string(pending_answer.text + used, text, sizeof pending_answer.text - used);
  }
  pending_answer.work.func = deliver_answer;
  schedule_work(&pending_answer.work);
}

void set_mode(Screen& s, bool on) {
  for (u32 i = 0; i <= s.count && i < kMaxParameters; ++i) {
    const u32 p = s.parameters[i];
    if (!s.question && p == 4) s.insert = on;
    if (!s.question) continue;
    if (p == 1) s.cursor_keys = on;
    if (p == 7) s.autowrap = on;
    if (p == 25) crtc(0x0a, on ? 13 : 0x20);
  }
}

void erase_display(Screen& s, u32 how) {
  const u32 at = s.y * kColumns + s.x;
  if (how == 0)
    fill(s, at, kColumns * kRows);
  else if (how == 1)
    fill(s, 0, at + 1);
  else
    fill(s, 0, kColumns * kRows);
}
void erase_line(Screen& s, u32 how) {
  const u32 start = s.y * kColumns;
  fill(s, how == 0 ? start + s.x : start, how == 1 ? start + s.x + 1 : start + kColumns);
}

void control_sequence(Screen& s, char final, char* answer, size_t answer_size) {
  const u32 p = s.parameters[0], n = max(p, 1u), q = max(s.parameters[1], 1u);
  const u32 row = s.y * kColumns;
  switch (final) {
    case 'A': move_to(s, s.x, s.y - min(s.y, n)); break;
    case 'B':
    case 'e': move_to(s, s.x, s.y + n); break;
    case 'C':
    case 'a': move_to(s, s.x + n, s.y); break;
    case 'D': move_to(s, s.x - min(s.x, n), s.y); break;
    case 'E': move_to(s, 0, s.y + n); break;
    case 'F': move_to(s, 0, s.y - min(s.y, n)); break;
    case 'G':
    case '`': move_to(s, n - 1, s.y); break;
    case 'd': move_to(s, s.x, n - 1); break;
    case 'H':
    case 'f': move_to(s, q - 1, n - 1); break;
    case 'J': erase_display(s, p); break;
    case 'K': erase_line(s, p); break;
    case 'L':
      if (s.y >= s.top && s.y < s.bottom) scroll_down(s, s.y, s.bottom, n);
      break;
    case 'M':
      if (s.y >= s.top && s.y < s.bottom) scroll_up(s, s.y, s.bottom, n);
      break;
    case 'S': scroll_up(s, s.top, s.bottom, n); break;
    case 'T': scroll_down(s, s.top, s.bottom, n); break;
    case 'P': {
      const u32 k = min(n, kColumns - s.x);
      for (u32 i = s.x; i + k < kColumns; ++i) s.cells[row + i] = s.cells[row + i + k];
      fill(s, row + kColumns - k, row + kColumns);
      break;
    }
    case '@': {
      const u32 k = min(n, kColumns - s.x);
      for (u32 i = kColumns; i-- > s.x + k;) s.cells[row + i] = s.cells[row + i - k];
      fill(s, row + s.x, row + s.x + k);
      break;
    }
    case 'X': fill(s, row + s.x, row + min(s.x + n, kColumns)); break;
    case 'm': set_graphics(s); break;
    case 'h':
    case 'l': set_mode(s, final == 'h'); break;
    case 'r': {
      const u32 bottom = s.parameters[1] == 0 ? kRows : min(s.parameters[1], kRows);
      if (n - 1 < bottom) {
        s.top = n - 1;
        s.bottom = bottom;
        move_to(s, 0, 0);
      }
      break;
    }
    case 's': s.saved_x = s.x, s.saved_y = s.y; break;
    case 'u': move_to(s, s.saved_x, s.saved_y); break;
    case 'n':
      if (p == 6) format(answer, answer_size, "\033[%u;%uR", s.y + 1, s.x + 1);
      if (p == 5) format(answer, answer_size, "\033[0n");
      break;
    case 'c':
      if (p == 0 && !s.question) format(answer, answer_size, "\033[?6c");
      break;
    default: break;
  }
}

void escape(Screen& s, char c) {
  s.state = Screen::State::Plain;
  switch (c) {
    case '[':
      s.state = Screen::State::Csi;
      s.count = 0;
      s.question = false;
      memset(s.parameters, 0, sizeof s.parameters);
      break;
    case ']': s.state = Screen::State::Osc; break;
    case '(':
    case ')':
    case '%':
    case '#': s.state = Screen::State::Skip; break;
    case 'D': line_feed(s); break;
    case 'E':
      s.x = 0;
      line_feed(s);
      break;
    case 'M': reverse_line_feed(s); break;
    case '7': s.saved_x = s.x, s.saved_y = s.y; break;
    case '8': move_to(s, s.saved_x, s.saved_y); break;
    case 'c':
      s.parameters[0] = s.count = 0;
      set_graphics(s);
      s.top = 0, s.bottom = kRows;
      s.autowrap = true;
      fill(s, 0, kColumns * kRows);
      move_to(s, 0, 0);
      break;
    default: break;
  }
}

void plain(Screen& s, u8 c) {
  switch (c) {
    case '\n':
    case '\v':
    case '\f': return line_feed(s);
    case '\r': return move_to(s, 0, s.y);
    case '\b': return move_to(s, s.x - min(s.x, 1u), s.y);
    case '\t': return move_to(s, (s.x | 7) + 1, s.y);
    case 0x1b: s.state = Screen::State::Escape; return;
    case 0x9b: escape(s, '['); return;
    default: break;
  }
  if (c < 0x20 || c == 0x7f) return;
  if (c < 0x80) {
    s.rune_left = 0;
    return put_rune(s, c);
  }
  if ((c & 0xc0) == 0x80 && s.rune_left > 0) {
    s.rune = s.rune << 6 | (c & 0x3f);
    if (--s.rune_left == 0) put_rune(s, s.rune);
    return;
  }
  s.rune_left = c >= 0xf0 ? 3 : (c >= 0xe0 ? 2 : 1);
  s.rune = c & (0x3fu >> s.rune_left);
}

void put_byte(Screen& s, u8 c, char* answer, size_t answer_size) {
  using State = Screen::State;
  switch (s.state) {
    case State::Plain: return plain(s, c);
    case State::Escape: return escape(s, static_cast<char>(c));
    case State::Skip: s.state = State::Plain; return;
    case State::Osc:
      if (c == '\a' || c == 0x1b || c == '\\') s.state = State::Plain;
      return;
    case State::Csi:
      if (c == '?') {
        s.question = true;
      } else if (c >= '0' && c <= '9') {
        u32& p = s.parameters[min(s.count, kMaxParameters - 1)];
        p = min(p * 10 + (c - '0'), 9999u);
      } else if (c == ';') {
        ++s.count;
      } else if (c >= '@' && c <= '~') {
        s.state = State::Plain;
        control_sequence(s, static_cast<char>(c), answer, answer_size);
      }
      return;
  }
}

void write_screen(const char* text, size_t n) {
  char answer[32] = "";
  {
    IrqGuard guard(screen.lock);
    for (size_t i = 0; i < n; ++i) put_byte(screen, static_cast<u8>(text[i]), answer, sizeof answer);
    show_cursor(screen);
  }
  if (answer[0] != 0) reply(answer);
}

void console_text(const char* text, size_t n) {
  for (size_t i = 0; i < n; ++i) {
    if (text[i] == '\n') write_screen("\r", 1);
    write_screen(text + i, 1);
  }
}
constinit console vga_console{"tty1", console_text, make_dev(4, 1)};

struct VtOps final : tty_operations {
  size_t write(tty_struct*, const char* text, size_t n) const override {
    write_screen(text, n);
    return n;
  }
  long ioctl(tty_struct*, u32 command, u64 argument) const override {
    switch (command) {
      case KDGKBTYPE: return put_user_at(u8{2}, argument);
      case KDGETMODE: return put_user_at(0, argument);
      case KDSETMODE:
      case VT_ACTIVATE:
      case VT_WAITACTIVE:
      case KDSKBMODE: return 0;
      case KDGKBMODE: return put_user_at(3, argument);  // K_UNICODE
      case VT_OPENQRY: return put_user_at(2, argument);
      case VT_GETSTATE: {
        const u16 state[3] = {1, 0, 2};
        return copy_to_user(reinterpret_cast<void*>(argument), state, sizeof state);
      }
      default: return -ENOIOCTLCMD;
    }
  }
};
constinit const VtOps vt_ops{};

}  // namespace

bool vt_cursor_key_mode() { return screen.cursor_keys; }
tty_struct* vt_tty() { return tty1; }

void vt_init() {
  if (!boot_info.vga_text) return;
  screen.cells = static_cast<volatile u16*>(phys_to_virt(0xb8000));
  outb(0x3d4, 0x0e);  // go on where the firmware stopped
  u32 at = static_cast<u32>(inb(0x3d5)) << 8;
  outb(0x3d4, 0x0f);
  at |= inb(0x3d5);
  if (at >= kColumns * kRows) at = 0;
  screen.x = at % kColumns;
  screen.y = at / kColumns;
  tty1 = tty_create("tty1", make_dev(4, 1), &vt_ops);
  devtmpfs_create("tty0", S_IFCHR | 0620, make_dev(4, 0));
  register_console(&vga_console);
  keyboard_init();
}

}  // namespace xm::os
