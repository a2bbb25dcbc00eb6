// SPDX-License-Identifier: GPL-2.0-or-later
// Fast handlers of the vector moves. Registers are always written as 16 bytes at least, so that the next instruction's
// load gets its data from the store. [SDM2]
#include "cpu/interp/vector_fast.h"

namespace xm::cpu::interp {
namespace {

using fast::load_memory;
using fast::load_vector;
using fast::ready;
using fast::source;
using fast::store_vector;
using fast::target;
using O = Operation;

// --- whole registers: 16 bytes, or 32 with VEX.L
template <unsigned kBytes, bool kVex>
const Op* copy(Vcpu& cpu, const Op* op) {
  if (!ready<kVex>(cpu)) [[unlikely]]
    return vector_generic(cpu, op);
  if constexpr (kBytes == 32) {
    cpu.state.vector[op->dst] = cpu.state.vector[op->base];
  } else {
    store_vector<kVex>(cpu.state.vector[op->dst], load_vector(cpu.state.vector[op->base]));
  }
  return next(cpu, op);
}
template <unsigned kBytes, bool kVex, bool kAligned, Address kForm>
const Op* load(Vcpu& cpu, const Op* op) {
  const u8* host = source<kBytes, kForm, kAligned>(cpu, op);
  if (host == nullptr || !ready<kVex>(cpu)) [[unlikely]]
    return vector_generic(cpu, op);
  VectorRegister& d = cpu.state.vector[op->dst];
  if constexpr (kBytes == 32) {
    std::memcpy(d.q.data(), host, kBytes);
  } else {
    store_vector<kVex>(d, load_memory<kBytes>(host));
  }
  return next(cpu, op);
}
template <unsigned kBytes, bool kVex, bool kAligned, Address kForm>
const Op* store(Vcpu& cpu, const Op* op) {
  u8* host = target<kBytes, kForm, kAligned>(cpu, op);
  if (host == nullptr || !ready<kVex>(cpu)) [[unlikely]]
    return vector_generic(cpu, op);
  std::memcpy(host, cpu.state.vector[op->src].q.data(), kBytes);
  return next(cpu, op);
}

template <unsigned kBytes, bool kVex, bool kAligned>
Handler pick_move(bool to_memory, Address form) {
  if (to_memory) {
    return form == Address::Base ? store<kBytes, kVex, kAligned, Address::Base>
                                 : store<kBytes, kVex, kAligned, Address::Full>;
  }
  return form == Address::Base ? load<kBytes, kVex, kAligned, Address::Base>
                               : load<kBytes, kVex, kAligned, Address::Full>;
}

// --- the low 4 or 8 bytes: loads clear the rest, register moves keep the first source's
template <unsigned kBytes, bool kVex>
const Op* merge_low(Vcpu& cpu, const Op* op) {
  if (!ready<kVex>(cpu)) [[unlikely]]
    return vector_generic(cpu, op);
  VectorRegister& d = cpu.state.vector[op->dst];
  const __m128i a = load_vector(kVex ? cpu.state.vector[op->src] : d), b = load_vector(cpu.state.vector[op->base]);
  const __m128i merged = kBytes == 4 ? _mm_castps_si128(_mm_move_ss(_mm_castsi128_ps(a), _mm_castsi128_ps(b)))
                                     : _mm_castpd_si128(_mm_move_sd(_mm_castsi128_pd(a), _mm_castsi128_pd(b)));
  store_vector<kVex>(d, merged);
  return next(cpu, op);
}
template <bool kVex>
const Op* low_quadword(Vcpu& cpu, const Op* op) {  // MOVQ between registers
  if (!ready<kVex>(cpu)) [[unlikely]]
    return vector_generic(cpu, op);
  store_vector<kVex>(cpu.state.vector[op->dst], _mm_move_epi64(load_vector(cpu.state.vector[op->base])));
  return next(cpu, op);
}

// --- halves
enum class Half : u8 { Low, High };
template <Half kHalf, bool kVex>
const Op* load_half(Vcpu& cpu, const Op* op) {
  const u8* host = source<8, Address::Full, false>(cpu, op);
  if (host == nullptr || !ready<kVex>(cpu)) [[unlikely]]
    return vector_generic(cpu, op);
  VectorRegister& d = cpu.state.vector[op->dst];
  const __m128i a = load_vector(kVex ? cpu.state.vector[op->src] : d), b = load_memory<8>(host);
  const __m128i both = kHalf == Half::High ? _mm_unpacklo_epi64(a, b)
                                           : _mm_castpd_si128(_mm_move_sd(_mm_castsi128_pd(a), _mm_castsi128_pd(b)));
  store_vector<kVex>(d, both);
  return next(cpu, op);
}
template <Half kHalf, bool kVex>
const Op* store_half(Vcpu& cpu, const Op* op) {
  u8* host = target<8, Address::Full, false>(cpu, op);
  if (host == nullptr || !ready<kVex>(cpu)) [[unlikely]]
    return vector_generic(cpu, op);
  store_host(host, cpu.state.vector[op->src].q[kHalf == Half::High]);
  return next(cpu, op);
}
template <Half kTo, bool kVex>
const Op* between_halves(Vcpu& cpu, const Op* op) {  // MOVLHPS, MOVHLPS
  if (!ready<kVex>(cpu)) [[unlikely]]
    return vector_generic(cpu, op);
  VectorRegister& d = cpu.state.vector[op->dst];
  const __m128i a = load_vector(kVex ? cpu.state.vector[op->src] : d), b = load_vector(cpu.state.vector[op->base]);
  store_vector<kVex>(d, kTo == Half::High ? _mm_unpacklo_epi64(a, b) : _mm_unpackhi_epi64(b, a));
  return next(cpu, op);
}

// --- to and from general registers
template <class T, bool kVex>
const Op* from_gpr(Vcpu& cpu, const Op* op) {
  if (!ready<kVex>(cpu)) [[unlikely]]
    return vector_generic(cpu, op);
  store_vector<kVex>(cpu.state.vector[op->dst], _mm_cvtsi64_si128(static_cast<i64>(u64{get<T>(cpu, op->base)})));
  return next(cpu, op);
}
template <class T, bool kVex>
const Op* to_gpr(Vcpu& cpu, const Op* op) {
  if (!ready<kVex>(cpu)) [[unlikely]]
    return vector_generic(cpu, op);
  put<T>(cpu, op->dst, static_cast<T>(cpu.state.vector[op->src].q[0]));
  return next(cpu, op);
}

bool is_whole_move(Operation operation) {
  switch (operation) {
    case O::Movaps:
    case O::Movapd:
    case O::Movups:
    case O::Movupd:
    case O::Movdqa:
    case O::Movdqu:
    case O::Lddqu:
    case O::Movntps:
    case O::Movntpd:
    case O::Movntdq: return true;
    default: return false;
  }
}

Handler whole_move(const Insn& insn, bool memory, bool to_memory, Address form) {
  const bool aligned = isa_row(insn.row).has(attribute::kAligned);
  if (!memory) return insn.vex_l ? copy<32, true> : insn.vex ? copy<16, true> : copy<16, false>;
  if (insn.vex_l)
    return aligned ? pick_move<32, true, true>(to_memory, form) : pick_move<32, true, false>(to_memory, form);
  if (insn.vex)
    return aligned ? pick_move<16, true, true>(to_memory, form) : pick_move<16, true, false>(to_memory, form);
  return aligned ? pick_move<16, false, true>(to_memory, form) : pick_move<16, false, false>(to_memory, form);
}

template <unsigned kBytes>
Handler scalar_memory(bool vex, bool to_memory, Address form) {
  return vex ? pick_move<kBytes, true, false>(to_memory, form) : pick_move<kBytes, false, false>(to_memory, form);
}

Handler half_memory(bool high, bool vex, bool to_memory) {
  if (to_memory) {
    if (high) return vex ? store_half<Half::High, true> : store_half<Half::High, false>;
    return vex ? store_half<Half::Low, true> : store_half<Half::Low, false>;
  }
  if (high) return vex ? load_half<Half::High, true> : load_half<Half::High, false>;
  return vex ? load_half<Half::Low, true> : load_half<Half::Low, false>;
}

Handler general_register(bool vex, bool quadword, bool to_register) {
  if (to_register) {
    if (quadword) return vex ? to_gpr<u64, true> : to_gpr<u64, false>;
    return vex ? to_gpr<u32, true> : to_gpr<u32, false>;
  }
  if (quadword) return vex ? from_gpr<u64, true> : from_gpr<u64, false>;
  return vex ? from_gpr<u32, true> : from_gpr<u32, false>;
}

Handler choose(const Insn& insn, bool memory, bool to_memory, Address form) {
  const bool vex = insn.vex;
  switch (insn.operation) {
    case O::Movss:
      if (memory) return scalar_memory<4>(vex, to_memory, form);
      return vex ? merge_low<4, true> : merge_low<4, false>;
    case O::Movsd:
      if (memory) return scalar_memory<8>(vex, to_memory, form);
      return vex ? merge_low<8, true> : merge_low<8, false>;
    case O::Movq:
      if (memory) return scalar_memory<8>(vex, to_memory, form);
      return vex ? low_quadword<true> : low_quadword<false>;
    case O::Movd: {
      const unsigned size = insn.operands[to_memory || is_gpr(insn.operands[0]) ? 0 : 1].size;
      if (memory) return size == 8 ? scalar_memory<8>(vex, to_memory, form) : scalar_memory<4>(vex, to_memory, form);
      return general_register(vex, size == 8, is_gpr(insn.operands[0]));
    }
    case O::Movlps:
    case O::Movlpd: return half_memory(false, vex, to_memory);
    case O::Movhps:
    case O::Movhpd: return half_memory(true, vex, to_memory);
    case O::Movlhps: return vex ? between_halves<Half::High, true> : between_halves<Half::High, false>;
    case O::Movhlps: return vex ? between_halves<Half::Low, true> : between_halves<Half::Low, false>;
    default: return is_whole_move(insn.operation) ? whole_move(insn, memory, to_memory, form) : nullptr;
  }
}

}  // namespace

bool select_fast_move(const BuildContext& context, const Insn& insn, Op& op) {
  if (insn.operand_count < 2 || insn.operand_count > 3) return false;
  const Operand &first = insn.operands[0], &last = insn.operands[insn.operand_count - 1u];
  if (first.kind == OperandKind::Mm || last.kind == OperandKind::Mm || last.kind == OperandKind::Immediate)
    return false;
  const bool to_memory = first.kind == OperandKind::Memory, memory = to_memory || last.kind == OperandKind::Memory;
  op.dst = is_gpr(first) ? context.reg(first) : first.reg;
  op.src = insn.operands[1].reg;
  op.base = is_gpr(last) ? context.reg(last) : last.reg;
  Address form = Address::Base;
  if (memory && (!context.memory(insn, op, form) || form == Address::Any)) return false;
  op.handler = choose(insn, memory, to_memory, form);
  return op.handler != nullptr;
}

}  // namespace xm::cpu::interp
