// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/video/vga.h"

#include <gtest/gtest.h>

#include <numeric>

#include "devices/video/edid.h"
#include "tests/unit/devices/video/vga_modes.h"

namespace xm::devices {
namespace {

class VgaTest : public ::testing::Test {
 protected:
  void gr(u8 index, u8 value) {
    vga.write_port(0x3CE, index);
    vga.write_port(0x3CF, value);
  }
  void sr(u8 index, u8 value) {
    vga.write_port(0x3C4, index);
    vga.write_port(0x3C5, value);
  }
  void cr(u8 index, u8 value) {
    vga.write_port(0x3D4, index);
    vga.write_port(0x3D5, value);
  }
  u8 peek(u64 address) { return static_cast<u8>(vga.window().mmio_read(address - 0xA0000, 1)); }
  void poke(u64 address, u8 value) { vga.window().mmio_write(address - 0xA0000, value, 1); }
  std::array<u8, 4> planes(u32 offset) {
    const u32 word = vga.core().plane_word(offset);
    return {static_cast<u8>(word), static_cast<u8>(word >> 8), static_cast<u8>(word >> 16),
            static_cast<u8>(word >> 24)};
  }
  void dispi(u16 index, u16 value) {
    vga.dispi_ports().port_write(Port{0x1CE}, index, 2);
    vga.dispi_ports().port_write(Port{0x1CF}, value, 2);
  }
  u16 dispi(u16 index) {
    vga.dispi_ports().port_write(Port{0x1CE}, index, 2);
    return static_cast<u16>(vga.dispi_ports().port_read(Port{0x1CF}, 2));
  }
  u32 pixel(u32 x, u32 y) { return surface.pixels[y * surface.width + x]; }
  static u32 shown(u32 index) { return ((index & 0x3F) << 2 | (index & 0x3F) >> 4) << 16 | (index >> 6) << 10; }
  void put_text(u32 cell, const char* text, u8 attribute = 0x07) {
    for (; *text != 0; text++, cell++) {
      poke(0xB8000 + 2 * cell, static_cast<u8>(*text));
      poke(0xB8000 + 2 * cell + 1, attribute);
    }
  }
  // A glyph whose row r is `rows[r]`, through the window as a BIOS loads fonts.
  void load_glyph(u8 character, std::initializer_list<u8> rows) {
    sr(2, 4), sr(4, 6), gr(4, 2), gr(5, 0), gr(6, 4);
    u64 at = 0xA0000 + character * 32u;
    for (u8 row : rows) poke(at++, row);
    sr(2, 3), sr(4, 2), gr(4, 0), gr(5, 0x10), gr(6, 0x0E);
  }

  std::unique_ptr<bus::RamBlock> memory = std::move(bus::RamBlock::create("vga", 16 << 20)).value();
  bus::ManualClock source;
  bus::VirtualClock clock{source};
  Vga vga{*memory, clock};
  Surface surface;
};

TEST_F(VgaTest, IndexedRegistersReadBack) {
  set_mode(vga, kMode03);
  vga.write_port(0x3CE, 6);
  EXPECT_EQ(vga.read_port(0x3CF), 0x0E);
  vga.write_port(0x3D4, 0x13);
  EXPECT_EQ(vga.read_port(0x3D5), 0x28);
  EXPECT_EQ(vga.read_port(0x3B5), 0xFF);  // the monochrome addresses are off
  vga.read_port(0x3DA);
  vga.write_port(0x3C0, 0x10);
  EXPECT_EQ(vga.read_port(0x3C1), 0x0C);
  EXPECT_EQ(vga.read_port(0x3CC), 0x67);
}

TEST_F(VgaTest, CrtcProtectionSparesLineCompare) {
  set_mode(vga, kMode03);  // leaves bit 7 of 11h set
  cr(0, 0x00);
  EXPECT_EQ(vga.read_port(0x3D5), 0x5F);
  cr(7, 0x00);
  EXPECT_EQ(vga.read_port(0x3D5), 0x0F);
}

TEST_F(VgaTest, DacAutoIncrementsAndMasks) {
  vga.write_port(0x3C2, 1);
  vga.write_port(0x3C8, 5);
  for (u8 v : {0x3F, 0x00, 0x15, 0x01, 0x02, 0x03}) vga.write_port(0x3C9, v);
  vga.write_port(0x3C7, 5);
  EXPECT_EQ(vga.read_port(0x3C9), 0x3F);
  vga.read_port(0x3C9);
  EXPECT_EQ(vga.read_port(0x3C9), 0x15);
  EXPECT_EQ(vga.read_port(0x3C9), 0x01);
  EXPECT_EQ(vga.core().dac_colour(5), 0xFF0055u);
  vga.write_port(0x3C6, 0x02);
  EXPECT_EQ(vga.core().dac_colour(5), vga.core().dac_colour(0));
}

TEST_F(VgaTest, WriteMode0SetResetRotateAndFunctions) {
  set_mode(vga, kMode12);
  poke(0xA0000, 0xF0);
  EXPECT_EQ(planes(0), (std::array<u8, 4>{0xF0, 0xF0, 0xF0, 0xF0}));
  gr(0, 0x05), gr(1, 0x03);  // planes 0 and 1 from set/reset
  poke(0xA0000, 0x81);
  EXPECT_EQ(planes(0), (std::array<u8, 4>{0xFF, 0x00, 0x81, 0x81}));
  gr(1, 0), gr(3, 0x04);  // rotate right by four
  poke(0xA0000, 0x12);
  EXPECT_EQ(planes(0)[2], 0x21);
  gr(3, 0x18), gr(8, 0x0F);  // XOR, low nibble only
  EXPECT_EQ(peek(0xA0000), 0x21);
  poke(0xA0000, 0xFF);
  EXPECT_EQ(planes(0)[2], 0x2E);
  gr(3, 0x08), gr(8, 0xFF);  // AND
  peek(0xA0000);
  poke(0xA0000, 0x0F);
  EXPECT_EQ(planes(0)[2], 0x0E);
  gr(3, 0x10);  // OR
  peek(0xA0000);
  poke(0xA0000, 0x80);
  EXPECT_EQ(planes(0)[2], 0x8E);
}

TEST_F(VgaTest, MapMaskAndReadMap) {
  set_mode(vga, kMode12);
  sr(2, 0x04);
  poke(0xA0010, 0x55);
  EXPECT_EQ(planes(0x10), (std::array<u8, 4>{0, 0, 0x55, 0}));
  EXPECT_EQ(peek(0xA0010), 0);
  gr(4, 2);
  EXPECT_EQ(peek(0xA0010), 0x55);
}

TEST_F(VgaTest, WriteMode1CopiesLatches) {
  set_mode(vga, kMode12);
  for (u8 p = 0; p < 4; p++) {
    sr(2, static_cast<u8>(1 << p));
    poke(0xA0000, static_cast<u8>(0x11 * (p + 1)));
  }
  sr(2, 0x0F);
  peek(0xA0000);
  gr(5, 1);
  poke(0xA0100, 0x00);
  EXPECT_EQ(planes(0x100), (std::array<u8, 4>{0x11, 0x22, 0x33, 0x44}));
}

TEST_F(VgaTest, WriteMode2PaintsAColour) {
  set_mode(vga, kMode12);
  gr(5, 2), gr(8, 0x81);
  peek(0xA0000);
  poke(0xA0000, 0x0A);
  EXPECT_EQ(planes(0), (std::array<u8, 4>{0x00, 0x81, 0x00, 0x81}));
}

TEST_F(VgaTest, WriteMode3MasksByData) {
  set_mode(vga, kMode12);
  gr(5, 3), gr(0, 0x06), gr(8, 0xF0);
  peek(0xA0000);
  poke(0xA0000, 0x3C);
  EXPECT_EQ(planes(0), (std::array<u8, 4>{0x00, 0x30, 0x30, 0x00}));
}

TEST_F(VgaTest, ReadMode1ComparesColours) {
  set_mode(vga, kMode12);
  gr(5, 2), gr(8, 0x0F);
  peek(0xA0000);
  poke(0xA0000, 0x05);  // four dots of colour 5 behind four of colour 0
  gr(5, 8), gr(2, 0x05), gr(7, 0x0F);
  EXPECT_EQ(peek(0xA0000), 0x0F);
  gr(2, 0x04), gr(7, 0x0E);  // plane 0 does not matter
  EXPECT_EQ(peek(0xA0000), 0x0F);
  gr(7, 0x00);
  EXPECT_EQ(peek(0xA0000), 0xFF);
}

TEST_F(VgaTest, OddEvenSplitsTextAndChain4SpreadsPixels) {
  set_mode(vga, kMode03);
  poke(0xB8002, 'A');
  poke(0xB8003, 0x1F);
  EXPECT_EQ(planes(2), (std::array<u8, 4>{'A', 0x1F, 0, 0}));
  EXPECT_EQ(vga.window().mmio_read(0x18002, 2), 0x1F41u);
  EXPECT_EQ(peek(0xB0000), 0xFF);  // not in the map
  set_mode(vga, kMode13);
  poke(0xA0007, 0x99);
  EXPECT_EQ(planes(4)[3], 0x99);
  EXPECT_EQ(peek(0xA0007), 0x99);
}

TEST_F(VgaTest, TextScreenAsText) {
  set_mode(vga, kMode03);
  for (u32 i = 0; i < 80 * 25; i++) put_text(i, " ");
  put_text(0, "Hello, world");
  put_text(80 * 2 + 4, "\xB0\xDB");
  EXPECT_EQ(vga.text_screen().substr(0, 25), "Hello, world\n\n    \xE2\x96\x91\xE2\x96\x88\n");
  const std::string text = vga.text_screen();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 25);
  cr(0x0D, 80);  // scrolled by a row
  EXPECT_EQ(vga.text_screen().substr(0, 2), "\n ");
  EXPECT_EQ(vga.mode_description(), "720x400 text");
  set_mode(vga, kMode12);
  EXPECT_EQ(vga.text_screen(), "");
}

TEST_F(VgaTest, TextPicture) {
  set_mode(vga, kMode03);
  load_glyph('A', {0x80, 0x01});
  load_glyph(0xC4, {0xFF});
  cr(0x0A, 0x20);  // no cursor
  put_text(0, "A", 0x1E);
  put_text(1, "\xC4", 0x07);
  EXPECT_TRUE(vga.refresh(surface).resized);
  EXPECT_EQ(surface.width, 720u);
  EXPECT_EQ(surface.height, 400u);
  EXPECT_EQ(pixel(0, 0), shown(0x3E));
  EXPECT_EQ(pixel(1, 0), shown(0x01));
  EXPECT_EQ(pixel(7, 1), shown(0x3E));
  EXPECT_EQ(pixel(8, 1), shown(0x01));   // the ninth dot
  EXPECT_EQ(pixel(17, 0), shown(0x07));  // joined box drawing
  EXPECT_FALSE(vga.refresh(surface).any());
  put_text(80, "A");
  const SurfaceChange change = vga.refresh(surface);
  EXPECT_EQ(change.first_row, 16u);
  EXPECT_EQ(change.end_row, 18u);
}

TEST_F(VgaTest, CursorBlinks) {
  set_mode(vga, kMode03);
  put_text(0, " ");
  vga.refresh(surface);
  EXPECT_EQ(pixel(0, 13), shown(0x07));
  EXPECT_EQ(pixel(0, 12), 0u);
  source.advance(266'000'000);
  EXPECT_EQ(vga.refresh(surface).first_row, 13u);
  EXPECT_EQ(pixel(0, 13), 0u);
}

TEST_F(VgaTest, Mode13PictureIsDoubled) {
  set_mode(vga, kMode13);
  poke(0xA0000 + 320 * 3 + 5, 0xC8);
  vga.refresh(surface);
  EXPECT_EQ(surface.width, 640u);
  EXPECT_EQ(surface.height, 400u);
  for (u32 y : {6u, 7u}) {
    for (u32 x : {10u, 11u}) EXPECT_EQ(pixel(x, y), shown(0xC8)) << x << ',' << y;
  }
  EXPECT_EQ(pixel(12, 6), 0u);
  EXPECT_EQ(pixel(10, 8), 0u);
}

TEST_F(VgaTest, UnchainedModeWithPageFlip) {
  set_mode(vga, kMode13);
  sr(4, 0x06), cr(0x14, 0x00), cr(0x17, 0xE3);  // as mode X
  sr(2, 0x02);
  poke(0xA0000 + 80, 0x21);  // pixel 1 of line 1
  vga.refresh(surface);
  EXPECT_EQ(pixel(2, 2), shown(0x21));
  cr(0x0D, 80);
  vga.refresh(surface);
  EXPECT_EQ(pixel(2, 0), shown(0x21));
}

TEST_F(VgaTest, Mode12PictureWithPanningAndSplit) {
  set_mode(vga, kMode12);
  sr(2, 0x02);
  poke(0xA0000, 0x80);
  vga.refresh(surface);
  EXPECT_EQ(surface.height, 480u);
  EXPECT_EQ(pixel(0, 0), shown(0x02));
  EXPECT_EQ(pixel(1, 0), 0u);
  cr(0x0D, 1);  // byte further: the dot leaves the top
  cr(0x18, 99), cr(0x11, 0x0C), cr(0x07, 0x2E), cr(0x09, 0x00);
  vga.refresh(surface);
  EXPECT_EQ(pixel(0, 0), 0u);
  EXPECT_EQ(pixel(0, 100), shown(0x02));  // the lower screen starts at address 0
}

TEST_F(VgaTest, CgaFourColours) {
  set_mode(vga, kMode04);
  poke(0xB8000, 0x1B);           // dots 0 1 2 3
  poke(0xB8000 + 0x2000, 0xC0);  // the odd lines lie 8 KiB further
  vga.refresh(surface);
  EXPECT_EQ(surface.width, 640u);
  EXPECT_EQ(pixel(0, 0), shown(0x00));
  EXPECT_EQ(pixel(2, 0), shown(0x13));
  EXPECT_EQ(pixel(4, 0), shown(0x15));
  EXPECT_EQ(pixel(7, 1), shown(0x17));
  EXPECT_EQ(pixel(0, 2), shown(0x17));
}

TEST_F(VgaTest, BlankedScreenIsBlack) {
  set_mode(vga, kMode13);
  poke(0xA0000, 0x01);
  vga.read_port(0x3DA);
  vga.write_port(0x3C0, 0x00);  // palette address source off
  vga.refresh(surface);
  EXPECT_EQ(pixel(0, 0), 0u);
  EXPECT_EQ(vga.mode_description(), "640x400 blank");
}

TEST_F(VgaTest, RetraceBitFollowsTheFrame) {
  set_mode(vga, kMode03);
  int retraces = 0;
  bool before = vga.read_port(0x3DA) & 8;
  for (int i = 0; i < 10'000; i++) {
    source.advance(10'000);
    const bool now = vga.read_port(0x3DA) & 8;
    retraces += now && !before;
    before = now;
  }
  EXPECT_EQ(retraces, 7);  // 70 Hz for a tenth of a second
}

TEST_F(VgaTest, DispiIdentifiesItself) {
  EXPECT_EQ(dispi(0), 0xB0C5);
  dispi(0, 0xB0C2);
  EXPECT_EQ(dispi(0), 0xB0C2);
  EXPECT_EQ(dispi(10), 256);
  dispi(4, 2);
  EXPECT_EQ(dispi(3), 32);
}

TEST_F(VgaTest, DispiLinearFrameBuffer) {
  std::memset(memory->host(), 0xAA, 4096);
  dispi(4, 0), dispi(1, 800), dispi(2, 600), dispi(3, 32), dispi(4, 0x41);
  EXPECT_EQ(memory->host()[0], 0);  // cleared
  EXPECT_EQ(dispi(6), 800);
  EXPECT_EQ(dispi(7), (16 << 20) / 3200);
  store_le<u32>(memory->host() + (800 * 7 + 3) * 4, 0xFF123456);
  EXPECT_TRUE(vga.refresh(surface).resized);
  EXPECT_EQ(pixel(3, 7), 0x123456u);
  EXPECT_FALSE(vga.refresh(surface).any());
  store_le<u32>(memory->host() + 800 * 9 * 4, 1);
  const SurfaceChange change = vga.refresh(surface);
  EXPECT_EQ(change.first_row, 9u);
  EXPECT_EQ(change.end_row, 10u);
  dispi(9, 7);  // panned down
  vga.refresh(surface);
  EXPECT_EQ(pixel(3, 0), 0x123456u);
  EXPECT_EQ(vga.mode_description(), "800x600x32");
}

TEST_F(VgaTest, DispiDepths) {
  dispi(1, 640), dispi(2, 480), dispi(3, 16), dispi(4, 0x41);
  store_le<u16>(memory->host(), 0xF81F);
  vga.refresh(surface);
  EXPECT_EQ(pixel(0, 0), 0xFF00FFu);
  dispi(4, 0), dispi(3, 15), dispi(4, 0x41);
  store_le<u16>(memory->host(), 0x03E0);
  vga.refresh(surface);
  EXPECT_EQ(pixel(0, 0), 0x00FF00u);
  dispi(4, 0), dispi(3, 24), dispi(4, 0x41);
  memory->host()[1] = 0x80;
  vga.refresh(surface);
  EXPECT_EQ(pixel(0, 0), 0x008000u);
  dispi(4, 0), dispi(3, 8), dispi(4, 0x61);  // 8-bit DAC
  vga.write_port(0x3C2, 1);
  vga.write_port(0x3C8, 7);
  for (u8 v : {0xFE, 0x01, 0x80}) vga.write_port(0x3C9, v);
  memory->host()[0] = 7;
  vga.refresh(surface);
  EXPECT_EQ(pixel(0, 0), 0xFE0180u);
}

TEST_F(VgaTest, DispiBanksTheWindow) {
  dispi(1, 1024), dispi(2, 768), dispi(3, 8), dispi(4, 1);
  dispi(5, 3);
  poke(0xA0010, 0x77);
  EXPECT_EQ(memory->host()[0x30010], 0x77);
  EXPECT_EQ(peek(0xA0010), 0x77);
}

TEST_F(VgaTest, DispiRefusesWhatDoesNotFit) {
  dispi(1, 16000), dispi(2, 12000), dispi(3, 32), dispi(4, 0x41);
  EXPECT_LE(u64{dispi(1)} * dispi(2) * 4, memory->size_bytes());
  dispi(8, 0xFFFF), dispi(9, 0xFFFF);
  EXPECT_EQ(dispi(8), 0);
  vga.refresh(surface);
  dispi(3, 77);
  EXPECT_EQ(dispi(3), 8);
}

TEST(Edid, ChecksumAndPreferredMode) {
  const auto edid = make_edid(1280, 800);
  EXPECT_EQ(std::accumulate(edid.begin(), edid.end(), 0) & 0xFF, 0);
  EXPECT_EQ(edid[54 + 2] | (edid[54 + 4] & 0xF0) << 4, 1280);
  EXPECT_EQ(edid[54 + 5] | (edid[54 + 7] & 0xF0) << 4, 800);
}

}  // namespace
}  // namespace xm::devices
