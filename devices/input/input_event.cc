// SPDX-License-Identifier: GPL-2.0-or-later
#include "devices/input/input_event.h"

#include <string_view>

namespace xm::devices {
namespace {

struct NamedKey {
  std::string_view name;
  u16 keycode;
};
// Names of the monitor's sendkey, numbers of linux/input-event-codes.h.
constexpr NamedKey kKeys[] = {
    {"esc", 1},
    {"1", 2},
    {"2", 3},
    {"3", 4},
    {"4", 5},
    {"5", 6},
    {"6", 7},
    {"7", 8},
    {"8", 9},
    {"9", 10},
    {"0", 11},
    {"minus", 12},
    {"equal", 13},
    {"backspace", 14},
    {"tab", 15},
    {"q", 16},
    {"w", 17},
    {"e", 18},
    {"r", 19},
    {"t", 20},
    {"y", 21},
    {"u", 22},
    {"i", 23},
    {"o", 24},
    {"p", 25},
    {"bracket_left", 26},
    {"bracket_right", 27},
    {"ret", 28},
    {"enter", 28},
    {"ctrl", 29},
    {"a", 30},
    {"s", 31},
    {"d", 32},
    {"f", 33},
    {"g", 34},
    {"h", 35},
    {"j", 36},
    {"k", 37},
    {"l", 38},
    {"semicolon", 39},
    {"apostrophe", 40},
    {"grave_accent", 41},
    {"shift", 42},
    {"backslash", 43},
    {"z", 44},
    {"x", 45},
    {"c", 46},
    {"v", 47},
    {"b", 48},
    {"n", 49},
    {"m", 50},
    {"comma", 51},
    {"dot", 52},
    {"slash", 53},
    {"shift_r", 54},
    {"asterisk", 55},
    {"kp_multiply", 55},
    {"alt", 56},
    {"spc", 57},
    {"caps_lock", 58},
    {"f1", 59},
    {"f2", 60},
    {"f3", 61},
    {"f4", 62},
    {"f5", 63},
    {"f6", 64},
    {"f7", 65},
    {"f8", 66},
    {"f9", 67},
    {"f10", 68},
    {"num_lock", 69},
    {"scroll_lock", 70},
    {"kp_7", 71},
    {"kp_8", 72},
    {"kp_9", 73},
    {"kp_subtract", 74},
    {"kp_4", 75},
    {"kp_5", 76},
    {"kp_6", 77},
    {"kp_add", 78},
    {"kp_1", 79},
    {"kp_2", 80},
    {"kp_3", 81},
    {"kp_0", 82},
    {"kp_decimal", 83},
    {"less", 86},
    {"f11", 87},
    {"f12", 88},
    {"kp_enter", 96},
    {"ctrl_r", 97},
    {"kp_divide", 98},
    {"print", 99},
    {"sysrq", 99},
    {"alt_r", 100},
    {"home", 102},
    {"up", 103},
    {"pgup", 104},
    {"left", 105},
    {"right", 106},
    {"end", 107},
    {"down", 108},
    {"pgdn", 109},
    {"insert", 110},
    {"delete", 111},
    {"audiomute", 113},
    {"volumedown", 114},
    {"volumeup", 115},
    {"power", 116},
    {"pause", 119},
    {"meta_l", 125},
    {"meta_r", 126},
    {"menu", 127},
    {"compose", 127},
    {"sleep", 142},
    {"wake", 143},
};

// Key codes 2..57 of a US keyboard: what they type plain and with shift; 0 types nothing.
constexpr std::string_view kPlain{"1234567890-=\b\tqwertyuiop[]\n\0asdfghjkl;'`\0\\zxcvbnm,./\0\0\0 ", 56};
constexpr std::string_view kShifted{"!@#$%^&*()_+\0\0QWERTYUIOP{}\0\0ASDFGHJKL:\"~\0|ZXCVBNM<>?\0\0\0\0", 56};

}  // namespace

u16 keycode_by_name(const char* name) {
  for (const NamedKey& key : kKeys) {
    if (key.name == name) return key.keycode;
  }
  return 0;
}

Keystroke keystroke_of(char ascii) {
  if (ascii == '\r') ascii = '\n';
  if (ascii == 0x1B) return {1, false};
  if (ascii == 0x7F) return {14, false};
  if (ascii == 0) return {};
  if (const auto at = kPlain.find(ascii); at != std::string_view::npos) return {static_cast<u16>(at + 2), false};
  if (const auto at = kShifted.find(ascii); at != std::string_view::npos) return {static_cast<u16>(at + 2), true};
  return {};
}

}  // namespace xm::devices
