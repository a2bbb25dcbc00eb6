// SPDX-License-Identifier: GPL-2.0-or-later
// What the block builder tells the instruction families, and their selectors: each sets op.handler and the fields that
// the handler uses, and returns false if the instruction is not of its family.
#pragma once

#include "cpu/interp/handler_common.h"
#include "cpu/isa/isa.h"

namespace xm::cpu::interp {

// A function that executes a whole instruction from its Insn.
using GenericFunction = bool (*)(Vcpu& cpu, const Insn& insn);

struct BuildContext {
  const Vcpu& cpu;
  u64 rip = 0;             // of this instruction
  i16 ip_offset = 0;       // from where the block is entered
  bool flags_live = true;  // somebody may see the arithmetic flags this instruction leaves
  bool bits64 = false;
  BlockCache* cache = nullptr;

  // A copy that lives as long as the block. RIP-relative addresses are made absolute in it, since a block knows where
  // it lies and handlers should not depend on RIP.
  const Insn* keep(const Insn& insn) const;

  u64 next_rip(const Insn& insn) const;
  u8 zero() const { return offset_of(&cpu.zero); }
  u8 reg(unsigned number) const { return offset_of(&cpu.state.gpr[number]); }
  // Of a general-register operand, high bytes included.
  u8 reg(const Operand& operand) const {
    return static_cast<u8>(reg(operand.reg) + (operand.kind == OperandKind::Gpr8High ? 1 : 0));
  }
  // Fills base, index, displacement, segment and aux. False if the address does not fit an Op (a 64-bit displacement).
  bool memory(const Insn& insn, Op& op, Address& form) const;
  u8 offset_of(const void* field) const {
    return static_cast<u8>(static_cast<const u8*>(field) - reinterpret_cast<const u8*>(&cpu));
  }
};

inline bool is_gpr(const Operand& operand) {
  return operand.kind == OperandKind::Gpr || operand.kind == OperandKind::Gpr8Low ||
         operand.kind == OperandKind::Gpr8High;
}
inline bool is_memory(const Operand& operand) {
  return operand.kind == OperandKind::Memory || operand.kind == OperandKind::MemoryOffset;
}
inline bool is_immediate(const Operand& operand) {
  return operand.kind == OperandKind::Immediate || operand.kind == OperandKind::One;
}

// Turns a run-time operand size into a template argument.
template <class F>
Handler for_size(unsigned size_bytes, F choose) {
  switch (size_bytes) {
    case 1: return choose.template operator()<u8>();
    case 2: return choose.template operator()<u16>();
    case 4: return choose.template operator()<u32>();
    default: return choose.template operator()<u64>();
  }
}
template <class F>
bool with_size(unsigned size_bytes, F act) {
  switch (size_bytes) {
    case 1: return act.template operator()<u8>();
    case 2: return act.template operator()<u16>();
    case 4: return act.template operator()<u32>();
    default: return act.template operator()<u64>();
  }
}

// --- specialised families: registers, immediates and plain memory operands
bool select_alu(const BuildContext& context, const Insn& insn, Op& op);
bool select_move(const BuildContext& context, const Insn& insn, Op& op);
bool select_shift(const BuildContext& context, const Insn& insn, Op& op);
bool select_muldiv(const BuildContext& context, const Insn& insn, Op& op);
bool select_stack(const BuildContext& context, const Insn& insn, Op& op);
// --- everything else of the integer instructions, from the Insn; nullptr if not of the family
Handler locked_handler(const Insn& insn);
Handler alu_handler(const Insn& insn);
Handler shift_handler(const Insn& insn);
Handler muldiv_handler(const Insn& insn);
Handler bits_handler(const Insn& insn);
Handler bcd_handler(const Insn& insn);
Handler move_handler(const Insn& insn);
Handler stack_handler(const Insn& insn);
// The handler that runs a generic function of any integer family, or nullptr.
Handler integer_handler(const Insn& insn);
// Repeatable string instructions (not INS and OUTS).
Handler string_handler(const Insn& insn);
// Control transfers: end a block. `links` is filled for direct ones; `plain` says that no target needs checking.
bool select_branch(const BuildContext& context, const Insn& insn, Op& op, Links& links, bool& plain);
// An instruction of the arithmetic group and the Jcc behind it as one Op. False if this pair has no handler.
bool fuse_with_jump(const BuildContext& context, const Insn& insn, Condition condition, Op& op);

// Wraps a generic function.
template <GenericFunction kFunction>
const Op* generic(Vcpu& cpu, const Op* op) {
  sync_rip(cpu, op);
  return kFunction(cpu, *op->insn) ? next(cpu, op) : fault(cpu, op);
}

// Reads, changes and writes operand `index`; `change` also sets the flags. A write that faults leaves them alone.
template <class T, class F>
bool update_operand(Vcpu& cpu, const Insn& insn, unsigned index, F change) {
  if (!is_memory(insn.operands[index])) {
    T value{};
    return cpu.read_operand(insn, index, value) && cpu.write_operand(insn, index, static_cast<T>(change(value)));
  }
  MemoryPlace<T> place;
  if (!place.open(cpu, insn.segment, cpu.effective_address(insn))) return false;
  const LazyFlags before = cpu.flags;
  if (place.store(cpu, static_cast<T>(change(place.value())))) return true;
  cpu.flags = before;
  return false;
}

}  // namespace xm::cpu::interp
