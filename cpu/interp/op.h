// SPDX-License-Identifier: GPL-2.0-or-later
// Op: one decoded operation of a basic block, as the interpreter executes it, and the shape of its handlers.
//
// A handler does its work and ends in exactly one of:
//   return next(cpu, op)            the next operation of the block
//   return fault(cpu, op)           after something returned false: cpu.fault is set; state is that before the insn
//   return resume(cpu, op)          state.rip has been set: leave the block (system instructions, mode changes)
// With XM_TAIL_DISPATCH the next handler is called as a sibling call, so that a whole block runs without returning;
// sanitized builds return the next Op to a loop instead. The source of handlers is the same.
#pragma once

#include "cpu/decode/insn.h"
#include "cpu/vcpu/vcpu.h"

// Only g++ makes sibling calls of all handlers without being told (clang 14 does not where a local's address was
// taken).
#if !defined(XM_SANITIZED) && defined(__OPTIMIZE__) && !defined(__clang__)
#define XM_TAIL_DISPATCH 1
#else
#define XM_TAIL_DISPATCH 0
#endif

namespace xm::cpu::interp {

struct Op;
using Handler = const Op* (*)(Vcpu& cpu, const Op* op);

// Generic handlers (system, x87, vector) work from `insn`; the integer families use the specialised fields. Registers
// are byte offsets from the Vcpu's start (Vcpu::zero stands for "none"), so that AH..BH need no case of their own.
struct Op {
  Handler handler;
  union {
    u64 imm;
    const Insn* insn;  // lives as long as the block
  };
  i32 displacement;
  i16 ip_offset;  // of this instruction from where the block is entered
  u8 length;      // of this instruction
  u8 remaining;   // instructions from this one to the block's end, itself included
  u8 dst, src, base, index;
  u8 scale_shift;
  u8 segment;
  u8 aux;
  u8 exit;  // 0: the next Op lies directly behind. Else Links do, and a way out leaves `exit - 1` of the block undone

  static constexpr u8 kComputed = 0x80;  // in exit: the way out is to a computed target; two Links remember some
  unsigned places() const { return exit == 0 ? 1 : (exit & kComputed) == 0 ? 2 : 3; }  // with its Links
};
static_assert(sizeof(Op) == 32);

[[gnu::always_inline]] inline const Op* next(Vcpu& cpu, const Op* op) {
#if XM_TAIL_DISPATCH
  return op[1].handler(cpu, op + 1);
#else
  static_cast<void>(cpu);
  return op + 1;
#endif
}

// The same over the Links behind a conditional way out.
[[gnu::always_inline]] inline const Op* next_over_links(Vcpu& cpu, const Op* op) { return next(cpu, op + 1); }

// Makes state.rip that of this instruction. Handlers that neither fault nor look at RIP need not do it: while a block
// runs, only Vcpu::block_rip is kept.
[[gnu::always_inline]] inline void sync_rip(Vcpu& cpu, const Op* op) {
  cpu.state.rip = cpu.block_rip + static_cast<u64>(i64{op->ip_offset});
}

// This instruction has faulted: cpu.fault is set, nothing has changed.
[[gnu::always_inline]] inline const Op* fault(Vcpu& cpu, const Op* op) {
  sync_rip(cpu, op);
  cpu.running.countdown += op->remaining;
  cpu.running.fault_pending = true;
  return nullptr;
}

// A repeated string instruction stops between two iterations: it has not retired and runs again.
[[gnu::always_inline]] inline const Op* suspend(Vcpu& cpu, const Op* op) {
  sync_rip(cpu, op);
  cpu.running.countdown += op->remaining;
  cpu.running.repeating = true;
  return nullptr;
}

}  // namespace xm::cpu::interp
