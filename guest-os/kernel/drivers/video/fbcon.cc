// SPDX-License-Identifier: GPL-2.0-or-later
// The framebuffer console: cells drawn with an 8x16 font. What stands on the screen is remembered, so that only cells
// that change are drawn. [Linux Documentation/fb/fbcon.rst]
#include "kernel/drivers/video/fb.h"
#include "kernel/drivers/vt/vt.h"
#include "kernel/mm/vmalloc.h"

extern "C" const xm::os::u8 console_font[256 * 16];

namespace xm::os {
namespace {

constexpr u32 kWidth = 8, kHeight = 16, kGlyphBytes = 32, kMostGlyphs = 512;

class FramebufferConsole final : public consw {
 public:
  constexpr FramebufferConsole() { name = "fbcon"; }

  bool init(const fb_info& fb) {
    fb_ = fb;
    columns = min(fb.width / kWidth, kMaxColumns);
    rows = min(fb.height / kHeight, kMaxRows);
    drawn_ = static_cast<cell_t*>(vmalloc(columns * rows * sizeof(cell_t)));
    font_ = static_cast<u8*>(vmalloc(kMostGlyphs * kGlyphBytes));
    if (drawn_ == nullptr || font_ == nullptr) return false;
    for (u32 i = 0; i < columns * rows; ++i) drawn_[i] = ~0u;
    for (u32 g = 0; g < 256; ++g) memcpy(font_ + g * kGlyphBytes, console_font + g * 16, 16);
    return true;
  }

  void draw(u32 column, u32 line, const cell_t* cells, u32 n) override {
    for (u32 i = 0; i < n && column + i < columns; ++i) {
      cell_t& there = drawn_[line * columns + column + i];
      if (there == cells[i]) continue;
      there = cells[i];
      draw_cell(column + i, line, cells[i]);
    }
  }

  void cursor(u32 column, u32 line, bool visible, u8 shape) override {
    if (cursor_shown_) {
      const cell_t there = drawn_[cursor_y_ * columns + cursor_x_];
      draw_cell(cursor_x_, cursor_y_, there);
    }
    cursor_shown_ = visible && shape != 1 && column < columns && line < rows;
    if (!cursor_shown_) return;
    cursor_x_ = column;
    cursor_y_ = line;
    static constexpr u32 kLines[] = {2, 0, 2, 5, 8, 11, 16};
    const u32 lines = kLines[min<u32>(shape, 6)];
    const u32 colour = colours_[cell_attribute(drawn_[line * columns + column]) & 15];
    for (u32 y = kHeight - lines; y < kHeight; ++y) {
      volatile u32* to = pixels(column, line, y);
      for (u32 x = 0; x < kWidth; ++x) to[x] = colour;
    }
  }

  void palette(u32 index, const u8* rgb) override {
    const u32 colour = static_cast<u32>(rgb[0]) << 16 | static_cast<u32>(rgb[1]) << 8 | rgb[2];
    if (colours_[index] == colour) return;
    colours_[index] = colour;
    for (u32 i = 0; i < columns * rows; ++i) drawn_[i] = ~0u;
  }

  int set_font(const u8* glyphs, u32 count, u32 height) override {
    if (height != kHeight || count > kMostGlyphs) return -EINVAL;
    memcpy(font_, glyphs, count * kGlyphBytes);
    glyph_count_ = count > 256 ? 512 : 256;
    for (u32 i = 0; i < columns * rows; ++i) drawn_[i] = ~0u;
    return 0;
  }
  u32 get_font(u8* glyphs, u32* height) override {
    *height = kHeight;
    memcpy(glyphs, font_, glyph_count_ * kGlyphBytes);
    return glyph_count_;
  }
  void forget() override {
    for (u32 i = 0; i < columns * rows; ++i) drawn_[i] = ~0u;
  }

 private:
  volatile u32* pixels(u32 column, u32 line, u32 y) {
    return reinterpret_cast<volatile u32*>(fb_.memory + (line * kHeight + y) * static_cast<u64>(fb_.pitch) +
                                           column * kWidth * 4);
  }
  void draw_cell(u32 column, u32 line, cell_t cell) {
    const u8 attribute = cell_attribute(cell);
    const u32 front = colours_[attribute & 15], back = colours_[attribute >> 4 & 7];
    const u8* glyph = font_ + min(glyph_of(cell_rune(cell)), glyph_count_ - 1) * kGlyphBytes;
    for (u32 y = 0; y < kHeight; ++y) {
      volatile u32* to = pixels(column, line, y);
      for (u32 x = 0; x < kWidth; ++x) to[x] = (glyph[y] & 0x80 >> x) != 0 ? front : back;
    }
  }

  fb_info fb_;
  cell_t* drawn_ = nullptr;
  u8* font_ = nullptr;
  u32 glyph_count_ = 256;
  u32 colours_[16]{};
  u32 cursor_x_ = 0, cursor_y_ = 0;
  bool cursor_shown_ = false;
};
constinit FramebufferConsole console_on_fb{};

}  // namespace

bool fbcon_init(const fb_info& fb) {
  if (!console_on_fb.init(fb)) return false;
  if (!vt_fit_display(&console_on_fb)) return false;
  set_display(&console_on_fb);
  return true;
}

}  // namespace xm::os
