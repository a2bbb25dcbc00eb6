// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/system/stack_view.h"

#include "cpu/system/descriptor.h"

namespace xm::cpu::system {

namespace {

// Does offset..offset+size-1 lie inside the segment? [SDM3 5.3]
bool within_limit(const SegmentRegister& segment, u64 offset, unsigned size_bytes) {
  const u64 last = offset + size_bytes - 1;
  const bool expand_down = (segment.attributes & 0x1C) == 0x14;
  if (!expand_down) return last <= segment.limit && offset <= last;
  const u64 top = segment.big() ? 0xFFFFFFFF : 0xFFFF;
  return offset > segment.limit && last <= top;
}

}  // namespace

StackView::StackView(Vcpu& cpu, u32 error_code)
    : StackView(cpu, cpu.state.segment[static_cast<unsigned>(Segment::Ss)], cpu.state.gpr[gpr::kRsp], cpu.state.cpl,
                error_code, cpu.mode.bits64) {}

void StackView::set_pointer(u64 value) { pointer_ = (pointer_ & ~mask()) | (value & mask()); }

bool StackView::locate(u64 offset, unsigned size_bytes, u64& linear) {
  if (bits64_) {
    if (!is_canonical(cpu_, offset) || !is_canonical(cpu_, offset + size_bytes - 1))
      return cpu_.raise(Vector::Ss, error_code_);
    linear = offset;
    return true;
  }
  if (!within_limit(segment_, offset, size_bytes)) return cpu_.raise(Vector::Ss, error_code_);
  linear = static_cast<u32>(segment_.base + offset);
  return true;
}

bool StackView::push(u64 value, unsigned size_bytes) {
  const u64 offset = (pointer_ - size_bytes) & mask();
  u64 linear = 0;
  if (!locate(offset, size_bytes, linear)) return false;
  const WithCpl rights(cpu_, cpl_);
  const bool done = size_bytes == 8   ? cpu_.write_linear(linear, value)
                    : size_bytes == 4 ? cpu_.write_linear(linear, static_cast<u32>(value))
                                      : cpu_.write_linear(linear, static_cast<u16>(value));
  if (done) set_pointer(offset);
  return done;
}

bool StackView::peek(unsigned index, unsigned size_bytes, u64& value) {
  u64 linear = 0;
  if (!locate((pointer_ + u64{index} * size_bytes) & mask(), size_bytes, linear)) return false;
  const WithCpl rights(cpu_, cpl_);
  u32 narrow32 = 0;
  u16 narrow16 = 0;
  bool done = false;
  if (size_bytes == 8) return cpu_.read_linear(linear, value);
  if (size_bytes == 4) {
    done = cpu_.read_linear(linear, narrow32);
    value = narrow32;
  } else {
    done = cpu_.read_linear(linear, narrow16);
    value = narrow16;
  }
  return done;
}

bool StackView::pop(u64& value, unsigned size_bytes) {
  if (!peek(0, size_bytes, value)) return false;
  discard(size_bytes);
  return true;
}

bool StackView::push_together(const u64* items, unsigned count) {
  const u64 bottom = pointer_ - u64{count} * 8;
  if (!bits64_ || !is_canonical(cpu_, bottom) || !is_canonical(cpu_, pointer_ - 1)) return false;
  const WithCpl rights(cpu_, cpl_);
  bool ok = false;
  u8* const host = cpu_.write_window(bottom, count * 8, ok);
  if (host == nullptr) return false;
  std::memcpy(host, items, count * sizeof *items);
  pointer_ = bottom;
  return true;
}

bool StackView::pop_together(u64* items, unsigned count) {
  const u64 top = pointer_ + u64{count} * 8;
  if (!bits64_ || !is_canonical(cpu_, pointer_) || !is_canonical(cpu_, top - 1)) return false;
  const WithCpl rights(cpu_, cpl_);
  bool ok = false;
  const u8* const host = cpu_.read_window(pointer_, count * 8, ok);
  if (host == nullptr) return false;
  std::memcpy(items, host, count * sizeof *items);
  pointer_ = top;
  return true;
}

void StackView::commit() const { set_stack_pointer(cpu_, pointer_); }

void set_stack_pointer(Vcpu& cpu, u64 value) {
  u64& rsp = cpu.state.gpr[gpr::kRsp];
  if (cpu.mode.bits64)
    rsp = value;
  else if (cpu.state.segment[static_cast<unsigned>(Segment::Ss)].big())
    rsp = static_cast<u32>(value);
  else
    rsp = (rsp & ~u64{0xFFFF}) | (value & 0xFFFF);
}

}  // namespace xm::cpu::system
