// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/semantics/vector_convert.h"

#include <algorithm>
#include <array>
#include <utility>

#include "cpu/semantics/vector_kernels.h"

namespace xm::cpu::semantics {
namespace {

using kernel::load;
using kernel::store;
using Reg = VectorRegister;

// Small types around one instruction each; rows below put them together.
#define XM_CONVERT(name, mnemonic)                         \
  struct name {                                            \
    static __m128i xmm(__m128i b) {                        \
      __m128i d;                                           \
      asm volatile(mnemonic " %1, %0" : "=x"(d) : "x"(b)); \
      return d;                                            \
    }                                                      \
  };
#define XM_CONVERT_YMM(name, assembly)                                                    \
  void name(Reg& d, const Reg&, const Reg& b, unsigned) {                                 \
    asm volatile("vmovdqu %1, %%ymm1\n\t" assembly "\n\tvmovdqu %%ymm0, %0\n\tvzeroupper" \
                 : "=m"(d)                                                                \
                 : "m"(b)                                                                 \
                 : "xmm0", "xmm1");                                                       \
  }
// Integer result of an XMM operand, by register size.
#define XM_TO_INTEGER(name, mnemonic)                                 \
  void name(Reg& d, const Reg&, const Reg& b, unsigned size) {        \
    if (size == 8) {                                                  \
      asm volatile(mnemonic " %1, %0" : "=r"(d.q[0]) : "x"(load(b))); \
    } else {                                                          \
      u32 value;                                                      \
      asm volatile(mnemonic " %1, %0" : "=r"(value) : "x"(load(b)));  \
      d.q[0] = value;                                                 \
    }                                                                 \
  }
#define XM_FROM_INTEGER(name, mnemonic)                                                \
  void name(Reg& d, const Reg& a, const Reg& b, unsigned size) {                       \
    __m128i value = load(a);                                                           \
    if (size == 8)                                                                     \
      asm volatile(mnemonic "q %1, %0" : "+x"(value) : "r"(b.q[0]));                   \
    else                                                                               \
      asm volatile(mnemonic "l %1, %0" : "+x"(value) : "r"(static_cast<u32>(b.q[0]))); \
    store(d, value);                                                                   \
  }
#define XM_ORDER(name, mnemonic)                                                                                    \
  void name(Reg& d, const Reg& a, const Reg& b, unsigned) {                                                         \
    bool carry, zero, parity;                                                                                       \
    asm volatile(mnemonic " %4, %3" : "=@ccc"(carry), "=@ccz"(zero), "=@ccp"(parity) : "x"(load(a)), "x"(load(b))); \
    d.q[0] = (carry ? flag::kCf : 0) | (zero ? flag::kZf : 0) | (parity ? flag::kPf : 0);                           \
  }

XM_CONVERT(Ps2pd, "cvtps2pd")
XM_CONVERT(Pd2ps, "cvtpd2ps")
XM_CONVERT(Dq2pd, "cvtdq2pd")
XM_CONVERT(Pd2dq, "cvtpd2dq")
XM_CONVERT(TruncatePd2dq, "cvttpd2dq")
XM_CONVERT(Ps2dq, "cvtps2dq")
XM_CONVERT(TruncatePs2dq, "cvttps2dq")
XM_CONVERT(Dq2ps, "cvtdq2ps")
XM_CONVERT(Ph2ps, "vcvtph2ps")
XM_CONVERT(InverseMixColumns, "aesimc")
XM_CONVERT(MinimumPosition, "phminposuw")
XM_CONVERT(KeyGenerationAssist, "aeskeygenassist $0,")
XM_CONVERT_YMM(ps2pd_ymm, "vcvtps2pd %%xmm1, %%ymm0")
XM_CONVERT_YMM(pd2ps_ymm, "vcvtpd2psy %%ymm1, %%xmm0")
XM_CONVERT_YMM(dq2pd_ymm, "vcvtdq2pd %%xmm1, %%ymm0")
XM_CONVERT_YMM(pd2dq_ymm, "vcvtpd2dqy %%ymm1, %%xmm0")
XM_CONVERT_YMM(truncate_pd2dq_ymm, "vcvttpd2dqy %%ymm1, %%xmm0")
XM_CONVERT_YMM(ph2ps_ymm, "vcvtph2ps %%xmm1, %%ymm0")
XM_TO_INTEGER(ss2si, "cvtss2si")
XM_TO_INTEGER(sd2si, "cvtsd2si")
XM_TO_INTEGER(truncate_ss2si, "cvttss2si")
XM_TO_INTEGER(truncate_sd2si, "cvttsd2si")
XM_FROM_INTEGER(si2ss, "cvtsi2ss")
XM_FROM_INTEGER(si2sd, "cvtsi2sd")
XM_ORDER(comiss, "comiss")
XM_ORDER(comisd, "comisd")
XM_ORDER(ucomiss, "ucomiss")
XM_ORDER(ucomisd, "ucomisd")

template <class K>
void convert(Reg& d, const Reg&, const Reg& b, unsigned) {
  store(d, K::xmm(load(b)));
}
// MMX destination: the low half; what lies above the source is zero and raises nothing.
template <class K>
void convert_to_mmx(Reg& d, const Reg&, const Reg& b, unsigned) {
  d.q[0] = static_cast<u64>(_mm_cvtsi128_si64(K::xmm(load(b))));
}
// CVTPI2PS keeps the destination's upper half.
void pi2ps(Reg& d, const Reg&, const Reg& b, unsigned) {
  d.q[0] = static_cast<u64>(_mm_cvtsi128_si64(Dq2ps::xmm(_mm_cvtsi64_si128(static_cast<long long>(b.q[0])))));
}
// The round constant is XORed into two doublewords: no need for 256 host instructions.
void key_generation_assist(Reg& d, const Reg&, const Reg& b, unsigned imm) {
  store(d, KeyGenerationAssist::xmm(load(b)));
  d.q[0] ^= u64{imm & 0xFF} << 32;
  d.q[1] ^= u64{imm & 0xFF} << 32;
}
// The third source, XMM0, comes in d.
void sha256_rounds(Reg& d, const Reg& a, const Reg& b, unsigned) {
  __m128i value = load(a);
  asm volatile("sha256rnds2 %%xmm0, %1, %0" : "+x"(value) : "x"(load(b)), "Yz"(load(d)));
  store(d, value);
}

// --- instructions with the immediate in the host's instruction
#define XM_COMPARE(name, mnemonic, vex_vector)                                                         \
  struct name {                                                                                        \
    template <unsigned I>                                                                              \
    static void legacy(Reg& d, const Reg& a, const Reg& b, unsigned) {                                 \
      __m128i value = load(a);                                                                         \
      asm volatile(mnemonic " %2, %1, %0" : "+x"(value) : "x"(load(b)), "i"(I));                       \
      store(d, value);                                                                                 \
    }                                                                                                  \
    template <unsigned I>                                                                              \
    static void vex(Reg& d, const Reg& a, const Reg& b, unsigned) {                                    \
      __m128i value;                                                                                   \
      asm volatile("v" mnemonic " %3, %2, %1, %0" : "=x"(value) : "x"(load(a)), "x"(load(b)), "i"(I)); \
      store(d, value);                                                                                 \
    }                                                                                                  \
    template <unsigned I>                                                                              \
    static void ymm(Reg& d, const Reg& a, const Reg& b, unsigned) {                                    \
      if constexpr (vex_vector)                                                                        \
        asm volatile("vmovdqu %1, %%ymm0\n\tvmovdqu %2, %%ymm1\n\tv" mnemonic                          \
                     " %3, %%ymm1, %%ymm0, %%ymm0\n\tvmovdqu %%ymm0, %0\n\tvzeroupper"                 \
                     : "=m"(d)                                                                         \
                     : "m"(a), "m"(b), "i"(I)                                                          \
                     : "xmm0", "xmm1");                                                                \
    }                                                                                                  \
  };
XM_COMPARE(ComparePs, "cmpps", true)
XM_COMPARE(ComparePd, "cmppd", true)
XM_COMPARE(CompareSs, "cmpss", false)
XM_COMPARE(CompareSd, "cmpsd", false)

struct HalfStore {
  template <unsigned I>
  static void xmm(Reg& d, const Reg&, const Reg& b, unsigned) {
    __m128i value;
    asm volatile("vcvtps2ph %2, %1, %0" : "=x"(value) : "x"(load(b)), "i"(I));
    store(d, value);
  }
  template <unsigned I>
  static void ymm(Reg& d, const Reg&, const Reg& b, unsigned) {
    asm volatile("vmovdqu %1, %%ymm1\n\tvcvtps2ph %2, %%ymm1, %%xmm0\n\tvmovdqu %%ymm0, %0\n\tvzeroupper"
                 : "=m"(d)
                 : "m"(b), "i"(I)
                 : "xmm0", "xmm1");
  }
};

template <unsigned I>
void carryless_multiply(Reg& d, const Reg& a, const Reg& b, unsigned) {
  __m128i value = load(a);
  asm volatile("pclmulqdq %2, %1, %0" : "+x"(value) : "x"(load(b)), "i"(I));
  store(d, value);
}
// Each half by itself: not every host with PCLMULQDQ has VPCLMULQDQ.
template <unsigned I>
void carryless_multiply_wide(Reg& d, const Reg& a, const Reg& b, unsigned imm) {
  Reg high{};
  carryless_multiply<I>(high, Reg{{a.q[2], a.q[3], 0, 0}}, Reg{{b.q[2], b.q[3], 0, 0}}, imm);
  carryless_multiply<I>(d, a, b, imm);
  d.q[2] = high.q[0];
  d.q[3] = high.q[1];
}
template <unsigned I>
void sha1_rounds(Reg& d, const Reg& a, const Reg& b, unsigned) {
  __m128i value = load(a);
  asm volatile("sha1rnds4 %2, %1, %0" : "+x"(value) : "x"(load(b)), "i"(I));
  store(d, value);
}

template <class K, unsigned... I>
VectorKernel pick_compare(unsigned predicate, bool vex, bool ymm, std::integer_sequence<unsigned, I...>) {
  static constexpr VectorKernel kLegacy[] = {&K::template legacy<I & 7>...};
  static constexpr VectorKernel kVex[] = {&K::template vex<I>...};
  static constexpr VectorKernel kYmm[] = {&K::template ymm<I>...};
  if (!vex) return kLegacy[predicate & 7];
  return (ymm ? kYmm : kVex)[predicate & 31];
}

using O = Operation;
constexpr ResultKind kGpr = ResultKind::Gpr, kFlags = ResultKind::Flags;

constexpr ConvertKernels kKernels[] = {
    {O::Cvtps2pd, nullptr, convert<Ps2pd>, ps2pd_ymm},
    {O::Cvtpd2ps, nullptr, convert<Pd2ps>, pd2ps_ymm},
    {O::Cvtdq2pd, nullptr, convert<Dq2pd>, dq2pd_ymm, false},
    {O::Cvtpd2dq, nullptr, convert<Pd2dq>, pd2dq_ymm},
    {O::Cvttpd2dq, nullptr, convert<TruncatePd2dq>, truncate_pd2dq_ymm},
    {O::Cvtps2pi, convert_to_mmx<Ps2dq>, nullptr, nullptr},
    {O::Cvttps2pi, convert_to_mmx<TruncatePs2dq>, nullptr, nullptr},
    {O::Cvtpd2pi, convert_to_mmx<Pd2dq>, nullptr, nullptr},
    {O::Cvttpd2pi, convert_to_mmx<TruncatePd2dq>, nullptr, nullptr},
    {O::Cvtpi2ps, nullptr, pi2ps, nullptr},
    {O::Cvtpi2pd, nullptr, convert<Dq2pd>, nullptr, false},
    {O::Cvtsi2ss, nullptr, si2ss, nullptr},
    {O::Cvtsi2sd, nullptr, si2sd, nullptr},
    {O::Cvtss2si, nullptr, ss2si, nullptr, true, kGpr},
    {O::Cvtsd2si, nullptr, sd2si, nullptr, true, kGpr},
    {O::Cvttss2si, nullptr, truncate_ss2si, nullptr, true, kGpr},
    {O::Cvttsd2si, nullptr, truncate_sd2si, nullptr, true, kGpr},
    {O::Ucomiss, nullptr, ucomiss, nullptr, true, kFlags},
    {O::Ucomisd, nullptr, ucomisd, nullptr, true, kFlags},
    {O::Comiss, nullptr, comiss, nullptr, true, kFlags},
    {O::Comisd, nullptr, comisd, nullptr, true, kFlags},
    {O::Vcvtph2ps, nullptr, convert<Ph2ps>, ph2ps_ymm},
    {O::Aesimc, nullptr, convert<InverseMixColumns>, nullptr, false},
    {O::Phminposuw, nullptr, convert<MinimumPosition>, nullptr, false},
    {O::Aeskeygenassist, nullptr, key_generation_assist, nullptr, false},
    {O::Sha256rnds2, nullptr, sha256_rounds, nullptr, false},
};

}  // namespace

const ConvertKernels* find_convert_kernels(Operation operation) {
  const auto* found = std::find_if(std::begin(kKernels), std::end(kKernels),
                                   [&](const ConvertKernels& row) { return row.operation == operation; });
  return found == std::end(kKernels) ? nullptr : found;
}

VectorKernel compare_kernel(Operation operation, unsigned predicate, bool vex, bool ymm) {
  constexpr auto kPredicates = std::make_integer_sequence<unsigned, 32>();
  switch (operation) {
    case O::Cmpps: return pick_compare<ComparePs>(predicate, vex, ymm, kPredicates);
    case O::Cmppd: return pick_compare<ComparePd>(predicate, vex, ymm, kPredicates);
    case O::Cmpss: return pick_compare<CompareSs>(predicate, vex, false, kPredicates);
    case O::Cmpsd: return pick_compare<CompareSd>(predicate, vex, false, kPredicates);
    default: return nullptr;
  }
}

VectorKernel half_store_kernel(unsigned imm, bool ymm) {
  static constexpr VectorKernel kXmm[] = {HalfStore::xmm<0>, HalfStore::xmm<1>, HalfStore::xmm<2>, HalfStore::xmm<3>,
                                          HalfStore::xmm<4>};
  static constexpr VectorKernel kYmm[] = {HalfStore::ymm<0>, HalfStore::ymm<1>, HalfStore::ymm<2>, HalfStore::ymm<3>,
                                          HalfStore::ymm<4>};
  return (ymm ? kYmm : kXmm)[imm & 4 ? 4 : imm & 3];
}

VectorKernel carryless_multiply_kernel(unsigned imm, bool ymm) {
  static constexpr VectorKernel kKernel[] = {carryless_multiply<0>, carryless_multiply<1>, carryless_multiply<0x10>,
                                             carryless_multiply<0x11>};
  static constexpr VectorKernel kWide[] = {carryless_multiply_wide<0>, carryless_multiply_wide<1>,
                                           carryless_multiply_wide<0x10>, carryless_multiply_wide<0x11>};
  const unsigned which = (imm & 1) + (imm & 0x10 ? 2 : 0);
  return (ymm ? kWide : kKernel)[which];
}

VectorKernel sha1_rounds_kernel(unsigned imm) {
  static constexpr VectorKernel kKernel[] = {sha1_rounds<0>, sha1_rounds<1>, sha1_rounds<2>, sha1_rounds<3>};
  return kKernel[imm & 3];
}

}  // namespace xm::cpu::semantics
