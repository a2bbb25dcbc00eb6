// SPDX-License-Identifier: GPL-2.0-or-later
// Far JMP and CALL.
#include "cpu/system/far_transfer.h"

#include "cpu/system/segment.h"
#include "cpu/system/stack_view.h"
#include "cpu/system/task_switch.h"
#include "cpu/system/tss.h"

namespace xm::cpu::system {

namespace {

u64 truncate_offset(u64 offset, unsigned operand_size) { return offset & mask_of_bytes(operand_size); }

// Privilege rules of a direct far transfer to a code segment [SDM3 5.8.1].
bool check_direct_code(Vcpu& cpu, u16 selector, const Descriptor& code) {
  const unsigned cpl = cpu.state.cpl;
  const bool privilege = code.conforming() ? code.dpl() <= cpl : code.dpl() == cpl && rpl_of(selector) <= cpl;
  if (!privilege) return cpu.raise(Vector::Gp, selector_error(selector));
  if (cpu.mode.long_mode && code.long_code() && code.big()) return cpu.raise(Vector::Gp, selector_error(selector));
  if (!code.present()) return cpu.raise(Vector::Np, selector_error(selector));
  return true;
}

// Rules for the gate itself: DPL against CPL and RPL.
bool check_gate_privilege(Vcpu& cpu, u16 selector, const Descriptor& gate) {
  if (gate.dpl() < cpu.state.cpl || gate.dpl() < rpl_of(selector))
    return cpu.raise(Vector::Gp, selector_error(selector));
  return true;
}

bool is_call_gate(const Vcpu& cpu, const Descriptor& descriptor) {
  if (descriptor.type() == descriptor_type::kCallGate32) return true;
  return descriptor.type() == descriptor_type::kCallGate16 && !cpu.mode.long_mode;
}

bool is_task(const Vcpu& cpu, const Descriptor& descriptor) {
  if (cpu.mode.long_mode) return false;
  const unsigned type = descriptor.type();
  return type == descriptor_type::kTaskGate || type == descriptor_type::kTss16Available ||
         type == descriptor_type::kTss32Available;
}

// A call gate that has been followed to its code segment.
struct Gate {
  unsigned size = 4;  // bytes of a pushed item
  u16 selector = 0;
  u64 offset = 0;
  unsigned parameters = 0;
  Descriptor code;
};

bool follow_call_gate(Vcpu& cpu, u16 gate_selector, Descriptor descriptor, Gate& gate) {
  if (!check_gate_privilege(cpu, gate_selector, descriptor)) return false;
  if (!descriptor.present()) return cpu.raise(Vector::Np, selector_error(gate_selector));
  if (cpu.mode.long_mode && !read_upper_half(cpu, gate_selector, Vector::Gp, 0, descriptor)) return false;
  gate.selector = descriptor.gate_selector();
  gate.parameters = descriptor.gate_parameters();
  gate.size = cpu.mode.long_mode ? 8 : descriptor.type() == descriptor_type::kCallGate32 ? 4 : 2;
  gate.offset = gate.size == 8   ? descriptor.gate_offset64()
                : gate.size == 4 ? descriptor.gate_offset32()
                                 : descriptor.gate_offset32() & 0xFFFF;
  if (is_null(gate.selector)) return cpu.raise(Vector::Gp, 0);
  if (!read_descriptor(cpu, gate.selector, Vector::Gp, 0, gate.code)) return false;
  const Descriptor& code = gate.code;
  if (!code.code() || code.dpl() > cpu.state.cpl) return cpu.raise(Vector::Gp, selector_error(gate.selector));
  if (cpu.mode.long_mode && (!code.long_code() || code.big()))
    return cpu.raise(Vector::Gp, selector_error(gate.selector));
  if (!code.present()) return cpu.raise(Vector::Np, selector_error(gate.selector));
  return true;
}

bool jump_through_gate(Vcpu& cpu, u16 selector, const Descriptor& descriptor) {
  Gate gate;
  if (!follow_call_gate(cpu, selector, descriptor, gate)) return false;
  // A jump can not change CPL [SDM3 5.8.4].
  if (!gate.code.conforming() && gate.code.dpl() != cpu.state.cpl)
    return cpu.raise(Vector::Gp, selector_error(gate.selector));
  if (!check_target(cpu, gate.code, gate.offset)) return false;
  if (!mark_accessed(cpu, gate.selector, gate.code)) return false;
  commit_code_segment(cpu, gate.selector, gate.code, cpu.state.cpl);
  cpu.state.rip = gate.offset;
  return true;
}

bool copy_parameters(Vcpu& cpu, const Gate& gate, StackView& target) {
  StackView source(cpu);
  for (unsigned i = gate.parameters; i-- > 0;) {
    u64 value = 0;
    if (!source.peek(i, gate.size, value) || !target.push(value, gate.size)) return false;
  }
  return true;
}

bool push_return_stack(Vcpu& cpu, const Gate& gate, StackView& stack) {
  return stack.push(segment_of(cpu, Segment::Ss).selector, gate.size) &&
         stack.push(cpu.state.gpr[gpr::kRsp], gate.size);
}

bool push_return_address(Vcpu& cpu, const Gate& gate, StackView& stack, u64 return_rip) {
  return stack.push(segment_of(cpu, Segment::Cs).selector, gate.size) && stack.push(return_rip, gate.size);
}

bool call_inner_long(Vcpu& cpu, Gate& gate, u64 return_rip) {
  const unsigned cpl = gate.code.dpl();
  u64 pointer = 0;
  if (!read_tss_rsp(cpu, cpl, 0, pointer)) return false;
  SegmentRegister null = kNullSegment;
  null.selector = static_cast<u16>(cpl);
  null.attributes |= cpl << 5;
  StackView stack(cpu, null, pointer, cpl, 0, true);
  if (!check_target(cpu, gate.code, gate.offset)) return false;
  if (!push_return_stack(cpu, gate, stack) || !push_return_address(cpu, gate, stack, return_rip)) return false;
  if (!mark_accessed(cpu, gate.selector, gate.code)) return false;
  segment_of(cpu, Segment::Ss) = null;
  commit_code_segment(cpu, gate.selector, gate.code, cpl);
  cpu.state.gpr[gpr::kRsp] = stack.pointer();
  cpu.state.rip = gate.offset;
  return true;
}

bool call_inner(Vcpu& cpu, Gate& gate, u64 return_rip) {
  if (gate.size == 8) return call_inner_long(cpu, gate, return_rip);
  const unsigned cpl = gate.code.dpl();
  u16 selector = 0;
  u32 pointer = 0;
  Descriptor descriptor;
  if (!read_tss_stack(cpu, cpl, 0, selector, pointer)) return false;
  if (!read_inner_stack_segment(cpu, selector, cpl, 0, descriptor)) return false;
  StackView stack(cpu, descriptor.segment(selector), pointer, cpl, selector_error(selector), false);
  if (!check_target(cpu, gate.code, gate.offset)) return false;
  if (!push_return_stack(cpu, gate, stack) || !copy_parameters(cpu, gate, stack) ||
      !push_return_address(cpu, gate, stack, return_rip))
    return false;
  if (!mark_accessed(cpu, selector, descriptor) || !mark_accessed(cpu, gate.selector, gate.code)) return false;
  segment_of(cpu, Segment::Ss) = descriptor.segment(selector);
  commit_code_segment(cpu, gate.selector, gate.code, cpl);
  cpu.state.gpr[gpr::kRsp] = stack.pointer();
  cpu.state.rip = gate.offset;
  return true;
}

bool call_through_gate(Vcpu& cpu, u16 selector, const Descriptor& descriptor, u64 return_rip) {
  Gate gate;
  if (!follow_call_gate(cpu, selector, descriptor, gate)) return false;
  if (!gate.code.conforming() && gate.code.dpl() < cpu.state.cpl) return call_inner(cpu, gate, return_rip);
  StackView stack(cpu);
  if (!check_target(cpu, gate.code, gate.offset)) return false;
  if (!push_return_address(cpu, gate, stack, return_rip)) return false;
  if (!mark_accessed(cpu, gate.selector, gate.code)) return false;
  stack.commit();
  commit_code_segment(cpu, gate.selector, gate.code, cpu.state.cpl);
  cpu.state.rip = gate.offset;
  return true;
}

bool real_jump(Vcpu& cpu, u16 selector, u64 offset) {
  if (offset > (cpu.mode.vm86 ? 0xFFFF : segment_of(cpu, Segment::Cs).limit)) return cpu.raise(Vector::Gp, 0);
  load_real_segment(cpu, Segment::Cs, selector);
  cpu.state.rip = offset;
  cpu.update_mode();
  return true;
}

}  // namespace

bool far_jump(Vcpu& cpu, u16 selector, u64 offset, unsigned operand_size, u64 return_rip) {
  offset = truncate_offset(offset, operand_size);
  if (real_or_vm86(cpu)) return real_jump(cpu, selector, offset);
  if (is_null(selector)) return cpu.raise(Vector::Gp, 0);
  Descriptor descriptor;
  if (!read_descriptor(cpu, selector, Vector::Gp, 0, descriptor)) return false;
  if (descriptor.system()) {
    if (is_call_gate(cpu, descriptor)) return jump_through_gate(cpu, selector, descriptor);
    if (!is_task(cpu, descriptor)) return cpu.raise(Vector::Gp, selector_error(selector));
    if (!check_gate_privilege(cpu, selector, descriptor)) return false;
    return jump_to_task(cpu, selector, descriptor, TaskSwitchReason::Jump, return_rip);
  }
  if (!descriptor.code()) return cpu.raise(Vector::Gp, selector_error(selector));
  if (!check_direct_code(cpu, selector, descriptor) || !check_target(cpu, descriptor, offset)) return false;
  if (!mark_accessed(cpu, selector, descriptor)) return false;
  commit_code_segment(cpu, selector, descriptor, cpu.state.cpl);
  cpu.state.rip = offset;
  return true;
}

bool far_call(Vcpu& cpu, u16 selector, u64 offset, unsigned operand_size, u64 return_rip) {
  offset = truncate_offset(offset, operand_size);
  StackView stack(cpu);
  const u16 old_selector = segment_of(cpu, Segment::Cs).selector;
  if (real_or_vm86(cpu)) {
    if (!stack.push(old_selector, operand_size) || !stack.push(return_rip, operand_size)) return false;
    if (!real_jump(cpu, selector, offset)) return false;
    stack.commit();
    return true;
  }
  if (is_null(selector)) return cpu.raise(Vector::Gp, 0);
  Descriptor descriptor;
  if (!read_descriptor(cpu, selector, Vector::Gp, 0, descriptor)) return false;
  if (descriptor.system()) {
    if (is_call_gate(cpu, descriptor)) return call_through_gate(cpu, selector, descriptor, return_rip);
    if (!is_task(cpu, descriptor)) return cpu.raise(Vector::Gp, selector_error(selector));
    if (!check_gate_privilege(cpu, selector, descriptor)) return false;
    return jump_to_task(cpu, selector, descriptor, TaskSwitchReason::Call, return_rip);
  }
  if (!descriptor.code()) return cpu.raise(Vector::Gp, selector_error(selector));
  if (!check_direct_code(cpu, selector, descriptor) || !check_target(cpu, descriptor, offset)) return false;
  if (!stack.push(old_selector, operand_size) || !stack.push(return_rip, operand_size)) return false;
  if (!mark_accessed(cpu, selector, descriptor)) return false;
  stack.commit();
  commit_code_segment(cpu, selector, descriptor, cpu.state.cpl);
  cpu.state.rip = offset;
  return true;
}

}  // namespace xm::cpu::system
