// SPDX-License-Identifier: GPL-2.0-or-later
// The key map at start: a US keyboard. Tables of Control and Alt follow from the plain one.
#include "kernel/drivers/input/keyboard.h"

#include "kernel/drivers/tty.h"
#include "kernel/lib/string.h"
#include "kernel/mm/slab.h"

namespace xm::os {

constinit u16 key_maps[kKeyTables][kKeys]{};

namespace {

constexpr char kPlain[] = "\0\0331234567890-=\177\tqwertyuiop[]\0\0asdfghjkl;'`\0\\zxcvbnm,./\0\0\0 ";
constexpr char kShifted[] = "\0\033!@#$%^&*()_+\177\tQWERTYUIOP{}\0\0ASDFGHJKL:\"~\0|ZXCVBNM<>?\0\0\0 ";
constexpr u32 kShift = 1, kControl = 4, kAlt = 8;
constexpr u32 kFunctions = 64;
constinit const char* functions[kFunctions]{};

bool letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

u16 control_of(char c) {
  if (letter(c) || (c >= '[' && c <= '_') || c == '@') return K(KT_LATIN, static_cast<u8>(c & 0x1f));
  switch (c) {
    case ' ':
    case '2': return K(KT_LATIN, 0);
    case '3': return K(KT_LATIN, 0x1b);
    case '4': return K(KT_LATIN, 0x1c);
    case '5': return K(KT_LATIN, 0x1d);
    case '6': return K(KT_LATIN, 0x1e);
    case '7':
    case '/':
    case '-': return K(KT_LATIN, 0x1f);
    case '8':
    case '?': return K(KT_LATIN, 0x7f);
    case '\177': return K(KT_LATIN, 8);
    case '\t': return K(KT_LATIN, '\t');
    default: return K_HOLE;
  }
}

void set_all(u32 code, u16 v) {
  for (auto& table : key_maps) table[code] = v;
}

void characters() {
  for (u32 code = 1; code < sizeof kPlain - 1; ++code) {
    const char plain = kPlain[code], shifted = kShifted[code];
    if (plain == 0) continue;
    for (u32 table = 0; table < kKeyTables; ++table) {
      const char c = (table & kShift) != 0 ? shifted : plain;
      u16 v = K(letter(c) ? KT_LETTER : KT_LATIN, static_cast<u8>(c));
      if ((table & kControl) != 0) {
        v = control_of(c);
        if (v == K_HOLE && (table & kShift) != 0) v = control_of(plain);
      }
      if ((table & kAlt) != 0 && v != K_HOLE) v = K(KT_META, static_cast<u8>(v));
      key_maps[table][code] = v;
    }
  }
}

void function_keys() {
  for (u32 n = 0; n < 12; ++n) {
    const u32 code = n < 10 ? 59 + n : 87 + n - 10;
    for (u32 table = 0; table < kKeyTables; ++table) {
      const u8 value = static_cast<u8>((table & kShift) != 0 && n < 8 ? 12 + n : n);
      key_maps[table][code] = (table & kAlt) != 0 ? K(KT_CONS, static_cast<u8>(n)) : K(KT_FN, value);
    }
  }
}

void editing_keys() {
  const struct {
    u8 code;
    u16 value;
  } keys[] = {
      {102, K(KT_FN, 20)},  {103, K(KT_CUR, 3)},  {104, K(KT_FN, 24)},  {105, K(KT_CUR, 1)},   {106, K(KT_CUR, 2)},
      {107, K(KT_FN, 23)},  {108, K(KT_CUR, 0)},  {109, K(KT_FN, 25)},  {110, K(KT_FN, 21)},   {111, K(KT_FN, 22)},
      {119, K(KT_FN, 29)},  {28, K_ENTER},        {96, K_ENTER},        {98, K(KT_PAD, 13)},   {55, K(KT_PAD, 12)},
      {71, K(KT_PAD, 7)},   {72, K(KT_PAD, 8)},   {73, K(KT_PAD, 9)},   {74, K(KT_PAD, 11)},   {75, K(KT_PAD, 4)},
      {76, K(KT_PAD, 5)},   {77, K(KT_PAD, 6)},   {78, K(KT_PAD, 10)},  {79, K(KT_PAD, 1)},    {80, K(KT_PAD, 2)},
      {81, K(KT_PAD, 3)},   {82, K(KT_PAD, 0)},   {83, K(KT_PAD, 16)},  {42, K(KT_SHIFT, 0)},  {54, K(KT_SHIFT, 0)},
      {29, K(KT_SHIFT, 2)}, {97, K(KT_SHIFT, 2)}, {56, K(KT_SHIFT, 3)}, {100, K(KT_SHIFT, 1)}, {58, K_CAPS},
      {69, K_NUM},          {70, K_HOLD}};
  for (const auto& k : keys) set_all(k.code, k.value);
  key_maps[kShift][104] = K_SCROLLBACK;
  key_maps[kShift][109] = K_SCROLLFORW;
  for (u32 table = 0; table < kKeyTables; ++table) {
    if ((table & kAlt) == 0) continue;
    key_maps[table][105] = K_DECRCONSOLE;
    key_maps[table][106] = K_INCRCONSOLE;
    if ((table & kControl) != 0) key_maps[table][111] = key_maps[table][83] = K_BOOT;
  }
}

}  // namespace

void keymap_default() {
  for (auto& table : key_maps) {
    for (u16& key : table) key = K_HOLE;
  }
  characters();
  function_keys();
  editing_keys();
  static const char* const kStrings[] = {"\033[[A",  "\033[[B",  "\033[[C",  "\033[[D",  "\033[[E",  "\033[17~",
                                         "\033[18~", "\033[19~", "\033[20~", "\033[21~", "\033[23~", "\033[24~",
                                         "\033[25~", "\033[26~", "\033[28~", "\033[29~", "\033[31~", "\033[32~",
                                         "\033[33~", "\033[34~", "\033[1~",  "\033[2~",  "\033[3~",  "\033[4~",
                                         "\033[5~",  "\033[6~",  "\033[M",   "",         "",         "\033[P"};
  for (u32 i = 0; i < array_size(kStrings); ++i) functions[i] = kStrings[i];
}

const char* function_string(u32 n) { return n < kFunctions && functions[n] != nullptr ? functions[n] : ""; }

// The old string may be in use by the interrupt: it is not given back.
int set_function_string(u32 n, const char* text) {
  if (n >= kFunctions) return -EINVAL;
  const char* copy = kstrdup(text);
  if (copy == nullptr) return -ENOMEM;
  functions[n] = copy;
  return 0;
}

void keyboard_init() { keymap_default(); }

}  // namespace xm::os
