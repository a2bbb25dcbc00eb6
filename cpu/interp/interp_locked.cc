// SPDX-License-Identifier: GPL-2.0-or-later
// Read-modify-write instructions that are atomic: everything with LOCK, XCHG with memory, and XADD, CMPXCHG and
// CMPXCHG8B/16B in all forms. Atomic on host memory; where there is none (MMIO, a page crossing) plain. [SDM3 8.1.2]
//
// GAP: locked accesses that cross a page, and locked CMPXCHG that crosses a cache line on hosts that would trap it, are
// not atomic against other processors.
#include "cpu/interp/interp_alu.h"

namespace xm::cpu::interp {

namespace {

// Replaces the value at segment:address by change(old), which may be called several times; `old` is what it was.
template <class T, class F>
[[nodiscard]] bool atomic_update(Vcpu& cpu, Segment segment, u64 address, F change, T& old) {
  u64 linear = 0;
  if (!cpu.linear_address(segment, address, sizeof(T), true, linear)) return false;
  bool ok = false;
  u8* host = cpu.atomic_window(linear, sizeof(T), ok);
  if (!ok) return false;
  if (host == nullptr) return cpu.read_linear(linear, old) && cpu.write_linear(linear, change(old));
  T* place = reinterpret_cast<T*>(host);
  old = __atomic_load_n(place, __ATOMIC_RELAXED);
  while (!__atomic_compare_exchange_n(place, &old, change(old), false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) {
  }
  return true;
}

template <AluOp kOp>
bool locked_binary(Vcpu& cpu, const Insn& insn) {
  return with_size(insn.operands[0].size, [&]<class T>() {
    T source{}, old{};
    if (!cpu.read_operand(insn, 1, source)) return false;
    const LazyFlags before = cpu.flags;
    LazyFlags after = before;
    const auto change = [&](T value) {
      after = before;
      return semantics::alu<kOp, T>(after, value, source);
    };
    if (!atomic_update<T>(cpu, insn.segment, cpu.effective_address(insn), change, old)) return false;
    cpu.flags = after;
    return true;
  });
}

template <UnaryOp kOp>
bool locked_unary(Vcpu& cpu, const Insn& insn) {
  return with_size(insn.operands[0].size, [&]<class T>() {
    T old{};
    LazyFlags after = cpu.flags;
    const auto change = [&](T value) {
      after = cpu.flags;
      return semantics::unary<kOp, T>(after, value);
    };
    if (!atomic_update<T>(cpu, insn.segment, cpu.effective_address(insn), change, old)) return false;
    cpu.flags = after;
    return true;
  });
}

template <Operation kOperation>
bool locked_bit(Vcpu& cpu, const Insn& insn) {
  return with_size(insn.operands[0].size, [&]<class T>() {
    T offset{}, old{};
    if (!cpu.read_operand(insn, 1, offset)) return false;
    constexpr unsigned kBits = sizeof(T) * 8;
    const T mask = static_cast<T>(T{1} << (offset % kBits));
    u64 address = cpu.effective_address(insn);
    if (!is_immediate(insn.operands[1])) {
      const i64 units = static_cast<i64>(LazyFlags::widen(offset)) >> __builtin_ctz(kBits);
      address = (address + static_cast<u64>(units) * sizeof(T)) & mask_of_bytes(insn.address_size);
    }
    const auto change = [&](T value) {
      if (kOperation == Operation::Bts) return static_cast<T>(value | mask);
      return static_cast<T>(kOperation == Operation::Btr ? value & ~mask : value ^ mask);
    };
    if (!atomic_update<T>(cpu, insn.segment, address, change, old)) return false;
    cpu.flags.set_cf((old & mask) != 0);
    return true;
  });
}

bool exchange(Vcpu& cpu, const Insn& insn) {
  const unsigned memory = is_memory(insn.operands[0]) ? 0 : 1;
  return with_size(insn.operands[0].size, [&]<class T>() {
    T source{}, old{};
    if (!cpu.read_operand(insn, 1 - memory, source)) return false;
    const auto change = [&](T) { return source; };
    return atomic_update<T>(cpu, insn.segment, cpu.effective_address(insn), change, old) &&
           cpu.write_operand(insn, 1 - memory, old);
  });
}

bool exchange_add(Vcpu& cpu, const Insn& insn) {
  return with_size(insn.operands[0].size, [&]<class T>() {
    T addend{}, old{};
    if (!cpu.read_operand(insn, 1, addend)) return false;
    if (is_memory(insn.operands[0])) {
      const auto change = [&](T value) { return static_cast<T>(value + addend); };
      if (!atomic_update<T>(cpu, insn.segment, cpu.effective_address(insn), change, old)) return false;
      if (!cpu.write_operand(insn, 1, old)) return false;
    } else {
      if (!cpu.read_operand(insn, 0, old) || !cpu.write_operand(insn, 1, old)) return false;
      if (!cpu.write_operand(insn, 0, static_cast<T>(old + addend))) return false;
    }
    cpu.flags.set_add<T>(old, addend, static_cast<T>(old + addend));
    return true;
  });
}

// The destination is written in either case, with what it held if the comparison fails.
bool compare_exchange(Vcpu& cpu, const Insn& insn) {
  return with_size(insn.operands[0].size, [&]<class T>() {
    T desired{}, old{};
    if (!cpu.read_operand(insn, 1, desired)) return false;
    const T expected = static_cast<T>(cpu.state.gpr[gpr::kRax]);
    if (is_memory(insn.operands[0])) {
      const auto change = [&](T value) { return value == expected ? desired : value; };
      if (!atomic_update<T>(cpu, insn.segment, cpu.effective_address(insn), change, old)) return false;
    } else {
      if (!cpu.read_operand(insn, 0, old)) return false;
      // Without a match the destination is not written: a 32-bit register keeps its upper half.
      if (old == expected && !cpu.write_operand(insn, 0, desired)) return false;
    }
    cpu.flags.set_sub<T>(expected, old, static_cast<T>(expected - old));
    if (old != expected) cpu.set_gpr(gpr::kRax, sizeof(T), old);
    return true;
  });
}

void set_zero_flag(Vcpu& cpu, bool value) {
  cpu.flags.set_status((cpu.flags.status() & ~flag::kZf) | (value ? flag::kZf : 0));
}

bool compare_exchange_8(Vcpu& cpu, const Insn& insn) {
  const auto pair = [&](unsigned low, unsigned high) { return cpu.gpr(high, 4) << 32 | cpu.gpr(low, 4); };
  const u64 expected = pair(gpr::kRax, gpr::kRdx), desired = pair(gpr::kRbx, gpr::kRcx);
  u64 old = 0;
  const auto change = [&](u64 value) { return value == expected ? desired : value; };
  if (!atomic_update<u64>(cpu, insn.segment, cpu.effective_address(insn), change, old)) return false;
  set_zero_flag(cpu, old == expected);
  if (old == expected) return true;
  cpu.set_gpr(gpr::kRax, 4, old);
  cpu.set_gpr(gpr::kRdx, 4, old >> 32);
  return true;
}

struct Pair {
  u64 low, high;
  bool operator==(const Pair&) const = default;
};

// CMPXCHG16B of the host; every x86-64 host that we care for has it.
bool host_compare_exchange(u8* place, Pair& expected, const Pair& desired) {
  bool equal = false;
  asm volatile("lock cmpxchg16b %1"
               : "=@ccz"(equal), "+m"(*reinterpret_cast<Pair*>(place)), "+a"(expected.low), "+d"(expected.high)
               : "b"(desired.low), "c"(desired.high)
               : "memory");
  return equal;
}

bool compare_exchange_16(Vcpu& cpu, const Insn& insn) {
  auto& regs = cpu.state.gpr;
  const u64 address = cpu.effective_address(insn);
  u64 linear = 0;
  if (!cpu.linear_address(insn.segment, address, 16, true, linear)) return false;
  if ((linear & 15) != 0) return cpu.raise(Vector::Gp, 0);
  const Pair expected{regs[gpr::kRax], regs[gpr::kRdx]}, desired{regs[gpr::kRbx], regs[gpr::kRcx]};
  bool ok = false;
  u8* host = cpu.atomic_window(linear, 16, ok);
  if (!ok) return false;
  Pair old = expected;
  bool equal = false;
  if (host != nullptr) {
    equal = host_compare_exchange(host, old, desired);
  } else {
    if (!cpu.read_linear(linear, old)) return false;
    equal = old == expected;
    if (!cpu.write_linear(linear, equal ? desired : old)) return false;
  }
  set_zero_flag(cpu, equal);
  if (!equal) {
    regs[gpr::kRax] = old.low;
    regs[gpr::kRdx] = old.high;
  }
  return true;
}

Handler with_lock(Operation operation) {
  switch (operation) {
    case Operation::Add: return generic<locked_binary<AluOp::Add>>;
    case Operation::Or: return generic<locked_binary<AluOp::Or>>;
    case Operation::Adc: return generic<locked_binary<AluOp::Adc>>;
    case Operation::Sbb: return generic<locked_binary<AluOp::Sbb>>;
    case Operation::And: return generic<locked_binary<AluOp::And>>;
    case Operation::Sub: return generic<locked_binary<AluOp::Sub>>;
    case Operation::Xor: return generic<locked_binary<AluOp::Xor>>;
    case Operation::Inc: return generic<locked_unary<UnaryOp::Inc>>;
    case Operation::Dec: return generic<locked_unary<UnaryOp::Dec>>;
    case Operation::Neg: return generic<locked_unary<UnaryOp::Neg>>;
    case Operation::Not: return generic<locked_unary<UnaryOp::Not>>;
    case Operation::Bts: return generic<locked_bit<Operation::Bts>>;
    case Operation::Btr: return generic<locked_bit<Operation::Btr>>;
    case Operation::Btc: return generic<locked_bit<Operation::Btc>>;
    default: return nullptr;
  }
}

}  // namespace

Handler locked_handler(const Insn& insn) {
  switch (insn.operation) {
    case Operation::Xchg:
      return is_memory(insn.operands[0]) || is_memory(insn.operands[1]) ? generic<exchange> : nullptr;
    case Operation::Xadd: return generic<exchange_add>;
    case Operation::Cmpxchg: return generic<compare_exchange>;
    case Operation::CmpxchgXb:
      return insn.operand_size == 8 ? generic<compare_exchange_16> : generic<compare_exchange_8>;
    default: return insn.lock ? with_lock(insn.operation) : nullptr;
  }
}

}  // namespace xm::cpu::interp
