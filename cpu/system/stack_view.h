// SPDX-License-Identifier: GPL-2.0-or-later
// A stack that a control transfer fills or empties before it is committed: of another segment or privilege level, or
// the current one whose pointer must not move if a later step faults. [SDM3 6.12.1, SDM1 6.2]
#pragma once

#include "cpu/vcpu/vcpu.h"

namespace xm::cpu::system {

class StackView {
 public:
  // `error_code` goes into the #SS that a push or pop past the limit raises. `bits64` chooses a flat 64-bit stack.
  StackView(Vcpu& cpu, const SegmentRegister& segment, u64 pointer, unsigned cpl, u32 error_code, bool bits64)
      : cpu_(cpu), segment_(segment), pointer_(pointer), cpl_(cpl), error_code_(error_code), bits64_(bits64) {}
  // The current stack.
  explicit StackView(Vcpu& cpu, u32 error_code = 0);

  u64 pointer() const { return pointer_; }
  [[nodiscard]] bool push(u64 value, unsigned size_bytes);
  [[nodiscard]] bool pop(u64& value, unsigned size_bytes);
  // Reads `index` items of `size_bytes` above the pointer without moving it.
  [[nodiscard]] bool peek(unsigned index, unsigned size_bytes, u64& value);
  // Several 8-byte items of a 64-bit stack at once, the lowest first, where they lie in one page of host memory that
  // the rights in force may use. False without a fault otherwise: go item by item.
  [[nodiscard]] bool push_together(const u64* items, unsigned count);
  [[nodiscard]] bool pop_together(u64* items, unsigned count);
  void discard(u64 size_bytes) { set_pointer(pointer_ + size_bytes); }
  // Makes the pointer the current one, by the width of the current stack segment.
  void commit() const;

 private:
  void set_pointer(u64 value);
  [[nodiscard]] bool locate(u64 offset, unsigned size_bytes, u64& linear);
  u64 mask() const { return bits64_ ? ~u64{0} : segment_.big() ? 0xFFFFFFFF : 0xFFFF; }

  Vcpu& cpu_;
  SegmentRegister segment_;
  u64 pointer_;
  unsigned cpl_;
  u32 error_code_;
  bool bits64_;
};

// Stores a stack pointer by the width of the stack segment in force: 64-bit mode, SS.B or SP.
void set_stack_pointer(Vcpu& cpu, u64 value);

// Does what it holds with the rights of another privilege level.
class WithCpl {
 public:
  WithCpl(Vcpu& cpu, unsigned cpl) : cpu_(cpu), saved_(cpu.state.cpl) { set(static_cast<u8>(cpl)); }
  ~WithCpl() { set(saved_); }
  WithCpl(const WithCpl&) = delete;
  WithCpl& operator=(const WithCpl&) = delete;

 private:
  void set(u8 cpl) {
    if (cpu_.state.cpl == cpl) return;
    cpu_.state.cpl = cpl;
    cpu_.update_rights();
  }

  Vcpu& cpu_;
  u8 saved_;
};

}  // namespace xm::cpu::system
