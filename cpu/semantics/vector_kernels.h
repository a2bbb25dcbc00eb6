// SPDX-License-Identifier: GPL-2.0-or-later
// The vector operations of the two row files as types with inline functions: xmm() on values, ymm() on registers in
// memory. Inline assembly instead of intrinsics, because the compiler may swap the operands of an addition, which
// changes the NaN that comes out, and because the build's baseline has no AVX. Included by .cc files only.
#pragma once

#include <emmintrin.h>

#include "cpu/semantics/vector.h"

namespace xm::cpu::semantics::kernel {

inline __m128i load(const VectorRegister& r) { return _mm_load_si128(reinterpret_cast<const __m128i*>(r.q.data())); }
inline void store(VectorRegister& r, __m128i value) { _mm_store_si128(reinterpret_cast<__m128i*>(r.q.data()), value); }

enum class MmxForm : u8 { No, Low, Joined };

struct BinaryTag {};
struct UnaryTag {};
struct FusedTag {};

// VZEROUPPER because the rest of the program is SSE code, which would run slowly on dirty upper halves.
#define XM_YMM_BINARY(assembly)                                                                               \
  asm volatile("vmovdqu %1, %%ymm0\n\tvmovdqu %2, %%ymm1\n\t" assembly "\n\tvmovdqu %%ymm0, %0\n\tvzeroupper" \
               : "=m"(d)                                                                                      \
               : "m"(a), "m"(b)                                                                               \
               : "xmm0", "xmm1")

#define XM_BINARY_TYPE(name, mnemonic, mmx_form, is_fp, is_scalar)                         \
  struct name : BinaryTag {                                                                \
    static constexpr MmxForm kMmx = MmxForm::mmx_form;                                     \
    static constexpr bool kFp = is_fp;                                                     \
    static constexpr bool kScalar = is_scalar;                                             \
    [[gnu::always_inline]] static __m128i xmm(__m128i a, __m128i b) {                      \
      asm volatile(mnemonic " %1, %0" : "+x"(a) : "x"(b));                                 \
      return a;                                                                            \
    }                                                                                      \
    static void ymm(VectorRegister& d, const VectorRegister& a, const VectorRegister& b) { \
      if constexpr (!kScalar) XM_YMM_BINARY("v" mnemonic " %%ymm1, %%ymm0, %%ymm0");       \
    }                                                                                      \
  };

#define BINARY(name, mnemonic) XM_BINARY_TYPE(name, mnemonic, Low, false, false)
#define JOINED(name, mnemonic) XM_BINARY_TYPE(name, mnemonic, Joined, false, false)
#define WIDE(name, mnemonic) XM_BINARY_TYPE(name, mnemonic, No, false, false)
#define XONLY(name, mnemonic) XM_BINARY_TYPE(name, mnemonic, No, false, true)
#define FLOAT(name, mnemonic) XM_BINARY_TYPE(name, mnemonic, No, true, false)
#define SCALAR(name, mnemonic) XM_BINARY_TYPE(name, mnemonic, No, true, true)

#define LANES(name, mnemonic)                                                                               \
  struct name : BinaryTag {                                                                                 \
    static constexpr MmxForm kMmx = MmxForm::No;                                                            \
    static constexpr bool kFp = false;                                                                      \
    static constexpr bool kScalar = false;                                                                  \
    [[gnu::always_inline]] static __m128i xmm(__m128i a, __m128i b) {                                       \
      asm volatile(mnemonic " %1, %0" : "+x"(a) : "x"(b));                                                  \
      return a;                                                                                             \
    }                                                                                                       \
    static void ymm(VectorRegister& d, const VectorRegister& a, const VectorRegister& b) {                  \
      const auto half = [](const u64& q) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(&q)); }; \
      const __m128i low = xmm(half(a.q[0]), half(b.q[0])), high = xmm(half(a.q[2]), half(b.q[2]));          \
      _mm_storeu_si128(reinterpret_cast<__m128i*>(&d.q[0]), low);                                           \
      _mm_storeu_si128(reinterpret_cast<__m128i*>(&d.q[2]), high);                                          \
    }                                                                                                       \
  };

#define SHIFT(name, mnemonic)                                                              \
  struct name : BinaryTag {                                                                \
    static constexpr MmxForm kMmx = MmxForm::Low;                                          \
    static constexpr bool kFp = false;                                                     \
    static constexpr bool kScalar = false;                                                 \
    [[gnu::always_inline]] static __m128i xmm(__m128i a, __m128i b) {                      \
      asm volatile(mnemonic " %1, %0" : "+x"(a) : "x"(b));                                 \
      return a;                                                                            \
    }                                                                                      \
    static void ymm(VectorRegister& d, const VectorRegister& a, const VectorRegister& b) { \
      XM_YMM_BINARY("v" mnemonic " %%xmm1, %%ymm0, %%ymm0");                               \
    }                                                                                      \
  };

#define XM_UNARY_TYPE(name, mnemonic, mmx_form, is_fp, ymm_source)                                                    \
  struct name : UnaryTag {                                                                                            \
    static constexpr MmxForm kMmx = MmxForm::mmx_form;                                                                \
    static constexpr bool kFp = is_fp;                                                                                \
    [[gnu::always_inline]] static __m128i xmm(__m128i b) {                                                            \
      __m128i d;                                                                                                      \
      asm volatile(mnemonic " %1, %0" : "=x"(d) : "x"(b));                                                            \
      return d;                                                                                                       \
    }                                                                                                                 \
    static void ymm(VectorRegister& d, const VectorRegister& b) {                                                     \
      asm volatile("vmovdqu %1, %%ymm1\n\tv" mnemonic " %%" ymm_source ", %%ymm0\n\tvmovdqu %%ymm0, %0\n\tvzeroupper" \
                   : "=m"(d)                                                                                          \
                   : "m"(b)                                                                                           \
                   : "xmm0", "xmm1");                                                                                 \
    }                                                                                                                 \
  };

#define UNARY(name, mnemonic) XM_UNARY_TYPE(name, mnemonic, Low, false, "ymm1")
#define UNARYX(name, mnemonic) XM_UNARY_TYPE(name, mnemonic, No, false, "ymm1")
#define WIDEN(name, mnemonic) XM_UNARY_TYPE(name, mnemonic, No, false, "xmm1")
#define FUNARY(name, mnemonic) XM_UNARY_TYPE(name, mnemonic, No, true, "ymm1")

// d = op(d, a, b), with host FMA.
#define XM_FUSED_TYPE(name, mnemonic, is_scalar)                                                                       \
  struct name : FusedTag {                                                                                             \
    static constexpr bool kFp = true;                                                                                  \
    static constexpr bool kScalar = is_scalar;                                                                         \
    static void xmm(VectorRegister& d, const VectorRegister& a, const VectorRegister& b) {                             \
      asm volatile("vmovdqa %0, %%xmm0\n\tvmovdqa %1, %%xmm1\n\t" mnemonic " %2, %%xmm1, %%xmm0\n\tvmovdqa %%xmm0, %0" \
                   : "+m"(d)                                                                                           \
                   : "m"(a), "m"(b)                                                                                    \
                   : "xmm0", "xmm1");                                                                                  \
    }                                                                                                                  \
    static void ymm(VectorRegister& d, const VectorRegister& a, const VectorRegister& b) {                             \
      if constexpr (!kScalar)                                                                                          \
        asm volatile("vmovdqu %0, %%ymm0\n\tvmovdqu %1, %%ymm1\n\t" mnemonic                                           \
                     " %2, %%ymm1, %%ymm0\n\tvmovdqu %%ymm0, %0\n\tvzeroupper"                                         \
                     : "+m"(d)                                                                                         \
                     : "m"(a), "m"(b)                                                                                  \
                     : "xmm0", "xmm1");                                                                                \
    }                                                                                                                  \
  };
#define FUSED(name, mnemonic) XM_FUSED_TYPE(name, mnemonic, false)
#define FUSEDS(name, mnemonic) XM_FUSED_TYPE(name, mnemonic, true)

// The immediate is part of the host instruction: one instantiation for each value that matters.
#define XM_IMMEDIATE_TYPE(name, mnemonic, is_scalar, mask, ymm_assembly)                             \
  struct name {                                                                                      \
    static constexpr bool kFp = true;                                                                \
    static constexpr bool kScalar = is_scalar;                                                       \
    static constexpr unsigned kMask = mask;                                                          \
    template <unsigned I>                                                                            \
    static void xmm(VectorRegister& d, const VectorRegister& a, const VectorRegister& b, unsigned) { \
      __m128i value = load(a);                                                                       \
      asm volatile(mnemonic " %2, %1, %0" : "+x"(value) : "x"(load(b)), "i"(I));                     \
      store(d, value);                                                                               \
    }                                                                                                \
    template <unsigned I>                                                                            \
    static void ymm(VectorRegister& d, const VectorRegister& a, const VectorRegister& b, unsigned) { \
      if constexpr (!kScalar)                                                                        \
        asm volatile("vmovdqu %1, %%ymm0\n\tvmovdqu %2, %%ymm1\n\tv" mnemonic " %3, " ymm_assembly   \
                     "\n\tvmovdqu %%ymm0, %0\n\tvzeroupper"                                          \
                     : "=m"(d)                                                                       \
                     : "m"(a), "m"(b), "i"(I)                                                        \
                     : "xmm0", "xmm1");                                                              \
    }                                                                                                \
  };
#define FIMM(name, mnemonic, mask) XM_IMMEDIATE_TYPE(name, mnemonic, false, mask, "%%ymm1, %%ymm0, %%ymm0")
#define FUIMM(name, mnemonic, mask) XM_IMMEDIATE_TYPE(name, mnemonic, false, mask, "%%ymm1, %%ymm0")
#define SIMM(name, mnemonic, mask) XM_IMMEDIATE_TYPE(name, mnemonic, true, mask, "")

#include "cpu/semantics/vector_float.def"
#include "cpu/semantics/vector_integer.def"

#undef BINARY
#undef JOINED
#undef WIDE
#undef XONLY
#undef LANES
#undef SHIFT
#undef UNARY
#undef UNARYX
#undef WIDEN
#undef FLOAT
#undef SCALAR
#undef FUNARY
#undef FUSED
#undef FUSEDS
#undef FIMM
#undef FUIMM
#undef SIMM

}  // namespace xm::cpu::semantics::kernel
