// SPDX-License-Identifier: GPL-2.0-or-later
// The standard VGA modes: register tables, palettes, mode set.
#include "services/video.h"

namespace xm::fw {
namespace {

constexpr VideoMode kModes[] = {
    {0x01,
     Layout::Text,
     Palette::Ega,
     40,
     25,
     16,
     0x800,
     0xB800,
     0x67,
     {0x08, 0x03, 0x00, 0x02},
     {0x2D, 0x27, 0x28, 0x90, 0x2B, 0xA0, 0xBF, 0x1F, 0x00, 0x4F, 0x0D, 0x0E, 0,
      0,    0,    0,    0x9C, 0x8E, 0x8F, 0x14, 0x1F, 0x96, 0xB9, 0xA3, 0xFF},
     {0, 1, 2, 3, 4, 5, 0x14, 7, 0x38, 0x39, 0x3A, 0x3B, 0x3C, 0x3D, 0x3E, 0x3F, 0x0C, 0, 0x0F, 8},
     {0, 0, 0, 0, 0, 0x10, 0x0E, 0, 0xFF}},
    {0x03,
     Layout::Text,
     Palette::Ega,
     80,
     25,
     16,
     0x1000,
     0xB800,
     0x67,
     {0x00, 0x03, 0x00, 0x02},
     {0x5F, 0x4F, 0x50, 0x82, 0x55, 0x81, 0xBF, 0x1F, 0x00, 0x4F, 0x0D, 0x0E, 0,
      0,    0,    0,    0x9C, 0x8E, 0x8F, 0x28, 0x1F, 0x96, 0xB9, 0xA3, 0xFF},
     {0, 1, 2, 3, 4, 5, 0x14, 7, 0x38, 0x39, 0x3A, 0x3B, 0x3C, 0x3D, 0x3E, 0x3F, 0x0C, 0, 0x0F, 8},
     {0, 0, 0, 0, 0, 0x10, 0x0E, 0, 0xFF}},
    {0x04,
     Layout::Cga4,
     Palette::Cga,
     40,
     25,
     8,
     0x4000,
     0xB800,
     0x63,
     {0x09, 0x03, 0x00, 0x02},
     {0x2D, 0x27, 0x28, 0x90, 0x2B, 0x80, 0xBF, 0x1F, 0x00, 0xC1, 0,    0,   0,
      0,    0,    0,    0x9C, 0x8E, 0x8F, 0x14, 0x00, 0x96, 0xB9, 0xA2, 0xFF},
     {0, 0x13, 0x15, 0x17, 2, 4, 6, 7, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 1, 0, 3, 0},
     {0, 0, 0, 0, 0, 0x30, 0x0F, 0, 0xFF}},
    {0x06,
     Layout::Cga2,
     Palette::Cga,
     80,
     25,
     8,
     0x4000,
     0xB800,
     0x63,
     {0x01, 0x01, 0x00, 0x06},
     {0x5F, 0x4F, 0x50, 0x82, 0x54, 0x80, 0xBF, 0x1F, 0x00, 0xC1, 0,    0,   0,
      0,    0,    0,    0x9C, 0x8E, 0x8F, 0x28, 0x00, 0x96, 0xB9, 0xC2, 0xFF},
     {0, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 1, 0, 1, 0},
     {0, 0, 0, 0, 0, 0, 0x0D, 0, 0xFF}},
    {0x07,
     Layout::Text,
     Palette::Mono,
     80,
     25,
     16,
     0x1000,
     0xB000,
     0x66,
     {0x00, 0x03, 0x00, 0x02},
     {0x5F, 0x4F, 0x50, 0x82, 0x55, 0x81, 0xBF, 0x1F, 0x00, 0x4F, 0x0D, 0x0E, 0,
      0,    0,    0,    0x9C, 0x8E, 0x8F, 0x28, 0x0F, 0x96, 0xB9, 0xA3, 0xFF},
     {0, 8, 8, 8, 8, 8, 8, 8, 0x10, 0x18, 0x18, 0x18, 0x18, 0x18, 0x18, 0x18, 0x0E, 0, 0x0F, 8},
     {0, 0, 0, 0, 0, 0x10, 0x0A, 0, 0xFF}},
    {0x0D,
     Layout::Planar,
     Palette::Cga,
     40,
     25,
     8,
     0x2000,
     0xA000,
     0x63,
     {0x09, 0x0F, 0x00, 0x06},
     {0x2D, 0x27, 0x28, 0x90, 0x2B, 0x80, 0xBF, 0x1F, 0x00, 0xC0, 0,    0,   0,
      0,    0,    0,    0x9C, 0x8E, 0x8F, 0x14, 0x00, 0x96, 0xB9, 0xE3, 0xFF},
     {0, 1, 2, 3, 4, 5, 6, 7, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 1, 0, 0x0F, 0},
     {0, 0, 0, 0, 0, 0, 5, 0x0F, 0xFF}},
    {0x0E,
     Layout::Planar,
     Palette::Cga,
     80,
     25,
     8,
     0x4000,
     0xA000,
     0x63,
     {0x01, 0x0F, 0x00, 0x06},
     {0x5F, 0x4F, 0x50, 0x82, 0x54, 0x80, 0xBF, 0x1F, 0x00, 0xC0, 0,    0,   0,
      0,    0,    0,    0x9C, 0x8E, 0x8F, 0x28, 0x00, 0x96, 0xB9, 0xE3, 0xFF},
     {0, 1, 2, 3, 4, 5, 6, 7, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 1, 0, 0x0F, 0},
     {0, 0, 0, 0, 0, 0, 5, 0x0F, 0xFF}},
    {0x0F,
     Layout::Planar,
     Palette::Mono,
     80,
     25,
     14,
     0x8000,
     0xA000,
     0xA2,
     {0x01, 0x0F, 0x00, 0x06},
     {0x5F, 0x4F, 0x50, 0x82, 0x54, 0x80, 0xBF, 0x1F, 0x00, 0x40, 0,    0,   0,
      0,    0,    0,    0x83, 0x85, 0x5D, 0x28, 0x0F, 0x63, 0xBA, 0xE3, 0xFF},
     {0, 8, 0, 0, 0x18, 0x18, 0, 0, 0, 8, 0, 0, 0, 0x18, 0, 0, 0x0B, 0, 5, 0},
     {0, 0, 0, 0, 0, 0, 5, 5, 0xFF}},
    {0x10,
     Layout::Planar,
     Palette::Ega,
     80,
     25,
     14,
     0x8000,
     0xA000,
     0xA3,
     {0x01, 0x0F, 0x00, 0x06},
     {0x5F, 0x4F, 0x50, 0x82, 0x54, 0x80, 0xBF, 0x1F, 0x00, 0x40, 0,    0,   0,
      0,    0,    0,    0x83, 0x85, 0x5D, 0x28, 0x0F, 0x63, 0xBA, 0xE3, 0xFF},
     {0, 1, 2, 3, 4, 5, 0x14, 7, 0x38, 0x39, 0x3A, 0x3B, 0x3C, 0x3D, 0x3E, 0x3F, 1, 0, 0x0F, 0},
     {0, 0, 0, 0, 0, 0, 5, 0x0F, 0xFF}},
    {0x11,
     Layout::Planar,
     Palette::Ega,
     80,
     30,
     16,
     0xA000,
     0xA000,
     0xE3,
     {0x01, 0x0F, 0x00, 0x06},
     {0x5F, 0x4F, 0x50, 0x82, 0x54, 0x80, 0x0B, 0x3E, 0x00, 0x40, 0,    0,   0,
      0,    0,    0,    0xEA, 0x8C, 0xDF, 0x28, 0x00, 0xE7, 0x04, 0xE3, 0xFF},
     {0, 0x3F, 0, 0x3F, 0, 0x3F, 0, 0x3F, 0, 0x3F, 0, 0x3F, 0, 0x3F, 0, 0x3F, 1, 0, 0x0F, 0},
     {0, 0, 0, 0, 0, 0, 5, 0x0F, 0xFF}},
    {0x12,
     Layout::Planar,
     Palette::Ega,
     80,
     30,
     16,
     0xA000,
     0xA000,
     0xE3,
     {0x01, 0x0F, 0x00, 0x06},
     {0x5F, 0x4F, 0x50, 0x82, 0x54, 0x80, 0x0B, 0x3E, 0x00, 0x40, 0,    0,   0,
      0,    0,    0,    0xEA, 0x8C, 0xDF, 0x28, 0x00, 0xE7, 0x04, 0xE3, 0xFF},
     {0, 1, 2, 3, 4, 5, 0x14, 7, 0x38, 0x39, 0x3A, 0x3B, 0x3C, 0x3D, 0x3E, 0x3F, 1, 0, 0x0F, 0},
     {0, 0, 0, 0, 0, 0, 5, 0x0F, 0xFF}},
    {0x13,
     Layout::Linear,
     Palette::Vga256,
     40,
     25,
     8,
     0xFA00,
     0xA000,
     0x63,
     {0x01, 0x0F, 0x00, 0x0E},
     {0x5F, 0x4F, 0x50, 0x82, 0x54, 0x80, 0xBF, 0x1F, 0x00, 0x41, 0,    0,   0,
      0,    0,    0,    0x9C, 0x8E, 0x8F, 0x28, 0x40, 0x96, 0xB9, 0xA3, 0xFF},
     {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0x41, 0, 0x0F, 0},
     {0, 0, 0, 0, 0, 0x40, 5, 0x0F, 0xFF}},
};

bool g_has_vga;

void put_colour(u8 red, u8 green, u8 blue) {
  out8(0x3C9, red);
  out8(0x3C9, green);
  out8(0x3C9, blue);
}

// Bits rgbRGB: the lower three weigh two thirds, the upper three one third.
void put_ega_colour(u8 index) {
  auto level = [index](int bit) {
    return static_cast<u8>((index >> bit & 1) * 0x2A + (index >> (bit + 3) & 1) * 0x15);
  };
  put_colour(level(2), level(1), level(0));
}

void put_cga_colour(u8 index) {
  const u8 bright = index & 0x10 ? 0x15 : 0;
  auto level = [&](int bit) { return static_cast<u8>((index >> bit & 1) * 0x2A + bright); };
  if ((index & 0x17) == 6) {
    put_colour(0x2A, 0x15, 0);  // brown, not dark yellow
  } else {
    put_colour(level(2), level(1), level(0));
  }
}

// 248 colours: 16 text colours, 16 greys, then 24 hues in three saturations and three intensities [IBM VGA].
void put_256_palette() {
  constexpr u8 kEga16[] = {0, 1, 2, 3, 4, 5, 0x14, 7, 0x38, 0x39, 0x3A, 0x3B, 0x3C, 0x3D, 0x3E, 0x3F};
  constexpr u8 kGreys[] = {0, 5, 8, 11, 14, 17, 20, 24, 28, 32, 36, 40, 45, 50, 56, 63};
  constexpr u8 kLevels[9][5] = {{0, 16, 31, 47, 63}, {31, 39, 47, 55, 63}, {45, 49, 54, 58, 63},
                                {0, 7, 14, 21, 28},  {14, 17, 21, 24, 28}, {20, 22, 24, 26, 28},
                                {0, 4, 8, 12, 16},   {8, 10, 12, 14, 16},  {11, 12, 13, 15, 16}};
  // One channel's level round the circle of 24 hues; green and blue follow red by 8 and 16 steps.
  constexpr u8 kRamp[24] = {0, 1, 2, 3, 4, 4, 4, 4, 4, 4, 4, 4, 4, 3, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0};
  for (u8 index : kEga16) put_ega_colour(index);
  for (u8 grey : kGreys) put_colour(grey, grey, grey);
  for (const auto& level : kLevels) {
    for (u32 hue = 0; hue < 24; hue++) {
      put_colour(level[kRamp[hue]], level[kRamp[(hue + 16) % 24]], level[kRamp[(hue + 8) % 24]]);
    }
  }
  for (u32 i = 0; i < 8; i++) put_colour(0, 0, 0);
}

void update_data_area(const VideoMode& mode, u8 number, bool keep_memory) {
  using namespace bda_at;
  set_bda<u8>(kVideoMode, number);
  set_bda<u16>(kColumns, mode.columns);
  set_bda<u16>(kPageSize, mode.page_size);
  set_bda<u16>(kPageStart, 0);
  for (u32 page = 0; page < 8; page++) set_bda<u16>(kCursors + 2 * page, 0);
  set_bda<u16>(kCursorShape, mode.layout == Layout::Text ? 0x0607 : 0);
  set_bda<u8>(kActivePage, 0);
  set_bda<u16>(kCrtcPort, mode.miscellaneous & 1 ? 0x3D4 : 0x3B4);
  set_bda<u8>(kRows, static_cast<u8>(mode.rows - 1));
  set_bda<u16>(kCharacterHeight, mode.character_height);
  set_bda<u8>(kVideoControl, keep_memory ? 0xE0 : 0x60);
  set_bda<u8>(kVideoSwitches, 0xF9);
  set_bda<u8>(kVideoFlags, static_cast<u8>(bda<u8>(kVideoFlags) & 0x7F));
  set_bda<u8>(kDisplayCode, 8);
  // Mode select and palette registers of a CGA, for programs that read them.
  constexpr u8 kSelect[] = {0x2C, 0x28, 0x2D, 0x29, 0x2A, 0x2E, 0x1E, 0x29};
  set_bda<u8>(kModeSelect, number < 8 ? kSelect[number] : u8{0x29});
  set_bda<u8>(kCgaPalette, number == 6 ? 0x3F : 0x30);
}

void clear_screen(const VideoMode& mode) {
  if (mode.layout == Layout::Text) {
    fill_far16(mode.segment, 0, 0x0720, 0x4000);
    mirror_clear();
  } else {
    clear_graphics(mode);
  }
}

}  // namespace

bool has_vga() { return g_has_vga; }

void probe_vga() {
  // The graphics controller's index register reads back on a VGA and floats without one.
  out8(kGraphics, 0x05);
  const u8 first = in8(kGraphics);
  out8(kGraphics, 0x06);
  g_has_vga = (first & 0x0F) == 5 && (in8(kGraphics) & 0x0F) == 6;
}

const VideoMode* find_video_mode(u8 number) {
  if (number == 0 || number == 2 || number == 5) number = number == 5 ? 4 : static_cast<u8>(number + 1);
  for (const VideoMode& mode : kModes) {
    if (mode.number == number) return &mode;
  }
  return nullptr;
}

const VideoMode& current_video_mode() {
  const VideoMode* mode = find_video_mode(static_cast<u8>(bda<u8>(bda_at::kVideoMode) & 0x7F));
  return mode ? *mode : kModes[1];
}

u16 crtc_port() { return bda<u16>(bda_at::kCrtcPort) == 0x3B4 ? u16{0x3B4} : u16{0x3D4}; }

void reset_attribute_flip_flop() { in8(static_cast<u16>(crtc_port() + 6)); }

void load_default_palette(Palette palette) {
  out8(0x3C6, 0xFF);
  out8(0x3C8, 0);
  if (palette == Palette::Vga256) {
    put_256_palette();
    return;
  }
  constexpr u8 kMonoLevels[] = {0x00, 0x2A, 0x00, 0x3F};
  for (u32 i = 0; i < 64; i++) {
    const u8 index = static_cast<u8>(i), grey = kMonoLevels[i >> 3 & 3];
    if (palette == Palette::Ega) put_ega_colour(index);
    if (palette == Palette::Cga) put_cga_colour(index);
    if (palette == Palette::Mono) put_colour(grey, grey, grey);
  }
}

void write_mode_registers(const VideoMode& mode) {
  const u16 crtc = mode.miscellaneous & 1 ? 0x3D4 : 0x3B4;
  write_indexed(kSequencer, 0, 0x01);  // synchronous reset while the clock changes
  out8(0x3C2, mode.miscellaneous);
  for (u8 i = 0; i < 4; i++) write_indexed(kSequencer, static_cast<u8>(i + 1), mode.sequencer[i]);
  write_indexed(kSequencer, 0, 0x03);
  write_indexed(crtc, 0x11, 0);  // unlock registers 0-7
  for (u8 i = 0; i < 25; i++) write_indexed(crtc, i, mode.crtc[i]);
  for (u8 i = 0; i < 9; i++) write_indexed(kGraphics, i, mode.graphics[i]);
  in8(static_cast<u16>(crtc + 6));
  for (u8 i = 0; i < 20; i++) {
    out8(kAttribute, i);
    out8(kAttribute, mode.attribute[i]);
  }
  out8(kAttribute, 0x14);
  out8(kAttribute, 0);
  out8(kAttribute, 0x20);  // screen on
}

void set_video_mode(u8 number, bool keep_memory) {
  const VideoMode* mode = find_video_mode(number);
  if (!mode) return;
  update_data_area(*mode, number, keep_memory);
  if (!has_vga()) {
    mirror_clear();
    return;
  }
  disable_dispi();
  const bool keep_palette = bda<u8>(bda_at::kVideoFlags) & 8;
  write_mode_registers(*mode);
  if (!keep_palette) load_default_palette(mode->palette);
  if (mode->layout == Layout::Text) load_text_font({near_offset(font_8x16), kDataSegment}, 0, 256, 16, 0);
  if (!keep_memory) clear_screen(*mode);
  const u8* font = mode->character_height == 8 ? font_8x8 : mode->character_height == 14 ? font_8x14 : font_8x16;
  set_vector(0x43, kDataSegment, near_offset(font));
  set_vector(0x1F, kDataSegment, near_offset(font_8x8 + 128 * 8));
}

}  // namespace xm::fw
