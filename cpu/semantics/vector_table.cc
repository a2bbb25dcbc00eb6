// SPDX-License-Identifier: GPL-2.0-or-later
// From a decoded instruction to the kernel that executes it, and what the host offers.
#include <cpuid.h>

#include <algorithm>
#include <array>
#include <type_traits>
#include <utility>

#include "cpu/semantics/vector.h"
#include "cpu/semantics/vector_convert.h"
#include "cpu/semantics/vector_kernels.h"
#include "cpu/semantics/vector_shuffle.h"

namespace xm::cpu::semantics {
namespace {

using kernel::load;
using kernel::MmxForm;
using kernel::store;
using Reg = VectorRegister;

__m128i low_half(const Reg& r) { return _mm_cvtsi64_si128(static_cast<long long>(r.q[0])); }
void store_low(Reg& d, __m128i value) { d.q[0] = static_cast<u64>(_mm_cvtsi128_si64(value)); }

// --- from the types of vector_kernels.h to the common signature
template <class K>
void binary_xmm(Reg& d, const Reg& a, const Reg& b, unsigned) {
  store(d, K::xmm(load(a), load(b)));
}
template <class K>
void binary_ymm(Reg& d, const Reg& a, const Reg& b, unsigned) {
  K::ymm(d, a, b);
}
template <class K>
void binary_mmx(Reg& d, const Reg& a, const Reg& b, unsigned) {
  store_low(d, K::xmm(low_half(a), low_half(b)));
}
template <class K>
void joined_mmx(Reg& d, const Reg& a, const Reg& b, unsigned) {
  const __m128i both = _mm_unpacklo_epi64(low_half(a), low_half(b));
  store_low(d, K::xmm(both, both));
}
// The upper interleaves of 64-bit registers are the upper half of the lower interleave of 128-bit ones.
template <class K>
void upper_mmx(Reg& d, const Reg& a, const Reg& b, unsigned) {
  store_low(d, _mm_unpackhi_epi64(K::xmm(low_half(a), low_half(b)), _mm_setzero_si128()));
}
void pshufb_mmx(Reg& d, const Reg& a, const Reg& b, unsigned) {
  const Reg control{{b.q[0] & 0x8787878787878787, 0, 0, 0}};
  store_low(d, kernel::Pshufb::xmm(low_half(a), low_half(control)));
}
template <class K>
void unary_xmm(Reg& d, const Reg&, const Reg& b, unsigned) {
  store(d, K::xmm(load(b)));
}
template <class K>
void unary_ymm(Reg& d, const Reg&, const Reg& b, unsigned) {
  K::ymm(d, b);
}
template <class K>
void unary_mmx(Reg& d, const Reg&, const Reg& b, unsigned) {
  store_low(d, K::xmm(low_half(b)));
}
template <class K>
void fused_xmm(Reg& d, const Reg& a, const Reg& b, unsigned) {
  K::xmm(d, a, b);
}
template <class K>
void fused_ymm(Reg& d, const Reg& a, const Reg& b, unsigned) {
  K::ymm(d, a, b);
}
// Shifts by immediate: the value comes as b, the count is made a register.
template <class K>
void shift_immediate_xmm(Reg& d, const Reg&, const Reg& b, unsigned imm) {
  store(d, K::xmm(load(b), _mm_cvtsi32_si128(static_cast<int>(imm))));
}
template <class K>
void shift_immediate_ymm(Reg& d, const Reg&, const Reg& b, unsigned imm) {
  const Reg count{{imm, 0, 0, 0}};
  K::ymm(d, b, count);
}

struct Entry {
  VectorKernel mmx = nullptr, xmm = nullptr, ymm = nullptr;
  bool fp = false;
  ResultKind result = ResultKind::Vector;
};
using Table = std::array<Entry, kOperationCount>;

template <class K>
constexpr Entry entry_of() {
  Entry entry{.fp = K::kFp};
  if constexpr (std::is_base_of_v<kernel::BinaryTag, K>) {
    entry.xmm = binary_xmm<K>;
    if (!K::kScalar) entry.ymm = binary_ymm<K>;
    if (K::kMmx == MmxForm::Low) entry.mmx = binary_mmx<K>;
    if (K::kMmx == MmxForm::Joined) entry.mmx = joined_mmx<K>;
  } else if constexpr (std::is_base_of_v<kernel::UnaryTag, K>) {
    entry.xmm = unary_xmm<K>;
    entry.ymm = unary_ymm<K>;
    if (K::kMmx == MmxForm::Low) entry.mmx = unary_mmx<K>;
  } else {
    entry.xmm = fused_xmm<K>;
    if (!K::kScalar) entry.ymm = fused_ymm<K>;
  }
  return entry;
}

constexpr Table make_table() {
  Table table{};
#define XM_ROW(name, ...) table[static_cast<unsigned>(Operation::name)] = entry_of<kernel::name>();
#define XM_SKIP(...)
#define BINARY XM_ROW
#define JOINED XM_ROW
#define WIDE XM_ROW
#define XONLY XM_ROW
#define LANES XM_ROW
#define SHIFT XM_ROW
#define UNARY XM_ROW
#define UNARYX XM_ROW
#define WIDEN XM_ROW
#define FLOAT XM_ROW
#define SCALAR XM_ROW
#define FUNARY XM_ROW
#define FUSED XM_ROW
#define FUSEDS XM_ROW
#define FIMM XM_SKIP
#define FUIMM XM_SKIP
#define SIMM XM_SKIP
#include "cpu/semantics/vector_float.def"
#include "cpu/semantics/vector_integer.def"
  table[static_cast<unsigned>(Operation::Pshufb)].mmx = pshufb_mmx;
  table[static_cast<unsigned>(Operation::Punpckhbw)].mmx = upper_mmx<kernel::Punpcklbw>;
  table[static_cast<unsigned>(Operation::Punpckhwd)].mmx = upper_mmx<kernel::Punpcklwd>;
  table[static_cast<unsigned>(Operation::Punpckhdq)].mmx = upper_mmx<kernel::Punpckldq>;
  return table;
}
constexpr Table kRowTable = make_table();

// The rows of the three sources by operation.
Table merge_tables() {
  Table table = kRowTable;
  for (unsigned i = 0; i < kOperationCount; ++i) {
    const auto operation = static_cast<Operation>(i);
    if (const NamedKernels* named = find_shuffle_kernels(operation)) {
      table[i] = {named->mmx, named->xmm, named->ymm, false, named->result};
    } else if (const ConvertKernels* converts = find_convert_kernels(operation)) {
      table[i] = {converts->mmx, converts->xmm, converts->ymm, converts->fp, converts->result};
    }
  }
  return table;
}

template <class K, unsigned... I>
VectorKernel pick_immediate(unsigned imm, bool ymm, std::integer_sequence<unsigned, I...>) {
  static constexpr VectorKernel kXmm[] = {&K::template xmm<I>...};
  if constexpr (!K::kScalar) {
    static constexpr VectorKernel kYmm[] = {&K::template ymm<I>...};
    if (ymm) return kYmm[imm & K::kMask];
  }
  return kXmm[imm & K::kMask];
}
template <class K>
VectorForm immediate_form(unsigned imm, bool ymm) {
  return {.kernel = pick_immediate<K>(imm, ymm, std::make_integer_sequence<unsigned, K::kMask + 1>()), .fp = K::kFp};
}

template <class K>
VectorKernel shift_kernel(bool ymm) {
  return ymm ? shift_immediate_ymm<K> : shift_immediate_xmm<K>;
}
VectorKernel shift_by_immediate(Operation operation, bool ymm) {
  switch (operation) {
    case Operation::Psrlw: return shift_kernel<kernel::Psrlw>(ymm);
    case Operation::Psrld: return shift_kernel<kernel::Psrld>(ymm);
    case Operation::Psrlq: return shift_kernel<kernel::Psrlq>(ymm);
    case Operation::Psraw: return shift_kernel<kernel::Psraw>(ymm);
    case Operation::Psrad: return shift_kernel<kernel::Psrad>(ymm);
    case Operation::Psllw: return shift_kernel<kernel::Psllw>(ymm);
    case Operation::Pslld: return shift_kernel<kernel::Pslld>(ymm);
    case Operation::Psllq: return shift_kernel<kernel::Psllq>(ymm);
    default: return nullptr;
  }
}

// Which of a row's three kernels: MMX where a register operand is MMX (or the destination is), else by length.
template <class Rows>
VectorKernel by_width(const Rows& rows, const Insn& insn) {
  const auto is_mmx = [](const Operand& operand) { return operand.kind == OperandKind::Mm; };
  const bool mmx = std::any_of(insn.operands.begin(), insn.operands.end(), is_mmx);
  if (mmx && rows.mmx != nullptr) return rows.mmx;
  return insn.vex_l && rows.ymm != nullptr ? rows.ymm : rows.xmm;
}

bool last_is_immediate(const Insn& insn) {
  return insn.operand_count > 0 && insn.operands[insn.operand_count - 1u].kind == OperandKind::Immediate;
}

// Forms that need the immediate or the operands to be told apart.
VectorForm special_form(const Insn& insn) {
  using O = Operation;
  const auto imm = static_cast<unsigned>(insn.imm);
  const bool ymm = insn.vex_l != 0, merges = insn.operand_count == 3;
  switch (insn.operation) {
    case O::Cmpps:
    case O::Cmppd:
    case O::Cmpss:
    case O::Cmpsd: return {.kernel = compare_kernel(insn.operation, imm, insn.vex, ymm), .fp = true};
    case O::Dpps: return immediate_form<kernel::Dpps>(imm, ymm);
    case O::Dppd: return immediate_form<kernel::Dppd>(imm, false);
    case O::Roundps: return immediate_form<kernel::Roundps>(imm, ymm);
    case O::Roundpd: return immediate_form<kernel::Roundpd>(imm, ymm);
    case O::Roundss: return immediate_form<kernel::Roundss>(imm, false);
    case O::Roundsd: return immediate_form<kernel::Roundsd>(imm, false);
    case O::Vcvtps2ph: return {.kernel = half_store_kernel(imm, ymm), .fp = true};
    case O::Pclmulqdq: return {.kernel = carryless_multiply_kernel(imm, ymm)};
    case O::Sha1rnds4: return {.kernel = sha1_rounds_kernel(imm)};
    case O::Movss: return {.kernel = merges ? move_merge_low32 : nullptr};
    case O::Movsd:
    case O::Movlps:
    case O::Movlpd: return {.kernel = merges ? move_merge_low64 : nullptr};
    case O::Movhps:
    case O::Movhpd: return {.kernel = merges ? move_to_high64 : nullptr};
    case O::Insertps: return {.kernel = insn.operands[2].kind == OperandKind::Memory ? insertps_memory : nullptr};
    case O::Vpermilps: return {.kernel = last_is_immediate(insn) ? permute_ps_immediate : nullptr};
    case O::Vpermilpd: return {.kernel = last_is_immediate(insn) ? permute_pd_immediate : nullptr};
    default: break;
  }
  if (!last_is_immediate(insn)) return {};
  VectorForm form{.kernel = shift_by_immediate(insn.operation, ymm)};
  return form;
}

}  // namespace

VectorForm vector_form(const Insn& insn) {
  if (const VectorForm form = special_form(insn); form.kernel != nullptr) return form;
  static const Table table = merge_tables();
  const Entry& entry = table[static_cast<unsigned>(insn.operation)];
  return {.kernel = by_width(entry, insn),
          .fp = entry.fp,
          .result = entry.result,
          .reads_destination = entry.result == ResultKind::Flags};
}

HostVectorFeatures host_vector_features() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  HostVectorFeatures host;
  if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx)) return host;
  host.ssse3 = (ecx & bit_SSSE3) != 0;
  host.sse41 = (ecx & bit_SSE4_1) != 0;
  host.sse42 = (ecx & bit_SSE4_2) != 0;
  host.aes = (ecx & bit_AES) != 0;
  host.pclmulqdq = (ecx & bit_PCLMUL) != 0;
  bool ymm_enabled = false;
  if (ecx & bit_OSXSAVE) {
    u32 low = 0, high = 0;
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    ymm_enabled = (low & 6) == 6;
  }
  host.avx = ymm_enabled && (ecx & bit_AVX) != 0;
  host.fma = host.avx && (ecx & bit_FMA) != 0;
  host.f16c = host.avx && (ecx & bit_F16C) != 0;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) {
    host.avx2 = host.avx && (ebx & bit_AVX2) != 0;
    host.sha = (ebx & (1u << 29)) != 0;
  }
  return host;
}

}  // namespace xm::cpu::semantics
