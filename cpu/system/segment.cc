// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/system/segment.h"

namespace xm::cpu::system {

namespace {

bool load_null(Vcpu& cpu, Segment segment, u16 selector) {
  if (segment == Segment::Ss) {
    // 64-bit mode below CPL 3 runs on a null SS [SDM3 5.4.1.1].
    if (!cpu.mode.bits64 || cpu.state.cpl == 3 || rpl_of(selector) != cpu.state.cpl) return cpu.raise(Vector::Gp, 0);
    SegmentRegister null = kNullSegment;
    null.attributes |= static_cast<u32>(cpu.state.cpl) << 5;
    null.selector = selector;
    segment_of(cpu, segment) = null;
    return true;
  }
  SegmentRegister null = kNullSegment;
  null.selector = selector;
  segment_of(cpu, segment) = null;
  return true;
}

bool check_stack_segment(Vcpu& cpu, u16 selector, const Descriptor& descriptor) {
  const unsigned cpl = cpu.state.cpl;
  if (rpl_of(selector) != cpl || !descriptor.writable_data() || descriptor.dpl() != cpl)
    return cpu.raise(Vector::Gp, selector_error(selector));
  if (!descriptor.present()) return cpu.raise(Vector::Ss, selector_error(selector));
  return true;
}

bool check_data_segment(Vcpu& cpu, u16 selector, const Descriptor& descriptor) {
  if (!descriptor.readable()) return cpu.raise(Vector::Gp, selector_error(selector));
  if (!descriptor.conforming() && (rpl_of(selector) > descriptor.dpl() || cpu.state.cpl > descriptor.dpl()))
    return cpu.raise(Vector::Gp, selector_error(selector));
  if (!descriptor.present()) return cpu.raise(Vector::Np, selector_error(selector));
  return true;
}

}  // namespace

SegmentRegister vm86_segment(u16 selector) {
  return {.base = u64{selector} << 4, .limit = 0xFFFF, .attributes = 0xF3, .selector = selector};
}

void load_real_segment(Vcpu& cpu, Segment segment, u16 selector) {
  if (cpu.mode.vm86) {
    segment_of(cpu, segment) = vm86_segment(selector);
    return;
  }
  SegmentRegister& target = segment_of(cpu, segment);
  target.base = u64{selector} << 4;
  target.selector = selector;
  if (target.unusable()) target = {.base = target.base, .limit = 0xFFFF, .attributes = 0x93, .selector = selector};
}

bool load_segment(Vcpu& cpu, Segment segment, u16 selector) {
  if (real_or_vm86(cpu)) {
    load_real_segment(cpu, segment, selector);
    return true;
  }
  if (is_null(selector)) return load_null(cpu, segment, selector);
  Descriptor descriptor;
  if (!read_descriptor(cpu, selector, Vector::Gp, 0, descriptor)) return false;
  const bool legal = segment == Segment::Ss ? check_stack_segment(cpu, selector, descriptor)
                                            : check_data_segment(cpu, selector, descriptor);
  if (!legal || !mark_accessed(cpu, selector, descriptor)) return false;
  segment_of(cpu, segment) = descriptor.segment(selector);
  return true;
}

void commit_code_segment(Vcpu& cpu, u16 selector, const Descriptor& descriptor, unsigned cpl) {
  segment_of(cpu, Segment::Cs) = descriptor.segment(static_cast<u16>((selector & ~3u) | cpl));
  cpu.state.cpl = static_cast<u8>(cpl);
  cpu.update_mode();
}

bool check_target(Vcpu& cpu, const Descriptor& descriptor, u64& offset, u32 ext) {
  if (cpu.mode.long_mode && descriptor.long_code()) return is_canonical(cpu, offset) || cpu.raise(Vector::Gp, ext);
  offset = static_cast<u32>(offset);
  return offset <= descriptor.limit() || cpu.raise(Vector::Gp, ext);
}

bool read_inner_stack_segment(Vcpu& cpu, u16 selector, unsigned cpl, u32 ext, Descriptor& descriptor) {
  if (is_null(selector)) return cpu.raise(Vector::Ts, ext);
  if (!read_descriptor(cpu, selector, Vector::Ts, ext, descriptor)) return false;
  if (rpl_of(selector) != cpl || descriptor.dpl() != cpl || !descriptor.writable_data())
    return cpu.raise(Vector::Ts, selector_error(selector, ext));
  if (!descriptor.present()) return cpu.raise(Vector::Ss, selector_error(selector, ext));
  return true;
}

void drop_inner_segments(Vcpu& cpu) {
  for (const Segment name : {Segment::Es, Segment::Ds, Segment::Fs, Segment::Gs}) {
    SegmentRegister& segment = segment_of(cpu, name);
    if (segment.unusable() || is_null(segment.selector)) continue;
    const bool conforming_code = (segment.type() & 0xC) == 0xC;
    if (conforming_code || segment.dpl() >= cpu.state.cpl) continue;
    // The base stays: in 64-bit mode FS and GS still address by it, as silicon does.
    segment.selector = 0;
    segment.attributes = kNullSegment.attributes;
  }
}

u64 next_rip(const Vcpu& cpu, const Insn& insn) {
  const u64 next = cpu.state.rip + insn.length;
  if (cpu.mode.bits64) return next;
  return cpu.mode.code_size == CodeSize::Bits16 ? next & 0xFFFF : static_cast<u32>(next);
}

}  // namespace xm::cpu::system
