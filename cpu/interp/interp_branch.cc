// SPDX-License-Identifier: GPL-2.0-or-later
// Near jumps, calls, returns and loops: the ways out of a block. [SDM2 Jcc, JMP, CALL, RET, LOOP]
#include "cpu/interp/build_context.h"

namespace xm::cpu::interp {

namespace {

constexpr unsigned kCs = static_cast<unsigned>(Segment::Cs);

// Is this a legal RIP? #GP(0) is recorded if not.
[[gnu::noinline]] bool bad_target(Vcpu& cpu) { return cpu.raise(Vector::Gp, 0); }

[[gnu::always_inline]] inline bool check_target(Vcpu& cpu, u64 rip) {
  if (cpu.mode.bits64) {
    if (__builtin_expect(detail::canonical(rip, (cpu.state.cr4 & cr4::kLa57) != 0), 1)) return true;
  } else if (__builtin_expect(rip <= cpu.state.segment[kCs].limit, 1)) {
    return true;
  }
  return bad_target(cpu);
}

const Op* jump_direct(Vcpu& cpu, const Op* op) { return follow(cpu, links_of(op).taken); }

template <unsigned kCode>
const Op* jump_if(Vcpu& cpu, const Op* op) {
  return cpu.flags.condition(kCode) ? follow_early(cpu, op) : next_over_links(cpu, op);
}

u64 count_mask(const Op* op) { return mask_of_bytes(op->aux & 0xF); }

// JCXZ and LOOPx: the count register's width is the address size.
template <Operation kOperation>
const Op* count_jump(Vcpu& cpu, const Op* op) {
  Links& links = links_of(op);
  u64& rcx = cpu.state.gpr[gpr::kRcx];
  const u64 mask = count_mask(op);
  bool taken = (rcx & mask) == 0;
  if constexpr (kOperation != Operation::Jrcxz) {
    const u64 count = (rcx - 1) & mask;
    taken = count != 0;
    if constexpr (kOperation == Operation::Loope) taken = taken && cpu.flags.zf();
    if constexpr (kOperation == Operation::Loopne) taken = taken && !cpu.flags.zf();
    if (taken && !check_target(cpu, links.taken.rip)) return fault(cpu, op);
    cpu.set_gpr(gpr::kRcx, op->aux & 0xF, count);
  } else if (taken && !check_target(cpu, links.taken.rip)) {
    return fault(cpu, op);
  }
  return taken ? follow(cpu, links.taken) : follow(cpu, links.next);
}

// Direct targets outside the segment or not canonical fault when they are taken.
const Op* jump_if_checked(Vcpu& cpu, const Op* op) {
  const bool always = op->index != 0;
  const bool taken = always || cpu.flags.condition(op->src);
  if (taken && !check_target(cpu, links_of(op).taken.rip)) return fault(cpu, op);
  return taken ? follow_early(cpu, op) : next_over_links(cpu, op);
}

// The return address is stored before the target is found bad; the stack pointer is as before then.
[[gnu::noinline]] bool push_and_check(Vcpu& cpu, u64 value, unsigned size, u64 target) {
  const u64 before = cpu.state.gpr[gpr::kRsp];
  if (!cpu.push(value, size)) return false;
  if (check_target(cpu, target)) return true;
  cpu.state.gpr[gpr::kRsp] = before;
  return false;
}

// Any operand size; aux is it.
[[gnu::noinline]] const Op* call_direct(Vcpu& cpu, const Op* op) {
  Links& links = links_of(op);
  if (!push_and_check(cpu, links.next.rip, op->aux, links.taken.rip)) return fault(cpu, op);
  note_call(cpu.running, links.next);
  return follow(cpu, links.taken);
}

const Op* call_direct64(Vcpu& cpu, const Op* op) {
  u64& rsp = cpu.state.gpr[gpr::kRsp];
  Links& links = links_of(op);
  u8* host = detail::probe<8>(cpu.tlb.current->write, rsp - 8);
  if (__builtin_expect(host == nullptr, 0)) return call_direct(cpu, op);
  store_host<u64>(host, links.next.rip);
  rsp -= 8;
  note_call(cpu.running, links.next);
  return follow(cpu, links.taken);
}

// How a computed jump finds the block of its target: among those that it remembers, or, where they are others, in the
// jump cache, which then remembers for it.
enum class Find : u8 { Remembered, LookedUp };

template <Find kFind, unsigned kTargets>
[[gnu::always_inline]] inline const Block* find_target(Vcpu& cpu, const Op* op, u64 target) {
  return kFind == Find::Remembered ? known_target<kTargets>(cpu, op, target)
                                   : look_up_target(cpu, op, kTargets, target);
}

[[gnu::noinline]] const Op* jump_register64_new(Vcpu& cpu, const Op* op) {
  const u64 target = get<u64>(cpu, op->src);
  if (!check_target(cpu, target)) return fault(cpu, op);
  return jump_and_learn(cpu, op, kJumpTargets, target);
}

template <Find kFind>
const Op* jump_register64(Vcpu& cpu, const Op* op) {
  const u64 target = get<u64>(cpu, op->src);
  if (const Block* block = find_target<kFind, kJumpTargets>(cpu, op, target)) return go_to(cpu, target, block);
  if constexpr (kFind == Find::Remembered) return jump_register64<Find::LookedUp>(cpu, op);
  return jump_register64_new(cpu, op);
}

// Pushes the return address of a call whose target is known to be good.
[[gnu::always_inline]] inline const Op* call_block(Vcpu& cpu, const Op* op, u8* stack, u64 target, const Block* block) {
  Link& following = targets_of(op)[kCallTargets];
  store_host(stack, following.rip);
  cpu.state.gpr[gpr::kRsp] -= 8;
  note_call(cpu.running, following);
  return go_to(cpu, target, block);
}

[[gnu::always_inline]] inline u8* probe_push(const Vcpu& cpu) {
  return detail::probe<8>(cpu.tlb.current->write, cpu.state.gpr[gpr::kRsp] - 8);
}

[[gnu::noinline]] const Op* call_register64_new(Vcpu& cpu, const Op* op) {
  const u64 target = get<u64>(cpu, op->src);
  Link& following = targets_of(op)[kCallTargets];
  if (!push_and_check(cpu, following.rip, 8, target)) return fault(cpu, op);
  note_call(cpu.running, following);
  return jump_and_learn(cpu, op, kCallTargets, target);
}

template <Find kFind>
const Op* call_register64(Vcpu& cpu, const Op* op) {
  const u64 target = get<u64>(cpu, op->src);
  u8* const stack = probe_push(cpu);
  const Block* const block = find_target<kFind, kCallTargets>(cpu, op, target);
  if (__builtin_expect(stack != nullptr && block != nullptr, 1)) return call_block(cpu, op, stack, target, block);
  if constexpr (kFind == Find::Remembered) return call_register64<Find::LookedUp>(cpu, op);
  return call_register64_new(cpu, op);
}

bool read_target(Vcpu& cpu, const Insn& insn, u64& target) {
  return with_size(insn.operand_size, [&]<class T>() {
    T value{};
    if (!cpu.read_operand(insn, 0, value)) return false;
    target = value;
    return true;
  });
}

[[gnu::noinline]] bool jump_indirect_work(Vcpu& cpu, const Insn& insn) {
  u64 target = 0;
  if (!read_target(cpu, insn, target) || !check_target(cpu, target)) return false;
  cpu.block_rip = target;
  return true;
}

const Op* jump_indirect(Vcpu& cpu, const Op* op) {
  sync_rip(cpu, op);
  if (!jump_indirect_work(cpu, *op->insn)) return fault(cpu, op);
  return jump_and_learn(cpu, op, kJumpTargets, cpu.block_rip);
}

[[gnu::noinline]] bool call_indirect_work(Vcpu& cpu, const Op* op) {
  const Insn& insn = *op->insn;
  u64 target = 0;
  if (!read_target(cpu, insn, target)) return false;
  Link& following = targets_of(op)[kCallTargets];
  if (!push_and_check(cpu, following.rip, insn.operand_size, target)) return false;
  note_call(cpu.running, following);
  cpu.block_rip = target;
  return true;
}

const Op* call_indirect(Vcpu& cpu, const Op* op) {
  sync_rip(cpu, op);
  if (!call_indirect_work(cpu, op)) return fault(cpu, op);
  return jump_and_learn(cpu, op, kCallTargets, cpu.block_rip);
}

template <Address kForm, Find kFind>
const Op* jump_memory64(Vcpu& cpu, const Op* op) {
  if (const u8* host = probe_read<u64, kForm>(cpu, op)) {
    const u64 target = load_host<u64>(host);
    if (const Block* block = find_target<kFind, kJumpTargets>(cpu, op, target)) return go_to(cpu, target, block);
  }
  if constexpr (kFind == Find::Remembered) return jump_memory64<kForm, Find::LookedUp>(cpu, op);
  return jump_indirect(cpu, op);
}

template <Address kForm, Find kFind>
const Op* call_memory64(Vcpu& cpu, const Op* op) {
  u8* const stack = probe_push(cpu);
  if (const u8* host = probe_read<u64, kForm>(cpu, op)) {
    const u64 target = load_host<u64>(host);
    const Block* const block = find_target<kFind, kCallTargets>(cpu, op, target);
    if (__builtin_expect(stack != nullptr && block != nullptr, 1)) return call_block(cpu, op, stack, target, block);
  }
  if constexpr (kFind == Find::Remembered) return call_memory64<kForm, Find::LookedUp>(cpu, op);
  return call_indirect(cpu, op);
}

Handler memory_branch_handler(bool call, Address form) {
  constexpr Find kFind = Find::Remembered;
  if (form == Address::Base) return call ? call_memory64<Address::Base, kFind> : jump_memory64<Address::Base, kFind>;
  return call ? call_memory64<Address::Full, kFind> : jump_memory64<Address::Full, kFind>;
}

[[gnu::noinline]] bool return_work(Vcpu& cpu, unsigned size, u64 release) {
  const u64 before = cpu.state.gpr[gpr::kRsp];
  u64 target = 0;
  if (!cpu.pop(target, size)) return false;
  if (!check_target(cpu, target)) {
    cpu.state.gpr[gpr::kRsp] = before;
    return false;
  }
  cpu.set_stack_pointer(cpu.state.gpr[gpr::kRsp] + release);
  cpu.block_rip = target;
  return true;
}

// A return to block_rip, which the last call may have foretold: it gets to know its block.
const Op* return_to(Vcpu& cpu, Link& foretold) {
  Block* block = find_block(cpu);
  if (block == nullptr) {
    cpu.state.rip = cpu.block_rip;
    return nullptr;
  }
  if (foretold.rip == cpu.block_rip) foretold.target = block;
  return enter(cpu, block);
}

// aux: operand size; imm: bytes to release.
[[gnu::noinline]] const Op* return_any(Vcpu& cpu, const Op* op) {
  if (!return_work(cpu, op->aux, op->imm)) return fault(cpu, op);
  Link& foretold = take_call(cpu.running);
  const bool right = foretold.rip == cpu.block_rip && foretold.target->stamp == cpu.running.stamp &&
                     foretold.target->cs_base == cpu.state.segment[kCs].base;
  return right ? enter(cpu, foretold.target) : return_to(cpu, foretold);
}

const Op* return64(Vcpu& cpu, const Op* op) {
  u64& rsp = cpu.state.gpr[gpr::kRsp];
  const u8* host = detail::probe<8>(cpu.tlb.current->read, rsp);
  if (__builtin_expect(host == nullptr, 0)) return return_any(cpu, op);
  const u64 target = load_host<u64>(host);
  Link& foretold = *cpu.running.returns[cpu.running.last_call];
  const bool right = foretold.rip == target && foretold.target->stamp == cpu.running.stamp;
  if (__builtin_expect(!right, 0)) return return_any(cpu, op);
  static_cast<void>(take_call(cpu.running));
  rsp += 8 + op->imm;
  return go_to(cpu, target, foretold.target);
}

Handler conditional_handler(Condition condition) {
  const unsigned code = static_cast<unsigned>(condition);
  Handler found = nullptr;
  [&]<unsigned... kCodes>(std::integer_sequence<unsigned, kCodes...>) {
    ((kCodes == code ? void(found = jump_if<kCodes>) : void()), ...);
  }
  (std::make_integer_sequence<unsigned, 16>{});
  return found;
}

bool target_is_fine(const BuildContext& context, u64 target) {
  if (context.bits64) return detail::canonical(target, (context.cpu.state.cr4 & cr4::kLa57) != 0);
  return target <= context.cpu.state.segment[kCs].limit;
}

void select_direct(const BuildContext& context, const Insn& insn, Op& op, Links& links, bool& plain) {
  links.next = {context.next_rip(insn), no_block()};
  links.taken = {(context.rip + insn.length + insn.imm) & mask_of_bytes(insn.operand_size), no_block()};
  const bool fine = target_is_fine(context, links.taken.rip);
  plain = fine;
  op.aux = insn.operand_size;
  switch (insn.operation) {
    case Operation::CallNear:
      op.handler = fine && context.bits64 && insn.operand_size == 8 ? call_direct64 : call_direct;
      return;
    case Operation::JmpNear:
      op.handler = fine ? jump_direct : jump_if_checked;
      op.index = 1;
      return;
    case Operation::Jcc:
      op.handler = fine ? conditional_handler(insn.condition) : jump_if_checked;
      op.src = static_cast<u8>(insn.condition);
      op.index = 0;
      return;
    default: break;
  }
  op.aux = insn.address_size;
  op.handler = insn.operation == Operation::Jrcxz   ? count_jump<Operation::Jrcxz>
               : insn.operation == Operation::Loop  ? count_jump<Operation::Loop>
               : insn.operation == Operation::Loope ? count_jump<Operation::Loope>
                                                    : count_jump<Operation::Loopne>;
}

}  // namespace

bool select_branch(const BuildContext& context, const Insn& insn, Op& op, Links& links, bool& plain) {
  const bool direct = insn.operands[0].kind == OperandKind::Relative;
  switch (insn.operation) {
    case Operation::RetNear:
      op.imm = insn.operand_count != 0 ? insn.imm & 0xFFFF : 0;
      op.aux = insn.operand_size;
      op.handler = context.bits64 && insn.operand_size == 8 ? return64 : return_any;
      return true;
    case Operation::JmpNear:
    case Operation::CallNear: {
      if (direct) break;
      const bool call = insn.operation == Operation::CallNear;
      op.exit = Op::kComputed;
      if (context.bits64 && insn.operands[0].kind == OperandKind::Gpr && insn.operand_size == 8) {
        op.src = context.reg(insn.operands[0]);
        op.handler = call ? call_register64<Find::Remembered> : jump_register64<Find::Remembered>;
        return true;
      }
      op.insn = context.keep(insn);
      op.handler = call ? call_indirect : jump_indirect;
      Address form{};
      if (context.bits64 && insn.operand_size == 8 && context.memory(insn, op, form) && form != Address::Any)
        op.handler = memory_branch_handler(call, form);
      return true;
    }
    case Operation::Jcc:
    case Operation::Jrcxz:
    case Operation::Loop:
    case Operation::Loope:
    case Operation::Loopne: break;
    default: return false;
  }
  select_direct(context, insn, op, links, plain);
  return true;
}

}  // namespace xm::cpu::interp
