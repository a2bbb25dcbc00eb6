// SPDX-License-Identifier: GPL-2.0-or-later
// INT 16h, keyboard services [IBM PS/2 BIOS].
#include "services/keyboard.h"
#include "services/video.h"

namespace xm::fw {
namespace {

// What the old functions 00 and 01 show of an enhanced key: E0 becomes 0 or the old key; keys they never knew vanish.
bool to_old_key(u16& key) {
  const u8 scan = static_cast<u8>(key >> 8), character = static_cast<u8>(key);
  if (scan == 0xE0) {
    key = static_cast<u16>((character == '/' ? 0x35 : 0x1C) << 8 | character);
    return true;
  }
  if (scan > 0x84 && character == 0) return false;
  if (scan > 0x84 && character == 0xE0) return false;
  if (character == 0xE0 && scan) key &= 0xFF00;
  if (character == 0xF0 && scan) return false;
  return true;
}

void read_key(Frame& f, bool old) {
  u16 key;
  for (;;) {
    while (!next_key(&key, true)) yield_halt();
    if (!old || to_old_key(key)) break;
  }
  f.ax = key;
}

void check_key(Frame& f, bool old) {
  u16 key;
  yield();
  for (;;) {
    if (!next_key(&key, false)) return f.set_zero(true);
    if (!old || to_old_key(key)) break;
    next_key(&key, true);  // never visible to this caller: drop it, or it would block the others
  }
  f.ax = key;
  f.set_zero(false);
}

}  // namespace

bool next_key(u16* key, bool take) {
  using namespace bda_at;
  u16 typed;
  if (mirror_read_key(&typed)) push_key(typed);
  const u16 head = bda<u16>(kKeyHead);
  if (head == bda<u16>(kKeyTail)) return false;
  *key = bda<u16>(head);
  if (!take) return true;
  u16 next = static_cast<u16>(head + 2);
  if (next >= bda<u16>(kKeyEnd)) next = bda<u16>(kKeyStart);
  set_bda<u16>(kKeyHead, next);
  return true;
}

}  // namespace xm::fw

using namespace xm::fw;

extern "C" void int16(Frame* frame) {
  Frame& f = *frame;
  using namespace bda_at;
  switch (f.ah) {
    case 0x00: read_key(f, true); break;
    case 0x01: check_key(f, true); break;
    case 0x02: f.al = bda<u8>(kKeyFlags0); break;
    case 0x03:
      if (f.al == 5) {
        controller_data(0xF3);
        for (int i = 0; i < 1000 && !(in8(0x64) & 1); i++) cpu_relax();
        if (in8(0x64) & 1) in8(0x60);
        controller_data(static_cast<u8>((f.bh & 3) << 5 | (f.bl & 0x1F)));
      }
      break;
    case 0x05: f.al = push_key(f.cx) ? 0 : 1; break;
    case 0x09: f.al = 0x30; break;  // functions 10-12 and typematic rate
    case 0x0A: f.bx = 0x41AB; break;
    case 0x10:
    case 0x20: read_key(f, false); break;
    case 0x11:
    case 0x21: check_key(f, false); break;
    case 0x12:
    case 0x22: {
      f.al = bda<u8>(kKeyFlags0);
      const u8 flags1 = bda<u8>(kKeyFlags1), flags3 = bda<u8>(kKeyFlags3);
      f.ah = static_cast<u8>((flags1 & 0x73) | (flags1 & 0x04 ? 0x80 : 0) | (flags3 & 0x0C));
      break;
    }
    case 0x92: f.ah = 0x80; break;  // functions 10-12 are there
    case 0xA2: break;
    default: break;
  }
}
