// SPDX-License-Identifier: GPL-2.0-or-later
// Inline bodies of Vcpu's memory access: the level-1 TLB probe, and everything else out of line (vcpu_memory.cc).
// Aligned data of up to eight bytes moves in one host access, which keeps the guest's memory order [SDM3 8.2].
#pragma once

#include <cstring>

#include "cpu/vcpu/vcpu.h"

namespace xm::cpu {

namespace detail {

// Host pointer of a level-1 hit, or nullptr.
template <unsigned Size>
[[gnu::always_inline]] inline u8* probe(const std::array<mmu::TlbEntry, mmu::kTlbSlots>& entries, u64 linear) {
  const mmu::TlbEntry& entry = mmu::tlb_entry(entries, linear);
  if (__builtin_expect(linear - entry.page > kPageSize - Size, 0)) return nullptr;
  u8* const host = entry.host(linear);
  if (host == nullptr) __builtin_unreachable();
  return host;
}

inline bool canonical(u64 linear, bool la57) {
  const unsigned width = la57 ? 57 : 48;
  return static_cast<u64>(sign_extend(linear, width)) == linear;
}

}  // namespace detail

template <class T>
bool Vcpu::read_linear(u64 linear, T& value, As as) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 64);
  const mmu::TlbTable* table = as == As::Current ? tlb.current : tlb.table(mmu::Context::Supervisor);
  if (const u8* host = detail::probe<sizeof(T)>(table->read, linear)) {
    std::memcpy(&value, host, sizeof(T));
    return true;
  }
  return read_slow(linear, &value, sizeof(T), as);
}

template <class T>
bool Vcpu::write_linear(u64 linear, const T& value, As as) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 64);
  const mmu::TlbTable* table = as == As::Current ? tlb.current : tlb.table(mmu::Context::Supervisor);
  if (u8* host = detail::probe<sizeof(T)>(table->write, linear)) {
    std::memcpy(host, &value, sizeof(T));
    return true;
  }
  return write_slow(linear, &value, sizeof(T), as);
}

inline bool Vcpu::linear_address(Segment segment, u64 offset, unsigned size_bytes, bool for_write, u64& linear) {
  if (mode.bits64) {
    linear = segment >= Segment::Fs ? offset + state.segment[static_cast<unsigned>(segment)].base : offset;
    const bool la57 = (state.cr4 & cr4::kLa57) != 0;
    if (detail::canonical(linear, la57) && detail::canonical(linear + size_bytes - 1, la57)) return true;
    return segment_fault(segment);
  }
  return segmented_linear(segment, offset, size_bytes, for_write, linear);
}

template <class T>
bool Vcpu::read(Segment segment, u64 offset, T& value) {
  u64 linear = 0;
  return linear_address(segment, offset, sizeof(T), false, linear) && read_linear(linear, value);
}

template <class T>
bool Vcpu::write(Segment segment, u64 offset, const T& value) {
  u64 linear = 0;
  return linear_address(segment, offset, sizeof(T), true, linear) && write_linear(linear, value);
}

template <class T>
bool Vcpu::read_operand(const Insn& insn, unsigned index, T& value) {
  const Operand& operand = insn.operands[index];
  switch (operand.kind) {
    case OperandKind::Gpr8High: value = static_cast<T>(state.gpr[operand.reg] >> 8); return true;
    case OperandKind::Gpr8Low:
    case OperandKind::Gpr: value = static_cast<T>(state.gpr[operand.reg]); return true;
    case OperandKind::Memory:
    case OperandKind::MemoryOffset: return read(insn.segment, effective_address(insn), value);
    case OperandKind::Immediate:
    case OperandKind::Relative:
    case OperandKind::FarPointer: value = static_cast<T>(insn.imm); return true;
    case OperandKind::Immediate2: value = static_cast<T>(insn.imm2); return true;
    case OperandKind::One: value = static_cast<T>(1); return true;
    default: value = T{}; return true;
  }
}

template <class T>
bool Vcpu::write_operand(const Insn& insn, unsigned index, const T& value) {
  const Operand& operand = insn.operands[index];
  switch (operand.kind) {
    case OperandKind::Gpr8High: {
      u64& target = state.gpr[operand.reg];
      target = (target & ~u64{0xFF00}) | (static_cast<u64>(static_cast<u8>(value)) << 8);
      return true;
    }
    case OperandKind::Gpr8Low:
    case OperandKind::Gpr: set_gpr(operand.reg, sizeof(T), static_cast<u64>(value)); return true;
    default: return write(insn.segment, effective_address(insn), value);
  }
}

}  // namespace xm::cpu
