// SPDX-License-Identifier: GPL-2.0-or-later
// What a service sees of its caller, and how it calls other real-mode code. Layouts are shared with entry.S.
#pragma once

#include "lib/platform.h"

namespace xm::fw {

constexpr u16 kDataSegment = 0xE000;
constexpr u16 kCodeSegment = 0xF000;
constexpr u16 kCarry = 1u << 0, kZero = 1u << 6, kInterruptFlag = 1u << 9;

// One general register with its parts.
#define XM_FW_REGISTER(e, x, l, h) \
  union {                          \
    u32 e = 0;                     \
    u16 x;                         \
    struct {                       \
      u8 l, h;                     \
    };                             \
  }

struct Frame {
  union {
    u32 edi;
    u16 di;
  };
  union {
    u32 esi;
    u16 si;
  };
  union {
    u32 ebp;
    u16 bp;
  };
  u32 own_esp;
  XM_FW_REGISTER(ebx, bx, bl, bh);
  XM_FW_REGISTER(edx, dx, dl, dh);
  XM_FW_REGISTER(ecx, cx, cl, ch);
  XM_FW_REGISTER(eax, ax, al, ah);
  u16 gs, fs, es, ds;
  u32 handler;
  u16 ip, cs, flags;

  void set_carry(bool on) { flags = static_cast<u16>(on ? flags | kCarry : flags & ~kCarry); }
  void set_zero(bool on) { flags = static_cast<u16>(on ? flags | kZero : flags & ~kZero); }
};
static_assert(__builtin_offsetof(Frame, handler) == 40 && __builtin_offsetof(Frame, flags) == 48);

enum class FarCallKind : u16 { Procedure = 0, Interrupt = 1 };

struct FarCall {
  u32 edi = 0, esi = 0, ebp = 0, own_esp = 0;
  XM_FW_REGISTER(ebx, bx, bl, bh);
  XM_FW_REGISTER(edx, dx, dl, dh);
  XM_FW_REGISTER(ecx, cx, cl, ch);
  XM_FW_REGISTER(eax, ax, al, ah);
  u16 ds = 0, es = 0;
  u16 flags = 0;
  u16 ip = 0, cs = 0;
  FarCallKind kind = FarCallKind::Procedure;
  u16 argument_count = 0;
  u16 arguments[4] = {};
};
static_assert(__builtin_offsetof(FarCall, ip) == 38 && __builtin_offsetof(FarCall, arguments) == 46);

extern "C" {
void call_far(FarCall* call);
// Leaves the firmware: CS:IP, registers and flags of the call, SS:SP = arguments[0]:arguments[1].
[[noreturn]] void jump_out(const FarCall* call);
// Let pending interrupts in; yield_halt waits for one.
void yield();
void yield_halt();
}

// Runs the handler that the interrupt vector names now, as the INT instruction would.
void call_interrupt(u8 vector, FarCall* call);

}  // namespace xm::fw
