// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/display/vnc_keys.h"

#include <utility>

#include "devices/input/input_event.h"

namespace xm::display {

namespace {

// Keys without a character, by the names of the monitor's sendkey.
constexpr std::pair<u32, const char*> kNamed[] = {
    {0xFF08, "backspace"},   {0xFF09, "tab"},       {0xFF0D, "ret"},         {0xFF13, "pause"},
    {0xFF14, "scroll_lock"}, {0xFF15, "sysrq"},     {0xFF1B, "esc"},         {0xFF50, "home"},
    {0xFF51, "left"},        {0xFF52, "up"},        {0xFF53, "right"},       {0xFF54, "down"},
    {0xFF55, "pgup"},        {0xFF56, "pgdn"},      {0xFF57, "end"},         {0xFF61, "print"},
    {0xFF63, "insert"},      {0xFF67, "menu"},      {0xFF7F, "num_lock"},    {0xFF8D, "kp_enter"},
    {0xFFAA, "kp_multiply"}, {0xFFAB, "kp_add"},    {0xFFAD, "kp_subtract"}, {0xFFAE, "kp_decimal"},
    {0xFFAF, "kp_divide"},   {0xFFE1, "shift"},     {0xFFE2, "shift_r"},     {0xFFE3, "ctrl"},
    {0xFFE4, "ctrl_r"},      {0xFFE5, "caps_lock"}, {0xFFE7, "meta_l"},      {0xFFE9, "alt"},
    {0xFFEA, "alt_r"},       {0xFFEB, "meta_l"},    {0xFFEC, "meta_r"},      {0xFE03, "alt_r"},
    {0xFFFF, "delete"}};

constexpr u32 kF1 = 0xFFBE, kF12 = 0xFFC9, kKeypad0 = 0xFFB0, kKeypad9 = 0xFFB9;

}  // namespace

u16 keycode_of_keysym(u32 keysym) {
  if (keysym >= 0x20 && keysym < 0x7F) return devices::keystroke_of(static_cast<char>(keysym)).linux_keycode;
  if (keysym >= kF1 && keysym <= kF12) {
    const char name[] = {'f', static_cast<char>('1' + (keysym - kF1)), '\0'};
    static constexpr const char* kHigh[] = {"f10", "f11", "f12"};
    return devices::keycode_by_name(keysym - kF1 < 9 ? name : kHigh[keysym - kF1 - 9]);
  }
  if (keysym >= kKeypad0 && keysym <= kKeypad9) {
    const char name[] = {'k', 'p', '_', static_cast<char>('0' + (keysym - kKeypad0)), '\0'};
    return devices::keycode_by_name(name);
  }
  for (const auto& [symbol, name] : kNamed) {
    if (symbol == keysym) return devices::keycode_by_name(name);
  }
  return 0;
}

}  // namespace xm::display
