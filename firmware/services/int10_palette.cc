// SPDX-License-Identifier: GPL-2.0-or-later
// INT 10h function 10h: attribute controller palette and DAC [IBM VGA BIOS].
#include "services/video.h"

namespace xm::fw {
namespace {

void write_attribute(u8 index, u8 value) {
  reset_attribute_flip_flop();
  out8(kAttribute, index);
  out8(kAttribute, value);
  out8(kAttribute, 0x20);
}

u8 read_attribute(u8 index) {
  reset_attribute_flip_flop();
  out8(kAttribute, index);
  const u8 value = in8(0x3C1);
  reset_attribute_flip_flop();
  out8(kAttribute, 0x20);
  return value;
}

void write_all(const Frame& f) {
  for (u8 i = 0; i < 16; i++) write_attribute(i, peek<u8>(f.es, static_cast<u16>(f.dx + i)));
  write_attribute(0x11, peek<u8>(f.es, static_cast<u16>(f.dx + 16)));
}

void read_all(const Frame& f) {
  for (u8 i = 0; i < 16; i++) poke<u8>(f.es, static_cast<u16>(f.dx + i), read_attribute(i));
  poke<u8>(f.es, static_cast<u16>(f.dx + 16), read_attribute(0x11));
}

void dac_block(const Frame& f, bool write) {
  out8(write ? 0x3C8 : 0x3C7, f.bl);
  for (u32 i = 0; i < u32{f.cx} * 3; i++) {
    const u16 at = static_cast<u16>(f.dx + i);
    if (write) {
      out8(0x3C9, peek<u8>(f.es, at));
    } else {
      poke<u8>(f.es, at, in8(0x3C9));
    }
  }
}

void colour_page(Frame& f) {
  const u8 mode = read_attribute(0x10);
  if (f.al == 0x1A) {
    f.bl = mode >> 7;
    f.bh = static_cast<u8>(mode & 0x80 ? read_attribute(0x14) & 0x0F : read_attribute(0x14) >> 2 & 3);
    return;
  }
  if (f.bl == 0) write_attribute(0x10, static_cast<u8>((mode & 0x7F) | (f.bh << 7)));
  if (f.bl == 1) write_attribute(0x14, static_cast<u8>(mode & 0x80 ? f.bh & 0x0F : (f.bh & 3) << 2));
}

// Weights of the NTSC luminance, in 256ths.
void sum_to_grey(const Frame& f) {
  for (u16 i = 0; i < f.cx; i++) {
    const u8 index = static_cast<u8>(f.bx + i);
    out8(0x3C7, index);
    const u32 red = in8(0x3C9), green = in8(0x3C9), blue = in8(0x3C9);
    const u8 grey = static_cast<u8>((red * 77 + green * 151 + blue * 28 + 128) >> 8);
    out8(0x3C8, index);
    for (int c = 0; c < 3; c++) out8(0x3C9, grey);
  }
}

}  // namespace

void int10_palette(Frame& f) {
  switch (f.al) {
    case 0x00: write_attribute(f.bl & 0x1F, f.bh); break;
    case 0x01: write_attribute(0x11, f.bh); break;
    case 0x02: write_all(f); break;
    case 0x03: write_attribute(0x10, static_cast<u8>((read_attribute(0x10) & ~8) | (f.bl & 1) << 3)); break;
    case 0x07: f.bh = read_attribute(f.bl & 0x1F); break;
    case 0x08: f.bh = read_attribute(0x11); break;
    case 0x09: read_all(f); break;
    case 0x10:
      out8(0x3C8, f.bl);
      out8(0x3C9, f.dh);
      out8(0x3C9, f.ch);
      out8(0x3C9, f.cl);
      break;
    case 0x12: dac_block(f, true); break;
    case 0x13:
    case 0x1A: colour_page(f); break;
    case 0x15:
      out8(0x3C7, f.bl);
      f.dh = in8(0x3C9);
      f.ch = in8(0x3C9);
      f.cl = in8(0x3C9);
      break;
    case 0x17: dac_block(f, false); break;
    case 0x18: out8(0x3C6, f.bl); break;
    case 0x19: f.bl = in8(0x3C6); break;
    case 0x1B: sum_to_grey(f); break;
    default: break;
  }
}

}  // namespace xm::fw
