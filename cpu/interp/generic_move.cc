// SPDX-License-Identifier: GPL-2.0-or-later
// Data movement from the decoded instruction, flag instructions, hints and fences. [SDM2]
#include <array>

#include "cpu/interp/build_context.h"
#include "emu/base/bits.h"

namespace xm::cpu::interp {

namespace {

bool move(Vcpu& cpu, const Insn& insn) {
  return with_size(insn.operands[0].size, [&]<class T>() {
    T value{};
    return cpu.read_operand(insn, 1, value) && cpu.write_operand(insn, 0, value);
  });
}

template <bool kSigned>
bool extend(Vcpu& cpu, const Insn& insn) {
  u64 value = 0;
  const bool ok = with_size(insn.operands[1].size, [&]<class T>() {
    T narrow{};
    if (!cpu.read_operand(insn, 1, narrow)) return false;
    value = kSigned ? LazyFlags::widen(narrow) : narrow;
    return true;
  });
  if (ok) cpu.set_gpr(insn.operands[0].reg, insn.operands[0].size, value);
  return ok;
}

bool move_byte_swapped(Vcpu& cpu, const Insn& insn) {
  return with_size(insn.operands[0].size, [&]<class T>() {
    if constexpr (sizeof(T) == 1) {
      return false;
    } else {
      T value{};
      return cpu.read_operand(insn, 1, value) && cpu.write_operand(insn, 0, byte_swap(value));
    }
  });
}

bool load_address(Vcpu& cpu, const Insn& insn) {
  cpu.set_gpr(insn.operands[0].reg, insn.operands[0].size, cpu.effective_address(insn));
  return true;
}

bool exchange(Vcpu& cpu, const Insn& insn) {
  return with_size(insn.operands[0].size, [&]<class T>() {
    T first{}, second{};
    return cpu.read_operand(insn, 0, first) && cpu.read_operand(insn, 1, second) &&
           cpu.write_operand(insn, 0, second) && cpu.write_operand(insn, 1, first);
  });
}

// The memory operand is read, and may fault, whatever the condition.
bool move_if(Vcpu& cpu, const Insn& insn) {
  return with_size(insn.operands[0].size, [&]<class T>() {
    T value{};
    if (!cpu.read_operand(insn, 1, value)) return false;
    if (!cpu.flags.condition(static_cast<unsigned>(insn.condition)))
      value = static_cast<T>(cpu.gpr(insn.operands[0].reg, 8));
    return cpu.write_operand(insn, 0, value);
  });
}

bool set_if(Vcpu& cpu, const Insn& insn) {
  const u8 value = cpu.flags.condition(static_cast<unsigned>(insn.condition)) ? 1 : 0;
  return cpu.write_operand(insn, 0, value);
}

bool swap_bytes(Vcpu& cpu, const Insn& insn) {
  const unsigned reg = insn.operands[0].reg;
  switch (insn.operand_size) {
    case 8: cpu.set_gpr(reg, 8, byte_swap(cpu.state.gpr[reg])); return true;
    case 4: cpu.set_gpr(reg, 4, byte_swap(static_cast<u32>(cpu.state.gpr[reg]))); return true;
    default: cpu.set_gpr(reg, 2, 0); return true;  // undefined; processors clear the word
  }
}

bool convert_accumulator(Vcpu& cpu, const Insn& insn) {
  const u64 rax = cpu.state.gpr[gpr::kRax];
  const unsigned half_bits = insn.operand_size * 4u;
  cpu.set_gpr(gpr::kRax, insn.operand_size, static_cast<u64>(sign_extend(rax, half_bits)));
  return true;
}

bool extend_accumulator(Vcpu& cpu, const Insn& insn) {
  const u64 rax = cpu.state.gpr[gpr::kRax];
  const bool negative = has_bit(rax, insn.operand_size * 8u - 1);
  cpu.set_gpr(gpr::kRdx, insn.operand_size, negative ? ~u64{0} : 0);
  return true;
}

bool translate_byte(Vcpu& cpu, const Insn& insn) {
  const u64 offset = (cpu.state.gpr[gpr::kRbx] + cpu.gpr(gpr::kRax, 1)) & mask_of_bytes(insn.address_size);
  u8 value = 0;
  if (!cpu.read(insn.segment, offset, value)) return false;
  cpu.set_gpr(gpr::kRax, 1, value);
  return true;
}

constexpr u64 kAhFlags = flag::kSf | flag::kZf | flag::kAf | flag::kPf | flag::kCf;

bool load_ah(Vcpu& cpu, const Insn&) {
  u64& rax = cpu.state.gpr[gpr::kRax];
  rax = with_bits(rax, 15, 8, (cpu.flags.status() & kAhFlags) | 2);
  return true;
}

bool store_ah(Vcpu& cpu, const Insn&) {
  const u64 ah = cpu.state.gpr[gpr::kRax] >> 8;
  cpu.flags.set_status((cpu.flags.status() & flag::kOf) | (ah & kAhFlags));
  return true;
}

bool set_al_from_carry(Vcpu& cpu, const Insn&) {
  cpu.set_gpr(gpr::kRax, 1, cpu.flags.cf() ? 0xFF : 0);
  return true;
}

bool clear_carry(Vcpu& cpu, const Insn&) {
  cpu.flags.set_cf(false);
  return true;
}
bool set_carry(Vcpu& cpu, const Insn&) {
  cpu.flags.set_cf(true);
  return true;
}
bool complement_carry(Vcpu& cpu, const Insn&) {
  cpu.flags.set_cf(!cpu.flags.cf());
  return true;
}
bool clear_direction(Vcpu& cpu, const Insn&) {
  cpu.state.rflags &= ~flag::kDf;
  return true;
}
bool set_direction(Vcpu& cpu, const Insn&) {
  cpu.state.rflags |= flag::kDf;
  return true;
}

bool nothing(Vcpu&, const Insn&) { return true; }

// Loads of the same thread are already ordered; MFENCE also keeps later loads behind earlier stores.
bool fence(Vcpu&, const Insn&) {
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  return true;
}

// Caches are not modelled: only the address is checked, as for a load.
bool flush_line(Vcpu& cpu, const Insn& insn) { return cpu.probe_read(insn.segment, cpu.effective_address(insn), 1); }

// Zeroes the 64-byte line that rAX points into [APM3 CLZERO].
bool clear_line(Vcpu& cpu, const Insn& insn) {
  const Segment segment = insn.segment_override != Segment::None ? insn.segment_override : Segment::Ds;
  const u64 line = align_down(cpu.gpr(gpr::kRax, insn.address_size), 64);
  return cpu.write(segment, line, std::array<u64, 8>{});
}

Handler flag_handler(Operation operation) {
  switch (operation) {
    case Operation::Lahf: return generic<load_ah>;
    case Operation::Sahf: return generic<store_ah>;
    case Operation::Salc: return generic<set_al_from_carry>;
    case Operation::Clc: return generic<clear_carry>;
    case Operation::Stc: return generic<set_carry>;
    case Operation::Cmc: return generic<complement_carry>;
    case Operation::Cld: return generic<clear_direction>;
    case Operation::Std: return generic<set_direction>;
    case Operation::Nop:
    case Operation::Pause:
    case Operation::Prefetch:
    case Operation::Prefetchw: return generic<nothing>;
    case Operation::Lfence:
    case Operation::Mfence:
    case Operation::Sfence: return generic<fence>;
    case Operation::Clflush:
    case Operation::Clflushopt:
    case Operation::Clwb: return generic<flush_line>;
    case Operation::Clzero: return generic<clear_line>;
    default: return nullptr;
  }
}

}  // namespace

Handler move_handler(const Insn& insn) {
  const auto ordinary = [](const Operand& operand) {
    return is_gpr(operand) || is_memory(operand) || is_immediate(operand);
  };
  switch (insn.operation) {
    case Operation::Mov: return ordinary(insn.operands[0]) && ordinary(insn.operands[1]) ? generic<move> : nullptr;
    case Operation::Movnti: return generic<move>;
    case Operation::Movzx: return generic<extend<false>>;
    case Operation::Movsx:
    case Operation::Movsxd: return generic<extend<true>>;
    case Operation::Movbe: return generic<move_byte_swapped>;
    case Operation::Lea: return generic<load_address>;
    case Operation::Xchg: return generic<exchange>;
    case Operation::Cmovcc: return generic<move_if>;
    case Operation::Setcc: return generic<set_if>;
    case Operation::Bswap: return generic<swap_bytes>;
    case Operation::Cbw: return generic<convert_accumulator>;
    case Operation::Cwd: return generic<extend_accumulator>;
    case Operation::Xlat: return generic<translate_byte>;
    default: return flag_handler(insn.operation);
  }
}

}  // namespace xm::cpu::interp
