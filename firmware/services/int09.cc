// SPDX-License-Identifier: GPL-2.0-or-later
// INT 9, the keyboard interrupt: scan codes of set 1 to characters, shift states, the special combinations; and the
// keyboard's start-up [IBM AT BIOS, KB_INT; IBM PS/2 keyboard, 8042].
// GAP: Print Screen key's own INT 5 prints to LPT1 only through int05's handler, which does nothing without a printer.
#include "services/keyboard.h"

namespace xm::fw {
namespace {

constexpr u16 kDataPort = 0x60, kStatusPort = 0x64;
constexpr u8 kOutputFull = 1, kInputFull = 2, kFromMouse = 0x20;

constexpr u8 kRightShift = 0x01, kLeftShift = 0x02, kCtrl = 0x04, kAlt = 0x08, kScroll = 0x10, kNum = 0x20,
             kCaps = 0x40, kInsert = 0x80;
constexpr u8 kPause = 0x08;                                                            // in flags 1
constexpr u8 kE1Prefix = 0x01, kE0Prefix = 0x02, kRightCtrl = 0x04, kRightAlt = 0x08;  // in flags 3

struct Key {
  u16 plain, shifted, control, alternate;
};
constexpr u16 kNone = 0;
constexpr u16 K(u8 scan, char c) { return static_cast<u16>(scan << 8 | static_cast<u8>(c)); }

// One row per scan code from 01 [IBM PS/2 BIOS, keystroke table].
constexpr Key letter(u8 scan, char c) {
  return {K(scan, c), K(scan, static_cast<char>(c - 32)), K(scan, static_cast<char>(c - 96)), K(scan, 0)};
}
constexpr Key symbol(u8 scan, char plain, char shifted, u16 control = kNone, u16 alternate = kNone) {
  return {K(scan, plain), K(scan, shifted), control, alternate};
}
constexpr Key function_key(u8 scan, u8 shifted, u8 control, u8 alternate) {
  return {K(scan, 0), K(shifted, 0), K(control, 0), K(alternate, 0)};
}
// Keypad: the digit comes with Num Lock or Shift, the function without.
constexpr Key keypad(u8 scan, char digit, u8 control) { return {K(scan, 0), K(scan, digit), K(control, 0), kNone}; }

constexpr Key kKeys[] = {
    {K(0x01, 27), K(0x01, 27), K(0x01, 27), K(0x01, 0)},
    symbol(0x02, '1', '!', kNone, 0x7800),
    symbol(0x03, '2', '@', 0x0300, 0x7900),
    symbol(0x04, '3', '#', kNone, 0x7A00),
    symbol(0x05, '4', '$', kNone, 0x7B00),
    symbol(0x06, '5', '%', kNone, 0x7C00),
    symbol(0x07, '6', '^', 0x071E, 0x7D00),
    symbol(0x08, '7', '&', kNone, 0x7E00),
    symbol(0x09, '8', '*', kNone, 0x7F00),
    symbol(0x0A, '9', '(', kNone, 0x8000),
    symbol(0x0B, '0', ')', kNone, 0x8100),
    symbol(0x0C, '-', '_', 0x0C1F, 0x8200),
    symbol(0x0D, '=', '+', kNone, 0x8300),
    {K(0x0E, 8), K(0x0E, 8), K(0x0E, 127), 0x0E00},
    {K(0x0F, 9), 0x0F00, 0x9400, 0xA500},
    letter(0x10, 'q'),
    letter(0x11, 'w'),
    letter(0x12, 'e'),
    letter(0x13, 'r'),
    letter(0x14, 't'),
    letter(0x15, 'y'),
    letter(0x16, 'u'),
    letter(0x17, 'i'),
    letter(0x18, 'o'),
    letter(0x19, 'p'),
    symbol(0x1A, '[', '{', 0x1A1B, 0x1A00),
    symbol(0x1B, ']', '}', 0x1B1D, 0x1B00),
    {K(0x1C, 13), K(0x1C, 13), K(0x1C, 10), 0x1C00},
    {},  // control
    letter(0x1E, 'a'),
    letter(0x1F, 's'),
    letter(0x20, 'd'),
    letter(0x21, 'f'),
    letter(0x22, 'g'),
    letter(0x23, 'h'),
    letter(0x24, 'j'),
    letter(0x25, 'k'),
    letter(0x26, 'l'),
    symbol(0x27, ';', ':', kNone, 0x2700),
    symbol(0x28, '\'', '"', kNone, 0x2800),
    symbol(0x29, '`', '~', kNone, 0x2900),
    {},  // left shift
    symbol(0x2B, '\\', '|', 0x2B1C, 0x2B00),
    letter(0x2C, 'z'),
    letter(0x2D, 'x'),
    letter(0x2E, 'c'),
    letter(0x2F, 'v'),
    letter(0x30, 'b'),
    letter(0x31, 'n'),
    letter(0x32, 'm'),
    symbol(0x33, ',', '<', kNone, 0x3300),
    symbol(0x34, '.', '>', kNone, 0x3400),
    symbol(0x35, '/', '?', kNone, 0x3500),
    {},  // right shift
    {K(0x37, '*'), K(0x37, '*'), 0x9600, 0x3700},
    {},  // alternate
    {K(0x39, ' '), K(0x39, ' '), K(0x39, ' '), K(0x39, ' ')},
    {},  // caps lock
    function_key(0x3B, 0x54, 0x5E, 0x68),
    function_key(0x3C, 0x55, 0x5F, 0x69),
    function_key(0x3D, 0x56, 0x60, 0x6A),
    function_key(0x3E, 0x57, 0x61, 0x6B),
    function_key(0x3F, 0x58, 0x62, 0x6C),
    function_key(0x40, 0x59, 0x63, 0x6D),
    function_key(0x41, 0x5A, 0x64, 0x6E),
    function_key(0x42, 0x5B, 0x65, 0x6F),
    function_key(0x43, 0x5C, 0x66, 0x70),
    function_key(0x44, 0x5D, 0x67, 0x71),
    {},
    {},  // num lock, scroll lock
    keypad(0x47, '7', 0x77),
    keypad(0x48, '8', 0x8D),
    keypad(0x49, '9', 0x84),
    {K(0x4A, '-'), K(0x4A, '-'), 0x8E00, 0x4A00},
    keypad(0x4B, '4', 0x73),
    {K(0x4C, 0), K(0x4C, '5'), 0x8F00, kNone},
    keypad(0x4D, '6', 0x74),
    {K(0x4E, '+'), K(0x4E, '+'), 0x9000, 0x4E00},
    keypad(0x4F, '1', 0x75),
    keypad(0x50, '2', 0x91),
    keypad(0x51, '3', 0x76),
    keypad(0x52, '0', 0x92),
    keypad(0x53, '.', 0x93),
    {},
    {},  // system request, 55
    {K(0x56, '\\'), K(0x56, '|'), kNone, kNone},
    {0x8500, 0x8700, 0x8900, 0x8B00},
    {0x8600, 0x8800, 0x8A00, 0x8C00},
};
static_assert(count_of(kKeys) == 0x58);

u8 flags(u32 at) { return bda<u8>(at); }
void change(u32 at, u8 bits, bool on) {
  const u8 old = bda<u8>(at);
  set_bda<u8>(at, static_cast<u8>(on ? old | bits : old & ~bits));
}

// Shift, control, alternate: both halves of a pair count.
bool handle_modifier(u8 code, bool released, bool extended) {
  using namespace bda_at;
  switch (code) {
    case 0x2A:
    case 0x36:
      if (!extended) change(kKeyFlags0, code == 0x2A ? kLeftShift : kRightShift, !released);
      return true;  // with E0 it is only the keyboard's own bracket round a grey key
    case 0x1D: {
      if (extended) {
        change(kKeyFlags3, kRightCtrl, !released);
      } else {
        change(kKeyFlags1, 0x01, !released);
      }
      change(kKeyFlags0, kCtrl, (flags(kKeyFlags1) & 0x01) || (flags(kKeyFlags3) & kRightCtrl));
      return true;
    }
    case 0x38: {
      if (extended) {
        change(kKeyFlags3, kRightAlt, !released);
      } else {
        change(kKeyFlags1, 0x02, !released);
      }
      const bool down = (flags(kKeyFlags1) & 0x02) || (flags(kKeyFlags3) & kRightAlt);
      change(kKeyFlags0, kAlt, down);
      const u8 number = bda<u8>(kAltNumber);
      if (!down && number) {
        push_key(number);  // a character typed by its code on the keypad
        set_bda<u8>(kAltNumber, 0);
      }
      return true;
    }
    default: return false;
  }
}

void update_leds() {
  const u8 leds = static_cast<u8>(flags(bda_at::kKeyFlags0) >> 4 & 7);
  if ((flags(bda_at::kLeds) & 7) == leds) return;
  set_bda<u8>(bda_at::kLeds, static_cast<u8>((flags(bda_at::kLeds) & ~7) | leds));
  // The acknowledges come back as interrupts and are dropped there.
  controller_data(0xED);
  for (int i = 0; i < 1000 && !(in8(kStatusPort) & kOutputFull); i++) cpu_relax();
  if ((in8(kStatusPort) & (kOutputFull | kFromMouse)) == kOutputFull) in8(kDataPort);
  controller_data(leds);
}

bool handle_lock(u8 code, bool released, bool extended) {
  using namespace bda_at;
  const bool control = flags(kKeyFlags0) & kCtrl;
  u8 bit;
  switch (code) {
    case 0x3A: bit = kCaps; break;
    case 0x45:
      if (control && !extended) {  // Ctrl-Num Lock is Pause on old keyboards
        if (!released) change(kKeyFlags1, kPause, true);
        return true;
      }
      bit = kNum;
      break;
    case 0x46:
      if (control || extended) {
        if (released) return true;
        set_bda<u8>(kBreak, 0x80);
        set_bda<u16>(kKeyHead, bda<u16>(kKeyStart));
        set_bda<u16>(kKeyTail, bda<u16>(kKeyStart));
        FarCall call;
        call_interrupt(0x1B, &call);
        push_key(0);
        return true;
      }
      bit = kScroll;
      break;
    default: return false;
  }
  if (!released && !(flags(kKeyFlags1) & bit)) {
    set_bda<u8>(kKeyFlags0, static_cast<u8>(flags(kKeyFlags0) ^ bit));
    update_leds();
  }
  change(kKeyFlags1, bit, !released);
  return true;
}

bool alt_number(u8 code) {
  constexpr s8 kDigits[] = {7, 8, 9, -1, 4, 5, 6, -1, 1, 2, 3, 0};
  if (code < 0x47 || code > 0x52 || kDigits[code - 0x47] < 0) return false;
  const u8 number = bda<u8>(bda_at::kAltNumber);
  set_bda<u8>(bda_at::kAltNumber, static_cast<u8>(number * 10 + static_cast<u8>(kDigits[code - 0x47])));
  return true;
}

u16 extended_key(u8 code, u8 state) {
  if (code == 0x1C) return state & kAlt ? 0xA600 : state & kCtrl ? 0xE00A : 0xE00D;
  if (code == 0x35) return state & kAlt ? 0xA400 : state & kCtrl ? 0x9500 : 0xE02F;
  if (code < 0x47 || code > 0x53) return kNone;
  if (state & kAlt) return static_cast<u16>((code + 0x50) << 8);
  if (state & kCtrl) return static_cast<u16>((kKeys[code - 1].control & 0xFF00) | 0xE0);
  return static_cast<u16>(code << 8 | 0xE0);
}

u16 ordinary_key(u8 code, u8 state) {
  const Key& key = kKeys[code - 1];
  if (state & kAlt) return key.alternate;
  if (state & kCtrl) return key.control;
  bool shifted = state & (kLeftShift | kRightShift);
  const u8 character = static_cast<u8>(key.plain);
  if (character >= 'a' && character <= 'z' && (state & kCaps)) shifted = !shifted;
  if (code >= 0x47 && code <= 0x53 && (state & kNum)) shifted = !shifted;
  return shifted ? key.shifted : key.plain;
}

void reboot() {
  set_bda<u16>(bda_at::kResetFlag, 0x1234);
  out8(0xCF9, 0x02);
  out8(0xCF9, 0x06);
  out8(kStatusPort, 0xFE);
}

void handle_press(u8 code, bool extended) {
  using namespace bda_at;
  const u8 state = flags(kKeyFlags0);
  if ((state & (kCtrl | kAlt)) == (kCtrl | kAlt) && code == 0x53) reboot();
  if (flags(kKeyFlags1) & kPause) {
    change(kKeyFlags1, kPause, false);
    return;
  }
  if (code == 0x37 && extended) {
    FarCall call;
    call_interrupt(0x05, &call);
    return;
  }
  if ((state & kAlt) && !extended && alt_number(code)) return;
  if (code == 0x52 && (extended || !(state & kNum)) && !(state & (kCtrl | kAlt))) {
    set_bda<u8>(kKeyFlags0, static_cast<u8>(state ^ kInsert));
  }
  const u16 key = extended ? extended_key(code, state) : code <= 0x58 ? ordinary_key(code, state) : kNone;
  if (key) push_key(key);
}

void handle_code(u8 code) {
  using namespace bda_at;
  if (code == 0xE0 || code == 0xE1) {
    change(kKeyFlags3, code == 0xE0 ? kE0Prefix : kE1Prefix, true);
    return;
  }
  const bool extended = flags(kKeyFlags3) & kE0Prefix, pause = flags(kKeyFlags3) & kE1Prefix, released = code & 0x80;
  const u8 key = code & 0x7F;
  if (pause) {  // E1 1D 45 E1 9D C5: swallow; the second byte of each half ends the prefix
    if (key == 0x45) {
      change(kKeyFlags3, kE1Prefix, false);
      if (!released) change(kKeyFlags1, kPause, true);
    }
    return;
  }
  change(kKeyFlags3, kE0Prefix, false);
  if (key == 0 || handle_modifier(key, released, extended) || handle_lock(key, released, extended)) return;
  if (!released) handle_press(key, extended);
}

}  // namespace

bool controller_command(u8 command) {
  for (u32 i = 0; in8(kStatusPort) & kInputFull; i++) {
    if (i == 100000) return false;
  }
  out8(kStatusPort, command);
  return true;
}

bool controller_data(u8 data) {
  for (u32 i = 0; in8(kStatusPort) & kInputFull; i++) {
    if (i == 100000) return false;
  }
  out8(kDataPort, data);
  return true;
}

void initialise_keyboard() {
  using namespace bda_at;
  set_bda<u16>(kKeyHead, kKeyBuffer);
  set_bda<u16>(kKeyTail, kKeyBuffer);
  set_bda<u16>(kKeyStart, kKeyBuffer);
  set_bda<u16>(kKeyEnd, kKeyBuffer + 32);
  set_bda<u8>(kKeyFlags0, 0);
  set_bda<u8>(kKeyFlags3, 0x10);         // 101-key keyboard
  if (in8(kStatusPort) == 0xFF) return;  // no 8042
  for (int i = 0; i < 64 && (in8(kStatusPort) & kOutputFull); i++) in8(kDataPort);
  auto wait_byte = [](u32 tries) -> u16 {
    for (u32 i = 0; i < tries; i++) {
      if (in8(kStatusPort) & kOutputFull) return in8(kDataPort);
    }
    return 0x100;
  };
  controller_command(0xAA);  // self test; answers 55
  wait_byte(100000);
  controller_command(0x60);
  controller_data(0x30);  // both clocks off while the keyboard is set up
  controller_command(0xAE);
  controller_data(0xF6);  // defaults
  wait_byte(100000);
  controller_data(0xF4);  // scan
  wait_byte(100000);
  controller_command(0x60);
  controller_data(0x61);  // translate, mouse off, keyboard interrupt
}

bool push_key(u16 key) {
  using namespace bda_at;
  const u16 tail = bda<u16>(kKeyTail);
  u16 next = static_cast<u16>(tail + 2);
  if (next >= bda<u16>(kKeyEnd)) next = bda<u16>(kKeyStart);
  if (next == bda<u16>(kKeyHead)) return false;
  set_bda<u16>(tail, key);
  set_bda<u16>(kKeyTail, next);
  return true;
}

}  // namespace xm::fw

using namespace xm::fw;

extern "C" void int09(Frame*) {
  const u8 status = in8(0x64);
  if ((status & 0x21) == 0x01) {
    u8 code = in8(0x60);
    bool keep = code != 0xFA && code != 0xFE;  // acknowledges of our own commands
    const FarPointer hook = get_vector(0x15);
    if (keep && !(hook.segment == kCodeSegment && hook.offset == 0xF859)) {
      FarCall call;  // keyboard intercept: the hook may change or swallow the code
      call.ah = 0x4F;
      call.al = code;
      const FarPointer target = hook;
      call.ip = target.offset;
      call.cs = target.segment;
      call.kind = FarCallKind::Interrupt;
      call.flags = 0x0003;
      call_far(&call);
      keep = call.flags & kCarry;
      code = call.al;
    }
    if (keep) handle_code(code);
  }
  out8(0x20, 0x20);
}
