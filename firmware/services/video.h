// SPDX-License-Identifier: GPL-2.0-or-later
// Inside of INT 10h: mode table, registers, text and graphics primitives. Register contents of the standard modes
// follow [IBM VGA, BIOS modes]; ports and planes [FreeVGA].
#pragma once

#include "services/bda.h"
#include "services/frame.h"

namespace xm::fw {

enum class Layout : u8 { Text, Cga4, Cga2, Planar, Linear };
enum class Palette : u8 { Ega, Cga, Mono, Vga256 };

struct VideoMode {
  u8 number;
  Layout layout;
  Palette palette;
  u8 columns, rows, character_height;
  u16 page_size;
  u16 segment;
  u8 miscellaneous;
  u8 sequencer[4];
  u8 crtc[25];
  u8 attribute[20];
  u8 graphics[9];
};

constexpr u16 kCrtc = 0x3D4, kSequencer = 0x3C4, kGraphics = 0x3CE, kAttribute = 0x3C0;

inline void write_indexed(u16 port, u8 index, u8 value) { out16(port, static_cast<u16>(value << 8 | index)); }
inline u8 read_indexed(u16 port, u8 index) {
  out8(port, index);
  return in8(static_cast<u16>(port + 1));
}

const VideoMode* find_video_mode(u8 number);
// The mode BDA 49 names; mode 3's description if that is none of ours (VBE).
const VideoMode& current_video_mode();
u16 crtc_port();
bool has_vga();
void probe_vga();
void set_video_mode(u8 number, bool keep_memory);
void write_mode_registers(const VideoMode& mode);
void load_default_palette(Palette palette);
void reset_attribute_flip_flop();

// Fonts.
extern "C" const u8 font_8x8[], font_8x14[], font_8x16[];
void load_text_font(FarPointer font, u16 first, u16 count, u8 height, u8 block);
void set_text_height(u8 height);
void int10_font(Frame& f);
void int10_palette(Frame& f);

// Text and characters in all modes.
struct TextPosition {
  u8 column, row;
};
TextPosition cursor_of(u8 page);
void set_cursor(u8 page, TextPosition at);
void write_cell(u8 page, TextPosition at, u8 character, u8 attribute, bool with_attribute);
u16 read_cell(u8 page, TextPosition at);
void teletype(u8 character, u8 page, u8 attribute, bool with_attribute);
void scroll(u8 lines, bool up, u8 attribute, TextPosition from, TextPosition to);
void draw_character(u8 page, TextPosition at, u8 character, u8 colour);
void scroll_graphics(u8 lines, bool up, u8 attribute, TextPosition from, TextPosition to);
void clear_graphics(const VideoMode& mode);
void write_pixel(u8 page, u16 x, u16 y, u8 colour);
u8 read_pixel(u8 page, u16 x, u16 y);

void int10_vbe(Frame& f);

// Saved state: parts as in functions 1C and 4F04.
u16 state_blocks(u16 parts);
void move_video_state(u16 parts, bool save, u16 segment, u16 offset);
u16 video_state(Frame& f);

bool vbe_mode_active();
void disable_dispi();
bool has_dispi();

// The serial mirror of the text screen (fw_cfg etc/sercon-port, or a machine without a VGA).
void mirror_cell(TextPosition at, u8 character, u8 attribute);
void mirror_clear();
void mirror_scroll_up();
void mirror_control(u8 character);
bool mirror_read_key(u16* key);

}  // namespace xm::fw
