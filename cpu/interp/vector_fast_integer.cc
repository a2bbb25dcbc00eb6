// SPDX-License-Identifier: GPL-2.0-or-later
// Fast handlers of the integer vector instructions, and of the shuffles by immediate. [SDM2]
#include <array>

#include "cpu/interp/vector_fast.h"
#include "cpu/semantics/vector.h"

namespace xm::cpu::interp {
namespace {

using O = Operation;
namespace k = semantics::kernel;
using fast::binary_row;

constexpr fast::Row kRows[] = {
    binary_row<k::Paddb, 16>(O::Paddb),
    binary_row<k::Paddw, 16>(O::Paddw),
    binary_row<k::Paddd, 16>(O::Paddd),
    binary_row<k::Paddq, 16>(O::Paddq),
    binary_row<k::Psubb, 16>(O::Psubb),
    binary_row<k::Psubw, 16>(O::Psubw),
    binary_row<k::Psubd, 16>(O::Psubd),
    binary_row<k::Psubq, 16>(O::Psubq),
    binary_row<k::Pand, 16>(O::Pand),
    binary_row<k::Pandn, 16>(O::Pandn),
    binary_row<k::Por, 16>(O::Por),
    binary_row<k::Pxor, 16>(O::Pxor),
    binary_row<k::Pcmpeqb, 16>(O::Pcmpeqb),
    binary_row<k::Pcmpeqw, 16>(O::Pcmpeqw),
    binary_row<k::Pcmpeqd, 16>(O::Pcmpeqd),
    binary_row<k::Pcmpgtb, 16>(O::Pcmpgtb),
    binary_row<k::Pcmpgtd, 16>(O::Pcmpgtd),
    binary_row<k::Pminub, 16>(O::Pminub),
    binary_row<k::Pmaxub, 16>(O::Pmaxub),
    binary_row<k::Pminsw, 16>(O::Pminsw),
    binary_row<k::Pmaxsw, 16>(O::Pmaxsw),
    binary_row<k::Psubusb, 16>(O::Psubusb),
    binary_row<k::Pmuludq, 16>(O::Pmuludq),
    binary_row<k::Pmullw, 16>(O::Pmullw),
    binary_row<k::Pmulld, 16>(O::Pmulld),
    binary_row<k::Pmaddwd, 16>(O::Pmaddwd),
    binary_row<k::Pshufb, 16>(O::Pshufb),
    binary_row<k::Packuswb, 16>(O::Packuswb),
    binary_row<k::Packssdw, 16>(O::Packssdw),
    binary_row<k::Packsswb, 16>(O::Packsswb),
    binary_row<k::Punpcklbw, 16>(O::Punpcklbw),
    binary_row<k::Punpcklwd, 16>(O::Punpcklwd),
    binary_row<k::Punpckldq, 16>(O::Punpckldq),
    binary_row<k::Punpcklqdq, 16>(O::Punpcklqdq),
    binary_row<k::Punpckhbw, 16>(O::Punpckhbw),
    binary_row<k::Punpckhwd, 16>(O::Punpckhwd),
    binary_row<k::Punpckhdq, 16>(O::Punpckhdq),
    binary_row<k::Punpckhqdq, 16>(O::Punpckhqdq),
    binary_row<k::Aesenc, 16>(O::Aesenc),
    binary_row<k::Aesdec, 16>(O::Aesdec),
};

// --- shifts of XMM registers by an immediate, in place
template <class K>
const Op* shift(Vcpu& cpu, const Op* op) {
  if (!fast::ready<false>(cpu)) [[unlikely]]
    return vector_generic(cpu, op);
  VectorRegister& d = cpu.state.vector[op->dst];
  fast::store_vector<false>(d, K::xmm(fast::load_vector(d), _mm_cvtsi32_si128(op->aux)));
  return next(cpu, op);
}

Handler shift_handler(Operation operation) {
  switch (operation) {
    case O::Psrlw: return shift<k::Psrlw>;
    case O::Psrld: return shift<k::Psrld>;
    case O::Psrlq: return shift<k::Psrlq>;
    case O::Psrad: return shift<k::Psrad>;
    case O::Psraw: return shift<k::Psraw>;
    case O::Psllw: return shift<k::Psllw>;
    case O::Pslld: return shift<k::Pslld>;
    case O::Psllq: return shift<k::Psllq>;
    default: return nullptr;
  }
}

// --- shuffles by immediate as PSHUFB with a control from a table: 80h gives zero. [first source, second source][imm]
using Control = std::array<u8, 16>;
struct alignas(16) Controls {
  std::array<Control, 256> control;
};

// Where each of the four doublewords comes from: bits 1:0 of `select` for the element, kOther for none of this source.
constexpr unsigned kOther = 4;
template <class Select>
constexpr Controls make_controls(Select select) {
  Controls table{};
  for (unsigned imm = 0; imm < 256; ++imm) {
    for (unsigned i = 0; i < 16; ++i) {
      const unsigned from = select(imm, i / 4);
      table.control[imm][i] = static_cast<u8>(from == kOther ? 0x80 : from * 4 + i % 4);
    }
  }
  return table;
}
constexpr Controls kPshufd = make_controls([](unsigned imm, unsigned i) { return imm >> i * 2 & 3; });
constexpr Controls kShufpsFirst =
    make_controls([](unsigned imm, unsigned i) { return i < 2 ? imm >> i * 2 & 3 : kOther; });
constexpr Controls kShufpsSecond =
    make_controls([](unsigned imm, unsigned i) { return i < 2 ? kOther : imm >> i * 2 & 3; });
constexpr Controls kShufpdFirst =
    make_controls([](unsigned imm, unsigned i) { return i < 2 ? (imm & 1) * 2 + i : kOther; });
constexpr Controls kShufpdSecond =
    make_controls([](unsigned imm, unsigned i) { return i < 2 ? kOther : (imm >> 1 & 1) * 2 + i - 2; });

[[gnu::always_inline]] inline __m128i shuffle(__m128i value, const Controls& table, u8 imm) {
  const auto* control = reinterpret_cast<const __m128i*>(table.control[imm].data());
  return k::Pshufb::xmm(value, _mm_load_si128(control));
}

template <bool kVex>
const Op* pshufd(Vcpu& cpu, const Op* op) {
  if (!fast::ready<kVex>(cpu)) [[unlikely]]
    return vector_generic(cpu, op);
  const __m128i value = fast::load_vector(cpu.state.vector[op->base]);
  fast::store_vector<kVex>(cpu.state.vector[op->dst], shuffle(value, kPshufd, op->aux));
  return next(cpu, op);
}

template <bool kVex, const Controls& kFirst, const Controls& kSecond>
const Op* two_source_shuffle(Vcpu& cpu, const Op* op) {
  if (!fast::ready<kVex>(cpu)) [[unlikely]]
    return vector_generic(cpu, op);
  VectorRegister& d = cpu.state.vector[op->dst];
  const __m128i a = fast::load_vector(kVex ? cpu.state.vector[op->src] : d);
  const __m128i b = fast::load_vector(cpu.state.vector[op->base]);
  fast::store_vector<kVex>(d, _mm_or_si128(shuffle(a, kFirst, op->aux), shuffle(b, kSecond, op->aux)));
  return next(cpu, op);
}

constexpr fast::Row kShuffleRows[] = {
    {O::Pshufd, pshufd<false>, nullptr, nullptr, pshufd<true>, nullptr, nullptr, nullptr},
    {O::Shufps, two_source_shuffle<false, kShufpsFirst, kShufpsSecond>, nullptr, nullptr,
     two_source_shuffle<true, kShufpsFirst, kShufpsSecond>, nullptr, nullptr, nullptr},
    {O::Shufpd, two_source_shuffle<false, kShufpdFirst, kShufpdSecond>, nullptr, nullptr,
     two_source_shuffle<true, kShufpdFirst, kShufpdSecond>, nullptr, nullptr, nullptr},
};

// --- PMOVMSKB and MOVMSKPD into a general register
enum class Mask : u8 { Bytes, Singles, Doubles };
template <Mask kMask, bool kVex>
const Op* sign_mask(Vcpu& cpu, const Op* op) {
  if (!fast::ready<kVex>(cpu)) [[unlikely]]
    return vector_generic(cpu, op);
  const __m128i value = fast::load_vector(cpu.state.vector[op->base]);
  int mask = 0;
  if constexpr (kMask == Mask::Bytes) mask = _mm_movemask_epi8(value);
  if constexpr (kMask == Mask::Singles) mask = _mm_movemask_ps(_mm_castsi128_ps(value));
  if constexpr (kMask == Mask::Doubles) mask = _mm_movemask_pd(_mm_castsi128_pd(value));
  put<u32>(cpu, op->dst, static_cast<u32>(mask));
  return next(cpu, op);
}

Handler sign_mask_handler(const Insn& insn) {
  switch (insn.operation) {
    case O::Pmovmskb: return insn.vex ? sign_mask<Mask::Bytes, true> : sign_mask<Mask::Bytes, false>;
    case O::Movmskps: return insn.vex ? sign_mask<Mask::Singles, true> : sign_mask<Mask::Singles, false>;
    case O::Movmskpd: return insn.vex ? sign_mask<Mask::Doubles, true> : sign_mask<Mask::Doubles, false>;
    default: return nullptr;
  }
}

}  // namespace

bool select_fast_integer(const BuildContext& context, const Insn& insn, Op& op) {
  if (insn.operand_count == 0) return false;
  const bool by_immediate = insn.operands[insn.operand_count - 1u].kind == OperandKind::Immediate;
  if (insn.operands[0].kind == OperandKind::Mm || insn.operands[1].kind == OperandKind::Mm) return false;
  if (Handler handler = shift_handler(insn.operation)) {
    if (!by_immediate || insn.vex) return false;
    op.dst = insn.operands[0].reg;
    op.aux = static_cast<u8>(insn.imm);
    op.handler = handler;
    return true;
  }
  if (Handler handler = sign_mask_handler(insn)) {
    if (insn.vex_l != 0) return false;
    op.dst = context.reg(insn.operands[0]);
    op.base = insn.operands[1].reg;
    op.handler = handler;
    return true;
  }
  if (const fast::Row* row = fast::find_row(kRows, insn.operation)) return fast::use_row(*row, context, insn, op);
  static const bool has_pshufb = semantics::host_vector_features().ssse3;
  if (insn.vex_l != 0 || !has_pshufb) return false;
  const fast::Row* row = fast::find_row(kShuffleRows, insn.operation);
  return row != nullptr && fast::use_row(*row, context, insn, op);
}

}  // namespace xm::cpu::interp
