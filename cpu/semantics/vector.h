// SPDX-License-Identifier: GPL-2.0-or-later
// Vector operations (MMX, SSE to SSE4.2, AES, PCLMUL, SHA, AVX, AVX2, FMA, F16C) as pure functions from register values
// to a register value: the same-ISA host executes its own instruction, so that results and MXCSR flags are those of
// silicon. Operations that touch memory in parts, MXCSR or the x87 state are not here (cpu/interp). [SDM2]
#pragma once

#include "cpu/decode/insn.h"
#include "cpu/state/cpu_state.h"

namespace xm::cpu::semantics {

// d = op(a, b). `d` comes in with the old destination, or with the third source of the blends by mask and of
// SHA256RNDS2. `imm` is the immediate; for conversions from and to general registers that register's size in bytes.
// Results for general registers, and arithmetic flags as RFLAGS bits, come in d.q[0]. MMX values are in q[0]. After a
// 128-bit kernel d's upper half means nothing.
using VectorKernel = void (*)(VectorRegister& d, const VectorRegister& a, const VectorRegister& b, unsigned imm);

// Set in `imm` of PEXTRD and PINSRD for the quadword forms.
inline constexpr unsigned kQuadwordFlag = 0x100;

enum class ResultKind : u8 { Vector, Gpr, Flags };

struct VectorForm {
  VectorKernel kernel = nullptr;
  bool fp = false;  // rounds by MXCSR or may raise SIMD exceptions
  ResultKind result = ResultKind::Vector;
  bool reads_destination = false;  // operand 0 is the first source
};

// The form that executes a decoded instruction; a null kernel if it is none of these.
VectorForm vector_form(const Insn& insn);

// The vector instructions this host can run; what it can not is hidden from the guest's CPUID.
struct HostVectorFeatures {
  bool ssse3 = false, sse41 = false, sse42 = false, aes = false, pclmulqdq = false, sha = false;
  bool avx = false, avx2 = false, fma = false, f16c = false;
};
HostVectorFeatures host_vector_features();

}  // namespace xm::cpu::semantics
