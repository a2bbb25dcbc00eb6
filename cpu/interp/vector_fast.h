// SPDX-License-Identifier: GPL-2.0-or-later
// Handlers of their own for the vector instructions that programs execute most: registers straight in Vcpu's state,
// memory by the inline TLB probe. Whatever is not plain (state not enabled, TLB miss, misaligned operand, exception
// unmasked) is left to vector_generic, which starts over from the Insn.
//
// Op fields: dst, src and base are vector register numbers (destination, first source, second source); with a memory
// operand the address fields are BuildContext::memory's and the first source is src; aux is the immediate.
#pragma once

#include <emmintrin.h>

#include "cpu/interp/build_context.h"
#include "cpu/interp/fp_gate.h"
#include "cpu/semantics/vector_kernels.h"

namespace xm::cpu::interp {

const Op* vector_generic(Vcpu& cpu, const Op* op);

// Each sets op.handler and returns true if it has a fast handler for this form.
bool select_fast_move(const BuildContext& context, const Insn& insn, Op& op);
bool select_fast_float(const BuildContext& context, const Insn& insn, Op& op);
bool select_fast_integer(const BuildContext& context, const Insn& insn, Op& op);
bool select_fast_convert(const BuildContext& context, const Insn& insn, Op& op);
bool select_fast_mmx(const BuildContext& context, const Insn& insn, Op& op);

namespace fast {

template <bool kVex, bool kFp = false>
[[gnu::always_inline]] inline bool ready(const Vcpu& cpu) {
  if (kFp && !(cpu.host_fp.loaded & HostFp::kMxcsr)) return false;
  return kVex ? avx_ready(cpu) : sse_ready(cpu);
}

[[gnu::always_inline]] inline __m128i load_vector(const VectorRegister& r) { return semantics::kernel::load(r); }

// VEX instructions clear the upper half.
template <bool kVex>
[[gnu::always_inline]] inline void store_vector(VectorRegister& r, __m128i value) {
  semantics::kernel::store(r, value);
  if constexpr (kVex) r.q[2] = r.q[3] = 0;
}

template <unsigned kBytes>
[[gnu::always_inline]] inline __m128i load_memory(const u8* host) {
  if constexpr (kBytes == 16) return _mm_loadu_si128(reinterpret_cast<const __m128i*>(host));
  if constexpr (kBytes == 8) return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(host));
  return _mm_cvtsi32_si128(load_host<i32>(host));
}

template <unsigned kBytes>
struct Bytes {
  std::array<u8, kBytes> byte;
};

// Host address of the memory operand, or nullptr. Host pages are aligned like guest pages.
template <unsigned kBytes, Address kForm, bool kAligned>
[[gnu::always_inline]] inline const u8* source(Vcpu& cpu, const Op* op) {
  const u8* host = probe_read<Bytes<kBytes>, kForm>(cpu, op);
  if constexpr (kAligned) {
    if (reinterpret_cast<std::uintptr_t>(host) & (kBytes - 1)) [[unlikely]]
      return nullptr;
  }
  return host;
}
template <unsigned kBytes, Address kForm, bool kAligned>
[[gnu::always_inline]] inline u8* target(Vcpu& cpu, const Op* op) {
  u8* host = probe_write<Bytes<kBytes>, kForm>(cpu, op);
  if constexpr (kAligned) {
    if (reinterpret_cast<std::uintptr_t>(host) & (kBytes - 1)) [[unlikely]]
      return nullptr;
  }
  return host;
}

// --- d = K(a, b)
template <class K, bool kVex>
const Op* binary_register(Vcpu& cpu, const Op* op) {
  if (!ready<kVex, K::kFp>(cpu)) [[unlikely]]
    return vector_generic(cpu, op);
  VectorRegister& d = cpu.state.vector[op->dst];
  const __m128i a = load_vector(kVex ? cpu.state.vector[op->src] : d);
  store_vector<kVex>(d, K::xmm(a, load_vector(cpu.state.vector[op->base])));
  return next(cpu, op);
}
template <class K, bool kVex, unsigned kBytes, Address kForm>
const Op* binary_memory(Vcpu& cpu, const Op* op) {
  const u8 *host = source < kBytes, kForm, !kVex && kBytes == 16 > (cpu, op);
  if (host == nullptr || !ready<kVex, K::kFp>(cpu)) [[unlikely]]
    return vector_generic(cpu, op);
  VectorRegister& d = cpu.state.vector[op->dst];
  const __m128i a = load_vector(kVex ? cpu.state.vector[op->src] : d);
  store_vector<kVex>(d, K::xmm(a, load_memory<kBytes>(host)));
  return next(cpu, op);
}
template <class K>
const Op* binary_ymm_register(Vcpu& cpu, const Op* op) {
  if (!ready<true, K::kFp>(cpu)) [[unlikely]]
    return vector_generic(cpu, op);
  K::ymm(cpu.state.vector[op->dst], cpu.state.vector[op->src], cpu.state.vector[op->base]);
  return next(cpu, op);
}
template <class K>
const Op* binary_ymm_memory(Vcpu& cpu, const Op* op) {
  const u8* host = source<32, Address::Full, false>(cpu, op);
  if (host == nullptr || !ready<true, K::kFp>(cpu)) [[unlikely]]
    return vector_generic(cpu, op);
  VectorRegister b;
  std::memcpy(b.q.data(), host, sizeof b.q);
  K::ymm(cpu.state.vector[op->dst], cpu.state.vector[op->src], b);
  return next(cpu, op);
}

// --- d = K(b)
template <class K, bool kVex>
const Op* unary_register(Vcpu& cpu, const Op* op) {
  if (!ready<kVex, K::kFp>(cpu)) [[unlikely]]
    return vector_generic(cpu, op);
  store_vector<kVex>(cpu.state.vector[op->dst], K::xmm(load_vector(cpu.state.vector[op->base])));
  return next(cpu, op);
}
template <class K, bool kVex, unsigned kBytes, Address kForm>
const Op* unary_memory(Vcpu& cpu, const Op* op) {
  const u8 *host = source < kBytes, kForm, !kVex && kBytes == 16 > (cpu, op);
  if (host == nullptr || !ready<kVex, K::kFp>(cpu)) [[unlikely]]
    return vector_generic(cpu, op);
  store_vector<kVex>(cpu.state.vector[op->dst], K::xmm(load_memory<kBytes>(host)));
  return next(cpu, op);
}

// --- d = K(d, a, b)
template <class K, bool kYmm>
const Op* fused_register(Vcpu& cpu, const Op* op) {
  if (!ready<true, true>(cpu)) [[unlikely]]
    return vector_generic(cpu, op);
  VectorRegister& d = cpu.state.vector[op->dst];
  const VectorRegister &a = cpu.state.vector[op->src], &b = cpu.state.vector[op->base];
  kYmm ? K::ymm(d, a, b) : K::xmm(d, a, b);
  if constexpr (!kYmm) d.q[2] = d.q[3] = 0;
  return next(cpu, op);
}
template <class K, unsigned kBytes>
const Op* fused_memory(Vcpu& cpu, const Op* op) {
  const u8* host = source<kBytes, Address::Full, false>(cpu, op);
  if (host == nullptr || !ready<true, true>(cpu)) [[unlikely]]
    return vector_generic(cpu, op);
  VectorRegister b;
  std::memcpy(b.q.data(), host, kBytes);
  VectorRegister& d = cpu.state.vector[op->dst];
  const VectorRegister& a = cpu.state.vector[op->src];
  kBytes == 32 ? K::ymm(d, a, b) : K::xmm(d, a, b);
  if constexpr (kBytes != 32) d.q[2] = d.q[3] = 0;
  return next(cpu, op);
}

// The handlers of one operation. Memory forms with VEX serve both address forms: an absent index reads as zero.
struct Row {
  Operation operation;
  Handler reg, memory_base, memory_full;  // legacy
  Handler vex_reg, vex_memory, ymm_reg, ymm_memory;
};

template <class K, unsigned kBytes>
constexpr Row binary_row(Operation operation) {
  Row row{operation,
          binary_register<K, false>,
          binary_memory<K, false, kBytes, Address::Base>,
          binary_memory<K, false, kBytes, Address::Full>,
          binary_register<K, true>,
          binary_memory<K, true, kBytes, Address::Full>,
          nullptr,
          nullptr};
  if constexpr (!K::kScalar) {
    row.ymm_reg = binary_ymm_register<K>;
    row.ymm_memory = binary_ymm_memory<K>;
  }
  return row;
}
template <class K, unsigned kBytes>
constexpr Row unary_row(Operation operation) {
  return {operation,
          unary_register<K, false>,
          unary_memory<K, false, kBytes, Address::Base>,
          unary_memory<K, false, kBytes, Address::Full>,
          unary_register<K, true>,
          unary_memory<K, true, kBytes, Address::Full>,
          nullptr,
          nullptr};
}
template <class K, unsigned kBytes>
constexpr Row fused_row(Operation operation) {
  Row row{operation, nullptr, nullptr, nullptr, fused_register<K, false>, fused_memory<K, kBytes>, nullptr, nullptr};
  if constexpr (!K::kScalar) {
    row.ymm_reg = fused_register<K, true>;
    row.ymm_memory = fused_memory<K, 32>;
  }
  return row;
}

// Fills the Op for a row's instruction whose last operand before an immediate is the second source.
inline bool use_row(const Row& row, const BuildContext& context, const Insn& insn, Op& op) {
  const unsigned count = insn.operand_count;
  const Operand& last =
      insn.operands[count - 1u].kind == OperandKind::Immediate ? insn.operands[count - 2u] : insn.operands[count - 1u];
  const bool memory = last.kind == OperandKind::Memory;
  if (!memory && last.kind != OperandKind::Xmm && last.kind != OperandKind::Ymm) return false;
  op.dst = insn.operands[0].reg;
  op.src = insn.operands[1].reg;
  op.base = last.reg;
  Address form = Address::Base;
  if (memory && (!context.memory(insn, op, form) || form == Address::Any)) return false;
  const bool ymm = insn.vex_l != 0 && (row.ymm_reg != nullptr);
  if (ymm) {
    op.handler = memory ? row.ymm_memory : row.ymm_reg;
  } else if (insn.vex) {
    op.handler = memory ? row.vex_memory : row.vex_reg;
  } else {
    op.handler = !memory ? row.reg : form == Address::Base ? row.memory_base : row.memory_full;
  }
  op.aux = static_cast<u8>(insn.imm);
  return op.handler != nullptr;
}

template <std::size_t kCount>
const Row* find_row(const Row (&rows)[kCount], Operation operation) {
  for (const Row& row : rows) {
    if (row.operation == operation) return &row;
  }
  return nullptr;
}

}  // namespace fast
}  // namespace xm::cpu::interp
