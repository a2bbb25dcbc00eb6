// SPDX-License-Identifier: GPL-2.0-or-later
// The console's terminal: each test sends bytes and looks at rows, cursor and answers.
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "kernel/drivers/vt/terminal.h"

namespace xm::os {
namespace {

struct Screen final : terminal_host {
  explicit Screen(u32 columns = 10, u32 rows = 4) : cells(columns * rows) { t.init(this, cells.data(), columns, rows); }
  void reply(const char* text) override { answer += text; }
  void line_lost(const cell_t* line) override { lost.push_back(text_of(line)); }
  void palette(u32 index, u8 r, u8 g, u8 b) override { colour = {index, r, g, b}; }
  std::string text_of(const cell_t* line) const {
    std::string out;
    for (u32 i = 0; i < t.columns; ++i) {
      const u32 rune = cell_rune(line[i]);
      out += rune < 0x80 ? static_cast<char>(rune) : '#';
    }
    while (!out.empty() && out.back() == ' ') out.pop_back();
    return out;
  }
  Screen& send(const std::string& text) {
    t.write(reinterpret_cast<const u8*>(text.data()), text.size());
    return *this;
  }
  std::string row(u32 n) { return text_of(t.row(n)); }
  u8 attribute(u32 x, u32 y) { return cell_attribute(t.row(y)[x]); }
  std::vector<cell_t> cells;
  Terminal t;
  std::string answer;
  std::vector<std::string> lost;
  std::vector<u32> colour;
};

TEST(Terminal, WrapsOnlyWhenTheNextCharacterComes) {
  Screen s;
  s.send("0123456789");
  EXPECT_EQ(s.t.y, 0u);
  s.send("a");
  EXPECT_EQ(s.row(0), "0123456789");
  EXPECT_EQ(s.row(1), "a");
  s.send("\033[?7l\033[1;10Hxyz");
  EXPECT_EQ(s.row(0), "012345678z");
}

TEST(Terminal, ScrollsTheRegionAndKeepsWhatLeavesTheScreen) {
  Screen s;
  s.send("1\r\n2\r\n3\r\n4\r\n5");
  EXPECT_EQ(s.row(0), "2");
  EXPECT_EQ(s.lost, std::vector<std::string>{"1"});
  s.send("\033[2;3r\033[3;1H\n");
  EXPECT_EQ(s.row(0), "2");
  EXPECT_EQ(s.row(1), "4");
  EXPECT_EQ(s.row(2), "");
  EXPECT_EQ(s.row(3), "5");
  EXPECT_EQ(s.lost.size(), 1u);
  s.send("\033[2;1H\033M");
  EXPECT_EQ(s.row(2), "4");
}

TEST(Terminal, EditsLines) {
  Screen s;
  s.send("abcdef\033[1;3H\033[2P");
  EXPECT_EQ(s.row(0), "abef");
  s.send("\033[2@");
  EXPECT_EQ(s.row(0), "ab  ef");
  s.send("\033[4hXY\033[4l");
  EXPECT_EQ(s.row(0), "abXY  ef");
  s.send("\033[1;1H\033[3X");
  EXPECT_EQ(s.row(0), "   Y  ef");
  s.send("\033[L");
  EXPECT_EQ(s.row(1), "   Y  ef");
  s.send("\033[M\033[1;5H\033[1K");
  EXPECT_EQ(s.row(0), "      ef");
}

TEST(Terminal, OriginModeCountsFromTheRegion) {
  Screen s;
  s.send("\033[2;3r\033[?6h\033[1;1Hx\033[9;1Hy\033[6n");
  EXPECT_EQ(s.row(1), "x");
  EXPECT_EQ(s.row(2), "y");
  EXPECT_EQ(s.answer, "\033[2;2R");
}

TEST(Terminal, Utf8AndItsErrors) {
  Screen s;
  s.send("\xc3\xa9\xe2\x94\x80");
  EXPECT_EQ(cell_rune(s.t.row(0)[0]), 0xe9u);
  EXPECT_EQ(cell_rune(s.t.row(0)[1]), 0x2500u);
  s.send("\r\xc0\x80");  // overlong
  EXPECT_EQ(cell_rune(s.t.row(0)[0]), 0xfffdu);
  s.send("\r\xe2\x94z");  // cut short
  EXPECT_EQ(cell_rune(s.t.row(0)[0]), 0xfffdu);
  EXPECT_EQ(cell_rune(s.t.row(0)[1]), static_cast<u32>('z'));
  s.send("\r\033%@\xe9\033%G");
  EXPECT_EQ(cell_rune(s.t.row(0)[0]), 0xe9u);
}

TEST(Terminal, DrawingCharacters) {
  Screen s;
  s.send("\033(0qx\033(Bq\016q\017");
  EXPECT_EQ(cell_rune(s.t.row(0)[0]), 0x2500u);
  EXPECT_EQ(cell_rune(s.t.row(0)[1]), 0x2502u);
  EXPECT_EQ(cell_rune(s.t.row(0)[2]), static_cast<u32>('q'));
  EXPECT_EQ(cell_rune(s.t.row(0)[3]), 0x2500u);
}

TEST(Terminal, Rendition) {
  Screen s;
  s.send("\033[1;31;44mA\033[0mB\033[7mC\033[0;38;5;196mD\033[38;2;0;0;200mE\033[39;5mF");
  EXPECT_EQ(s.attribute(0, 0), 0x1c);
  EXPECT_EQ(s.attribute(1, 0), 0x07);
  EXPECT_EQ(s.attribute(2, 0), 0x70);
  EXPECT_EQ(s.attribute(3, 0) & 7, 4);
  EXPECT_EQ(s.attribute(4, 0) & 7, 1);
  EXPECT_EQ(s.attribute(5, 0) & 0x80, 0x80);
}

TEST(Terminal, AnswersAndTabs) {
  Screen s(40, 3);
  s.send("\033[c\033[5n\033Z");
  EXPECT_EQ(s.answer, "\033[?6c\033[0n\033[?6c");
  s.send("a\tb");
  EXPECT_EQ(s.t.x, 9u);
  s.send("\r\033[3g\tc");
  EXPECT_EQ(s.t.x, 39u);
  s.send("\r\033[5C\033H\r\t");
  EXPECT_EQ(s.t.x, 5u);
}

TEST(Terminal, SavesAndRestores) {
  Screen s;
  s.send("\033[2;4H\033[31m\0337\033[H\033[0m\0338x");
  EXPECT_EQ(s.row(1), "   x");
  EXPECT_EQ(s.attribute(3, 1), 0x04);
}

TEST(Terminal, PrivateSequencesAreSwallowed) {
  Screen s;
  s.send("\033]0;title\a\033]Pa112233\033[[Ax\033[>c\033[?25ly\033[10;440]\033#8");
  EXPECT_EQ(s.row(0), "EEEEEEEEEE");
  EXPECT_FALSE(s.t.cursor_visible);
  EXPECT_EQ(s.colour, (std::vector<u32>{10, 0x11, 0x22, 0x33}));
  s.send("\033c");
  EXPECT_EQ(s.row(0), "");
  EXPECT_TRUE(s.t.cursor_visible);
}

TEST(Terminal, AnyBytesKeepTheCursorOnTheScreen) {
  std::mt19937 random(7);
  const std::string alphabet = "\033\033[[?;0123456789HABCDLMPX@JKmrhlnq]()%#78cDEM\n\r\t\b\xe2\x94\x80zq";
  for (int turn = 0; turn < 300; ++turn) {
    Screen s(1 + random() % 30, 1 + random() % 12);
    std::string text;
    for (int i = 0; i < 600; ++i) {
      text += random() % 8 == 0 ? static_cast<char>(random()) : alphabet[random() % alphabet.size()];
    }
    s.send(text);
    ASSERT_LT(s.t.x, s.t.columns);
    ASSERT_LT(s.t.y, s.t.rows);
    ASSERT_LE(s.t.dirty_to, s.t.rows);
  }
}

}  // namespace
}  // namespace xm::os
