// SPDX-License-Identifier: GPL-2.0-or-later
// Vector operations whose sources and destination differ in kind or size, comparisons, and those whose immediate is
// part of the host instruction without being in the row files. All by the host's instruction. [SDM2]
#pragma once

#include "cpu/semantics/vector.h"

namespace xm::cpu::semantics {

struct ConvertKernels {
  Operation operation;
  VectorKernel mmx, xmm, ymm;
  bool fp = true;
  ResultKind result = ResultKind::Vector;
};

const ConvertKernels* find_convert_kernels(Operation operation);
// CMPPS and kin by predicate: eight without VEX, 32 with it.
VectorKernel compare_kernel(Operation operation, unsigned predicate, bool vex, bool ymm);
VectorKernel half_store_kernel(unsigned imm, bool ymm);          // VCVTPS2PH
VectorKernel carryless_multiply_kernel(unsigned imm, bool ymm);  // PCLMULQDQ
VectorKernel sha1_rounds_kernel(unsigned imm);                   // SHA1RNDS4

}  // namespace xm::cpu::semantics
