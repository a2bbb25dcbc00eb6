// SPDX-License-Identifier: GPL-2.0-or-later
// Bit tests, scans and counts, BMI1 and BMI2 without the shifts, CRC32. [SDM2]
#include "cpu/interp/build_context.h"
#include "cpu/semantics/bitops.h"

namespace xm::cpu::interp {

namespace {

enum class BitAction : u8 { Test, Set, Reset, Complement };

template <BitAction kAction, class T>
T act_on_bit(T value, T mask) {
  switch (kAction) {
    case BitAction::Set: return value | mask;
    case BitAction::Reset: return static_cast<T>(value & ~mask);
    case BitAction::Complement: return value ^ mask;
    default: return value;
  }
}

// A bit offset in a register reaches beyond the memory operand, signed [SDM2 BT].
template <class T>
u64 bit_operand_address(const Vcpu& cpu, const Insn& insn, T offset) {
  u64 address = cpu.effective_address(insn);
  if (is_immediate(insn.operands[1])) return address;
  const i64 units = static_cast<i64>(LazyFlags::widen(offset)) >> (sizeof(T) == 8 ? 6 : sizeof(T) == 4 ? 5 : 4);
  return (address + static_cast<u64>(units) * sizeof(T)) & mask_of_bytes(insn.address_size);
}

template <BitAction kAction>
bool bit_test(Vcpu& cpu, const Insn& insn) {
  return with_size(insn.operands[0].size, [&]<class T>() {
    T offset{};
    if (!cpu.read_operand(insn, 1, offset)) return false;
    const T mask = static_cast<T>(T{1} << (offset % (sizeof(T) * 8)));
    T old{};
    if (!is_memory(insn.operands[0])) {
      if (!cpu.read_operand(insn, 0, old)) return false;
      if (kAction != BitAction::Test && !cpu.write_operand(insn, 0, act_on_bit<kAction, T>(old, mask))) return false;
    } else {
      const u64 address = bit_operand_address<T>(cpu, insn, offset);
      if constexpr (kAction == BitAction::Test) {
        if (!cpu.read(insn.segment, address, old)) return false;
      } else {
        MemoryPlace<T> place;
        if (!place.open(cpu, insn.segment, address)) return false;
        old = place.value();
        if (!place.store(cpu, act_on_bit<kAction, T>(old, mask))) return false;
      }
    }
    cpu.flags.set_cf((old & mask) != 0);
    return true;
  });
}

// A zero source leaves the destination as it is, all 64 bits of it.
template <bool kForward>
bool scan(Vcpu& cpu, const Insn& insn) {
  return with_size(insn.operands[0].size, [&]<class T>() {
    T source{};
    if (!cpu.read_operand(insn, 1, source)) return false;
    cpu.flags.set_logic<T>(source);
    if (source == 0) return true;
    const unsigned at = kForward ? semantics::trailing_zeros(source)
                                 : static_cast<unsigned>(sizeof(T) * 8 - 1 - semantics::leading_zeros(source));
    return cpu.write_operand(insn, 0, static_cast<T>(at));
  });
}

template <bool kTrailing>
bool count_zeros(Vcpu& cpu, const Insn& insn) {
  return with_size(insn.operands[0].size, [&]<class T>() {
    T source{};
    if (!cpu.read_operand(insn, 1, source)) return false;
    const T count = static_cast<T>(kTrailing ? semantics::trailing_zeros(source) : semantics::leading_zeros(source));
    cpu.flags.set_status((source == 0 ? flag::kCf : 0) | (count == 0 ? flag::kZf : 0));
    return cpu.write_operand(insn, 0, count);
  });
}

bool population_count(Vcpu& cpu, const Insn& insn) {
  return with_size(insn.operands[0].size, [&]<class T>() {
    T source{};
    if (!cpu.read_operand(insn, 1, source)) return false;
    cpu.flags.set_status(source == 0 ? flag::kZf : 0);
    return cpu.write_operand(insn, 0, static_cast<T>(__builtin_popcountll(source)));
  });
}

bool checksum(Vcpu& cpu, const Insn& insn) {
  return with_size(insn.operands[1].size, [&]<class T>() {
    T source{};
    if (!cpu.read_operand(insn, 1, source)) return false;
    const unsigned reg = insn.operands[0].reg;
    const u32 crc = semantics::crc32c(static_cast<u32>(cpu.state.gpr[reg]), source, sizeof(T));
    cpu.set_gpr(reg, 8, crc);
    return true;
  });
}

// One source, one destination: operand 0 = f(operand 1).
enum class Lowest : u8 { Isolate, Mask, Reset };

template <Lowest kOperation>
bool lowest_bit(Vcpu& cpu, const Insn& insn) {
  return with_size(insn.operands[0].size, [&]<class T>() {
    T source{};
    if (!cpu.read_operand(insn, 1, source)) return false;
    const T lower = static_cast<T>(source - 1);
    const T result = kOperation == Lowest::Isolate ? static_cast<T>(source & (0 - source))
                     : kOperation == Lowest::Mask  ? static_cast<T>(source ^ lower)
                                                   : static_cast<T>(source & lower);
    const bool carry = kOperation == Lowest::Isolate ? source != 0 : source == 0;
    cpu.flags.set_result(result, carry ? flag::kCf : 0);
    return cpu.write_operand(insn, 0, result);
  });
}

bool and_not(Vcpu& cpu, const Insn& insn) {
  return with_size(insn.operands[0].size, [&]<class T>() {
    T inverted{}, other{};
    if (!cpu.read_operand(insn, 1, inverted) || !cpu.read_operand(insn, 2, other)) return false;
    const T result = static_cast<T>(~inverted & other);
    cpu.flags.set_logic<T>(result);
    return cpu.write_operand(insn, 0, result);
  });
}

bool extract_field(Vcpu& cpu, const Insn& insn) {
  return with_size(insn.operands[0].size, [&]<class T>() {
    T source{}, control{};
    if (!cpu.read_operand(insn, 1, source) || !cpu.read_operand(insn, 2, control)) return false;
    const unsigned start = control & 0xFF, length = (control >> 8) & 0xFF;
    const u64 shifted = start >= sizeof(T) * 8 ? 0 : static_cast<u64>(source) >> start;
    const T result = static_cast<T>(length >= 64 ? shifted : shifted & ((u64{1} << length) - 1));
    cpu.flags.set_status(result == 0 ? flag::kZf : 0);
    return cpu.write_operand(insn, 0, result);
  });
}

bool zero_high_bits(Vcpu& cpu, const Insn& insn) {
  return with_size(insn.operands[0].size, [&]<class T>() {
    T source{}, control{};
    if (!cpu.read_operand(insn, 1, source) || !cpu.read_operand(insn, 2, control)) return false;
    const unsigned from = control & 0xFF;
    const bool beyond = from >= sizeof(T) * 8;
    const T result = beyond ? source : static_cast<T>(source & ((u64{1} << from) - 1));
    cpu.flags.set_result(result, beyond ? flag::kCf : 0);
    return cpu.write_operand(insn, 0, result);
  });
}

template <bool kDeposit>
bool parallel_bits(Vcpu& cpu, const Insn& insn) {
  return with_size(insn.operands[0].size, [&]<class T>() {
    T source{}, mask{};
    if (!cpu.read_operand(insn, 1, source) || !cpu.read_operand(insn, 2, mask)) return false;
    return cpu.write_operand(
        insn, 0, kDeposit ? semantics::deposit_bits<T>(source, mask) : semantics::extract_bits<T>(source, mask));
  });
}

}  // namespace

Handler bits_handler(const Insn& insn) {
  switch (insn.operation) {
    case Operation::Bt: return generic<bit_test<BitAction::Test>>;
    case Operation::Bts: return generic<bit_test<BitAction::Set>>;
    case Operation::Btr: return generic<bit_test<BitAction::Reset>>;
    case Operation::Btc: return generic<bit_test<BitAction::Complement>>;
    case Operation::Bsf: return generic<scan<true>>;
    case Operation::Bsr: return generic<scan<false>>;
    case Operation::Tzcnt: return generic<count_zeros<true>>;
    case Operation::Lzcnt: return generic<count_zeros<false>>;
    case Operation::Popcnt: return generic<population_count>;
    case Operation::Crc32: return generic<checksum>;
    case Operation::Andn: return generic<and_not>;
    case Operation::Bextr: return generic<extract_field>;
    case Operation::Bzhi: return generic<zero_high_bits>;
    case Operation::Blsi: return generic<lowest_bit<Lowest::Isolate>>;
    case Operation::Blsmsk: return generic<lowest_bit<Lowest::Mask>>;
    case Operation::Blsr: return generic<lowest_bit<Lowest::Reset>>;
    case Operation::Pdep: return generic<parallel_bits<true>>;
    case Operation::Pext: return generic<parallel_bits<false>>;
    default: return nullptr;
  }
}

}  // namespace xm::cpu::interp
