// SPDX-License-Identifier: GPL-2.0-or-later
// Fast handlers of the common MMX instructions: element-wise operations and moves, on the low half of a host XMM
// register. With x87 state in the host or an x87 error pending the general handler takes over. [SDM1 9]
#include "cpu/interp/vector_fast.h"

namespace xm::cpu::interp {
namespace {

using O = Operation;
namespace k = semantics::kernel;

[[gnu::always_inline]] inline bool mmx_ready(const Vcpu& cpu) {
  return !(cpu.state.cr0 & (cr0::kEm | cr0::kTs)) && !(cpu.host_fp.loaded & HostFp::kX87) &&
         !(cpu.state.x87.status & kX87ErrorSummary);
}
[[gnu::always_inline]] inline void touch(X87State& x87) {
  x87.status &= static_cast<u16>(~0x3800);
  x87.tag_valid = 0xFF;
}
[[gnu::always_inline]] inline __m128i load_mm(const Vcpu& cpu, u8 reg) {
  return _mm_cvtsi64_si128(static_cast<i64>(cpu.state.x87.reg[reg].significand));
}
[[gnu::always_inline]] inline void store_mm(Vcpu& cpu, u8 reg, u64 value) {
  cpu.state.x87.reg[reg] = {value, 0xFFFF};
  touch(cpu.state.x87);
}

template <class K>
const Op* binary_register(Vcpu& cpu, const Op* op) {
  if (!mmx_ready(cpu)) [[unlikely]]
    return vector_generic(cpu, op);
  const __m128i value = K::xmm(load_mm(cpu, op->dst), load_mm(cpu, op->base));
  store_mm(cpu, op->dst, static_cast<u64>(_mm_cvtsi128_si64(value)));
  return next(cpu, op);
}
template <class K, unsigned kBytes>
const Op* binary_memory(Vcpu& cpu, const Op* op) {
  const u8* host = fast::source<kBytes, Address::Full, false>(cpu, op);
  if (host == nullptr || !mmx_ready(cpu)) [[unlikely]]
    return vector_generic(cpu, op);
  const __m128i value = K::xmm(load_mm(cpu, op->dst), fast::load_memory<kBytes>(host));
  store_mm(cpu, op->dst, static_cast<u64>(_mm_cvtsi128_si64(value)));
  return next(cpu, op);
}

const Op* move_register(Vcpu& cpu, const Op* op) {
  if (!mmx_ready(cpu)) [[unlikely]]
    return vector_generic(cpu, op);
  store_mm(cpu, op->dst, cpu.state.x87.reg[op->base].significand);
  return next(cpu, op);
}
const Op* move_load(Vcpu& cpu, const Op* op) {
  const u8* host = fast::source<8, Address::Full, false>(cpu, op);
  if (host == nullptr || !mmx_ready(cpu)) [[unlikely]]
    return vector_generic(cpu, op);
  store_mm(cpu, op->dst, load_host<u64>(host));
  return next(cpu, op);
}
const Op* move_store(Vcpu& cpu, const Op* op) {
  u8* host = fast::target<8, Address::Full, false>(cpu, op);
  if (host == nullptr || !mmx_ready(cpu)) [[unlikely]]
    return vector_generic(cpu, op);
  store_host(host, cpu.state.x87.reg[op->src].significand);
  touch(cpu.state.x87);
  return next(cpu, op);
}

struct MmxRow {
  Operation operation;
  Handler reg, memory;
};
template <class K, unsigned kBytes = 8>
constexpr MmxRow row(Operation operation) {
  static_assert(K::kMmx == k::MmxForm::Low);
  return {operation, binary_register<K>, binary_memory<K, kBytes>};
}

constexpr MmxRow kRows[] = {
    row<k::Paddb>(O::Paddb),
    row<k::Paddw>(O::Paddw),
    row<k::Paddd>(O::Paddd),
    row<k::Paddq>(O::Paddq),
    row<k::Psubb>(O::Psubb),
    row<k::Psubw>(O::Psubw),
    row<k::Psubd>(O::Psubd),
    row<k::Paddsw>(O::Paddsw),
    row<k::Paddusb>(O::Paddusb),
    row<k::Psubsw>(O::Psubsw),
    row<k::Psubusb>(O::Psubusb),
    row<k::Pmullw>(O::Pmullw),
    row<k::Pmulhw>(O::Pmulhw),
    row<k::Pmaddwd>(O::Pmaddwd),
    row<k::Pand>(O::Pand),
    row<k::Pandn>(O::Pandn),
    row<k::Por>(O::Por),
    row<k::Pxor>(O::Pxor),
    row<k::Pcmpeqb>(O::Pcmpeqb),
    row<k::Pcmpeqw>(O::Pcmpeqw),
    row<k::Pcmpeqd>(O::Pcmpeqd),
    row<k::Pcmpgtb>(O::Pcmpgtb),
    row<k::Pcmpgtw>(O::Pcmpgtw),
    row<k::Pcmpgtd>(O::Pcmpgtd),
    row<k::Pminub>(O::Pminub),
    row<k::Pmaxub>(O::Pmaxub),
    row<k::Psadbw>(O::Psadbw),
    row<k::Pavgb>(O::Pavgb),
    row<k::Punpcklbw, 4>(O::Punpcklbw),
    row<k::Punpcklwd, 4>(O::Punpcklwd),
    row<k::Punpckldq, 4>(O::Punpckldq),
};

Handler choose(const Insn& insn, bool memory, bool to_memory) {
  if (insn.operation == O::Movq) return to_memory ? move_store : memory ? move_load : move_register;
  if (insn.operand_count != 3 || to_memory) return nullptr;
  for (const MmxRow& candidate : kRows) {
    if (candidate.operation == insn.operation) return memory ? candidate.memory : candidate.reg;
  }
  return nullptr;
}

}  // namespace

bool select_fast_mmx(const BuildContext& context, const Insn& insn, Op& op) {
  if (insn.operand_count < 2) return false;
  const Operand &first = insn.operands[0], &last = insn.operands[insn.operand_count - 1u];
  const auto plain = [](const Operand& operand) {
    return operand.kind == OperandKind::Mm || operand.kind == OperandKind::Memory;
  };
  if (!plain(first) || !plain(last) || insn.operands[1].kind == OperandKind::Immediate) return false;
  const bool to_memory = first.kind == OperandKind::Memory, memory = to_memory || last.kind == OperandKind::Memory;
  if (to_memory ? last.kind != OperandKind::Mm : first.kind != OperandKind::Mm) return false;
  op.dst = first.reg;
  op.src = insn.operands[1].reg;
  op.base = last.reg;
  Address form = Address::Base;
  if (memory && (!context.memory(insn, op, form) || form == Address::Any)) return false;
  op.handler = choose(insn, memory, to_memory);
  return op.handler != nullptr;
}

}  // namespace xm::cpu::interp
