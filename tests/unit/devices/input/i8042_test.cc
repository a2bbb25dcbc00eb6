// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/input/i8042.h"

#include <gtest/gtest.h>

#include <vector>

namespace xm::devices {
namespace {

using Bytes = std::vector<int>;

class I8042Test : public ::testing::Test {
 protected:
  struct ResetCounter final : bus::IrqSink {
    void set_input(unsigned, bool level) override { resets += level; }
    int resets = 0;
  };
  I8042Test() {
    reset.connect(counter, 0);
    controller.reset();
  }
  void command(u8 value) { controller.port_write(Port{0x64}, value, 1); }
  void data(u8 value) { controller.port_write(Port{0x60}, value, 1); }
  u8 status() { return static_cast<u8>(controller.port_read(Port{0x64}, 1)); }
  u8 read() { return static_cast<u8>(controller.port_read(Port{0x60}, 1)); }
  void pass(i64 ns) {
    source.advance(ns);
    clock.run_due();
  }
  // Everything that comes, a byte each pause.
  Bytes drain() {
    Bytes bytes;
    while (status() & 1) {
      bytes.push_back(read());
      pass(500'000);
    }
    return bytes;
  }
  Bytes keyboard_says(std::initializer_list<u8> to_keyboard) {
    Bytes all;
    for (u8 byte : to_keyboard) {
      data(byte);
      for (int b : drain()) all.push_back(b);
    }
    return all;
  }
  Bytes mouse_says(std::initializer_list<u8> to_mouse) {
    Bytes all;
    for (u8 byte : to_mouse) {
      command(0xD4);
      data(byte);
      for (int b : drain()) all.push_back(b);
    }
    return all;
  }
  void no_translation() {
    command(0x60);
    data(0x07);
  }
  Bytes press(u16 key) {
    controller.keyboard().key(key, true);
    return drain();
  }
  Bytes release(u16 key) {
    controller.keyboard().key(key, false);
    return drain();
  }

  bus::ManualClock source;
  bus::VirtualClock clock{source};
  bus::IrqLine irq1, irq12, a20, reset;
  ResetCounter counter;
  I8042 controller{{irq1, irq12, a20, reset}, clock};
};

TEST_F(I8042Test, SelfTestsPass) {
  command(0xAA);
  EXPECT_EQ(read(), 0x55);
  command(0xAB);
  EXPECT_EQ(read(), 0x00);
  command(0xA9);
  EXPECT_EQ(read(), 0x00);
  EXPECT_EQ(status() & 0x3D, 0x1C);
}

TEST_F(I8042Test, CommandByteReadsBack) {
  command(0x60);
  data(0x61);
  command(0x20);
  EXPECT_EQ(read(), 0x61);
}

TEST_F(I8042Test, TranslatesToSet1AndInterrupts) {
  controller.keyboard().key(30, true);  // a
  EXPECT_TRUE(irq1.level());
  EXPECT_EQ(status() & 0x21, 0x01);
  EXPECT_EQ(read(), 0x1E);
  EXPECT_FALSE(irq1.level());
  EXPECT_EQ(read(), 0x1E);          // still there for the second reader
  EXPECT_EQ(release(30), Bytes{});  // the pause between bytes
  pass(500'000);
  EXPECT_EQ(drain(), Bytes{0x9E});
  EXPECT_EQ(press(103), (Bytes{0xE0, 0x48}));
  EXPECT_EQ(release(103), (Bytes{0xE0, 0xC8}));
  EXPECT_EQ(press(65), Bytes{0x41});  // F7
}

TEST_F(I8042Test, UntranslatedSet2AndSet3) {
  no_translation();
  EXPECT_EQ(press(30), Bytes{0x1C});
  EXPECT_EQ(release(30), (Bytes{0xF0, 0x1C}));
  EXPECT_EQ(press(65), Bytes{0x83});
  EXPECT_EQ(release(97), (Bytes{0xE0, 0xF0, 0x14}));
  EXPECT_EQ(keyboard_says({0xF0, 0x03}), (Bytes{0xFA, 0xFA}));
  EXPECT_EQ(keyboard_says({0xF0, 0x00}), (Bytes{0xFA, 0xFA, 0x03}));
  EXPECT_EQ(press(97), Bytes{0x58});
  EXPECT_EQ(release(97), (Bytes{0xF0, 0x58}));
  EXPECT_EQ(keyboard_says({0xF0, 0x01}), (Bytes{0xFA, 0xFA}));
  EXPECT_EQ(release(103), (Bytes{0xE0, 0xC8}));
}

TEST_F(I8042Test, PrintScreenAndPause) {
  EXPECT_EQ(press(99), (Bytes{0xE0, 0x2A, 0xE0, 0x37}));
  EXPECT_EQ(release(99), (Bytes{0xE0, 0xB7, 0xE0, 0xAA}));
  EXPECT_EQ(press(119), (Bytes{0xE1, 0x1D, 0x45, 0xE1, 0x9D, 0xC5}));
  EXPECT_EQ(release(119), Bytes{});
  press(29);
  EXPECT_EQ(press(119), (Bytes{0xE0, 0x46, 0xE0, 0xC6}));
}

TEST_F(I8042Test, KeyboardIdentifiesResetsAndSetsLeds) {
  EXPECT_EQ(keyboard_says({0xF2}), (Bytes{0xFA, 0xAB, 0x41}));  // 83h as translated
  EXPECT_EQ(keyboard_says({0xED, 0x05}), (Bytes{0xFA, 0xFA}));
  EXPECT_EQ(controller.keyboard().leds(), 5);
  EXPECT_EQ(keyboard_says({0xFF}), (Bytes{0xFA, 0xAA}));
  EXPECT_EQ(controller.keyboard().leds(), 0);
  EXPECT_EQ(keyboard_says({0xEE}), Bytes{0xEE});
  EXPECT_EQ(keyboard_says({0xE0}), Bytes{0xFE});
}

TEST_F(I8042Test, HeldKeyRepeatsAtTheProgrammedRate) {
  EXPECT_EQ(keyboard_says({0xF3, 0x00}), (Bytes{0xFA, 0xFA}));  // 250 ms, 30 a second
  press(30);
  int repeats = 0;
  for (int ms = 0; ms < 1250; ms++) {
    pass(1'000'000);
    if (status() & 1) {
      EXPECT_EQ(read(), 0x1E);
      repeats++;
    }
  }
  EXPECT_NEAR(repeats, 31, 1);
  release(30);
  pass(1'000'000'000);
  EXPECT_EQ(status() & 1, 0);
}

TEST_F(I8042Test, DisabledScanningIsSilent) {
  EXPECT_EQ(keyboard_says({0xF5}), Bytes{0xFA});
  EXPECT_EQ(press(30), Bytes{});
  EXPECT_EQ(keyboard_says({0xF4}), Bytes{0xFA});
  EXPECT_EQ(press(31), Bytes{0x1F});
}

TEST_F(I8042Test, DisabledInterfaceHoldsBytesBack) {
  command(0xAD);
  EXPECT_EQ(press(30), Bytes{});
  command(0xAE);
  EXPECT_EQ(drain(), Bytes{0x1E});
}

TEST_F(I8042Test, ControllerAnswerComesBeforeWaitingScanCode) {
  controller.keyboard().key(30, true);
  command(0x20);
  EXPECT_EQ(read(), 0x47);
  EXPECT_EQ(read(), 0x1E);
}

TEST_F(I8042Test, A20AndReset) {
  EXPECT_TRUE(a20.level());
  command(0xD1);
  data(0xDD);
  EXPECT_FALSE(a20.level());
  command(0xD0);
  EXPECT_EQ(read() & 0x03, 0x01);
  command(0xDF);
  EXPECT_TRUE(a20.level());
  command(0xDD);
  EXPECT_FALSE(a20.level());
  command(0xFF);  // pulses nothing
  EXPECT_EQ(counter.resets, 0);
  command(0xFE);
  EXPECT_EQ(counter.resets, 1);
}

TEST_F(I8042Test, LoopbackCommandsPickTheInterrupt) {
  command(0xD3);
  data(0x5A);
  EXPECT_TRUE(irq12.level());
  EXPECT_FALSE(irq1.level());
  EXPECT_EQ(status() & 0x21, 0x21);
  EXPECT_EQ(read(), 0x5A);
  command(0xD2);
  data(0xA5);
  EXPECT_TRUE(irq1.level());
  EXPECT_EQ(read(), 0xA5);
}

TEST_F(I8042Test, StandardMousePacket) {
  EXPECT_EQ(mouse_says({0xFF}), (Bytes{0xFA, 0xAA, 0x00}));
  EXPECT_EQ(mouse_says({0xF2}), (Bytes{0xFA, 0x00}));
  controller.mouse().pointer_motion(5, 3, 0);
  controller.mouse().pointer_sync();
  EXPECT_EQ(drain(), Bytes{});  // not enabled
  EXPECT_EQ(mouse_says({0xF4}), Bytes{0xFA});
  controller.mouse().pointer_motion(5, 3, 0);
  controller.mouse().pointer_button(MouseButton::Left, true);
  controller.mouse().pointer_sync();
  EXPECT_TRUE(irq12.level());
  EXPECT_EQ(drain(), (Bytes{0x29, 0x05, 0xFD}));
  controller.mouse().pointer_motion(-300, 0, 0);
  controller.mouse().pointer_sync();
  EXPECT_EQ(drain(), (Bytes{0x19, 0x01, 0x00, 0x19, 0xD3, 0x00}));
}

TEST_F(I8042Test, WheelAndFiveButtons) {
  mouse_says({0xF3, 200, 0xF3, 100, 0xF3, 80});
  EXPECT_EQ(mouse_says({0xF2}), (Bytes{0xFA, 0x03}));
  mouse_says({0xF4});
  controller.mouse().pointer_motion(0, 0, 1);
  controller.mouse().pointer_sync();
  EXPECT_EQ(drain(), (Bytes{0x08, 0x00, 0x00, 0xFF}));
  mouse_says({0xF3, 200, 0xF3, 200, 0xF3, 80});
  EXPECT_EQ(mouse_says({0xF2}), (Bytes{0xFA, 0x04}));
  controller.mouse().pointer_button(MouseButton::Side, true);
  controller.mouse().pointer_motion(0, 0, -2);
  controller.mouse().pointer_sync();
  EXPECT_EQ(drain(), (Bytes{0x08, 0x00, 0x00, 0x12}));
}

TEST_F(I8042Test, MouseStatusRequest) {
  mouse_says({0xE8, 3, 0xF3, 40, 0xE7, 0xF4});
  EXPECT_EQ(mouse_says({0xE9}), (Bytes{0xFA, 0x30, 0x03, 40}));
}

TEST(Keystrokes, CharactersAndNames) {
  EXPECT_EQ(keystroke_of('a').linux_keycode, 30);
  EXPECT_TRUE(keystroke_of('A').shift);
  EXPECT_EQ(keystroke_of('\n').linux_keycode, 28);
  EXPECT_EQ(keystroke_of(' ').linux_keycode, 57);
  EXPECT_EQ(keystroke_of('?').linux_keycode, 53);
  EXPECT_EQ(keystroke_of('|').linux_keycode, 43);
  EXPECT_EQ(keystroke_of('~').linux_keycode, 41);
  EXPECT_EQ(keystroke_of('\x01').linux_keycode, 0);
  EXPECT_EQ(keycode_by_name("ctrl_r"), 97);
  EXPECT_EQ(keycode_by_name("nonsense"), 0);
}

}  // namespace
}  // namespace xm::devices
