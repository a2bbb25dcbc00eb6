// SPDX-License-Identifier: GPL-2.0-or-later
// A vector kernel with unmasked SIMD exceptions on the host. Which flags come with a trap depends on stages inside the
// instruction that only the processor knows, so it is let trap, and the signal is caught. [SDM1 11.5.3]
#pragma once

#include "cpu/semantics/vector.h"

namespace xm::cpu::interp {

// Runs with this MXCSR and updates it. False if it trapped; then d is as before. The host's x87 and vector registers
// may be lost: nothing of the guest's may live there.
bool run_trapping(semantics::VectorKernel kernel, VectorRegister& d, const VectorRegister& a, const VectorRegister& b,
                  unsigned imm, u32& mxcsr);

}  // namespace xm::cpu::interp
