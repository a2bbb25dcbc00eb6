// SPDX-License-Identifier: GPL-2.0-or-later
// The screen: cells, cursor, scrolling, characters and their sets, and the state machine of escape sequences. What the
// sequences of CSI do is in terminal_csi.cc. GAP: wide characters take two cells but combining ones are dropped.
#include "kernel/drivers/vt/terminal.h"

#include "kernel/lib/format.h"
#include "kernel/lib/string.h"

namespace xm::os {
namespace {

// DEC special graphics, 0x5f to 0x7e. [VT100 manual, table 3-9]
constexpr u16 kLineDrawing[32] = {0x00a0, 0x25c6, 0x2592, 0x2409, 0x240c, 0x240d, 0x240a, 0x00b0,
                                  0x00b1, 0x2591, 0x240b, 0x2518, 0x2510, 0x250c, 0x2514, 0x253c,
                                  0x23ba, 0x23bb, 0x2500, 0x23bc, 0x23bd, 0x251c, 0x2524, 0x2534,
                                  0x252c, 0x2502, 0x2264, 0x2265, 0x03c0, 0x2260, 0x00a3, 0x00b7};
// Code page 437, its control half as the glyphs of the VGA font.
constexpr u16 kCp437Low[32] = {0x0000, 0x263a, 0x263b, 0x2665, 0x2666, 0x2663, 0x2660, 0x2022, 0x25d8, 0x25cb, 0x25d9,
                               0x2642, 0x2640, 0x266a, 0x266b, 0x263c, 0x25b6, 0x25c0, 0x2195, 0x203c, 0x00b6, 0x00a7,
                               0x25ac, 0x21a8, 0x2191, 0x2193, 0x2192, 0x2190, 0x221f, 0x2194, 0x25b2, 0x25bc};
constexpr u16 kCp437High[128] = {
    0x00c7, 0x00fc, 0x00e9, 0x00e2, 0x00e4, 0x00e0, 0x00e5, 0x00e7, 0x00ea, 0x00eb, 0x00e8, 0x00ef, 0x00ee,
    0x00ec, 0x00c4, 0x00c5, 0x00c9, 0x00e6, 0x00c6, 0x00f4, 0x00f6, 0x00f2, 0x00fb, 0x00f9, 0x00ff, 0x00d6,
    0x00dc, 0x00a2, 0x00a3, 0x00a5, 0x20a7, 0x0192, 0x00e1, 0x00ed, 0x00f3, 0x00fa, 0x00f1, 0x00d1, 0x00aa,
    0x00ba, 0x00bf, 0x2310, 0x00ac, 0x00bd, 0x00bc, 0x00a1, 0x00ab, 0x00bb, 0x2591, 0x2592, 0x2593, 0x2502,
    0x2524, 0x2561, 0x2562, 0x2556, 0x2555, 0x2563, 0x2551, 0x2557, 0x255d, 0x255c, 0x255b, 0x2510, 0x2514,
    0x2534, 0x252c, 0x251c, 0x2500, 0x253c, 0x255e, 0x255f, 0x255a, 0x2554, 0x2569, 0x2566, 0x2560, 0x2550,
    0x256c, 0x2567, 0x2568, 0x2564, 0x2565, 0x2559, 0x2558, 0x2552, 0x2553, 0x256b, 0x256a, 0x2518, 0x250c,
    0x2588, 0x2584, 0x258c, 0x2590, 0x2580, 0x03b1, 0x00df, 0x0393, 0x03c0, 0x03a3, 0x03c3, 0x00b5, 0x03c4,
    0x03a6, 0x0398, 0x03a9, 0x03b4, 0x221e, 0x03c6, 0x03b5, 0x2229, 0x2261, 0x00b1, 0x2265, 0x2264, 0x2320,
    0x2321, 0x00f7, 0x2248, 0x00b0, 0x2219, 0x00b7, 0x221a, 0x207f, 0x00b2, 0x25a0, 0x00a0};

}  // namespace

u32 cp437_to_rune(u8 c) { return c < 0x20 ? kCp437Low[c] : c == 0x7f ? 0x2302 : c < 0x80 ? c : kCp437High[c - 0x80]; }

u32 rune_width(u32 r) {
  if ((r >= 0x300 && r <= 0x36f) || (r >= 0x200b && r <= 0x200f) || (r >= 0x20d0 && r <= 0x20ff) || r == 0xfeff ||
      (r >= 0xfe00 && r <= 0xfe0f))
    return 0;
  const bool wide = (r >= 0x1100 && r <= 0x115f) || (r >= 0x2e80 && r <= 0xa4cf && r != 0x303f) ||
                    (r >= 0xac00 && r <= 0xd7a3) || (r >= 0xf900 && r <= 0xfaff) || (r >= 0xfe30 && r <= 0xfe6f) ||
                    (r >= 0xff00 && r <= 0xff60) || (r >= 0xffe0 && r <= 0xffe6) || (r >= 0x1f300 && r <= 0x1f64f) ||
                    (r >= 0x20000 && r <= 0x3fffd);
  return wide ? 2 : 1;
}

void Terminal::init(terminal_host* host, cell_t* memory, u32 c, u32 r) {
  host_ = host;
  cells = memory;
  columns = c;
  rows = r;
  reset();
}

void Terminal::reset() {
  pen_ = Pen{};
  default_foreground_ = 7;
  default_background_ = 0;
  top_ = 0;
  bottom_ = rows;
  wrap_pending_ = insert_ = origin_ = show_controls_ = false;
  autowrap_ = true;
  cursor_visible = autorepeat = true;
  cursor_keys = keypad = newline_mode = screen_reverse = false;
  mouse_mode = 0;
  cursor_shape = 0;
  state_ = State::Plain;
  charset_ = 0;
  sets_[0] = 'B';
  sets_[1] = '0';
  alternate_ = 0;
  rune_left_ = 0;
  for (u64& t : tabs_) t = 0x0101010101010101;
  bell_hz_ = 750;
  bell_ms_ = 125;
  fill(0, columns * rows);
  x = y = 0;
  saved_ = Saved{};
  saved_.sets[0] = 'B';
  saved_.sets[1] = '0';
}

void Terminal::resize(cell_t* fresh, u32 c, u32 r) {
  const u32 first = y >= r ? y - r + 1 : 0;  // the cursor's line stays
  for (u32 line = 0; line < r; ++line) {
    for (u32 column = 0; column < c; ++column) {
      const bool there = column < columns && line + first < rows;
      fresh[line * c + column] = there ? row(line + first)[column] : blank();
    }
  }
  cells = fresh;
  columns = c;
  rows = r;
  top_ = 0;
  bottom_ = r;
  x = min(x, c - 1);
  y -= first;
  saved_.x = min(saved_.x, c - 1);
  saved_.y = min(saved_.y, r - 1);
  wrap_pending_ = false;
  dirty_from = 0;
  dirty_to = r;
}

u8 Terminal::attribute() const {
  u8 fg = pen_.foreground, bg = pen_.background;
  if (pen_.italic) fg = 2;  // a colour, where the font has no slant
  if (pen_.underline)
    fg = underline_colour_;
  else if (pen_.intensity == 0)
    fg = half_colour_;
  if (pen_.intensity == 2) fg |= 8;
  if (pen_.reverse != screen_reverse) {
    const u8 bright = fg & 8;
    swap(fg, bg);
    fg = static_cast<u8>((fg & 7) | bright);
  }
  return static_cast<u8>((pen_.blink ? 0x80 : 0) | (bg & 7) << 4 | (fg & 15));
}

cell_t Terminal::blank() const {
  // Erased cells have the background of the pen but none of its underline or blink.
  const u8 fg = pen_.foreground, bg = pen_.background;
  const u8 a = static_cast<u8>(screen_reverse ? (fg & 7) << 4 | (bg & 7) : (bg & 7) << 4 | (fg & 15));
  return static_cast<cell_t>(a) << 24 | ' ';
}

void Terminal::touch(u32 from, u32 to) {
  if (dirty_from == dirty_to) {
    dirty_from = from;
    dirty_to = to;
    return;
  }
  dirty_from = min(dirty_from, from);
  dirty_to = max(dirty_to, to);
}
void Terminal::fill(u32 from, u32 to) {
  if (from >= to) return;
  const cell_t b = blank();
  for (u32 i = from; i < to; ++i) cells[i] = b;
  touch(from / columns, (to - 1) / columns + 1);
}
void Terminal::scroll_up(u32 from, u32 to, u32 n) {
  n = min(n, to - from);
  if (from == 0 && to == rows) {
    for (u32 i = 0; i < n; ++i) host_->line_lost(row(i));
  }
  memmove(row(from), row(from + n), (to - from - n) * columns * sizeof(cell_t));
  fill((to - n) * columns, to * columns);
  touch(from, to);
}
void Terminal::scroll_down(u32 from, u32 to, u32 n) {
  n = min(n, to - from);
  memmove(row(from + n), row(from), (to - from - n) * columns * sizeof(cell_t));
  fill(from * columns, (from + n) * columns);
  touch(from, to);
}
void Terminal::line_feed() {
  wrap_pending_ = false;
  if (y + 1 == bottom_)
    scroll_up(top_, bottom_, 1);
  else if (y + 1 < rows)
    ++y;
}
void Terminal::reverse_line_feed() {
  wrap_pending_ = false;
  if (y == top_)
    scroll_down(top_, bottom_, 1);
  else if (y > 0)
    --y;
}
void Terminal::move_to(u32 column, u32 line) {
  x = min(column, columns - 1);
  const u32 low = origin_ ? top_ : 0, high = origin_ ? bottom_ : rows;
  y = clamp(line, low, high - 1);
  wrap_pending_ = false;
}
// Addresses of CUP and VPA count from the region's top in origin mode.
void Terminal::move_in_region(u32 column, u32 line) { move_to(column, origin_ ? line + top_ : line); }

void Terminal::put_rune(u32 rune) {
  const u32 width = rune_width(rune);
  if (width == 0) return;
  if (wrap_pending_ || (width == 2 && x + 2 > columns && autowrap_)) {
    x = 0;
    line_feed();
  }
  for (u32 part = 0; part < width; ++part) {
    cell_t* line = row(y);
    if (insert_) memmove(line + x + 1, line + x, (columns - x - 1) * sizeof(cell_t));
    line[x] = static_cast<cell_t>(attribute()) << 24 | (part == 0 ? rune : ' ');
    if (x + 1 < columns) {
      ++x;
    } else {
      wrap_pending_ = autowrap_;
      break;
    }
  }
  touch(y, y + 1);
}

// Bytes that are not UTF-8: code page and character set in force.
u32 Terminal::translate(u8 c) const {
  const u8 set = sets_[charset_];
  if (alternate_ != 0 || set == 'U') return cp437_to_rune(static_cast<u8>(alternate_ == 2 ? c ^ 0x80 : c));
  if (set == '0' && c >= 0x5f && c <= 0x7e) return kLineDrawing[c - 0x5f];
  if (set == 'A' && c == '#') return 0xa3;
  return c;
}

void Terminal::decode(u8 c) {
  if (!utf8) {
    rune_left_ = 0;
    return put_rune(translate(c));
  }
  if (c < 0x80 || alternate_ != 0) {
    if (rune_left_ > 0) put_rune(0xfffd);
    rune_left_ = 0;
    return put_rune(translate(c));
  }
  if ((c & 0xc0) == 0x80) {
    if (rune_left_ == 0) return put_rune(0xfffd);
    rune_ = rune_ << 6 | (c & 0x3f);
    if (--rune_left_ > 0) return;
    const bool good = rune_ >= rune_least_ && rune_ <= 0x10ffff && (rune_ < 0xd800 || rune_ > 0xdfff);
    return put_rune(good ? rune_ : 0xfffd);
  }
  if (rune_left_ > 0) put_rune(0xfffd);
  rune_left_ = c >= 0xf8 ? 0 : c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
  rune_least_ = rune_left_ == 3 ? 0x10000 : rune_left_ == 2 ? 0x800 : 0x80;
  rune_ = c & (0x3fu >> rune_left_);
  if (rune_left_ == 0) put_rune(0xfffd);
}

// Control characters work inside escape sequences too. True: done.
bool Terminal::control(u8 c) {
  switch (c) {
    case 0: return true;
    case 7:
      if (state_ == State::OscText) {
        state_ = State::Plain;
      } else {
        host_->bell(bell_hz_, bell_ms_);
      }
      return true;
    case 8:
      if (x > 0 && !wrap_pending_) --x;
      wrap_pending_ = false;
      return true;
    case 9:
      wrap_pending_ = false;
      while (x + 1 < columns) {
        ++x;
        if ((tabs_[x / 64] >> (x % 64) & 1) != 0) break;
      }
      return true;
    case 10:
    case 11:
    case 12:
      line_feed();
      if (newline_mode) x = 0;
      return true;
    case 13: move_to(0, y); return true;
    case 14: charset_ = 1; return true;
    case 15: charset_ = 0; return true;
    case 24:
    case 26: state_ = State::Plain; return true;
    case 27: state_ = State::Escape; return true;
    default: return c < 0x20 || c == 0x7f;
  }
}

void Terminal::palette_digit(u8 c) {
  const u8 low = static_cast<u8>(c | 0x20);
  const u32 digit = c >= '0' && c <= '9' ? c - '0' : low >= 'a' && low <= 'f' ? low - 'a' + 10u : 16;
  if (digit == 16) {
    state_ = State::Plain;
    return;
  }
  palette_value_ = palette_value_ << 4 | digit;
  if (++palette_digits_ < 7) return;
  host_->palette(palette_value_ >> 24, static_cast<u8>(palette_value_ >> 16), static_cast<u8>(palette_value_ >> 8),
                 static_cast<u8>(palette_value_));
  state_ = State::Plain;
}

void Terminal::escape(u8 c) {
  state_ = State::Plain;
  switch (c) {
    case '[':
      state_ = State::Csi;
      count_ = 0;
      prefix_ = 0;
      memset(parameters_, 0, sizeof parameters_);
      break;
    case ']': state_ = State::Osc; break;
    case '(': state_ = State::SetG0; break;
    case ')': state_ = State::SetG1; break;
    case '%': state_ = State::Percent; break;
    case '#': state_ = State::Hash; break;
    case 'D': line_feed(); break;
    case 'E':
      x = 0;
      line_feed();
      break;
    case 'H': tabs_[x / 64] |= 1ul << (x % 64); break;
    case 'M': reverse_line_feed(); break;
    case 'Z': host_->reply("\033[?6c"); break;
    case '7': saved_ = {x, y, pen_, charset_, {sets_[0], sets_[1]}, origin_}; break;
    case '8':
      pen_ = saved_.pen;
      charset_ = saved_.charset;
      sets_[0] = saved_.sets[0];
      sets_[1] = saved_.sets[1];
      origin_ = saved_.origin;
      move_to(saved_.x, saved_.y);
      break;
    case '=': keypad = true; break;
    case '>': keypad = false; break;
    case 'c':
      reset();
      host_->palette_reset();
      break;
    default: break;
  }
}

void Terminal::plain(u8 c) {
  if (c == 0x9b && !utf8) {
    escape('[');
    return;
  }
  const bool shown = (show_controls_ || (alternate_ != 0 && c != 27)) && c != 0 && c != 10 && c != 13 && c != 27 &&
                     c < 0x20 && (show_controls_ || (c != 8 && c != 12 && c != 14 && c != 15));
  if (shown) return put_rune(cp437_to_rune(c));
  if (!control(c)) decode(c);
}

void Terminal::write_byte(u8 c) {
  if (state_ == State::Plain) return plain(c);
  if ((c < 0x20 || c == 0x7f) && control(c)) return;
  switch (state_) {
    case State::Escape: return escape(c);
    case State::Csi:
    case State::CsiIgnore: return csi_byte(c);
    case State::Function: state_ = State::Plain; return;
    case State::Osc:
      palette_value_ = palette_digits_ = 0;
      if (c == 'R') host_->palette_reset();
      state_ = c == 'P' ? State::Palette : c == 'R' ? State::Plain : State::OscText;
      return;
    case State::OscText: return;  // until BEL, or ESC of the string terminator
    case State::Palette: return palette_digit(c);
    case State::Hash:
      if (c == '8') {  // DECALN
        for (u32 i = 0; i < columns * rows; ++i) cells[i] = (blank() & 0xff000000) | 'E';
        touch(0, rows);
      }
      state_ = State::Plain;
      return;
    case State::Percent:
      if (c == '@') utf8 = false;
      if (c == 'G' || c == '8') utf8 = true;
      state_ = State::Plain;
      return;
    case State::SetG0:
    case State::SetG1:
      sets_[state_ == State::SetG0 ? 0 : 1] = c;
      state_ = State::Plain;
      return;
    case State::Plain: return;
  }
}

void Terminal::write(const u8* bytes, size_t n) {
  for (size_t i = 0; i < n; ++i) write_byte(bytes[i]);
}

}  // namespace xm::os
