// SPDX-License-Identifier: GPL-2.0-or-later
// A terminal as programs with TERM=linux know it: bytes in, cells of runes with attributes out. Free of hardware and
// locks; whoever owns it draws the rows that it marks dirty. [man 4 console_codes; ECMA-48; DEC VT102 manual]
#pragma once

#include "kernel/lib/types.h"

namespace xm::os {

// A cell: the rune in bits 0-20, foreground in 24-27, background in 28-30, blink in 31.
using cell_t = u32;
constexpr u32 cell_rune(cell_t c) { return c & 0x1fffff; }
constexpr u8 cell_attribute(cell_t c) { return static_cast<u8>(c >> 24); }

// What the terminal asks of its owner. All calls come from inside write().
struct terminal_host {
  virtual void reply(const char* text) = 0;  // answers to queries: input
  virtual void bell(u32 /*hz*/, u32 /*ms*/) {}
  virtual void leds(u32 /*mask*/, bool /*on*/) {}
  virtual void palette(u32 /*index*/, u8 /*r*/, u8 /*g*/, u8 /*b*/) {}
  virtual void palette_reset() {}
  virtual void line_lost(const cell_t* /*cells*/) {}  // scrolled off the top of the screen
  virtual void scrollback_cleared() {}
  virtual void bring_to_front(u32 /*console*/) {}

 protected:
  ~terminal_host() = default;
};

constexpr u32 kMaxColumns = 256, kMaxRows = 128;

class Terminal {
 public:
  // Cells: columns * rows, the owner's.
  void init(terminal_host* host, cell_t* cells, u32 columns, u32 rows);
  void reset();
  void resize(cell_t* fresh, u32 columns, u32 rows);  // keeps what fits; the owner frees the old cells
  void write(const u8* bytes, size_t n);
  void write_byte(u8 c);

  u32 columns = 0, rows = 0;
  cell_t* cells = nullptr;
  u32 x = 0, y = 0;
  bool cursor_visible = true;
  u8 cursor_shape = 0;
  bool cursor_keys = false, keypad = false, newline_mode = false, autorepeat = true, screen_reverse = false;
  u32 mouse_mode = 0;  // 9: X10, 1000: with releases
  bool utf8 = true;
  u32 dirty_from = 0, dirty_to = 0;  // rows
  cell_t* row(u32 n) { return cells + n * columns; }
  cell_t blank() const;

 private:
  struct Pen {
    u8 foreground = 7, background = 0;
    u8 intensity = 1;  // 0 half, 1 normal, 2 bold
    bool underline = false, reverse = false, blink = false, italic = false;
  };
  struct Saved {
    u32 x = 0, y = 0;
    Pen pen;
    u8 charset = 0, sets[2]{};
    bool origin = false;
  };
  enum class State : u8 { Plain, Escape, Csi, CsiIgnore, Function, Osc, OscText, Palette, Hash, Percent, SetG0, SetG1 };

  u8 attribute() const;
  void touch(u32 from, u32 to);
  void fill(u32 from, u32 to);
  void scroll_up(u32 from, u32 to, u32 n);
  void scroll_down(u32 from, u32 to, u32 n);
  void line_feed();
  void reverse_line_feed();
  void move_to(u32 column, u32 line);
  void move_in_region(u32 column, u32 line);
  void put_rune(u32 rune);
  void plain(u8 c);
  bool control(u8 c);
  void decode(u8 c);
  u32 translate(u8 c) const;
  void escape(u8 c);
  void csi_byte(u8 c);
  void csi(u8 final);
  void csi_edit(u8 final, u32 n);
  void csi_move(u8 final, u32 n);
  void graphics();
  u8 extended_colour(u32& i);
  void modes(bool on);
  void private_mode(u32 mode, bool on);
  void erase_display(u32 how);
  void erase_line(u32 how);
  void device_status(u32 what);
  void setterm();
  void palette_digit(u8 c);
  void tab_clear(u32 how);
  u32 parameter(u32 i) const { return i <= count_ ? parameters_[i] : 0; }

  static constexpr u32 kMaxParameters = 16;
  terminal_host* host_ = nullptr;
  Pen pen_;
  Saved saved_;
  u32 top_ = 0, bottom_ = 0;
  bool wrap_pending_ = false, autowrap_ = true, insert_ = false, origin_ = false, show_controls_ = false;
  State state_ = State::Plain;
  u32 parameters_[kMaxParameters]{};
  u32 count_ = 0;
  u8 prefix_ = 0;
  u32 rune_ = 0, rune_left_ = 0, rune_least_ = 0;
  u8 charset_ = 0, sets_[2]{'B', '0'};
  u8 alternate_ = 0;  // SGR 11, 12: the font's own codes
  u64 tabs_[kMaxColumns / 64]{};
  u32 palette_value_ = 0, palette_digits_ = 0;
  u8 default_foreground_ = 7, default_background_ = 0, underline_colour_ = 15, half_colour_ = 8;
  u32 bell_hz_ = 750, bell_ms_ = 125;
};

u32 cp437_to_rune(u8 c);
// Width of a rune on the screen: 0 combining, 1, 2 East Asian wide.
u32 rune_width(u32 rune);

}  // namespace xm::os
