// SPDX-License-Identifier: GPL-2.0-or-later
// INT 10h function 11h: character generators [IBM VGA BIOS]. Text fonts live in plane 2, 32 bytes a character, 8
// blocks.
#include "services/video.h"

namespace xm::fw {
namespace {

FarPointer near_font(const u8* font) { return {near_offset(font), kDataSegment}; }

// Opens plane 2 at A0000 for the processor [FreeVGA, font loading].
void open_font_plane() {
  write_indexed(kSequencer, 0, 0x01);
  write_indexed(kSequencer, 2, 0x04);
  write_indexed(kSequencer, 4, 0x07);
  write_indexed(kSequencer, 0, 0x03);
  write_indexed(kGraphics, 4, 0x02);
  write_indexed(kGraphics, 5, 0x00);
  write_indexed(kGraphics, 6, 0x04);
}

void close_font_plane() {
  write_indexed(kSequencer, 0, 0x01);
  write_indexed(kSequencer, 2, 0x03);
  write_indexed(kSequencer, 4, 0x03);
  write_indexed(kSequencer, 0, 0x03);
  write_indexed(kGraphics, 4, 0x00);
  write_indexed(kGraphics, 5, 0x10);
  write_indexed(kGraphics, 6, crtc_port() == 0x3B4 ? 0x0A : 0x0E);
}

struct BuiltIn {
  const u8* font;
  u8 height;
};

BuiltIn built_in(u8 function) {
  switch (function & 0x0F) {
    case 1: return {font_8x14, 14};
    case 2:
    case 3: return {font_8x8, 8};
    default: return {font_8x16, 16};
  }
}

void set_graphics_font(Frame& f) {
  u8 height = 8;
  switch (f.al) {
    case 0x20: set_vector(0x1F, f.es, f.bp); return;
    case 0x21: set_vector(0x43, f.es, f.bp), height = static_cast<u8>(f.cx); break;
    case 0x22: set_vector(0x43, kDataSegment, near_offset(font_8x14)), height = 14; break;
    case 0x23: set_vector(0x43, kDataSegment, near_offset(font_8x8)), height = 8; break;
    default: set_vector(0x43, kDataSegment, near_offset(font_8x16)), height = 16; break;
  }
  constexpr u8 kRowsOfCode[] = {25, 14, 25, 43};
  const u8 rows = f.bl == 0 ? f.dl : kRowsOfCode[f.bl & 3];
  set_bda<u16>(bda_at::kCharacterHeight, height);
  set_bda<u8>(bda_at::kRows, static_cast<u8>(rows - 1));
}

void font_information(Frame& f) {
  FarPointer font{};
  switch (f.bh) {
    case 0: font = get_vector(0x1F); break;
    case 1: font = get_vector(0x43); break;
    case 2: font = near_font(font_8x14); break;
    case 3: font = near_font(font_8x8); break;
    case 4: font = near_font(font_8x8 + 128 * 8); break;
    case 5: font = near_font(font_8x14); break;
    case 6: font = near_font(font_8x16); break;
    default: font = near_font(font_8x16); break;
  }
  f.es = font.segment;
  f.bp = font.offset;
  f.cx = bda<u16>(bda_at::kCharacterHeight);
  f.dl = bda<u8>(bda_at::kRows);
}

}  // namespace

void load_text_font(FarPointer font, u16 first, u16 count, u8 height, u8 block) {
  if (!has_vga()) return;
  open_font_plane();
  const u16 base = static_cast<u16>(((block & 3) << 14) + ((block & 4) << 11));
  for (u16 i = 0; i < count; i++) {
    copy_far(0xA000, static_cast<u16>(base + (first + i) * 32), font.segment,
             static_cast<u16>(font.offset + i * height), height);
  }
  close_font_plane();
}

void set_text_height(u8 height) {
  if (height < 2 || height > 32) return;
  const u16 port = crtc_port();
  const u8 maximum = read_indexed(port, 0x09);
  write_indexed(port, 0x09, static_cast<u8>((maximum & 0xE0) | (height - 1)));
  const u8 overflow = read_indexed(port, 0x07);
  u16 lines = static_cast<u16>((read_indexed(port, 0x12) | (overflow & 2) << 7 | (overflow & 0x40) << 3) + 1);
  if (maximum & 0x80) lines /= 2;
  const u8 rows = static_cast<u8>(lines / height);
  const u8 bottom = static_cast<u8>(height - (height > 13 ? 3 : 2));
  write_indexed(port, 0x0A, bottom);
  write_indexed(port, 0x0B, static_cast<u8>(bottom + 1));
  set_bda<u16>(bda_at::kCharacterHeight, height);
  set_bda<u8>(bda_at::kRows, static_cast<u8>(rows - 1));
  set_bda<u16>(bda_at::kPageSize, static_cast<u16>(rows * bda<u16>(bda_at::kColumns) * 2));
}

void int10_font(Frame& f) {
  switch (f.al) {
    case 0x00:
    case 0x10:
      load_text_font({f.bp, f.es}, f.dx, f.cx, f.bh, f.bl);
      if (f.al & 0x10) set_text_height(f.bh);
      break;
    case 0x01:
    case 0x02:
    case 0x04:
    case 0x11:
    case 0x12:
    case 0x14: {
      const BuiltIn font = built_in(f.al);
      load_text_font(near_font(font.font), 0, 256, font.height, f.bl);
      if (f.al & 0x10) set_text_height(font.height);
      break;
    }
    case 0x03: write_indexed(kSequencer, 3, f.bl); break;
    case 0x20:
    case 0x21:
    case 0x22:
    case 0x23:
    case 0x24: set_graphics_font(f); break;
    case 0x30: font_information(f); break;
    default: break;
  }
}

}  // namespace xm::fw
