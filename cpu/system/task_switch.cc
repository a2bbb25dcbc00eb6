// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/system/task_switch.h"

#include "cpu/system/control_registers.h"
#include "cpu/system/deliver.h"
#include "cpu/system/segment.h"

namespace xm::cpu::system {

namespace {

// Offsets that differ between the two formats [SDM3 figures 7-2, 7-10].
struct TssLayout {
  u32 minimum_limit;
  unsigned word;  // bytes of a register field
  u32 ip, flags, registers, segments;
  unsigned segment_count;
  u32 ldt;
};
constexpr TssLayout kLayout16{0x2B, 2, 0x0E, 0x10, 0x12, 0x22, 4, 0x2A};
constexpr TssLayout kLayout32{0x67, 4, 0x20, 0x24, 0x28, 0x48, 6, 0x60};
constexpr u32 kCr3Offset = 0x1C;
constexpr u32 kDebugTrapOffset = 0x64;

const TssLayout& layout_of(unsigned type) { return (type & 8) != 0 ? kLayout32 : kLayout16; }

// What a TSS says of a task.
struct TaskImage {
  u64 cr3 = 0, ip = 0, flags = 0;
  std::array<u64, 8> registers{};
  std::array<u16, 6> segments{};  // ES CS SS DS FS GS
  u16 ldt = 0;
  bool debug_trap = false;
};

bool read_field(Vcpu& cpu, u64 base, u32 offset, unsigned size, u64& value) {
  const u64 linear = wrap_linear(cpu, base + offset);
  u32 wide = 0;
  u16 narrow = 0;
  const bool done = size == 4 ? cpu.read_linear(linear, wide, As::System) : cpu.read_linear(linear, narrow, As::System);
  value = size == 4 ? wide : narrow;
  return done;
}

bool write_field(Vcpu& cpu, u64 base, u32 offset, unsigned size, u64 value) {
  const u64 linear = wrap_linear(cpu, base + offset);
  return size == 4 ? cpu.write_linear(linear, static_cast<u32>(value), As::System)
                   : cpu.write_linear(linear, static_cast<u16>(value), As::System);
}

bool read_image(Vcpu& cpu, u64 base, const TssLayout& layout, TaskImage& image) {
  if (layout.word == 4) {
    u64 trap = 0;
    if (!read_field(cpu, base, kCr3Offset, 4, image.cr3) || !read_field(cpu, base, kDebugTrapOffset, 2, trap))
      return false;
    image.debug_trap = (trap & 1) != 0;
  }
  if (!read_field(cpu, base, layout.ip, layout.word, image.ip)) return false;
  if (!read_field(cpu, base, layout.flags, layout.word, image.flags)) return false;
  for (u32 i = 0; i < 8; ++i) {
    if (!read_field(cpu, base, layout.registers + i * layout.word, layout.word, image.registers[i])) return false;
    if (layout.word == 2) image.registers[i] |= 0xFFFF0000;  // what processors leave in the upper halves
  }
  u64 selector = 0;
  for (u32 i = 0; i < layout.segment_count; ++i) {
    if (!read_field(cpu, base, layout.segments + i * layout.word, 2, selector)) return false;
    image.segments[i] = static_cast<u16>(selector);
  }
  if (!read_field(cpu, base, layout.ldt, 2, selector)) return false;
  image.ldt = static_cast<u16>(selector);
  return true;
}

bool save_old_task(Vcpu& cpu, const TaskSwitch& request) {
  const TssLayout& layout = layout_of(cpu.state.tr.type());
  const u64 base = cpu.state.tr.base;
  const u64 flags = request.reason == TaskSwitchReason::Iret ? request.flags & ~flag::kNt : request.flags;
  if (!write_field(cpu, base, layout.ip, layout.word, request.return_rip)) return false;
  if (!write_field(cpu, base, layout.flags, layout.word, flags)) return false;
  for (u32 i = 0; i < 8; ++i)
    if (!write_field(cpu, base, layout.registers + i * layout.word, layout.word, cpu.state.gpr[i])) return false;
  for (u32 i = 0; i < layout.segment_count; ++i)
    if (!write_field(cpu, base, layout.segments + i * layout.word, 2, cpu.state.segment[i].selector)) return false;
  return true;
}

bool load_task_ldt(Vcpu& cpu, u16 selector, u32 ext) {
  if (is_null(selector)) return true;
  Descriptor descriptor;
  if ((selector & 4) != 0) return cpu.raise(Vector::Ts, selector_error(selector, ext));
  if (!read_descriptor(cpu, selector, Vector::Ts, ext, descriptor)) return false;
  if (!descriptor.system() || descriptor.type() != descriptor_type::kLdt || !descriptor.present())
    return cpu.raise(Vector::Ts, selector_error(selector, ext));
  cpu.state.ldtr = descriptor.segment(selector);
  return true;
}

bool load_task_code(Vcpu& cpu, u16 selector, u32 ext) {
  Descriptor descriptor;
  if (is_null(selector)) return cpu.raise(Vector::Ts, selector_error(selector, ext));
  if (!read_descriptor(cpu, selector, Vector::Ts, ext, descriptor)) return false;
  const bool privilege =
      descriptor.conforming() ? descriptor.dpl() <= rpl_of(selector) : descriptor.dpl() == rpl_of(selector);
  if (!descriptor.code() || !privilege) return cpu.raise(Vector::Ts, selector_error(selector, ext));
  if (!descriptor.present()) return cpu.raise(Vector::Np, selector_error(selector, ext));
  if (!mark_accessed(cpu, selector, descriptor)) return false;
  segment_of(cpu, Segment::Cs) = descriptor.segment(selector);
  return true;
}

bool load_task_data(Vcpu& cpu, Segment name, u16 selector, u32 ext) {
  if (is_null(selector)) return true;
  Descriptor descriptor;
  if (!read_descriptor(cpu, selector, Vector::Ts, ext, descriptor)) return false;
  const unsigned needed = std::max<unsigned>(cpu.state.cpl, rpl_of(selector));
  if (!descriptor.readable() || (!descriptor.conforming() && descriptor.dpl() < needed))
    return cpu.raise(Vector::Ts, selector_error(selector, ext));
  if (!descriptor.present()) return cpu.raise(Vector::Np, selector_error(selector, ext));
  if (!mark_accessed(cpu, selector, descriptor)) return false;
  segment_of(cpu, name) = descriptor.segment(selector);
  return true;
}

bool load_task_segments(Vcpu& cpu, const TaskImage& image, u32 ext) {
  if (!load_task_ldt(cpu, image.ldt, ext)) return false;
  if (cpu.state.rflags & flag::kVm) {
    for (unsigned i = 0; i < 6; ++i) cpu.state.segment[i] = vm86_segment(image.segments[i]);
    cpu.state.cpl = 3;
    return true;
  }
  const u16 code = image.segments[static_cast<unsigned>(Segment::Cs)];
  const u16 stack = image.segments[static_cast<unsigned>(Segment::Ss)];
  cpu.state.cpl = static_cast<u8>(rpl_of(code));
  if (!load_task_code(cpu, code, ext)) return false;
  Descriptor descriptor;
  if (!read_inner_stack_segment(cpu, stack, cpu.state.cpl, ext, descriptor)) return false;
  if (!mark_accessed(cpu, stack, descriptor)) return false;
  segment_of(cpu, Segment::Ss) = descriptor.segment(stack);
  for (const Segment name : {Segment::Es, Segment::Ds, Segment::Fs, Segment::Gs})
    if (!load_task_data(cpu, name, image.segments[static_cast<unsigned>(name)], ext)) return false;
  return true;
}

// The point of no return is passed: registers become the new task's.
bool enter_new_task(Vcpu& cpu, const TaskSwitch& request, const TaskImage& image) {
  CpuState& state = cpu.state;
  const bool wide = (request.descriptor.type() & 8) != 0;
  state.tr = request.descriptor.segment(request.selector);
  state.tr.attributes |= 2;  // busy
  state.cr0 |= cr0::kTs;
  state.dr[7] &= ~u64{0x155};  // L0..L3, LE are local to a task [SDM3 7.3]
  if (wide && (state.cr0 & cr0::kPg) != 0 && !load_cr3_for_task(cpu, image.cr3)) return false;

  u64 flags = image.flags;
  if (request.reason == TaskSwitchReason::Call || request.reason == TaskSwitchReason::Gate) flags |= flag::kNt;
  const u64 known = flag::kStatus | flag::kTf | flag::kIf | flag::kDf | flag::kIopl | flag::kNt | flag::kRf |
                    flag::kVm | flag::kAc | flag::kVif | flag::kVip | flag::kId;
  cpu.set_rflags((flags & known) | 2);
  for (unsigned i = 0; i < 8; ++i) state.gpr[i] = image.registers[i];
  state.rip = image.ip;
  state.ldtr = kNullSegment;
  state.ldtr.selector = image.ldt;
  for (unsigned i = 0; i < 6; ++i) {
    state.segment[i] = kNullSegment;
    state.segment[i].selector = image.segments[i];
  }
  const bool loaded = load_task_segments(cpu, image, request.ext);
  cpu.update_mode();
  if (!loaded) return false;
  if (state.rip > segment_of(cpu, Segment::Cs).limit) return cpu.raise(Vector::Gp, request.ext);
  if (image.debug_trap) deliver_debug_trap(cpu, bit(15));
  return true;
}

}  // namespace

bool read_available_tss(Vcpu& cpu, u16 selector, Vector vector, u32 ext, Descriptor& descriptor) {
  if ((selector & 4) != 0 || is_null(selector)) return cpu.raise(vector, selector_error(selector, ext));
  if (!read_descriptor(cpu, selector, vector, ext, descriptor)) return false;
  const unsigned type = descriptor.type();
  if (!descriptor.system() || (type != descriptor_type::kTss16Available && type != descriptor_type::kTss32Available))
    return cpu.raise(vector, selector_error(selector, ext));
  if (!descriptor.present()) return cpu.raise(Vector::Np, selector_error(selector, ext));
  return true;
}

bool switch_task(Vcpu& cpu, const TaskSwitch& request) {
  const TssLayout& layout = layout_of(request.descriptor.type());
  if (request.descriptor.limit() < layout.minimum_limit)
    return cpu.raise(Vector::Ts, selector_error(request.selector, request.ext));
  TaskImage image;
  const u64 base = request.descriptor.base();
  if (!read_image(cpu, base, layout, image)) return false;
  if (!save_old_task(cpu, request)) return false;
  const bool nested = request.reason == TaskSwitchReason::Call || request.reason == TaskSwitchReason::Gate;
  if (nested && !write_field(cpu, base, 0, 2, cpu.state.tr.selector)) return false;
  if (!nested && !set_tss_busy(cpu, cpu.state.tr.selector, false)) return false;
  if (request.reason != TaskSwitchReason::Iret && !set_tss_busy(cpu, request.selector, true)) return false;
  return enter_new_task(cpu, request, image);
}

bool jump_to_task(Vcpu& cpu, u16 selector, const Descriptor& descriptor, TaskSwitchReason reason, u64 return_rip) {
  TaskSwitch request;
  request.selector = selector;
  request.descriptor = descriptor;
  request.reason = reason;
  request.return_rip = return_rip;
  request.flags = cpu.rflags();
  if (!descriptor.present()) return cpu.raise(Vector::Np, selector_error(selector));
  if (descriptor.type() == descriptor_type::kTaskGate) request.selector = descriptor.gate_selector();
  if (!read_available_tss(cpu, request.selector, Vector::Gp, 0, request.descriptor)) return false;
  return switch_task(cpu, request);
}

bool return_to_previous_task(Vcpu& cpu, u64 return_rip) {
  u64 link = 0;
  if (!read_field(cpu, cpu.state.tr.base, 0, 2, link)) return false;
  TaskSwitch request;
  request.selector = static_cast<u16>(link);
  request.reason = TaskSwitchReason::Iret;
  request.return_rip = return_rip;
  request.flags = cpu.rflags();
  const u16 selector = request.selector;
  if ((selector & 4) != 0 || is_null(selector)) return cpu.raise(Vector::Ts, selector_error(selector));
  if (!read_descriptor(cpu, selector, Vector::Ts, 0, request.descriptor)) return false;
  const unsigned type = request.descriptor.type();
  if (!request.descriptor.system() || (type != descriptor_type::kTss16Busy && type != descriptor_type::kTss32Busy))
    return cpu.raise(Vector::Ts, selector_error(selector));
  if (!request.descriptor.present()) return cpu.raise(Vector::Np, selector_error(selector));
  return switch_task(cpu, request);
}

}  // namespace xm::cpu::system
