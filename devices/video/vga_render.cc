// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/video/vga_render.h"

#include <algorithm>
#include <string_view>

namespace xm::devices {
namespace {

constexpr u8 kClocking8Dots = 0x01;
constexpr u8 kClockingHalf = 0x08;
constexpr u8 kClockingScreenOff = 0x20;

constexpr u8 kAttributeLineGraphics = 0x04;
constexpr u8 kAttributeBlink = 0x08;
constexpr u8 kAttributePanCompat = 0x20;
constexpr u8 kAttribute8Bit = 0x40;
constexpr u8 kAttributeP54 = 0x80;

constexpr u32 kFontBytesPerGlyph = 32;

bool doubled_dots(const VgaCore& core) { return core.sequencer(1) & kClockingHalf; }
u32 dots_per_character(const VgaCore& core) {
  return core.text_mode() && !(core.sequencer(1) & kClocking8Dots) ? 9 : 8;
}

// Plane 2 offset of a character map: SR3 selects among eight, in an order that kept EGA's four.
u32 font_address(unsigned map) { return (map & 3) * 0x4000 + (map >> 2) * 0x2000; }
unsigned font_a(u8 select) { return static_cast<unsigned>(bits(select, 3, 2) | bits(select, 5, 5) << 2); }
unsigned font_b(u8 select) { return static_cast<unsigned>(bits(select, 1, 0) | bits(select, 4, 4) << 2); }

u8 plane(u32 word, unsigned which) { return static_cast<u8>(word >> (8 * which)); }

// The eight dots of a character clock, as palette indices.
void planar_dots(u32 word, u8* dots) {
  for (unsigned i = 0; i < 8; i++) {
    const unsigned shift = 7 - i;
    dots[i] = static_cast<u8>((word >> shift & 1) | (word >> (shift + 7) & 2) | (word >> (shift + 14) & 4) |
                              (word >> (shift + 21) & 8));
  }
}
void interleaved_dots(u32 word, u8* dots) {  // CGA: two bits a dot, even byte then odd byte
  for (unsigned i = 0; i < 8; i++) {
    const unsigned odd = i / 4;
    const unsigned shift = 6 - 2 * (i % 4);
    dots[i] = static_cast<u8>((plane(word, odd) >> shift & 3) | (plane(word, 2 + odd) >> shift & 3) << 2);
  }
}

// Code page 437, whose glyphs a PC's character ROM holds.
constexpr std::u16string_view kCodePage437 =
    u" ☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼"
    u" !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~⌂"
    u"ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐"
    u"└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■ ";
static_assert(kCodePage437.size() == 256);

void append_utf8(std::string& text, char16_t c) {
  if (c < 0x80) {
    text += static_cast<char>(c);
  } else if (c < 0x800) {
    text += static_cast<char>(0xC0 | c >> 6);
    text += static_cast<char>(0x80 | (c & 0x3F));
  } else {
    text += static_cast<char>(0xE0 | c >> 12);
    text += static_cast<char>(0x80 | (c >> 6 & 0x3F));
    text += static_cast<char>(0x80 | (c & 0x3F));
  }
}

}  // namespace

VgaGeometry vga_geometry(const VgaCore& core) {
  VgaGeometry geometry;
  geometry.width = core.columns() * dots_per_character(core) * (doubled_dots(core) ? 2 : 1);
  geometry.height = core.displayed_lines();
  geometry.blank = !core.palette_source() || (core.sequencer(1) & kClockingScreenOff);
  // Registers not yet set up: show the monitor's usual size, dark.
  if (geometry.width < 64 || geometry.height < 16) geometry = {640, 400, true};
  return geometry;
}

VgaScanner::VgaScanner(const VgaCore& core, BlinkPhase blink)
    : core_(core),
      blink_(blink),
      row_address_(core.start_address()),
      row_scan_(core.crtc(8) & 0x1F),
      pan_(core.attribute(0x13) & 0x0F),
      byte_pan_(static_cast<u32>(bits(core.crtc(8), 6, 5))) {}

void VgaScanner::next_line(std::span<u32> pixels) {
  if (core_.text_mode()) {
    text_line(pixels);
  } else {
    graphics_line(pixels);
  }
  advance();
}

void VgaScanner::advance() {
  if (line_++ == core_.line_compare()) {  // the lower part of a split screen starts at address 0
    row_address_ = row_scan_ = 0;
    second_scan_ = false;
    if (core_.attribute(0x10) & kAttributePanCompat) pan_ = byte_pan_ = 0;
    return;
  }
  if ((core_.crtc(9) & 0x80) && !second_scan_) {
    second_scan_ = true;
    return;
  }
  second_scan_ = false;
  row_scan_ = (row_scan_ + 1) & 0x1F;
  if (row_scan_ < core_.lines_per_row()) return;
  row_scan_ = 0;
  row_address_ += core_.crtc(0x13) * 2u;
}

// Attribute controller: palette, then the upper DAC address bits from the colour select register.
u32 VgaScanner::colour_of(u32 palette_index) const {
  const u8 select = core_.attribute(0x14);
  const u8 entry = core_.attribute(palette_index & core_.attribute(0x12) & 0x0F);
  const u32 low = core_.attribute(0x10) & kAttributeP54 ? (entry & 0x0Fu) | (select & 3u) << 4 : entry & 0x3Fu;
  return core_.dac_colour(static_cast<u8>(low | (select & 0x0Cu) << 4));
}

void VgaScanner::text_line(std::span<u32> pixels) {
  std::array<u32, 16> palette;
  for (u32 i = 0; i < 16; i++) palette[i] = colour_of(i);
  const u8 mode = core_.attribute(0x10);
  const u8 select = core_.sequencer(3);
  const u32 repeat = doubled_dots(core_) ? 2 : 1;
  const u32 dots = dots_per_character(core_);
  const u32 cursor_first = core_.crtc(0x0A) & 0x1F;
  const u32 cursor_last = core_.crtc(0x0B) & 0x1F;
  const bool cursor_line =
      blink_.cursor_on && !(core_.crtc(0x0A) & 0x20) && row_scan_ >= cursor_first && row_scan_ <= cursor_last;
  // In 9-dot modes a pan of 8 is none and 0-7 shift by one more.
  const u32 shift = dots == 9 ? (pan_ >= 8 ? 0 : pan_ + 1) : pan_ & 7;
  u32 x = 0;
  u32 skip = shift * repeat;
  for (u32 counter = row_address_ + byte_pan_; x < pixels.size(); counter++) {
    const u32 word = core_.plane_word(core_.display_address(counter, 0));
    const u8 character = plane(word, 0);
    const u8 attribute = plane(word, 1);
    const u32 font = font_address(attribute & 8 ? font_a(select) : font_b(select));
    u32 bits_of_row = plane(core_.plane_word(font + character * kFontBytesPerGlyph + row_scan_), 2);
    u32 foreground = attribute & 0x0F;
    u32 background = attribute >> 4;
    if (mode & kAttributeBlink) {
      if ((attribute & 0x80) && !blink_.text_on) foreground = background & 7;
      background &= 7;
    }
    // The ninth dot continues box-drawing characters, else it is background.
    const bool joins = (mode & kAttributeLineGraphics) && character >= 0xC0 && character <= 0xDF;
    bits_of_row = bits_of_row << 1 | (joins ? bits_of_row & 1 : 0);
    if ((attribute & 0x77) == 0x01 && row_scan_ == (core_.crtc(0x14) & 0x1Fu) && (mode & 0x02)) bits_of_row = 0x1FF;
    if (cursor_line && (counter & 0xFFFF) == core_.cursor_address()) bits_of_row = 0x1FF;
    for (u32 dot = 0; dot < dots * repeat && x < pixels.size(); dot++) {
      if (skip > 0) {
        skip--;
        continue;
      }
      pixels[x++] = palette[bits_of_row >> (8 - dot / repeat) & 1 ? foreground : background];
    }
  }
}

void VgaScanner::graphics_line(std::span<u32> pixels) {
  const bool eight_bit = core_.graphics(5) & 0x40;
  const bool interleaved = core_.graphics(5) & 0x20;
  const bool direct = core_.attribute(0x10) & kAttribute8Bit;
  const u32 repeat = (doubled_dots(core_) ? 2 : 1) * (eight_bit ? 2 : 1);
  const unsigned divide = core_.crtc(0x14) & 0x20 ? 2 : core_.crtc(0x17) & 0x08 ? 1 : 0;  // count by four, by two
  const u32 shift = eight_bit ? (pan_ & 7) / 2 : pan_ & 7;
  std::array<u32, 16> palette;
  for (u32 i = 0; i < 16; i++) palette[i] = colour_of(i);
  std::array<u8, 8> dots{};
  u32 x = 0;
  u32 skip = shift * repeat;
  for (u32 character = 0; x < pixels.size(); character++) {
    const u32 counter = row_address_ + byte_pan_ + (character >> divide);
    const u32 word = core_.plane_word(core_.display_address(counter, row_scan_));
    const u32 count = eight_bit ? 4 : 8;
    if (eight_bit) {
      for (unsigned p = 0; p < 4; p++) dots[p] = plane(word, p);
    } else if (interleaved) {
      interleaved_dots(word, dots.data());
    } else {
      planar_dots(word, dots.data());
    }
    for (u32 dot = 0; dot < count * repeat && x < pixels.size(); dot++) {
      if (skip > 0) {
        skip--;
        continue;
      }
      const u8 value = dots[dot / repeat];
      pixels[x++] = eight_bit && direct ? core_.dac_colour(value) : palette[value & 0x0F];
    }
  }
}

void dispi_line(const BochsDispi& dispi, const VgaCore& core, u32 line, std::span<u32> pixels) {
  const std::span<const u8> memory = core.memory();
  const u64 start = dispi.start_bytes() + u64{line} * dispi.pitch_bytes();
  const u32 bpp = dispi.bits_per_pixel();
  if (bpp == 4) {
    std::array<u8, 8> dots{};
    for (u32 x = 0; x < pixels.size(); x++) {
      if (x % 8 == 0) planar_dots(core.plane_word(static_cast<u32>(start + x / 8)), dots.data());
      pixels[x] = core.dac_colour(core.attribute(dots[x % 8]) & 0x3F);
    }
    return;
  }
  const u32 bytes = (bpp + 7) / 8;
  if (start + u64{bytes} * pixels.size() > memory.size()) {
    std::fill(pixels.begin(), pixels.end(), 0);
    return;
  }
  const u8* from = memory.data() + start;
  const auto five = [](u32 v) { return (v & 31) << 3 | (v & 31) >> 2; };
  const auto six = [](u32 v) { return (v & 63) << 2 | (v & 63) >> 4; };
  for (u32& pixel : pixels) {
    switch (bpp) {
      case 8: pixel = core.dac_colour(*from); break;
      case 15: {
        const u32 v = load_le<u16>(from);
        pixel = five(v >> 10) << 16 | five(v >> 5) << 8 | five(v);
        break;
      }
      case 16: {
        const u32 v = load_le<u16>(from);
        pixel = five(v >> 11) << 16 | six(v >> 5) << 8 | five(v);
        break;
      }
      case 24: pixel = u32{from[2]} << 16 | u32{from[1]} << 8 | from[0]; break;
      default: pixel = load_le<u32>(from) & 0xFF'FFFF; break;
    }
    from += bytes;
  }
}

std::string text_of_screen(const VgaCore& core) {
  const u32 rows = core.displayed_lines() / core.lines_per_row() / (core.crtc(9) & 0x80 ? 2 : 1);
  std::string text;
  for (u32 row = 0; row < rows; row++) {
    std::string line;
    std::size_t length = 0;
    for (u32 column = 0; column < core.columns(); column++) {
      const u32 counter = core.start_address() + row * core.crtc(0x13) * 2 + column;
      const u8 character = plane(core.plane_word(core.display_address(counter, 0)), 0);
      append_utf8(line, kCodePage437[character]);
      if (kCodePage437[character] != u' ') length = line.size();
    }
    text.append(line, 0, length);
    text += '\n';
  }
  return text;
}

}  // namespace xm::devices
