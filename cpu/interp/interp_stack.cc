// SPDX-License-Identifier: GPL-2.0-or-later
// PUSH, POP, LEAVE, ENTER, PUSHA and POPA. Specialised: 64-bit register and immediate forms. [SDM2]
#include "cpu/interp/build_context.h"

namespace xm::cpu::interp {

namespace {

[[gnu::noinline]] const Op* push_register_slow(Vcpu& cpu, const Op* op) {
  return cpu.push(get<u64>(cpu, op->src), 8) ? next(cpu, op) : fault(cpu, op);
}

const Op* push_register(Vcpu& cpu, const Op* op) {
  u64& rsp = cpu.state.gpr[gpr::kRsp];
  u8* host = detail::probe<8>(cpu.tlb.current->write, rsp - 8);
  if (__builtin_expect(host == nullptr, 0)) return push_register_slow(cpu, op);
  store_host(host, get<u64>(cpu, op->src));
  rsp -= 8;
  return next(cpu, op);
}

[[gnu::noinline]] const Op* push_immediate_slow(Vcpu& cpu, const Op* op) {
  return cpu.push(op->imm, 8) ? next(cpu, op) : fault(cpu, op);
}

const Op* push_immediate(Vcpu& cpu, const Op* op) {
  u64& rsp = cpu.state.gpr[gpr::kRsp];
  u8* host = detail::probe<8>(cpu.tlb.current->write, rsp - 8);
  if (__builtin_expect(host == nullptr, 0)) return push_immediate_slow(cpu, op);
  store_host(host, op->imm);
  rsp -= 8;
  return next(cpu, op);
}

[[gnu::noinline]] const Op* pop_register_slow(Vcpu& cpu, const Op* op) {
  {
    u64 value = 0;
    if (!cpu.pop(value, 8)) return fault(cpu, op);
    put<u64>(cpu, op->dst, value);
  }
  return next(cpu, op);
}

const Op* pop_register(Vcpu& cpu, const Op* op) {
  u64& rsp = cpu.state.gpr[gpr::kRsp];
  const u8* host = detail::probe<8>(cpu.tlb.current->read, rsp);
  if (__builtin_expect(host == nullptr, 0)) return pop_register_slow(cpu, op);
  const u64 value = load_host<u64>(host);
  rsp += 8;
  put<u64>(cpu, op->dst, value);  // POP RSP: the popped value wins
  return next(cpu, op);
}

[[gnu::noinline]] bool leave_slow(Vcpu& cpu) {
  const u64 before = cpu.state.gpr[gpr::kRsp];
  cpu.set_stack_pointer(cpu.state.gpr[gpr::kRbp]);
  u64 value = 0;
  if (!cpu.pop(value, 8)) {
    cpu.state.gpr[gpr::kRsp] = before;
    return false;
  }
  cpu.state.gpr[gpr::kRbp] = value;
  return true;
}

const Op* leave_frame(Vcpu& cpu, const Op* op) {
  const u64 frame = cpu.state.gpr[gpr::kRbp];
  const u8* host = detail::probe<8>(cpu.tlb.current->read, frame);
  if (__builtin_expect(host == nullptr, 0)) return leave_slow(cpu) ? next(cpu, op) : fault(cpu, op);
  cpu.state.gpr[gpr::kRbp] = load_host<u64>(host);
  cpu.state.gpr[gpr::kRsp] = frame + 8;
  return next(cpu, op);
}

bool push(Vcpu& cpu, const Insn& insn) {
  u64 value = 0;
  const Operand& operand = insn.operands[0];
  if (is_memory(operand)) {
    const bool ok = with_size(insn.operand_size, [&]<class T>() {
      T narrow{};
      if (!cpu.read_operand(insn, 0, narrow)) return false;
      value = narrow;
      return true;
    });
    if (!ok) return false;
  } else {
    value = is_gpr(operand) ? cpu.state.gpr[operand.reg] : insn.imm;
  }
  return cpu.push(value, insn.operand_size);
}

// A memory destination is addressed with the stack pointer already raised [SDM2 POP].
bool pop(Vcpu& cpu, const Insn& insn) {
  const u64 before = cpu.state.gpr[gpr::kRsp];
  u64 value = 0;
  if (!cpu.pop(value, insn.operand_size)) return false;
  const bool ok =
      with_size(insn.operand_size, [&]<class T>() { return cpu.write_operand(insn, 0, static_cast<T>(value)); });
  if (!ok) cpu.state.gpr[gpr::kRsp] = before;
  return ok;
}

bool push_all(Vcpu& cpu, const Insn& insn) {
  const unsigned size = insn.operand_size;
  const u64 before = cpu.state.gpr[gpr::kRsp];
  for (unsigned reg = 0; reg < 8; ++reg) {
    if (cpu.push(reg == gpr::kRsp ? before : cpu.state.gpr[reg], size)) continue;
    cpu.state.gpr[gpr::kRsp] = before;
    return false;
  }
  return true;
}

bool pop_all(Vcpu& cpu, const Insn& insn) {
  const unsigned size = insn.operand_size;
  const u64 before = cpu.state.gpr[gpr::kRsp];
  std::array<u64, 8> values{};
  for (unsigned i = 0; i < 8; ++i) {
    if (cpu.pop(values[7 - i], size)) continue;
    cpu.state.gpr[gpr::kRsp] = before;
    return false;
  }
  for (unsigned reg = 0; reg < 8; ++reg) {
    if (reg != gpr::kRsp) cpu.set_gpr(reg, size, values[reg]);
  }
  return true;
}

// The frame pointers of the enclosing procedures, copied from the old frame.
bool copy_display(Vcpu& cpu, unsigned level, unsigned size) {
  const u64 mask = cpu.stack_mask();
  u64 at = cpu.state.gpr[gpr::kRbp];
  for (unsigned i = 1; i < level; ++i) {
    at = (at - size) & mask;
    const bool ok = with_size(size, [&]<class T>() {
      T pointer{};
      return cpu.read(Segment::Ss, at, pointer) && cpu.push(pointer, size);
    });
    if (!ok) return false;
  }
  return true;
}

bool enter_frame(Vcpu& cpu, const Insn& insn) {
  const unsigned size = insn.operand_size;
  const unsigned level = insn.imm2 & 31;
  const u64 before = cpu.state.gpr[gpr::kRsp];
  const u64 mask = cpu.stack_mask();
  bool ok = cpu.push(cpu.state.gpr[gpr::kRbp], size);
  const u64 frame = cpu.state.gpr[gpr::kRsp];
  if (ok && level != 0) ok = copy_display(cpu, level, size) && cpu.push(frame, size);
  if (ok) {
    const u64 top = (cpu.state.gpr[gpr::kRsp] - (insn.imm & 0xFFFF)) & mask;
    ok = cpu.probe_write(Segment::Ss, top, size);  // the new top must be writable [SDM2 ENTER]
    if (ok) {
      cpu.set_stack_pointer(top);
      cpu.set_gpr(gpr::kRbp, size, frame);
      return true;
    }
  }
  cpu.state.gpr[gpr::kRsp] = before;
  return false;
}

bool leave_generic(Vcpu& cpu, const Insn& insn) {
  const u64 before = cpu.state.gpr[gpr::kRsp];
  cpu.set_stack_pointer(cpu.state.gpr[gpr::kRbp]);
  u64 value = 0;
  if (!cpu.pop(value, insn.operand_size)) {
    cpu.state.gpr[gpr::kRsp] = before;
    return false;
  }
  cpu.set_gpr(gpr::kRbp, insn.operand_size, value);
  return true;
}

}  // namespace

bool select_stack(const BuildContext& context, const Insn& insn, Op& op) {
  if (!context.bits64 || insn.operand_size != 8) return false;
  const Operand& operand = insn.operands[0];
  switch (insn.operation) {
    case Operation::Push:
      if (is_gpr(operand)) {
        op.src = context.reg(operand);
        op.handler = push_register;
        return true;
      }
      op.imm = insn.imm;
      op.handler = push_immediate;
      return operand.kind == OperandKind::Immediate;
    case Operation::Pop:
      if (!is_gpr(operand)) return false;
      op.dst = context.reg(operand);
      op.handler = pop_register;
      return true;
    case Operation::Leave: op.handler = leave_frame; return true;
    default: return false;
  }
}

Handler stack_handler(const Insn& insn) {
  const Operand& operand = insn.operands[0];
  const bool ordinary = is_gpr(operand) || is_memory(operand) || is_immediate(operand);
  switch (insn.operation) {
    case Operation::Push: return ordinary ? generic<push> : nullptr;
    case Operation::Pop: return ordinary ? generic<pop> : nullptr;
    case Operation::Pusha: return generic<push_all>;
    case Operation::Popa: return generic<pop_all>;
    case Operation::Enter: return generic<enter_frame>;
    case Operation::Leave: return generic<leave_generic>;
    default: return nullptr;
  }
}

}  // namespace xm::cpu::interp
