// SPDX-License-Identifier: GPL-2.0-or-later
// Characters on the screen: cursor, cells, teletype, scrolling. Works in text modes itself and hands graphics modes to
// video_graphics.cc. Everything written is also offered to the serial mirror.
#include "services/video.h"

namespace xm::fw {
namespace {

u16 cell_offset(u8 page, TextPosition at) {
  return static_cast<u16>(page * bda<u16>(bda_at::kPageSize) + (at.row * bda<u16>(bda_at::kColumns) + at.column) * 2);
}

bool is_text() { return current_video_mode().layout == Layout::Text; }

void move_hardware_cursor(TextPosition at) {
  const u16 port = crtc_port();
  const u16 address =
      static_cast<u16>(bda<u16>(bda_at::kPageStart) / 2 + at.row * bda<u16>(bda_at::kColumns) + at.column);
  write_indexed(port, 0x0E, static_cast<u8>(address >> 8));
  write_indexed(port, 0x0F, static_cast<u8>(address));
}

void scroll_text(u8 lines, bool up, u8 attribute, TextPosition from, TextPosition to) {
  const u16 segment = current_video_mode().segment;
  const u8 page = bda<u8>(bda_at::kActivePage);
  const u32 width = to.column - from.column + 1u;
  const int height = to.row - from.row + 1;
  const u16 blank = static_cast<u16>(attribute << 8 | ' ');
  for (int i = 0; i < height; i++) {
    const int row = up ? from.row + i : to.row - i;
    const int source = up ? row + lines : row - lines;
    const u16 target_offset = cell_offset(page, {from.column, static_cast<u8>(row)});
    if (lines != 0 && source >= from.row && source <= to.row) {
      copy_far(segment, target_offset, segment, cell_offset(page, {from.column, static_cast<u8>(source)}), width * 2);
    } else {
      fill_far16(segment, target_offset, blank, width);
    }
  }
}

}  // namespace

TextPosition cursor_of(u8 page) {
  const u16 packed = bda<u16>(bda_at::kCursors + 2u * (page & 7));
  return {static_cast<u8>(packed), static_cast<u8>(packed >> 8)};
}

void set_cursor(u8 page, TextPosition at) {
  if (page > 7) return;
  set_bda<u16>(bda_at::kCursors + 2u * page, static_cast<u16>(at.row << 8 | at.column));
  if (page == bda<u8>(bda_at::kActivePage) && has_vga() && is_text()) move_hardware_cursor(at);
}

void write_cell(u8 page, TextPosition at, u8 character, u8 attribute, bool with_attribute) {
  if (is_text()) {
    const u16 segment = current_video_mode().segment, offset = cell_offset(page, at);
    if (with_attribute) {
      poke<u16>(segment, offset, static_cast<u16>(attribute << 8 | character));
    } else {
      poke<u8>(segment, offset, character);
    }
  } else {
    draw_character(page, at, character, attribute);
  }
  if (page == bda<u8>(bda_at::kActivePage)) mirror_cell(at, character, with_attribute ? attribute : u8{7});
}

u16 read_cell(u8 page, TextPosition at) {
  if (!is_text()) return 0;
  return peek<u16>(current_video_mode().segment, cell_offset(page, at));
}

void scroll(u8 lines, bool up, u8 attribute, TextPosition from, TextPosition to) {
  const u8 last_column = static_cast<u8>(bda<u16>(bda_at::kColumns) - 1), last_row = bda<u8>(bda_at::kRows);
  to.column = min(to.column, last_column);
  to.row = min(to.row, last_row);
  if (from.column > to.column || from.row > to.row) return;
  const bool whole = from.column == 0 && from.row == 0 && to.column == last_column && to.row == last_row;
  if (lines > to.row - from.row) lines = 0;
  if (whole && lines == 0) mirror_clear();
  for (u8 i = 0; whole && up && i < lines; i++) mirror_scroll_up();
  if (!has_vga()) return;
  if (is_text()) {
    scroll_text(lines, up, attribute, from, to);
  } else {
    scroll_graphics(lines, up, attribute, from, to);
  }
}

void teletype(u8 character, u8 page, u8 attribute, bool with_attribute) {
  TextPosition at = cursor_of(page);
  const u8 columns = static_cast<u8>(bda<u16>(bda_at::kColumns)), last_row = bda<u8>(bda_at::kRows);
  switch (character) {
    case 7: mirror_control(character); break;
    case 8:
      if (at.column) at.column--;
      break;
    case 10: at.row++; break;
    case 13: at.column = 0; break;
    default: write_cell(page, at, character, attribute, with_attribute); at.column++;
  }
  if (at.column >= columns) {
    at.column = 0;
    at.row++;
  }
  if (at.row > last_row) {
    // The new line takes the attribute under the cursor, as programs that set colours first expect.
    const u8 blank = is_text() ? static_cast<u8>(read_cell(page, {0, last_row}) >> 8) : u8{0};
    scroll(1, true, blank, {0, 0}, {static_cast<u8>(columns - 1), last_row});
    at.row = last_row;
  }
  set_cursor(page, at);
}

}  // namespace xm::fw
