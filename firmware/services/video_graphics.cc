// SPDX-License-Identifier: GPL-2.0-or-later
// Pixels and characters in the graphics modes: CGA interleaved (4, 5, 6), planar (0D-12) and linear (13) [FreeVGA].
#include "services/video.h"

namespace xm::fw {
namespace {

u16 line_bytes(const VideoMode& mode) {
  return static_cast<u16>(mode.layout == Layout::Linear                                ? mode.columns * 8
                          : mode.layout == Layout::Cga4 || mode.layout == Layout::Cga2 ? 80
                                                                                       : mode.columns);
}

u16 cga_offset(u16 y, u16 byte) { return static_cast<u16>((y & 1) * 0x2000 + (y >> 1) * 80 + byte); }

// Planar writes go by write mode 2: the byte is a colour, the bit mask chooses the pixels.
void begin_planar(bool exclusive_or) {
  write_indexed(kGraphics, 5, 0x02);
  write_indexed(kGraphics, 3, exclusive_or ? 0x18 : 0x00);
  write_indexed(kSequencer, 2, 0x0F);
}
void end_planar() {
  write_indexed(kGraphics, 8, 0xFF);
  write_indexed(kGraphics, 5, 0x00);
  write_indexed(kGraphics, 3, 0x00);
}
void planar_bits(u16 offset, u8 mask, u8 colour) {
  write_indexed(kGraphics, 8, mask);
  peek<u8>(0xA000, offset);  // fill the latches
  poke<u8>(0xA000, offset, colour);
}

void cga_pixel(const VideoMode& mode, u16 x, u16 y, u8 colour) {
  const u8 bits = mode.layout == Layout::Cga4 ? 2 : 1;
  const u8 per_byte = static_cast<u8>(8 / bits);
  const u16 offset = cga_offset(y, static_cast<u16>(x / per_byte));
  const u8 shift = static_cast<u8>((per_byte - 1 - x % per_byte) * bits);
  const u8 mask = static_cast<u8>(((1 << bits) - 1) << shift), value = static_cast<u8>(colour << shift & mask);
  const u8 old = peek<u8>(0xB800, offset);
  poke<u8>(0xB800, offset, static_cast<u8>(colour & 0x80 ? old ^ value : (old & ~mask) | value));
}

FarPointer glyph_of(u8 character, u8 height) {
  FarPointer font = get_vector(0x43);
  if (height == 8 && character >= 128) {
    font = get_vector(0x1F);
    character = static_cast<u8>(character - 128);
  }
  return {static_cast<u16>(font.offset + character * height), font.segment};
}

u8 character_height() { return static_cast<u8>(max<u16>(1, min<u16>(bda<u16>(bda_at::kCharacterHeight), 32))); }

}  // namespace

void write_pixel(u8 page, u16 x, u16 y, u8 colour) {
  const VideoMode& mode = current_video_mode();
  const u16 base = static_cast<u16>(page * bda<u16>(bda_at::kPageSize));
  switch (mode.layout) {
    case Layout::Text: break;
    case Layout::Cga4:
    case Layout::Cga2: cga_pixel(mode, x, y, colour); break;
    case Layout::Planar:
      begin_planar(colour & 0x80);
      planar_bits(static_cast<u16>(base + y * line_bytes(mode) + x / 8), static_cast<u8>(0x80 >> (x & 7)),
                  colour & 0x0F);
      end_planar();
      break;
    case Layout::Linear: poke<u8>(0xA000, static_cast<u16>(y * 320 + x), colour); break;
  }
}

u8 read_pixel(u8 page, u16 x, u16 y) {
  const VideoMode& mode = current_video_mode();
  switch (mode.layout) {
    case Layout::Text: return 0;
    case Layout::Cga4: return peek<u8>(0xB800, cga_offset(y, x / 4)) >> (6 - 2 * (x & 3)) & 3;
    case Layout::Cga2: return peek<u8>(0xB800, cga_offset(y, x / 8)) >> (7 - (x & 7)) & 1;
    case Layout::Planar: {
      const u16 offset = static_cast<u16>(page * bda<u16>(bda_at::kPageSize) + y * line_bytes(mode) + x / 8);
      u8 colour = 0;
      for (u8 plane = 0; plane < 4; plane++) {
        write_indexed(kGraphics, 4, plane);
        if (peek<u8>(0xA000, offset) & 0x80 >> (x & 7)) colour |= static_cast<u8>(1 << plane);
      }
      write_indexed(kGraphics, 4, 0);
      return colour;
    }
    case Layout::Linear: return peek<u8>(0xA000, static_cast<u16>(y * 320 + x));
  }
  return 0;
}

void draw_character(u8 page, TextPosition at, u8 character, u8 colour) {
  if (vbe_mode_active()) return;
  const VideoMode& mode = current_video_mode();
  const u8 height = character_height();
  const FarPointer glyph = glyph_of(character, height);
  const u16 top = static_cast<u16>(at.row * height);
  const u16 base = static_cast<u16>(page * bda<u16>(bda_at::kPageSize));
  if (mode.layout == Layout::Planar) begin_planar(colour & 0x80);
  for (u8 line = 0; line < height; line++) {
    const u8 bits = peek<u8>(glyph.segment, static_cast<u16>(glyph.offset + line));
    const u16 y = static_cast<u16>(top + line);
    if (mode.layout == Layout::Planar) {
      const u16 offset = static_cast<u16>(base + y * line_bytes(mode) + at.column);
      planar_bits(offset, bits, colour & 0x0F);
      if (!(colour & 0x80)) planar_bits(offset, static_cast<u8>(~bits), 0);
      continue;
    }
    for (u16 x = 0; x < 8; x++) {
      const bool on = bits & 0x80 >> x;
      if (!on && (colour & 0x80) && mode.layout != Layout::Linear) continue;
      write_pixel(page, static_cast<u16>(at.column * 8 + x), y, on ? colour : u8{0});
    }
  }
  if (mode.layout == Layout::Planar) end_planar();
}

void clear_graphics(const VideoMode& mode) {
  if (mode.layout == Layout::Planar) {
    begin_planar(false);
    write_indexed(kGraphics, 8, 0xFF);
  }
  const u32 words = mode.layout == Layout::Cga4 || mode.layout == Layout::Cga2 ? 0x2000 : 0x7FFF;
  fill_far16(mode.segment, 0, 0, words);
  if (mode.layout == Layout::Planar) end_planar();
}

void scroll_graphics(u8 lines, bool up, u8 attribute, TextPosition from, TextPosition to) {
  if (vbe_mode_active()) return;
  const VideoMode& mode = current_video_mode();
  const u8 height = character_height();
  const bool cga = mode.layout == Layout::Cga4 || mode.layout == Layout::Cga2;
  const u16 unit = mode.layout == Layout::Linear ? 8
                   : mode.layout == Layout::Cga4 ? 2
                                                 : 1;  // bytes a character is wide
  const u16 width = static_cast<u16>((to.column - from.column + 1) * unit), left = static_cast<u16>(from.column * unit);
  const int first = from.row * height, last = (to.row + 1) * height - 1, distance = lines * height;
  auto offset_of = [&](int y) {
    const u16 line = static_cast<u16>(y);
    return static_cast<u16>(cga ? cga_offset(line, left) : line * line_bytes(mode) + left);
  };
  const u16 fill = static_cast<u16>(attribute << 8 | attribute);
  for (int i = 0; i <= last - first; i++) {
    const int y = up ? first + i : last - i, source = up ? y + distance : y - distance;
    if (lines != 0 && source >= first && source <= last) {
      if (mode.layout == Layout::Planar) write_indexed(kGraphics, 5, 0x01);  // write mode 1: copy the latches
      for (u16 x = 0; mode.layout == Layout::Planar && x < width; x++) {
        poke<u8>(0xA000, static_cast<u16>(offset_of(y) + x), peek<u8>(0xA000, static_cast<u16>(offset_of(source) + x)));
      }
      if (mode.layout != Layout::Planar) copy_far(mode.segment, offset_of(y), mode.segment, offset_of(source), width);
      continue;
    }
    if (mode.layout == Layout::Planar) {
      begin_planar(false);
      write_indexed(kGraphics, 8, 0xFF);
    }
    for (u16 x = 0; x < width; x++) {
      poke<u8>(mode.segment, static_cast<u16>(offset_of(y) + x), static_cast<u8>(fill));
    }
  }
  if (mode.layout == Layout::Planar) end_planar();
}

}  // namespace xm::fw
