// SPDX-License-Identifier: GPL-2.0-or-later
// Interrupt, trap and task gates of protected mode, with or without a change of privilege level, from virtual-8086 mode
// too. [SDM2 INT n, SDM3 6.12]
#include "cpu/system/interrupt_gate.h"

#include "cpu/system/segment.h"
#include "cpu/system/stack_view.h"
#include "cpu/system/task_switch.h"
#include "cpu/system/tss.h"

namespace xm::cpu::system {

namespace {

// Error code that names an IDT entry: bit 1 is IDT.
u32 idt_error(const Event& event) { return event.vector * 8u + 2 + event.ext(); }

bool read_gate(Vcpu& cpu, const Event& event, Descriptor& gate) {
  const u32 offset = event.vector * 8u;
  if (offset + 7 > cpu.state.idtr.limit) return cpu.raise(Vector::Gp, idt_error(event));
  if (!cpu.read_linear(wrap_linear(cpu, cpu.state.idtr.base + offset), gate.low, As::System)) return false;
  using namespace descriptor_type;
  const unsigned type = gate.type();
  const bool known = type == kTaskGate || type == kInterruptGate16 || type == kTrapGate16 || type == kInterruptGate32 ||
                     type == kTrapGate32;
  if (!gate.system() || !known) return cpu.raise(Vector::Gp, idt_error(event));
  if (event.software() && gate.dpl() < cpu.state.cpl) return cpu.raise(Vector::Gp, idt_error(event));
  if (!gate.present()) return cpu.raise(Vector::Np, idt_error(event));
  return true;
}

bool deliver_task_gate(Vcpu& cpu, const Event& event, const Descriptor& gate) {
  const u16 selector = gate.gate_selector();
  TaskSwitch request;
  request.selector = selector;
  request.reason = TaskSwitchReason::Gate;
  request.ext = event.ext();
  request.return_rip = event.return_rip;
  request.flags = pushed_flags(cpu, event);
  if (!read_available_tss(cpu, selector, Vector::Gp, event.ext(), request.descriptor)) return false;
  if (!switch_task(cpu, request)) return false;
  if (event.has_error_code) {
    StackView stack(cpu, event.ext());
    if (!stack.push(event.error_code, request.descriptor.type() == descriptor_type::kTss16Available ? 2 : 4))
      return false;
    stack.commit();
  }
  return true;
}

// The handler's code segment and the privilege level it runs at.
bool read_handler_segment(Vcpu& cpu, const Event& event, u16 selector, Descriptor& code, unsigned& cpl) {
  const u32 ext = event.ext();
  if (is_null(selector)) return cpu.raise(Vector::Gp, ext);
  if (!read_descriptor(cpu, selector, Vector::Gp, ext, code)) return false;
  if (!code.code() || code.dpl() > cpu.state.cpl) return cpu.raise(Vector::Gp, selector_error(selector, ext));
  if (!code.present()) return cpu.raise(Vector::Np, selector_error(selector, ext));
  cpl = code.conforming() ? cpu.state.cpl : code.dpl();
  if (cpu.mode.vm86 && cpl != 0) return cpu.raise(Vector::Gp, selector_error(selector, ext));
  return true;
}

bool push_frame(Vcpu& cpu, const Event& event, StackView& stack, unsigned size, bool inner, unsigned cpl) {
  const CpuState& state = cpu.state;
  const WithCpl rights(cpu, cpl);
  if (cpu.mode.vm86) {
    for (const Segment name : {Segment::Gs, Segment::Fs, Segment::Ds, Segment::Es})
      if (!stack.push(segment_of(cpu, name).selector, size)) return false;
  }
  if (inner && !(stack.push(segment_of(cpu, Segment::Ss).selector, size) && stack.push(state.gpr[gpr::kRsp], size)))
    return false;
  return stack.push(pushed_flags(cpu, event), size) && stack.push(segment_of(cpu, Segment::Cs).selector, size) &&
         stack.push(event.return_rip, size) && (!event.has_error_code || stack.push(event.error_code, size));
}

// RFLAGS that a handler starts with.
u64 handler_flags(const Vcpu& cpu, bool interrupt_gate) {
  u64 flags = cpu.rflags() & ~(flag::kTf | flag::kNt | flag::kRf | flag::kVm);
  if (interrupt_gate) flags &= ~flag::kIf;
  return flags;
}

bool enter_inner(Vcpu& cpu, const Event& event, const Descriptor& gate, const Descriptor& code, unsigned cpl) {
  u16 stack_selector = 0;
  u32 stack_pointer = 0;
  Descriptor stack_descriptor;
  if (!read_tss_stack(cpu, cpl, event.ext(), stack_selector, stack_pointer)) return false;
  if (!read_inner_stack_segment(cpu, stack_selector, cpl, event.ext(), stack_descriptor)) return false;
  const SegmentRegister stack_segment = stack_descriptor.segment(stack_selector);
  StackView stack(cpu, stack_segment, stack_pointer, cpl, selector_error(stack_selector, event.ext()), false);
  u64 target = gate.type() >= descriptor_type::kInterruptGate32 ? gate.gate_offset32() : gate.gate_offset32() & 0xFFFF;
  if (!check_target(cpu, code, target, event.ext())) return false;
  const unsigned size = gate.type() >= descriptor_type::kInterruptGate32 ? 4 : 2;
  if (!push_frame(cpu, event, stack, size, true, cpl)) return false;
  Descriptor code_copy = code;
  if (!mark_accessed(cpu, stack_selector, stack_descriptor) || !mark_accessed(cpu, gate.gate_selector(), code_copy))
    return false;

  const u64 flags = handler_flags(cpu, (gate.type() & 1) == 0);
  if (cpu.mode.vm86) {
    for (const Segment name : {Segment::Es, Segment::Ds, Segment::Fs, Segment::Gs})
      segment_of(cpu, name) = kNullSegment;
  }
  cpu.set_rflags(flags);
  segment_of(cpu, Segment::Ss) = stack_descriptor.segment(stack_selector);
  commit_code_segment(cpu, gate.gate_selector(), code_copy, cpl);
  cpu.state.gpr[gpr::kRsp] = stack.pointer();
  cpu.state.rip = target;
  return true;
}

bool enter_same(Vcpu& cpu, const Event& event, const Descriptor& gate, Descriptor code) {
  StackView stack(cpu, event.ext());
  const bool wide = gate.type() >= descriptor_type::kInterruptGate32;
  u64 target = wide ? gate.gate_offset32() : gate.gate_offset32() & 0xFFFF;
  if (!check_target(cpu, code, target, event.ext())) return false;
  if (!push_frame(cpu, event, stack, wide ? 4 : 2, false, cpu.state.cpl)) return false;
  if (!mark_accessed(cpu, gate.gate_selector(), code)) return false;
  stack.commit();
  cpu.set_rflags(handler_flags(cpu, (gate.type() & 1) == 0));
  commit_code_segment(cpu, gate.gate_selector(), code, cpu.state.cpl);
  cpu.state.rip = target;
  return true;
}

}  // namespace

u64 pushed_flags(const Vcpu& cpu, const Event& event) {
  const u64 flags = cpu.rflags();
  if (event.software()) return flags & ~flag::kRf;
  const bool fault_class = event.source == Source::Exception && event.vector != static_cast<u8>(Vector::Db) &&
                           event.vector != static_cast<u8>(Vector::Bp) && event.vector != static_cast<u8>(Vector::Of);
  return fault_class ? flags | flag::kRf : flags;
}

bool try_deliver(Vcpu& cpu, const Event& event) {
  if ((cpu.state.cr0 & cr0::kPe) == 0) return deliver_real(cpu, event);
  if (cpu.mode.long_mode) return deliver_long(cpu, event);
  if (cpu.mode.vm86 && event.source == Source::SoftwareInt) return deliver_vm86_software(cpu, event);
  return deliver_protected(cpu, event);
}

bool deliver_real(Vcpu& cpu, const Event& event) {
  const u32 offset = event.vector * 4u;
  if (offset + 3 > cpu.state.idtr.limit) return cpu.raise(Vector::Gp, event.vector * 8u + 2 + event.ext());
  u32 entry = 0;
  if (!cpu.read_linear(wrap_linear(cpu, cpu.state.idtr.base + offset), entry, As::System)) return false;
  StackView stack(cpu, event.ext());
  const u64 flags = cpu.rflags();
  if (!stack.push(flags, 2) || !stack.push(segment_of(cpu, Segment::Cs).selector, 2) ||
      !stack.push(event.return_rip, 2))
    return false;
  stack.commit();
  cpu.set_rflags(flags & ~(flag::kIf | flag::kTf | flag::kAc | flag::kRf));
  load_real_segment(cpu, Segment::Cs, static_cast<u16>(entry >> 16));
  cpu.state.rip = entry & 0xFFFF;
  cpu.update_mode();
  return true;
}

bool deliver_protected(Vcpu& cpu, const Event& event) {
  Descriptor gate;
  if (!read_gate(cpu, event, gate)) return false;
  if (gate.type() == descriptor_type::kTaskGate) return deliver_task_gate(cpu, event, gate);
  Descriptor code;
  unsigned cpl = 0;
  if (!read_handler_segment(cpu, event, gate.gate_selector(), code, cpl)) return false;
  if (cpl < cpu.state.cpl) return enter_inner(cpu, event, gate, code, cpl);
  return enter_same(cpu, event, gate, code);
}

}  // namespace xm::cpu::system
