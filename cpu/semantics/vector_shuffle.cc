// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/semantics/vector_shuffle.h"

#include <algorithm>
#include <bit>

#include "emu/base/bits.h"

namespace xm::cpu::semantics {
namespace {

using Reg = VectorRegister;

template <class T>
T get(const Reg& r, unsigned i) {
  return load_le<T>(reinterpret_cast<const u8*>(r.q.data()) + i * sizeof(T));
}
template <class T>
void put(Reg& r, unsigned i, T value) {
  store_le<T>(reinterpret_cast<u8*>(r.q.data()) + i * sizeof(T), value);
}
constexpr unsigned kXmm = 16, kYmm = 32;

// --- moves
void copy_mmx(Reg& d, const Reg&, const Reg& b, unsigned) { d.q[0] = b.q[0]; }
void copy_xmm(Reg& d, const Reg&, const Reg& b, unsigned) {
  d.q[0] = b.q[0];
  d.q[1] = b.q[1];
}
void copy_ymm(Reg& d, const Reg&, const Reg& b, unsigned) { d = b; }
void high_to_low(Reg& d, const Reg& a, const Reg& b, unsigned) {
  d.q[0] = b.q[1];
  d.q[1] = a.q[1];
}

// --- masks of sign bits
template <class T, unsigned kBytes>
void sign_mask(Reg& d, const Reg&, const Reg& b, unsigned) {
  u64 mask = 0;
  for (unsigned i = 0; i < kBytes / sizeof(T); ++i) mask |= u64{has_bit(get<T>(b, i), sizeof(T) * 8 - 1)} << i;
  d.q[0] = mask;
}

// --- element to and from a general register or memory
template <class T, unsigned kBytes>
void extract(Reg& d, const Reg&, const Reg& b, unsigned imm) {
  d.q[0] = get<T>(b, imm & (kBytes / sizeof(T) - 1));
}
// PEXTRD and PEXTRQ differ in the operand size only, which vector_form has put into bit 8 of imm.
void extract_dq(Reg& d, const Reg& a, const Reg& b, unsigned imm) {
  imm& kQuadwordFlag ? extract<u64, kXmm>(d, a, b, imm) : extract<u32, kXmm>(d, a, b, imm);
}
template <class T, unsigned kBytes>
void insert(Reg& d, const Reg& a, const Reg& b, unsigned imm) {
  const T value = get<T>(b, 0);
  for (unsigned i = 0; i < kBytes / 8; ++i) d.q[i] = a.q[i];
  put<T>(d, imm & (kBytes / sizeof(T) - 1), value);
}
void insert_dq(Reg& d, const Reg& a, const Reg& b, unsigned imm) {
  imm& kQuadwordFlag ? insert<u64, kXmm>(d, a, b, imm) : insert<u32, kXmm>(d, a, b, imm);
}
void insertps(Reg& d, const Reg& a, const Reg& b, unsigned imm) {
  const u32 value = get<u32>(b, imm >> 6 & 3);
  copy_xmm(d, a, a, 0);
  put<u32>(d, imm >> 4 & 3, value);
  for (unsigned i = 0; i < 4; ++i) {
    if (has_bit(imm, i)) put<u32>(d, i, 0);
  }
}

// --- shuffles within 128-bit lanes: R is the result so far, elements taken by two bits of imm
template <unsigned kBytes>
void pshufd(Reg& d, const Reg&, const Reg& b, unsigned imm) {
  Reg r;
  for (unsigned i = 0; i < kBytes / 4; ++i) put<u32>(r, i, get<u32>(b, (i & 4) | (imm >> (i & 3) * 2 & 3)));
  d = r;
}
// kFirst is the first of the four words that move; the other half stays.
template <unsigned kBytes, unsigned kFirst>
void pshufw(Reg& d, const Reg&, const Reg& b, unsigned imm) {
  Reg r = b;
  for (unsigned lane = 0; lane < kBytes / 2; lane += 8) {
    for (unsigned i = 0; i < 4; ++i) {
      put<u16>(r, lane + kFirst + i, get<u16>(b, lane + kFirst + (imm >> i * 2 & 3)));
    }
  }
  d = r;
}
template <unsigned kBytes>
void shufps(Reg& d, const Reg& a, const Reg& b, unsigned imm) {
  Reg r;
  for (unsigned i = 0; i < kBytes / 4; ++i) {
    put<u32>(r, i, get<u32>(i & 2 ? b : a, (i & 4) | (imm >> (i & 3) * 2 & 3)));
  }
  d = r;
}
template <unsigned kBytes>
void shufpd(Reg& d, const Reg& a, const Reg& b, unsigned imm) {
  Reg r;
  for (unsigned i = 0; i < kBytes / 8; ++i) r.q[i] = (i & 1 ? b : a).q[(i & 2) | (imm >> i & 1)];
  d = r;
}
// One lane of PALIGNR: bytes imm.. of a:b.
template <unsigned kBytes, unsigned kLane>
void palignr(Reg& d, const Reg& a, const Reg& b, unsigned imm) {
  Reg r{};
  for (unsigned i = 0; i < kBytes; ++i) {
    const unsigned lane = i / kLane * kLane, from = i % kLane + imm;
    if (from < 2 * kLane) put<u8>(r, i, get<u8>(from < kLane ? b : a, lane + from % kLane));
  }
  d = r;
}
template <unsigned kBytes, bool kLeft>
void byte_shift(Reg& d, const Reg&, const Reg& b, unsigned imm) {
  Reg r{};
  for (unsigned lane = 0; lane < kBytes; lane += 16) {
    for (unsigned i = imm; i < 16; ++i) {
      put<u8>(r, lane + (kLeft ? i : i - imm), get<u8>(b, lane + (kLeft ? i - imm : i)));
    }
  }
  d = r;
}

// --- blends; the immediate of PBLENDW repeats in each lane
template <class T, unsigned kBytes>
void blend_immediate(Reg& d, const Reg& a, const Reg& b, unsigned imm) {
  Reg r;
  for (unsigned i = 0; i < kBytes / sizeof(T); ++i) put<T>(r, i, get<T>(has_bit(imm, i & 7) ? b : a, i));
  d = r;
}
template <class T, unsigned kBytes>
void blend_by_sign(Reg& d, const Reg& a, const Reg& b, unsigned) {
  Reg r;
  for (unsigned i = 0; i < kBytes / sizeof(T); ++i) {
    put<T>(r, i, get<T>(get<T>(d, i) >> (sizeof(T) * 8 - 1) ? b : a, i));
  }
  d = r;
}

// --- permutations
template <unsigned kBytes>
void permilps(Reg& d, const Reg& a, const Reg& b, unsigned) {
  Reg r{};
  for (unsigned i = 0; i < kBytes / 4; ++i) put<u32>(r, i, get<u32>(a, (i & 4) | (get<u32>(b, i) & 3)));
  d = r;
}
template <unsigned kBytes>
void permilpd(Reg& d, const Reg& a, const Reg& b, unsigned) {
  Reg r{};
  for (unsigned i = 0; i < kBytes / 8; ++i) r.q[i] = a.q[(i & 2) | (b.q[i] >> 1 & 1)];
  d = r;
}
void permute_halves(Reg& d, const Reg& a, const Reg& b, unsigned imm) {
  Reg r{};
  for (unsigned half = 0; half < 2; ++half) {
    const unsigned select = imm >> half * 4;
    if (select & 8) continue;
    const Reg& from = select & 2 ? b : a;
    r.q[half * 2] = from.q[(select & 1) * 2];
    r.q[half * 2 + 1] = from.q[(select & 1) * 2 + 1];
  }
  d = r;
}
void permute_q(Reg& d, const Reg&, const Reg& b, unsigned imm) {
  Reg r;
  for (unsigned i = 0; i < 4; ++i) r.q[i] = b.q[imm >> i * 2 & 3];
  d = r;
}
void permute_d(Reg& d, const Reg& a, const Reg& b, unsigned) {
  Reg r;
  for (unsigned i = 0; i < 8; ++i) put<u32>(r, i, get<u32>(b, get<u32>(a, i) & 7));
  d = r;
}
void insert_half(Reg& d, const Reg& a, const Reg& b, unsigned imm) {
  Reg r = a;
  r.q[(imm & 1) * 2] = b.q[0];
  r.q[(imm & 1) * 2 + 1] = b.q[1];
  d = r;
}
void extract_half(Reg& d, const Reg&, const Reg& b, unsigned imm) {
  d = Reg{{b.q[(imm & 1) * 2], b.q[(imm & 1) * 2 + 1], 0, 0}};
}
template <class T, unsigned kBytes>
void broadcast(Reg& d, const Reg&, const Reg& b, unsigned) {
  const T value = get<T>(b, 0);
  for (unsigned i = 0; i < kBytes / sizeof(T); ++i) put<T>(d, i, value);
}
void broadcast_half(Reg& d, const Reg&, const Reg& b, unsigned) { d = Reg{{b.q[0], b.q[1], b.q[0], b.q[1]}}; }

// --- shifts of each element by its own count
enum class ShiftKind : u8 { Left, Right, Arithmetic };
template <class T, ShiftKind kKind, unsigned kBytes>
void variable_shift(Reg& d, const Reg& a, const Reg& b, unsigned) {
  constexpr unsigned kWidth = sizeof(T) * 8;
  Reg r{};
  for (unsigned i = 0; i < kBytes / sizeof(T); ++i) {
    const T value = get<T>(a, i), count = get<T>(b, i);
    T result = 0;
    if constexpr (kKind == ShiftKind::Arithmetic) {
      using Signed = std::make_signed_t<T>;
      result = static_cast<T>(static_cast<Signed>(value) >> std::min<T>(count, kWidth - 1));
    } else if (count < kWidth) {
      result = kKind == ShiftKind::Left ? value << count : value >> count;
    }
    put<T>(r, i, result);
  }
  d = r;
}

// --- sums of absolute differences of four bytes against eight positions
template <unsigned kBytes>
void mpsadbw(Reg& d, const Reg& a, const Reg& b, unsigned imm) {
  Reg r{};
  for (unsigned lane = 0; lane < kBytes / 16; ++lane) {
    const unsigned select = imm >> lane * 3;
    const unsigned from_b = lane * 16 + (select & 3) * 4, from_a = lane * 16 + (select & 4);
    for (unsigned i = 0; i < 8; ++i) {
      unsigned sum = 0;
      for (unsigned j = 0; j < 4; ++j) {
        const int difference = int{get<u8>(a, from_a + i + j)} - int{get<u8>(b, from_b + j)};
        sum += static_cast<unsigned>(difference < 0 ? -difference : difference);
      }
      put<u16>(r, lane * 8 + i, static_cast<u16>(sum));
    }
  }
  d = r;
}

// --- tests: ZF if a & b, CF if ~a & b has none of the bits in `mask`
template <u64 kMask, unsigned kBytes>
void test(Reg& d, const Reg& a, const Reg& b, unsigned) {
  u64 both = 0, only_b = 0;
  for (unsigned i = 0; i < kBytes / 8; ++i) {
    both |= a.q[i] & b.q[i] & kMask;
    only_b |= ~a.q[i] & b.q[i] & kMask;
  }
  d.q[0] = (both == 0 ? flag::kZf : 0) | (only_b == 0 ? flag::kCf : 0);
}

constexpr u64 kSigns32 = 0x8000000080000000, kSigns64 = 0x8000000000000000;
using O = Operation;
constexpr ResultKind kGpr = ResultKind::Gpr, kFlags = ResultKind::Flags;

constexpr NamedKernels kKernels[] = {
    {O::Movups, nullptr, copy_xmm, copy_ymm},
    {O::Movupd, nullptr, copy_xmm, copy_ymm},
    {O::Movaps, nullptr, copy_xmm, copy_ymm},
    {O::Movapd, nullptr, copy_xmm, copy_ymm},
    {O::Movdqa, nullptr, copy_xmm, copy_ymm},
    {O::Movdqu, nullptr, copy_xmm, copy_ymm},
    {O::Lddqu, nullptr, copy_xmm, copy_ymm},
    {O::Movntps, nullptr, copy_xmm, copy_ymm},
    {O::Movntpd, nullptr, copy_xmm, copy_ymm},
    {O::Movntdq, nullptr, copy_xmm, copy_ymm},
    {O::Movntdqa, nullptr, copy_xmm, copy_ymm},
    {O::Movntq, copy_mmx, nullptr, nullptr},
    {O::Movdq2q, copy_mmx, copy_mmx, nullptr},
    {O::Movq2dq, copy_xmm, copy_xmm, nullptr},
    {O::Movd, copy_mmx, copy_xmm, nullptr},
    {O::Movq, copy_mmx, copy_xmm, nullptr},
    {O::Movss, nullptr, copy_xmm, nullptr},
    {O::Movsd, nullptr, copy_xmm, nullptr},
    {O::Movlps, nullptr, copy_xmm, nullptr},
    {O::Movlpd, nullptr, copy_xmm, nullptr},
    {O::Movhps, nullptr, move_from_high64, nullptr},
    {O::Movhpd, nullptr, move_from_high64, nullptr},
    {O::Movlhps, nullptr, move_to_high64, nullptr},
    {O::Movhlps, nullptr, high_to_low, nullptr},
    {O::Movmskps, nullptr, sign_mask<u32, kXmm>, sign_mask<u32, kYmm>, kGpr},
    {O::Movmskpd, nullptr, sign_mask<u64, kXmm>, sign_mask<u64, kYmm>, kGpr},
    {O::Pmovmskb, sign_mask<u8, 8>, sign_mask<u8, kXmm>, sign_mask<u8, kYmm>, kGpr},
    {O::Pextrb, nullptr, extract<u8, kXmm>, nullptr, kGpr},
    {O::Pextrw, extract<u16, 8>, extract<u16, kXmm>, nullptr, kGpr},
    {O::Pextrd, nullptr, extract_dq, nullptr, kGpr},
    {O::Extractps, nullptr, extract<u32, kXmm>, nullptr, kGpr},
    {O::Pinsrb, nullptr, insert<u8, kXmm>, nullptr},
    {O::Pinsrw, insert<u16, 8>, insert<u16, kXmm>, nullptr},
    {O::Pinsrd, nullptr, insert_dq, nullptr},
    {O::Insertps, nullptr, insertps, nullptr},
    {O::Pshufd, nullptr, pshufd<kXmm>, pshufd<kYmm>},
    {O::Pshufhw, nullptr, pshufw<kXmm, 4>, pshufw<kYmm, 4>},
    {O::Pshuflw, nullptr, pshufw<kXmm, 0>, pshufw<kYmm, 0>},
    {O::Pshufw, pshufw<8, 0>, nullptr, nullptr},
    {O::Shufps, nullptr, shufps<kXmm>, shufps<kYmm>},
    {O::Shufpd, nullptr, shufpd<kXmm>, shufpd<kYmm>},
    {O::Palignr, palignr<8, 8>, palignr<kXmm, 16>, palignr<kYmm, 16>},
    {O::Pslldq, nullptr, byte_shift<kXmm, true>, byte_shift<kYmm, true>},
    {O::Psrldq, nullptr, byte_shift<kXmm, false>, byte_shift<kYmm, false>},
    {O::Pblendw, nullptr, blend_immediate<u16, kXmm>, blend_immediate<u16, kYmm>},
    {O::Blendps, nullptr, blend_immediate<u32, kXmm>, blend_immediate<u32, kYmm>},
    {O::Vpblendd, nullptr, blend_immediate<u32, kXmm>, blend_immediate<u32, kYmm>},
    {O::Blendpd, nullptr, blend_immediate<u64, kXmm>, blend_immediate<u64, kYmm>},
    {O::Pblendvb, nullptr, blend_by_sign<u8, kXmm>, blend_by_sign<u8, kYmm>},
    {O::Blendvps, nullptr, blend_by_sign<u32, kXmm>, blend_by_sign<u32, kYmm>},
    {O::Blendvpd, nullptr, blend_by_sign<u64, kXmm>, blend_by_sign<u64, kYmm>},
    {O::Mpsadbw, nullptr, mpsadbw<kXmm>, mpsadbw<kYmm>},
    {O::Ptest, nullptr, test<~u64{0}, kXmm>, test<~u64{0}, kYmm>, kFlags},
    {O::Vtestps, nullptr, test<kSigns32, kXmm>, test<kSigns32, kYmm>, kFlags},
    {O::Vtestpd, nullptr, test<kSigns64, kXmm>, test<kSigns64, kYmm>, kFlags},
    {O::Vpermilps, nullptr, permilps<kXmm>, permilps<kYmm>},
    {O::Vpermilpd, nullptr, permilpd<kXmm>, permilpd<kYmm>},
    {O::Vperm2f128, nullptr, nullptr, permute_halves},
    {O::Vperm2i128, nullptr, nullptr, permute_halves},
    {O::Vpermq, nullptr, nullptr, permute_q},
    {O::Vpermpd, nullptr, nullptr, permute_q},
    {O::Vpermd, nullptr, nullptr, permute_d},
    {O::Vpermps, nullptr, nullptr, permute_d},
    {O::Vinsertf128, nullptr, nullptr, insert_half},
    {O::Vinserti128, nullptr, nullptr, insert_half},
    {O::Vextractf128, nullptr, nullptr, extract_half},
    {O::Vextracti128, nullptr, nullptr, extract_half},
    {O::Vbroadcastss, nullptr, broadcast<u32, kXmm>, broadcast<u32, kYmm>},
    {O::Vbroadcastsd, nullptr, nullptr, broadcast<u64, kYmm>},
    {O::Vbroadcastf128, nullptr, nullptr, broadcast_half},
    {O::Vbroadcasti128, nullptr, nullptr, broadcast_half},
    {O::Vpbroadcastb, nullptr, broadcast<u8, kXmm>, broadcast<u8, kYmm>},
    {O::Vpbroadcastw, nullptr, broadcast<u16, kXmm>, broadcast<u16, kYmm>},
    {O::Vpbroadcastd, nullptr, broadcast<u32, kXmm>, broadcast<u32, kYmm>},
    {O::Vpbroadcastq, nullptr, broadcast<u64, kXmm>, broadcast<u64, kYmm>},
    {O::Vpsllvd, nullptr, variable_shift<u32, ShiftKind::Left, kXmm>, variable_shift<u32, ShiftKind::Left, kYmm>},
    {O::Vpsllvq, nullptr, variable_shift<u64, ShiftKind::Left, kXmm>, variable_shift<u64, ShiftKind::Left, kYmm>},
    {O::Vpsrlvd, nullptr, variable_shift<u32, ShiftKind::Right, kXmm>, variable_shift<u32, ShiftKind::Right, kYmm>},
    {O::Vpsrlvq, nullptr, variable_shift<u64, ShiftKind::Right, kXmm>, variable_shift<u64, ShiftKind::Right, kYmm>},
    {O::Vpsravd, nullptr, variable_shift<u32, ShiftKind::Arithmetic, kXmm>,
     variable_shift<u32, ShiftKind::Arithmetic, kYmm>},
};

}  // namespace

const NamedKernels* find_shuffle_kernels(Operation operation) {
  const auto* found = std::find_if(std::begin(kKernels), std::end(kKernels),
                                   [&](const NamedKernels& row) { return row.operation == operation; });
  return found == std::end(kKernels) ? nullptr : found;
}

void move_merge_low32(Reg& d, const Reg& a, const Reg& b, unsigned) {
  d.q[0] = with_bits(a.q[0], 31, 0, b.q[0]);
  d.q[1] = a.q[1];
}
void move_merge_low64(Reg& d, const Reg& a, const Reg& b, unsigned) {
  d.q[0] = b.q[0];
  d.q[1] = a.q[1];
}
void move_to_high64(Reg& d, const Reg& a, const Reg& b, unsigned) {
  const u64 high = b.q[0];
  d.q[0] = a.q[0];
  d.q[1] = high;
}
void move_from_high64(Reg& d, const Reg&, const Reg& b, unsigned) { d.q[0] = b.q[1]; }
void insertps_memory(Reg& d, const Reg& a, const Reg& b, unsigned imm) { insertps(d, a, b, imm & 0x3F); }
void permute_ps_immediate(Reg& d, const Reg&, const Reg& b, unsigned imm) { pshufd<kYmm>(d, b, b, imm); }
void permute_pd_immediate(Reg& d, const Reg&, const Reg& b, unsigned imm) { shufpd<kYmm>(d, b, b, imm); }

}  // namespace xm::cpu::semantics
