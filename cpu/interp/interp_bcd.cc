// SPDX-License-Identifier: GPL-2.0-or-later
// Decimal adjustment, and BOUND. [SDM2 DAA, DAS, AAA, AAS, AAM, AAD, BOUND]
#include "cpu/interp/build_context.h"

namespace xm::cpu::interp {

namespace {

void set_adjusted(Vcpu& cpu, u8 al, bool carry, bool adjust) {
  cpu.set_gpr(gpr::kRax, 1, al);
  cpu.flags.set_result(al, (carry ? flag::kCf : 0) | (adjust ? flag::kAf : 0));
}

template <bool kSubtract>
bool decimal_adjust(Vcpu& cpu, const Insn&) {
  const u8 old_al = static_cast<u8>(cpu.state.gpr[gpr::kRax]);
  const u64 status = cpu.flags.status();
  const bool old_carry = (status & flag::kCf) != 0;
  const auto step = [](u8 value, u8 by) { return static_cast<u8>(kSubtract ? value - by : value + by); };
  u8 al = old_al;
  bool carry = false;
  const bool adjust = (old_al & 0xF) > 9 || (status & flag::kAf) != 0;
  if (adjust) {
    al = step(al, 6);
    if (kSubtract) carry = old_carry || old_al < 6;
  }
  if (old_al > 0x99 || old_carry) {
    al = step(al, 0x60);
    carry = true;
  }
  set_adjusted(cpu, al, carry, adjust);
  return true;
}

template <bool kSubtract>
bool ascii_adjust(Vcpu& cpu, const Insn&) {
  u16 ax = static_cast<u16>(cpu.state.gpr[gpr::kRax]);
  const bool adjust = (ax & 0xF) > 9 || (cpu.flags.status() & flag::kAf) != 0;
  if (adjust) ax = static_cast<u16>(kSubtract ? ax - 0x106 : ax + 0x106);
  cpu.set_gpr(gpr::kRax, 2, ax & 0xFF0F);
  cpu.flags.set_result(static_cast<u8>(ax & 0xF), adjust ? flag::kCf | flag::kAf : 0);
  return true;
}

bool ascii_after_multiply(Vcpu& cpu, const Insn& insn) {
  const u8 base = static_cast<u8>(insn.imm);
  if (base == 0) return cpu.raise(Vector::De);
  const u8 al = static_cast<u8>(cpu.state.gpr[gpr::kRax]);
  const u8 low = al % base;
  cpu.set_gpr(gpr::kRax, 2, static_cast<u64>(al / base) << 8 | low);
  cpu.flags.set_result(low, 0);
  return true;
}

bool ascii_before_divide(Vcpu& cpu, const Insn& insn) {
  const u64 rax = cpu.state.gpr[gpr::kRax];
  const u8 al = static_cast<u8>(rax + ((rax >> 8) & 0xFF) * (insn.imm & 0xFF));
  cpu.set_gpr(gpr::kRax, 2, al);
  cpu.flags.set_result(al, 0);
  return true;
}

// An index below the lower bound is refused without a look at the upper one, which Intel's processors do not touch
// then.
bool check_bounds(Vcpu& cpu, const Insn& insn) {
  const u64 address = cpu.effective_address(insn);
  const u64 second = (address + insn.operand_size) & mask_of_bytes(insn.address_size);
  return with_size(insn.operand_size, [&]<class T>() {
    T lower{}, upper{};
    using S = std::make_signed_t<T>;
    const S index = static_cast<S>(cpu.state.gpr[insn.operands[0].reg]);
    if (!cpu.read(insn.segment, address, lower)) return false;
    if (index < static_cast<S>(lower)) return cpu.raise(Vector::Br);
    if (!cpu.read(insn.segment, second, upper)) return false;
    return index <= static_cast<S>(upper) || cpu.raise(Vector::Br);
  });
}

}  // namespace

Handler bcd_handler(const Insn& insn) {
  switch (insn.operation) {
    case Operation::Daa: return generic<decimal_adjust<false>>;
    case Operation::Das: return generic<decimal_adjust<true>>;
    case Operation::Aaa: return generic<ascii_adjust<false>>;
    case Operation::Aas: return generic<ascii_adjust<true>>;
    case Operation::Aam: return generic<ascii_after_multiply>;
    case Operation::Aad: return generic<ascii_before_divide>;
    case Operation::Bound: return generic<check_bounds>;
    default: return nullptr;
  }
}

}  // namespace xm::cpu::interp
