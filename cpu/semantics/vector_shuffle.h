// SPDX-License-Identifier: GPL-2.0-or-later
// Vector operations written out over elements: moves, shuffles by immediate, blends, insertions, extractions, variable
// shifts, tests. Each is a VectorKernel; the lanes kernels work on 128-bit lanes and come as xmm and ymm. [SDM2]
#pragma once

#include "cpu/semantics/vector.h"

namespace xm::cpu::semantics {

struct NamedKernels {
  Operation operation;
  VectorKernel mmx, xmm, ymm;
  ResultKind result = ResultKind::Vector;
};

// Kernels by operation; at most one row each.
const NamedKernels* find_shuffle_kernels(Operation operation);

// Forms that the operation's name alone does not tell apart.
void move_merge_low32(VectorRegister& d, const VectorRegister& a, const VectorRegister& b, unsigned);
void move_merge_low64(VectorRegister& d, const VectorRegister& a, const VectorRegister& b, unsigned);
void move_to_high64(VectorRegister& d, const VectorRegister& a, const VectorRegister& b, unsigned);
void move_from_high64(VectorRegister& d, const VectorRegister& a, const VectorRegister& b, unsigned);
void insertps_memory(VectorRegister& d, const VectorRegister& a, const VectorRegister& b, unsigned imm);
void permute_ps_immediate(VectorRegister& d, const VectorRegister& a, const VectorRegister& b, unsigned imm);
void permute_pd_immediate(VectorRegister& d, const VectorRegister& a, const VectorRegister& b, unsigned imm);

}  // namespace xm::cpu::semantics
