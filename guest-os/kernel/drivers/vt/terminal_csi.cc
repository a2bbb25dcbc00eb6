// SPDX-License-Identifier: GPL-2.0-or-later
// Control sequences: cursor, editing, rendition, modes, reports, and Linux's private ones.
#include "kernel/drivers/vt/terminal.h"
#include "kernel/lib/format.h"
#include "kernel/lib/string.h"

namespace xm::os {
namespace {

constexpr u8 kVgaOrder[8] = {0, 4, 2, 6, 1, 5, 3, 7};  // ANSI colour to VGA colour

// The nearest of sixteen, as a colour with brightness. [Linux: rgb_foreground]
u8 nearest(u32 r, u32 g, u32 b) {
  const u32 most = max(r, max(g, b));
  u8 hue = static_cast<u8>((r > most / 2 ? 4 : 0) | (g > most / 2 ? 2 : 0) | (b > most / 2 ? 1 : 0));
  if (hue == 7 && most <= 0x55) return 8;
  return static_cast<u8>(most > 0xaa ? hue | 8 : hue);
}
u8 from_256(u32 n) {
  if (n < 8) return kVgaOrder[n];
  if (n < 16) return static_cast<u8>(kVgaOrder[n - 8] | 8);
  if (n < 232) return nearest((n - 16) / 36 * 85 / 2, (n - 16) / 6 % 6 * 85 / 2, (n - 16) % 6 * 85 / 2);
  const u32 grey = (n - 232) * 10 + 8;
  return nearest(grey, grey, grey);
}

}  // namespace

void Terminal::csi_byte(u8 c) {
  if (c == '[' && count_ == 0 && parameters_[0] == 0 && prefix_ == 0) {  // an echoed function key
    state_ = State::Function;
  } else if (c >= '<' && c <= '?') {
    prefix_ = c;
  } else if (c >= '0' && c <= '9') {
    u32& p = parameters_[min(count_, kMaxParameters - 1)];
    p = min(p * 10 + (c - '0'), 99999u);
  } else if (c == ';' || c == ':') {
    if (count_ + 1 < kMaxParameters) ++count_;
  } else if (c >= 0x20 && c < 0x30) {
    state_ = State::CsiIgnore;  // intermediate bytes: nothing we know
  } else if (c >= '@' && c <= '~') {
    const bool known = state_ == State::Csi;
    state_ = State::Plain;
    if (known) csi(c);
  }
}

void Terminal::csi_move(u8 final, u32 n) {
  const u32 low = y >= top_ ? top_ : 0, high = y < bottom_ ? bottom_ : rows;
  switch (final) {
    case 'A': move_to(x, y - min(y - low, n)); break;
    case 'B':
    case 'e': move_to(x, min(y + n, high - 1)); break;
    case 'C':
    case 'a': move_to(x + n, y); break;
    case 'D': move_to(x - min(x, n), y); break;
    case 'E': move_to(0, min(y + n, high - 1)); break;
    case 'F': move_to(0, y - min(y - low, n)); break;
    case 'G':
    case '`': move_to(n - 1, y); break;
    case 'd': move_in_region(x, n - 1); break;
    case 'H':
    case 'f': move_in_region(max(parameter(1), 1u) - 1, n - 1); break;
    default: break;
  }
}

void Terminal::csi_edit(u8 final, u32 n) {
  cell_t* line = row(y);
  const u32 k = min(n, columns - x);
  const bool inside = y >= top_ && y < bottom_;
  switch (final) {
    case 'L':
      if (inside) scroll_down(y, bottom_, n);
      break;
    case 'M':
      if (inside) scroll_up(y, bottom_, n);
      break;
    case 'P':
      memmove(line + x, line + x + k, (columns - x - k) * sizeof(cell_t));
      fill((y + 1) * columns - k, (y + 1) * columns);
      break;
    case '@':
      memmove(line + x + k, line + x, (columns - x - k) * sizeof(cell_t));
      fill(y * columns + x, y * columns + x + k);
      break;
    case 'X': fill(y * columns + x, y * columns + x + k); break;
    default: break;
  }
  wrap_pending_ = false;
}

void Terminal::csi(u8 final) {
  const u32 p = parameters_[0], n = max(p, 1u);
  if (prefix_ == '?') {
    if (final == 'h' || final == 'l') modes(final == 'h');
    if (final == 'c') cursor_shape = static_cast<u8>(p & 15);
    return;
  }
  if (prefix_ != 0) return;
  switch (final) {
    case 'J': erase_display(p); break;
    case 'K': erase_line(p); break;
    case 'S': scroll_up(top_, bottom_, n); break;
    case 'T': scroll_down(top_, bottom_, n); break;
    case 'b': break;
    case 'm': graphics(); break;
    case 'h':
    case 'l': modes(final == 'h'); break;
    case 'n': device_status(p); break;
    case 'c':
      if (p == 0) host_->reply("\033[?6c");
      break;
    case 'g': tab_clear(p); break;
    case 'q': host_->leds(p == 0 ? 7u : p < 4 ? 1u << (p - 1) : 0u, p != 0); break;
    case 'r': {
      const u32 bottom = parameter(1) == 0 ? rows : min(parameter(1), rows);
      if (n >= bottom) break;
      top_ = n - 1;
      bottom_ = bottom;
      move_in_region(0, 0);
      break;
    }
    case 's': escape('7'); break;
    case 'u': escape('8'); break;
    case ']': setterm(); break;
    default:
      csi_move(final, n);
      if (final == 'L' || final == 'M' || final == 'P' || final == '@' || final == 'X') csi_edit(final, n);
  }
}

u8 Terminal::extended_colour(u32& i) {
  const u32 kind = parameter(i + 1);
  if (kind == 5) {
    const u8 c = from_256(parameter(i + 2) & 255);
    i += 2;
    return c;
  }
  if (kind == 2) {
    const u8 c = nearest(parameter(i + 2), parameter(i + 3), parameter(i + 4));
    i += 4;
    return c;
  }
  return 7;
}

void Terminal::graphics() {
  for (u32 i = 0; i <= count_; ++i) {
    const u32 p = parameters_[i];
    switch (p) {
      case 0:
        pen_ = Pen{};
        pen_.foreground = default_foreground_;
        pen_.background = default_background_;
        break;
      case 1: pen_.intensity = 2; break;
      case 2: pen_.intensity = 0; break;
      case 3: pen_.italic = true; break;
      case 4:
      case 21: pen_.underline = true; break;
      case 5: pen_.blink = true; break;
      case 7: pen_.reverse = true; break;
      case 10:
        alternate_ = 0;
        show_controls_ = false;
        break;
      case 11:
      case 12: alternate_ = static_cast<u8>(p - 10); break;
      case 22: pen_.intensity = 1; break;
      case 23: pen_.italic = false; break;
      case 24: pen_.underline = false; break;
      case 25: pen_.blink = false; break;
      case 27: pen_.reverse = false; break;
      case 38: {
        const u8 c = extended_colour(i);
        pen_.foreground = c & 7;
        pen_.intensity = (c & 8) != 0 ? 2 : 1;
        break;
      }
      case 39:
        pen_.foreground = default_foreground_;
        pen_.underline = false;
        break;
      case 48: pen_.background = extended_colour(i) & 7; break;
      case 49: pen_.background = default_background_; break;
      default:
        if (p >= 30 && p <= 37) pen_.foreground = kVgaOrder[p - 30];
        if (p >= 40 && p <= 47) pen_.background = kVgaOrder[p - 40];
        if (p >= 90 && p <= 97) pen_.foreground = static_cast<u8>(kVgaOrder[p - 90] | 8);
        if (p >= 100 && p <= 107) pen_.background = kVgaOrder[p - 100];
    }
  }
}

void Terminal::private_mode(u32 mode, bool on) {
  switch (mode) {
    case 1: cursor_keys = on; break;
    case 3:  // DECCOLM: the width stays, the screen is cleared
      fill(0, columns * rows);
      move_in_region(0, 0);
      break;
    case 5:
      if (screen_reverse != on) {
        screen_reverse = on;
        for (u32 i = 0; i < columns * rows; ++i) {
          const u8 a = cell_attribute(cells[i]);
          cells[i] = (cells[i] & 0x1fffff) | static_cast<cell_t>((a & 0x88) | (a & 7) << 4 | (a >> 4 & 7)) << 24;
        }
        touch(0, rows);
      }
      break;
    case 6:
      origin_ = on;
      move_in_region(0, 0);
      break;
    case 7:
      autowrap_ = on;
      if (!on) wrap_pending_ = false;
      break;
    case 8: autorepeat = on; break;
    case 9:
    case 1000: mouse_mode = on ? mode : 0; break;
    case 25: cursor_visible = on; break;
    default: break;
  }
}

void Terminal::modes(bool on) {
  for (u32 i = 0; i <= count_; ++i) {
    const u32 p = parameters_[i];
    if (prefix_ == '?') {
      private_mode(p, on);
    } else if (p == 3) {
      show_controls_ = on;
    } else if (p == 4) {
      insert_ = on;
    } else if (p == 20) {
      newline_mode = on;
    }
  }
}

void Terminal::erase_display(u32 how) {
  const u32 at = y * columns + x, end = columns * rows;
  if (how == 0) fill(at, end);
  if (how == 1) fill(0, at + 1);
  if (how == 2 || how == 3) fill(0, end);
  if (how == 3) host_->scrollback_cleared();
  wrap_pending_ = false;
}
void Terminal::erase_line(u32 how) {
  const u32 start = y * columns;
  if (how == 0) fill(start + x, start + columns);
  if (how == 1) fill(start, start + x + 1);
  if (how == 2) fill(start, start + columns);
  wrap_pending_ = false;
}

void Terminal::device_status(u32 what) {
  char text[32];
  if (what == 5) host_->reply("\033[0n");
  if (what != 6) return;
  format(text, sizeof text, "\033[%u;%uR", y + 1 - (origin_ ? top_ : 0), x + 1);
  host_->reply(text);
}

void Terminal::tab_clear(u32 how) {
  if (how == 0) tabs_[x / 64] &= ~(1ul << (x % 64));
  if (how == 3 || how == 5) memset(tabs_, 0, sizeof tabs_);
}

// CSI n ] : what setterm(1) sends.
void Terminal::setterm() {
  const u32 a = parameter(1);
  switch (parameters_[0]) {
    case 1: underline_colour_ = kVgaOrder[a & 7] | (a & 8); break;
    case 2: half_colour_ = kVgaOrder[a & 7] | (a & 8); break;
    case 8:
      default_foreground_ = pen_.foreground;
      default_background_ = pen_.background;
      break;
    case 10: bell_hz_ = count_ >= 1 ? (a > 20 && a < 32767 ? a : 0) : 750; break;
    case 11: bell_ms_ = count_ >= 1 ? (a < 2000 ? a : 0) : 125; break;
    case 12: host_->bring_to_front(a); break;
    default: break;
  }
}

}  // namespace xm::os
