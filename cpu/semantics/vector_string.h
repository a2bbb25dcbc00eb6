// SPDX-License-Identifier: GPL-2.0-or-later
// The SSE4.2 string comparisons as a pure function. [SDM2 4.1]
#pragma once

#include "cpu/state/cpu_state.h"

namespace xm::cpu::semantics {

struct StringCompare {
  u32 index = 0;        // for PCMPxSTRI
  VectorRegister mask;  // for PCMPxSTRM
  u64 flags = 0;        // RFLAGS bits
};

inline constexpr unsigned kImplicitLength = ~0u;

// Lengths in elements (values above the element count mean the count), or kImplicitLength: up to the first zero.
StringCompare compare_strings(const VectorRegister& a, unsigned a_length, const VectorRegister& b, unsigned b_length,
                              unsigned imm);

}  // namespace xm::cpu::semantics
