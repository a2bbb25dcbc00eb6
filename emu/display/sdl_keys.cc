// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/display/sdl_keys.h"

#include <linux/input-event-codes.h>

#include <array>

namespace xm::display {

namespace {

// Index is the HID usage of page 7.
constexpr std::array<u16, 232> make_table() {
  std::array<u16, 232> t{};
  constexpr u16 kLetters[] = {KEY_A, KEY_B, KEY_C, KEY_D, KEY_E, KEY_F, KEY_G, KEY_H, KEY_I,
                              KEY_J, KEY_K, KEY_L, KEY_M, KEY_N, KEY_O, KEY_P, KEY_Q, KEY_R,
                              KEY_S, KEY_T, KEY_U, KEY_V, KEY_W, KEY_X, KEY_Y, KEY_Z};
  for (unsigned i = 0; i < 26; i++) t[4 + i] = kLetters[i];
  for (unsigned i = 0; i < 10; i++) t[30 + i] = static_cast<u16>(KEY_1 + i);
  constexpr u16 kRest[] = {KEY_ENTER,      KEY_ESC,       KEY_BACKSPACE,  KEY_TAB,       KEY_SPACE,     KEY_MINUS,
                           KEY_EQUAL,      KEY_LEFTBRACE, KEY_RIGHTBRACE, KEY_BACKSLASH, KEY_BACKSLASH, KEY_SEMICOLON,
                           KEY_APOSTROPHE, KEY_GRAVE,     KEY_COMMA,      KEY_DOT,       KEY_SLASH,     KEY_CAPSLOCK};
  for (unsigned i = 0; i < 18; i++) t[40 + i] = kRest[i];
  for (unsigned i = 0; i < 10; i++) t[58 + i] = static_cast<u16>(KEY_F1 + i);
  t[68] = KEY_F11;
  t[69] = KEY_F12;
  constexpr u16 kMiddle[] = {KEY_SYSRQ,   KEY_SCROLLLOCK, KEY_PAUSE,   KEY_INSERT, KEY_HOME,    KEY_PAGEUP, KEY_DELETE,
                             KEY_END,     KEY_PAGEDOWN,   KEY_RIGHT,   KEY_LEFT,   KEY_DOWN,    KEY_UP,     KEY_NUMLOCK,
                             KEY_KPSLASH, KEY_KPASTERISK, KEY_KPMINUS, KEY_KPPLUS, KEY_KPENTER, KEY_KP1,    KEY_KP2,
                             KEY_KP3,     KEY_KP4,        KEY_KP5,     KEY_KP6,    KEY_KP7,     KEY_KP8,    KEY_KP9,
                             KEY_KP0,     KEY_KPDOT,      KEY_102ND,   KEY_COMPOSE};
  for (unsigned i = 0; i < 32; i++) t[70 + i] = kMiddle[i];
  constexpr u16 kModifiers[] = {KEY_LEFTCTRL,  KEY_LEFTSHIFT,  KEY_LEFTALT,  KEY_LEFTMETA,
                                KEY_RIGHTCTRL, KEY_RIGHTSHIFT, KEY_RIGHTALT, KEY_RIGHTMETA};
  for (unsigned i = 0; i < 8; i++) t[224 + i] = kModifiers[i];
  return t;
}

constexpr std::array<u16, 232> kTable = make_table();

}  // namespace

u16 linux_keycode_of_scancode(unsigned scancode) { return scancode < kTable.size() ? kTable[scancode] : u16{0}; }

}  // namespace xm::display
