// SPDX-License-Identifier: GPL-2.0-or-later
// Far RET and IRET.
#include "cpu/system/far_transfer.h"
#include "cpu/system/flags.h"
#include "cpu/system/segment.h"
#include "cpu/system/stack_view.h"
#include "cpu/system/task_switch.h"

namespace xm::cpu::system {

namespace {

// Where a return goes, popped and checked.
struct Target {
  u64 rip = 0;
  u16 selector = 0;
  Descriptor code;
  u64 rsp = 0;
  u16 stack_selector = 0;
  SegmentRegister stack_segment;
};

bool pop_selector(StackView& stack, unsigned size, u16& selector) {
  u64 value = 0;
  if (!stack.pop(value, size)) return false;
  selector = static_cast<u16>(value);
  return true;
}

// [SDM2 RET, PROTECTED-MODE-RETURN]
bool check_return_code(Vcpu& cpu, Target& target) {
  const u16 selector = target.selector;
  if (is_null(selector)) return cpu.raise(Vector::Gp, 0);
  if (!read_descriptor(cpu, selector, Vector::Gp, 0, target.code)) return false;
  const Descriptor& code = target.code;
  const unsigned rpl = rpl_of(selector);
  const bool privilege = code.conforming() ? code.dpl() <= rpl : code.dpl() == rpl;
  if (!code.code() || rpl < cpu.state.cpl || !privilege) return cpu.raise(Vector::Gp, selector_error(selector));
  if (cpu.mode.long_mode && code.long_code() && code.big()) return cpu.raise(Vector::Gp, selector_error(selector));
  if (!code.present()) return cpu.raise(Vector::Np, selector_error(selector));
  return true;
}

bool target_is_64(const Vcpu& cpu, const Target& target) { return cpu.mode.long_mode && target.code.long_code(); }

bool check_return_stack(Vcpu& cpu, Target& target) {
  const u16 selector = target.stack_selector;
  const unsigned rpl = rpl_of(target.selector);
  if (is_null(selector)) {
    if (!target_is_64(cpu, target) || rpl == 3 || rpl_of(selector) != rpl) return cpu.raise(Vector::Gp, 0);
    target.stack_segment = kNullSegment;
    target.stack_segment.selector = selector;
    target.stack_segment.attributes |= rpl << 5;
    return true;
  }
  Descriptor descriptor;
  if (!read_descriptor(cpu, selector, Vector::Gp, 0, descriptor)) return false;
  if (rpl_of(selector) != rpl || !descriptor.writable_data() || descriptor.dpl() != rpl)
    return cpu.raise(Vector::Gp, selector_error(selector));
  if (!descriptor.present()) return cpu.raise(Vector::Ss, selector_error(selector));
  if (!mark_accessed(cpu, selector, descriptor)) return false;
  target.stack_segment = descriptor.segment(selector);
  return true;
}

// Takes on CS, SS, RSP and RIP of another stack.
void commit_with_stack(Vcpu& cpu, const Target& target) {
  const bool outer = rpl_of(target.selector) > cpu.state.cpl;
  segment_of(cpu, Segment::Ss) = target.stack_segment;
  commit_code_segment(cpu, target.selector, target.code, rpl_of(target.selector));
  set_stack_pointer(cpu, target.rsp);
  cpu.state.rip = target.rip;
  if (outer) drop_inner_segments(cpu);
}

bool real_far_return(Vcpu& cpu, unsigned size, u32 release_bytes) {
  StackView stack(cpu);
  u64 rip = 0;
  u16 selector = 0;
  if (!stack.pop(rip, size) || !pop_selector(stack, size, selector)) return false;
  if (rip > (cpu.mode.vm86 ? 0xFFFF : segment_of(cpu, Segment::Cs).limit)) return cpu.raise(Vector::Gp, 0);
  stack.discard(release_bytes);
  stack.commit();
  load_real_segment(cpu, Segment::Cs, selector);
  cpu.state.rip = rip;
  cpu.update_mode();
  return true;
}

bool real_interrupt_return(Vcpu& cpu, unsigned size) {
  StackView stack(cpu);
  u64 rip = 0;
  u64 flags = 0;
  u16 selector = 0;
  if (!stack.pop(rip, size) || !pop_selector(stack, size, selector) || !stack.pop(flags, size)) return false;
  if (rip > segment_of(cpu, Segment::Cs).limit) return cpu.raise(Vector::Gp, 0);
  stack.commit();
  load_real_segment(cpu, Segment::Cs, selector);
  cpu.state.rip = rip;
  write_flags(cpu, flags, iret_flags_mask(cpu, size) & ~(flag::kVif | flag::kVip));
  return true;
}

// [SDM2 IRET, RETURN-FROM-VIRTUAL-8086-MODE; SDM3 20.2.8, table 20-2]
bool vm86_interrupt_return(Vcpu& cpu, unsigned size) {
  const bool full_iopl = (cpu.state.rflags & flag::kIopl) == flag::kIopl;
  const bool extended = (cpu.state.cr4 & cr4::kVme) != 0 && size == 2;
  if (!full_iopl && !extended) return cpu.raise(Vector::Gp, 0);
  StackView stack(cpu);
  u64 rip = 0;
  u64 flags = 0;
  u16 selector = 0;
  if (!stack.pop(rip, size) || !pop_selector(stack, size, selector) || !stack.pop(flags, size)) return false;
  if (rip > 0xFFFF) return cpu.raise(Vector::Gp, 0);
  u64 mask = flag::kStatus | flag::kTf | flag::kIf | flag::kDf | flag::kNt;
  if (size == 4) mask |= flag::kRf | flag::kAc | flag::kId;
  if (!full_iopl) {
    const bool pending = (cpu.state.rflags & flag::kVip) != 0;
    if ((pending && (flags & flag::kIf)) || (flags & flag::kTf)) return cpu.raise(Vector::Gp, 0);
    mask = (mask & ~flag::kIf) | flag::kVif;
    flags = (flags & flag::kIf) != 0 ? flags | flag::kVif : flags & ~flag::kVif;
  }
  stack.commit();
  load_real_segment(cpu, Segment::Cs, selector);
  cpu.state.rip = rip;
  write_flags(cpu, flags, mask);
  return true;
}

// From CPL 0 into virtual-8086 mode; EIP, CS and EFLAGS have been popped.
bool return_to_vm86(Vcpu& cpu, StackView& stack, const Target& target, u64 flags) {
  u64 esp = 0;
  std::array<u16, 6> selectors{};
  selectors[static_cast<unsigned>(Segment::Cs)] = target.selector;
  if (!stack.pop(esp, 4)) return false;
  for (const Segment name : {Segment::Ss, Segment::Es, Segment::Ds, Segment::Fs, Segment::Gs})
    if (!pop_selector(stack, 4, selectors[static_cast<unsigned>(name)])) return false;
  if (target.rip > 0xFFFF) return cpu.raise(Vector::Gp, 0);
  for (unsigned i = 0; i < 6; ++i) cpu.state.segment[i] = vm86_segment(selectors[i]);
  cpu.state.cpl = 3;
  cpu.state.gpr[gpr::kRsp] = esp;
  cpu.state.rip = target.rip;
  write_flags(cpu, flags,
              flag::kStatus | flag::kTf | flag::kIf | flag::kDf | flag::kIopl | flag::kNt | flag::kRf | flag::kVm |
                  flag::kAc | flag::kVif | flag::kVip | flag::kId);
  return true;
}

bool protected_interrupt_return(Vcpu& cpu, unsigned size) {
  StackView stack(cpu);
  Target target;
  u64 flags = 0;
  const bool from64 = cpu.mode.bits64;
  std::array<u64, 5> frame{};
  const bool whole = from64 && size == 8 && stack.pop_together(frame.data(), 5);
  if (whole) {
    target.rip = frame[0];
    target.selector = static_cast<u16>(frame[1]);
    flags = frame[2];
    target.rsp = frame[3];
    target.stack_selector = static_cast<u16>(frame[4]);
  } else if (!stack.pop(target.rip, size) || !pop_selector(stack, size, target.selector) || !stack.pop(flags, size)) {
    return false;
  }
  if ((flags & flag::kVm) != 0 && size == 4 && cpu.state.cpl == 0 && !cpu.mode.long_mode)
    return return_to_vm86(cpu, stack, target, flags);
  if (!check_return_code(cpu, target)) return false;
  const u64 mask = iret_flags_mask(cpu, size);
  const bool outer = rpl_of(target.selector) > cpu.state.cpl;
  if (outer || from64) {
    if (!whole && (!stack.pop(target.rsp, size) || !pop_selector(stack, size, target.stack_selector))) return false;
    if (!check_return_stack(cpu, target)) return false;
  }
  if (!check_target(cpu, target.code, target.rip) || !mark_accessed(cpu, target.selector, target.code)) return false;
  cpu.set_rflags((cpu.rflags() & ~mask) | (flags & mask));
  if (outer || from64) {
    commit_with_stack(cpu, target);
    return true;
  }
  stack.commit();
  commit_code_segment(cpu, target.selector, target.code, cpu.state.cpl);
  cpu.state.rip = target.rip;
  return true;
}

}  // namespace

bool far_return(Vcpu& cpu, unsigned operand_size, u32 release_bytes) {
  if (real_or_vm86(cpu)) return real_far_return(cpu, operand_size, release_bytes);
  StackView stack(cpu);
  Target target;
  if (!stack.pop(target.rip, operand_size) || !pop_selector(stack, operand_size, target.selector)) return false;
  if (!check_return_code(cpu, target)) return false;
  stack.discard(release_bytes);
  if (rpl_of(target.selector) == cpu.state.cpl) {
    if (!check_target(cpu, target.code, target.rip) || !mark_accessed(cpu, target.selector, target.code)) return false;
    stack.commit();
    commit_code_segment(cpu, target.selector, target.code, cpu.state.cpl);
    cpu.state.rip = target.rip;
    return true;
  }
  if (!stack.pop(target.rsp, operand_size) || !pop_selector(stack, operand_size, target.stack_selector)) return false;
  if (!check_return_stack(cpu, target) || !check_target(cpu, target.code, target.rip)) return false;
  if (!mark_accessed(cpu, target.selector, target.code)) return false;
  target.rsp += release_bytes;
  commit_with_stack(cpu, target);
  return true;
}

bool interrupt_return(Vcpu& cpu, unsigned operand_size, u64 return_rip) {
  cpu.state.nmi_blocked = false;
  if ((cpu.state.cr0 & cr0::kPe) == 0) return real_interrupt_return(cpu, operand_size);
  if (cpu.mode.vm86) return vm86_interrupt_return(cpu, operand_size);
  if ((cpu.state.rflags & flag::kNt) != 0) {
    if (cpu.mode.long_mode) return cpu.raise(Vector::Gp, 0);
    return return_to_previous_task(cpu, return_rip);
  }
  return protected_interrupt_return(cpu, operand_size);
}

}  // namespace xm::cpu::system
