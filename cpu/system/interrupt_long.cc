// SPDX-License-Identifier: GPL-2.0-or-later
// Event delivery in IA-32e mode (IST, 16-byte aligned frames) and of INT n in virtual-8086 mode. [SDM3 6.14, 20.3]
#include "cpu/system/interrupt_gate.h"
#include "cpu/system/segment.h"
#include "cpu/system/stack_view.h"
#include "cpu/system/tss.h"

namespace xm::cpu::system {

namespace {

bool read_long_gate(Vcpu& cpu, const Event& event, Descriptor& gate) {
  const u32 offset = event.vector * 16u;
  const u32 error = event.vector * 8u + 2 + event.ext();
  if (offset + 15 > cpu.state.idtr.limit) return cpu.raise(Vector::Gp, error);
  const u64 linear = cpu.state.idtr.base + offset;
  if (!cpu.read_linear(linear, gate.low, As::System) || !cpu.read_linear(linear + 8, gate.high, As::System))
    return false;
  const unsigned type = gate.type();
  const bool known = type == descriptor_type::kInterruptGate32 || type == descriptor_type::kTrapGate32;
  if (!gate.system() || !known) return cpu.raise(Vector::Gp, error);
  if (event.software() && gate.dpl() < cpu.state.cpl) return cpu.raise(Vector::Gp, error);
  if (!gate.present()) return cpu.raise(Vector::Np, error);
  return true;
}

bool read_long_handler(Vcpu& cpu, const Event& event, u16 selector, Descriptor& code, unsigned& cpl) {
  const u32 ext = event.ext();
  if (is_null(selector)) return cpu.raise(Vector::Gp, ext);
  if (!read_descriptor(cpu, selector, Vector::Gp, ext, code)) return false;
  if (!code.code() || code.dpl() > cpu.state.cpl) return cpu.raise(Vector::Gp, selector_error(selector, ext));
  if (!code.long_code() || code.big()) return cpu.raise(Vector::Gp, selector_error(selector, ext));
  if (!code.present()) return cpu.raise(Vector::Np, selector_error(selector, ext));
  cpl = code.conforming() ? cpu.state.cpl : code.dpl();
  return true;
}

bool push_long_frame(Vcpu& cpu, const Event& event, StackView& stack, unsigned cpl) {
  const WithCpl rights(cpu, cpl);
  const std::array<u64, 6> frame{
      event.error_code,         event.return_rip,         segment_of(cpu, Segment::Cs).selector,
      pushed_flags(cpu, event), cpu.state.gpr[gpr::kRsp], segment_of(cpu, Segment::Ss).selector};
  const unsigned first = event.has_error_code ? 0 : 1;
  if (stack.push_together(frame.data() + first, 6 - first)) return true;
  return stack.push(segment_of(cpu, Segment::Ss).selector, 8) && stack.push(cpu.state.gpr[gpr::kRsp], 8) &&
         stack.push(pushed_flags(cpu, event), 8) && stack.push(segment_of(cpu, Segment::Cs).selector, 8) &&
         stack.push(event.return_rip, 8) && (!event.has_error_code || stack.push(event.error_code, 8));
}

// A 16-bit interrupt on the virtual-8086 task's own stack, through its own vectors at linear address 0.
bool redirect_to_vm86(Vcpu& cpu, const Event& event) {
  u32 entry = 0;
  if (!cpu.read_linear(event.vector * 4u, entry, As::Current)) return false;
  const u64 flags = cpu.rflags();
  const bool full_iopl = (flags & flag::kIopl) == flag::kIopl;
  u64 image = flags;
  if (!full_iopl) {
    image = (image & ~flag::kIf) | flag::kIopl;
    if (flags & flag::kVif) image |= flag::kIf;
  }
  StackView stack(cpu);
  if (!stack.push(image, 2) || !stack.push(segment_of(cpu, Segment::Cs).selector, 2) ||
      !stack.push(event.return_rip, 2))
    return false;
  stack.commit();
  cpu.set_rflags(flags & ~(flag::kTf | flag::kRf | (full_iopl ? flag::kIf : flag::kVif)));
  load_real_segment(cpu, Segment::Cs, static_cast<u16>(entry >> 16));
  cpu.state.rip = entry & 0xFFFF;
  cpu.update_mode();
  return true;
}

}  // namespace

bool deliver_long(Vcpu& cpu, const Event& event) {
  Descriptor gate;
  Descriptor code;
  unsigned cpl = 0;
  if (!read_long_gate(cpu, event, gate)) return false;
  if (!read_long_handler(cpu, event, gate.gate_selector(), code, cpl)) return false;

  const bool inner = cpl < cpu.state.cpl;
  u64 stack_pointer = cpu.state.gpr[gpr::kRsp];
  if (gate.gate_ist() != 0) {
    if (!read_tss_ist(cpu, gate.gate_ist(), event.ext(), stack_pointer)) return false;
  } else if (inner) {
    if (!read_tss_rsp(cpu, cpl, event.ext(), stack_pointer)) return false;
  }
  const u64 target = gate.gate_offset64();
  if (!is_canonical(cpu, target)) return cpu.raise(Vector::Gp, event.ext());
  StackView stack(cpu, kNullSegment, stack_pointer & ~u64{15}, cpl, event.ext(), true);
  if (!push_long_frame(cpu, event, stack, cpl)) return false;
  if (!mark_accessed(cpu, gate.gate_selector(), code)) return false;

  u64 flags = cpu.rflags() & ~(flag::kTf | flag::kNt | flag::kRf | flag::kVm);
  if ((gate.type() & 1) == 0) flags &= ~flag::kIf;
  cpu.set_rflags(flags);
  if (inner) {
    SegmentRegister null = kNullSegment;
    null.selector = static_cast<u16>(cpl);
    null.attributes |= cpl << 5;
    segment_of(cpu, Segment::Ss) = null;
  }
  commit_code_segment(cpu, gate.gate_selector(), code, cpl);
  cpu.state.gpr[gpr::kRsp] = stack.pointer();
  cpu.state.rip = target;
  return true;
}

bool deliver_vm86_software(Vcpu& cpu, const Event& event) {
  const bool full_iopl = (cpu.state.rflags & flag::kIopl) == flag::kIopl;
  if ((cpu.state.cr4 & cr4::kVme) != 0) {
    bool redirect = false;
    if (!read_redirection_bit(cpu, event.vector, redirect)) return false;
    if (redirect) return redirect_to_vm86(cpu, event);
  }
  if (!full_iopl) return cpu.raise(Vector::Gp, 0);
  return deliver_protected(cpu, event);
}

}  // namespace xm::cpu::system
