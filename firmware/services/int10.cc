// SPDX-License-Identifier: GPL-2.0-or-later
// INT 10h, video services [IBM VGA BIOS; Ralf Brown's Interrupt List INT 10]. Functions 4Fxx are in vbe.cc, 10h in
// int10_palette.cc, 11h in int10_font.cc.
// GAP: light pen (04) is never triggered.
#include "services/video.h"

namespace xm::fw {
namespace {

void set_mode(Frame& f) {
  const u8 mode = f.al & 0x7F;
  set_video_mode(mode, f.al & 0x80);
  f.al = mode == 6 ? 0x3F : mode <= 7 ? 0x30 : 0x20;
}

void set_cursor_shape(Frame& f) {
  set_bda<u16>(bda_at::kCursorShape, f.cx);
  u8 start = f.ch, end = f.cl & 0x1F;
  const u8 height = static_cast<u8>(bda<u16>(bda_at::kCharacterHeight));
  // Shapes are given for an 8-line cell; a VGA scales them unless told not to [BDA 87 bit 0].
  if (!(bda<u8>(bda_at::kVideoControl) & 1) && height > 8 && end < 8 && (start & 0x1F) < 8 && !(start & 0x20)) {
    end = static_cast<u8>((end + 1) * height / 8 - (end + 1 == (start & 0x1F) ? 0 : 1));
    start = static_cast<u8>(((start & 0x1F) + 1) * height / 8 - 1);
    if (end > height - 2 && height > 8)
      end = static_cast<u8>(height - 2), start = min<u8>(start, static_cast<u8>(end - 1));
  }
  write_indexed(crtc_port(), 0x0A, start);
  write_indexed(crtc_port(), 0x0B, end);
}

void select_page(u8 page) {
  if (page > 7) return;
  const u16 start = static_cast<u16>(page * bda<u16>(bda_at::kPageSize));
  set_bda<u16>(bda_at::kPageStart, start);
  set_bda<u8>(bda_at::kActivePage, page);
  const u16 address = current_video_mode().layout == Layout::Text ? static_cast<u16>(start / 2) : start;
  write_indexed(crtc_port(), 0x0C, static_cast<u8>(address >> 8));
  write_indexed(crtc_port(), 0x0D, static_cast<u8>(address));
  set_cursor(page, cursor_of(page));
}

void set_cga_palette(Frame& f) {
  u8 state = bda<u8>(bda_at::kCgaPalette);
  reset_attribute_flip_flop();
  if (f.bh == 0) {
    state = static_cast<u8>((state & 0xE0) | (f.bl & 0x1F));
    out8(kAttribute, 0x00);
    out8(kAttribute, static_cast<u8>((f.bl & 7) | ((f.bl & 8) << 1)));
    out8(kAttribute, 0x11);
    out8(kAttribute, static_cast<u8>((f.bl & 7) | ((f.bl & 8) << 1)));
  }
  if (f.bh == 1) state = static_cast<u8>((state & 0xDF) | (f.bl & 1 ? 0x20 : 0));
  const u8 base = static_cast<u8>((state & 0x20 ? 3 : 2) | (state & 0x10));
  for (u8 i = 1; i <= 3 && f.bh <= 1; i++) {
    out8(kAttribute, i);
    out8(kAttribute, static_cast<u8>(base + 2 * (i - 1)));
  }
  out8(kAttribute, 0x20);
  set_bda<u8>(bda_at::kCgaPalette, state);
}

void repeat_character(const Frame& f, bool with_attribute) {
  TextPosition at = cursor_of(f.bh);
  const u8 columns = static_cast<u8>(bda<u16>(bda_at::kColumns)), rows = bda<u8>(bda_at::kRows);
  for (u16 left = f.cx; left; left--) {
    write_cell(f.bh, at, f.al, f.bl, with_attribute || current_video_mode().layout != Layout::Text);
    if (++at.column < columns) continue;
    at.column = 0;
    if (++at.row > rows) break;
  }
}

void write_string(Frame& f) {
  const TextPosition old = cursor_of(f.bh);
  set_cursor(f.bh, {f.dl, f.dh});
  u16 at = f.bp;
  for (u16 left = f.cx; left; left--) {
    const u8 character = peek<u8>(f.es, at++);
    u8 attribute = f.bl;
    if (f.al & 2) attribute = peek<u8>(f.es, at++);
    teletype(character, f.bh, attribute, true);
  }
  if (!(f.al & 1)) set_cursor(f.bh, old);
}

void alternate_select(Frame& f) {
  switch (f.bl) {
    case 0x10:
      f.bh = crtc_port() == 0x3B4;
      f.bl = 3;  // 256 KiB
      f.ch = 0;
      f.cl = bda<u8>(bda_at::kVideoSwitches) & 0x0F;
      break;
    case 0x20: break;
    case 0x30: {  // scan lines of text modes, from the next mode set on
      u8 flags = bda<u8>(bda_at::kVideoFlags);
      flags = static_cast<u8>(f.al == 0 ? (flags | 0x80) & ~0x10 : f.al == 1 ? flags & ~0x90 : (flags | 0x10) & ~0x80);
      set_bda<u8>(bda_at::kVideoFlags, flags);
      f.al = 0x12;
      break;
    }
    case 0x31:
      set_bda<u8>(bda_at::kVideoFlags, static_cast<u8>((bda<u8>(bda_at::kVideoFlags) & ~8) | (f.al ? 8 : 0)));
      f.al = 0x12;
      break;
    case 0x33:
      set_bda<u8>(bda_at::kVideoFlags, static_cast<u8>((bda<u8>(bda_at::kVideoFlags) & ~2) | (f.al ? 0 : 2)));
      f.al = 0x12;
      break;
    case 0x34:
      set_bda<u8>(bda_at::kVideoControl, static_cast<u8>((bda<u8>(bda_at::kVideoControl) & ~1) | (f.al & 1)));
      f.al = 0x12;
      break;
    case 0x36: {
      const u8 clocking = read_indexed(kSequencer, 1);
      write_indexed(kSequencer, 1, static_cast<u8>((clocking & ~0x20) | (f.al & 1 ? 0x20 : 0)));
      f.al = 0x12;
      break;
    }
    default: f.al = 0; break;
  }
}

// Static functionality table [IBM VGA BIOS, function 1B].
constexpr u8 kStaticTable[16] = {0xFF, 0xE0, 0x0F, 0, 0, 0, 0, 0x07, 0x02, 0x08, 0xE7, 0x0C, 0, 0, 0, 0};

void functionality(Frame& f) {
  const u16 to = f.di;
  for (u16 i = 0; i < 64; i++) poke<u8>(f.es, static_cast<u16>(to + i), 0);
  poke<u32>(f.es, to, u32{kDataSegment} << 16 | near_offset(kStaticTable));
  for (u16 i = 0; i < 30; i++) poke<u8>(f.es, static_cast<u16>(to + 4 + i), bda<u8>(bda_at::kVideoMode + i));
  poke<u8>(f.es, static_cast<u16>(to + 0x22), static_cast<u8>(bda<u8>(bda_at::kRows) + 1));
  poke<u16>(f.es, static_cast<u16>(to + 0x23), bda<u16>(bda_at::kCharacterHeight));
  poke<u8>(f.es, static_cast<u16>(to + 0x25), 8);  // VGA with colour display
  const VideoMode& mode = current_video_mode();
  const u16 colours = mode.layout == Layout::Linear ? 256
                      : mode.layout == Layout::Cga4 ? 4
                      : mode.layout == Layout::Cga2 ? 2
                                                    : 16;
  poke<u16>(f.es, static_cast<u16>(to + 0x27), colours);
  poke<u8>(f.es, static_cast<u16>(to + 0x29), static_cast<u8>(min<u32>(8, 0x8000u / mode.page_size)));
  const u32 lines = u32{mode.rows} * mode.character_height;
  poke<u8>(f.es, static_cast<u16>(to + 0x2A),
           lines <= 200   ? u8{0}
           : lines <= 350 ? u8{1}
           : lines <= 400 ? u8{2}
                          : u8{3});
  poke<u8>(f.es, static_cast<u16>(to + 0x31), 3);  // 256 KiB
  f.al = 0x1B;
}

}  // namespace
}  // namespace xm::fw

using namespace xm::fw;

extern "C" void int10(Frame* frame) {
  Frame& f = *frame;
  switch (f.ah) {
    case 0x00: set_mode(f); break;
    case 0x01: set_cursor_shape(f); break;
    case 0x02: set_cursor(f.bh, {f.dl, f.dh}); break;
    case 0x03: {
      const TextPosition at = cursor_of(f.bh);
      f.cx = bda<u16>(bda_at::kCursorShape);
      f.dl = at.column;
      f.dh = at.row;
      f.ax = 0;
      break;
    }
    case 0x04: f.ah = 0; break;
    case 0x05: select_page(f.al); break;
    case 0x06:
    case 0x07: scroll(f.al, f.ah == 6, f.bh, {f.cl, f.ch}, {f.dl, f.dh}); break;
    case 0x08: f.ax = read_cell(f.bh, cursor_of(f.bh)); break;
    case 0x09: repeat_character(f, true); break;
    case 0x0A: repeat_character(f, false); break;
    case 0x0B: set_cga_palette(f); break;
    case 0x0C: write_pixel(f.bh, f.cx, f.dx, f.al); break;
    case 0x0D: f.al = read_pixel(f.bh, f.cx, f.dx); break;
    case 0x0E: teletype(f.al, bda<u8>(bda_at::kActivePage), f.bl, false); break;
    case 0x0F:
      f.al = static_cast<u8>(bda<u8>(bda_at::kVideoMode) | (bda<u8>(bda_at::kVideoControl) & 0x80));
      f.ah = static_cast<u8>(bda<u16>(bda_at::kColumns));
      f.bh = bda<u8>(bda_at::kActivePage);
      break;
    case 0x10: int10_palette(f); break;
    case 0x11: int10_font(f); break;
    case 0x12: alternate_select(f); break;
    case 0x13: write_string(f); break;
    case 0x1A:
      if (f.al == 0) f.bx = bda<u8>(bda_at::kDisplayCode);
      if (f.al == 1) set_bda<u8>(bda_at::kDisplayCode, f.bl);
      f.al = 0x1A;
      break;
    case 0x1B: functionality(f); break;
    case 0x1C:
      if (f.al == 0) f.bx = state_blocks(f.cx & 7);
      if (f.al == 1 || f.al == 2) move_video_state(f.cx & 7, f.al == 1, f.es, f.bx);
      if (f.al <= 2) f.al = 0x1C;
      break;
    case 0x4F: int10_vbe(f); break;
    default: break;
  }
}
