// SPDX-License-Identifier: GPL-2.0-or-later
// VGA text mode 3 as a display: cells at B8000, the cursor in the CRT controller, fonts in plane 2, colours in the DAC.
// [IBM VGA technical reference; FreeVGA]. GAP: fonts of other heights than 16 are refused, so the screen has 25 lines.
#include "kernel/arch/x86_64/asm.h"
#include "kernel/drivers/vt/vt.h"
#include "kernel/mm/layout.h"

namespace xm::os {
namespace {

constexpr u16 kSequencer = 0x3c4, kGraphics = 0x3ce, kCrtc = 0x3d4, kDacWrite = 0x3c8, kDacData = 0x3c9;
constexpr u32 kGlyphBytes = 32, kGlyphs = 512;

void write_index(u16 port, u8 index, u8 value) {
  outb(port, index);
  outb(static_cast<u16>(port + 1), value);
}
u8 read_index(u16 port, u8 index) {
  outb(port, index);
  return inb(static_cast<u16>(port + 1));
}

// Plane 2 alone at A0000, as long as this lives.
class FontAccess {
 public:
  FontAccess() {
    write_index(kSequencer, 0, 1);
    write_index(kSequencer, 2, 4);
    write_index(kSequencer, 4, 7);
    write_index(kSequencer, 0, 3);
    write_index(kGraphics, 4, 2);
    write_index(kGraphics, 5, 0);
    write_index(kGraphics, 6, 0);
  }
  ~FontAccess() {
    write_index(kSequencer, 0, 1);
    write_index(kSequencer, 2, 3);
    write_index(kSequencer, 4, 3);
    write_index(kSequencer, 0, 3);
    write_index(kGraphics, 4, 0);
    write_index(kGraphics, 5, 0x10);
    write_index(kGraphics, 6, 0x0e);
  }
  FontAccess(const FontAccess&) = delete;
  FontAccess& operator=(const FontAccess&) = delete;
  // The second 256 glyphs lie 16 KiB further (character map 1).
  volatile u8* glyph(u32 n) {
    return static_cast<volatile u8*>(phys_to_virt(0xa0000)) + (n & 255) * kGlyphBytes + (n >> 8) * 0x4000;
  }
};

class VgaText final : public consw {
 public:
  constexpr VgaText() { name = "VGA+"; }

  void draw(u32 column, u32 line, const cell_t* cells, u32 n) override {
    volatile u16* to = memory() + line * columns + column;
    for (u32 i = 0; i < n; ++i) {
      const u32 glyph = glyph_of(cell_rune(cells[i]));
      u32 attribute = cell_attribute(cells[i]);
      if (glyph_count_ == 512) attribute = (attribute & ~8u) | (glyph >= 256 ? 8 : 0);  // that bit chooses the map
      to[i] = static_cast<u16>(attribute << 8 | (glyph & 255));
    }
  }

  void cursor(u32 column, u32 line, bool visible, u8 shape) override {
    const u32 at = line * columns + column;
    write_index(kCrtc, 0x0e, static_cast<u8>(at >> 8));
    write_index(kCrtc, 0x0f, static_cast<u8>(at));
    static constexpr u8 kStart[] = {14, 14, 14, 11, 8,
                                    5,  0,  0,  0};  // CUR_UNDERLINE, lower third, half, two thirds, block
    const u8 start = shape == 1 || !visible ? 0x20 : kStart[min<u32>(shape, 8)];
    if (start != cursor_start_) {
      write_index(kCrtc, 0x0a, start);
      write_index(kCrtc, 0x0b, 15);
      cursor_start_ = start;
    }
  }

  void palette(u32 index, const u8* rgb) override {
    // The attribute controller's sixteen colours are at these places of the DAC in text modes.
    static constexpr u8 kDac[16] = {0, 1, 2, 3, 4, 5, 20, 7, 56, 57, 58, 59, 60, 61, 62, 63};
    outb(kDacWrite, kDac[index]);
    for (u32 i = 0; i < 3; ++i) outb(kDacData, static_cast<u8>(rgb[i] >> 2));
  }

  int set_font(const u8* glyphs, u32 count, u32 height) override {
    if (height != 16 || count == 0 || count > kGlyphs) return -EINVAL;
    {
      FontAccess font;
      for (u32 n = 0; n < count; ++n) {
        for (u32 i = 0; i < kGlyphBytes; ++i) font.glyph(n)[i] = glyphs[n * kGlyphBytes + i];
      }
    }
    glyph_count_ = count > 256 ? 512 : 256;
    write_index(kSequencer, 3, glyph_count_ == 512 ? 4 : 0);  // map A: 1, map B: 0; bit 3 of the attribute chooses A
    return 0;
  }

  u32 get_font(u8* glyphs, u32* height) override {
    *height = (read_index(kCrtc, 9) & 31) + 1u;
    FontAccess font;
    for (u32 n = 0; n < glyph_count_; ++n) {
      for (u32 i = 0; i < kGlyphBytes; ++i) glyphs[n * kGlyphBytes + i] = i < *height ? font.glyph(n)[i] : u8{0};
    }
    return glyph_count_;
  }

 private:
  static volatile u16* memory() { return static_cast<volatile u16*>(phys_to_virt(0xb8000)); }
  u32 glyph_count_ = 256;
  u8 cursor_start_ = 0xff;
};
constinit VgaText vga{};

}  // namespace

void vga_console_init() { set_display(&vga); }

}  // namespace xm::os
