// SPDX-License-Identifier: GPL-2.0-or-later
// The PS/2 mouse: INT 15h function C2 and its interrupt, IRQ 12 [IBM PS/2 BIOS, pointing device]. The user's handler is
// kept in the extended BIOS data area, where programs look for it.
#include "services/keyboard.h"

namespace xm::fw {
namespace {

constexpr u16 kEbda = kEbdaBase >> 4;
constexpr u32 kHandler = 0x22, kState = 0x26, kSetup = 0x27, kPacket = 0x28;
constexpr u8 kHandlerPresent = 0x80;

constexpr u8 kSuccess = 0, kInvalidFunction = 1, kInvalidInput = 2, kInterfaceError = 3, kNoHandler = 5;

void finish(Frame& f, u8 code) {
  f.ah = code;
  f.set_carry(code != kSuccess);
}

// Polls for a byte from the mouse while its interrupt is held back by the masked line.
bool poll_mouse(u8* byte) {
  for (u32 i = 0; i < 200000; i++) {
    const u8 status = in8(0x64);
    if (!(status & 1)) continue;
    *byte = in8(0x60);
    if (status & 0x20) return true;
  }
  return false;
}

// While we talk to the mouse neither its answers nor keys may cause interrupts.
class QuietController {
 public:
  QuietController() {
    controller_command(0x20);
    for (u32 i = 0; i < 100000 && !(in8(0x64) & 1); i++) cpu_relax();
    command_ = in8(0x60);
    controller_command(0x60);
    controller_data(static_cast<u8>((command_ & ~0x23) | 0x10));
  }
  ~QuietController() {
    controller_command(0x60);
    controller_data(command_);
  }
  void set_command(u8 command) { command_ = command; }

 private:
  u8 command_;
};

bool send(u8 first) { return mouse_command(first); }
bool send(u8 first, u8 second) { return mouse_command(first) && mouse_command(second); }

u8 enable(bool on) {
  if (on && !peek<u32>(kEbda, kHandler)) return kNoHandler;
  QuietController quiet;
  if (!send(on ? 0xF4 : 0xF5)) return kInterfaceError;
  quiet.set_command(on ? 0x43 : 0x61);
  if (on) out8(0xA1, static_cast<u8>(in8(0xA1) & ~0x10));
  return kSuccess;
}

u8 reset(Frame& f) {
  QuietController quiet;
  u8 result = 0, id = 0;
  if (!send(0xFF) || !mouse_read(&result) || !mouse_read(&id)) return kInterfaceError;
  f.bl = result;
  f.bh = id;
  poke<u8>(kEbda, kState, 0);
  return kSuccess;
}

u8 set_rate(u8 code) {
  constexpr u8 kRates[] = {10, 20, 40, 60, 80, 100, 200};
  if (code >= sizeof kRates) return kInvalidInput;
  QuietController quiet;
  return send(0xF3, kRates[code]) ? kSuccess : kInterfaceError;
}

u8 status(Frame& f) {
  QuietController quiet;
  u8 bytes[3];
  if (!send(0xE9)) return kInterfaceError;
  for (u8& byte : bytes) {
    if (!mouse_read(&byte)) return kInterfaceError;
  }
  f.bl = bytes[0];
  f.cl = bytes[1];
  f.dl = bytes[2];
  return kSuccess;
}

u8 dispatch(Frame& f) {
  switch (f.al) {
    case 0x00: return f.bh <= 1 ? enable(f.bh == 1) : kInvalidInput;
    case 0x05:
      if (f.bh < 1 || f.bh > 8) return kInvalidInput;
      poke<u8>(kEbda, kSetup, static_cast<u8>((peek<u8>(kEbda, kSetup) & 0xF8) | (f.bh - 1)));
      [[fallthrough]];
    case 0x01: return reset(f);
    case 0x02: return set_rate(f.bh);
    case 0x03: {
      QuietController quiet;
      return f.bh > 3 ? kInvalidInput : send(0xE8, f.bh) ? kSuccess : kInterfaceError;
    }
    case 0x04: {
      QuietController quiet;
      u8 id;
      if (!send(0xF2) || !mouse_read(&id)) return kInterfaceError;
      f.bh = id;
      return kSuccess;
    }
    case 0x06: {
      if (f.bh == 0) return status(f);
      if (f.bh > 2) return kInvalidInput;
      QuietController quiet;
      return send(f.bh == 1 ? 0xE6 : 0xE7) ? kSuccess : kInterfaceError;
    }
    case 0x07: {
      poke<u32>(kEbda, kHandler, u32{f.es} << 16 | f.bx);
      const u8 setup = peek<u8>(kEbda, kSetup);
      const bool present = f.es || f.bx;
      poke<u8>(kEbda, kSetup, static_cast<u8>(present ? setup | kHandlerPresent : setup & ~kHandlerPresent));
      return present ? kSuccess : enable(false);
    }
    default: return kInvalidFunction;
  }
}

void deliver_packet() {
  FarCall call;
  const u32 handler = peek<u32>(kEbda, kHandler);
  call.ip = static_cast<u16>(handler);
  call.cs = static_cast<u16>(handler >> 16);
  call.argument_count = 4;  // status, x, y, z; pushed in this order
  for (u32 i = 0; i < 3; i++) call.arguments[i] = peek<u8>(kEbda, kPacket + i);
  call_far(&call);
}

}  // namespace

bool mouse_read(u8* byte) { return poll_mouse(byte); }

bool mouse_command(u8 byte) {
  u8 answer;
  return controller_command(0xD4) && controller_data(byte) && poll_mouse(&answer) && answer == 0xFA;
}

void int15_mouse(Frame& f) { finish(f, dispatch(f)); }

}  // namespace xm::fw

using namespace xm::fw;

// IRQ 12: collects a packet (three bytes unless function 05 said otherwise) and hands it to the user's handler.
extern "C" void int74(Frame*) {
  const u8 state = in8(0x64);
  if ((state & 0x21) == 0x21) {
    const u8 byte = in8(0x60), setup = peek<u8>(kEbda, kSetup);
    const u8 size = (setup & 7) ? static_cast<u8>((setup & 7) + 1) : u8{3};
    u8 index = peek<u8>(kEbda, kState) & 7;
    poke<u8>(kEbda, kPacket + index, byte);
    if (++index >= size) {
      index = 0;
      if (setup & kHandlerPresent) deliver_packet();
    }
    poke<u8>(kEbda, kState, index);
  }
  out8(0xA0, 0x20);
  out8(0x20, 0x20);
}
