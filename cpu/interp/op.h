// SPDX-License-Identifier: GPL-2.0-or-later
// Op: one decoded operation of a basic block, as the interpreter executes it, and the shape of its handlers.
//
// A handler does its work and ends in exactly one of:
//   return next(cpu, op)            the next operation of the block
//   return fault(cpu, op)           after something returned false: cpu.fault is set; state is that before the insn
//   return end_block(cpu, op)       state.rip has been set: leave the block (jumps, system instructions, mode changes)
// With XM_TAIL_DISPATCH the next handler is called as a sibling call, so that a whole block runs without returning;
// sanitized builds return the next Op to a loop instead. The source of handlers is the same.
#pragma once

#include "cpu/decode/insn.h"
#include "cpu/vcpu/vcpu.h"

#if !defined(XM_SANITIZED) && defined(__OPTIMIZE__)
#define XM_TAIL_DISPATCH 1
#else
#define XM_TAIL_DISPATCH 0
#endif

namespace xm::cpu::interp {

struct Op;
using Handler = const Op* (*)(Vcpu& cpu, const Op* op);

// Generic handlers (system, x87, vector) work from `insn`; the integer families use the specialised fields.
struct Op {
  Handler handler;
  union {
    u64 imm;
    const Insn* insn;  // lives as long as the block
  };
  i32 displacement;
  u16 ip_offset;  // of this instruction from the block's first byte
  u8 length;      // of this instruction
  u8 dst, src, base, index, scale_shift;
  u8 segment;
  u8 aux;
};
static_assert(sizeof(Op) <= 32);

[[gnu::always_inline]] inline const Op* next(Vcpu& cpu, const Op* op) {
#if XM_TAIL_DISPATCH
  return op[1].handler(cpu, op + 1);
#else
  static_cast<void>(cpu);
  return op + 1;
#endif
}

}  // namespace xm::cpu::interp
