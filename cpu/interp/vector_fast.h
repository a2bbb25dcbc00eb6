// SPDX-License-Identifier: GPL-2.0-or-later
// Handlers of their own for the vector instructions that programs execute most. [SDM2]
#pragma once

#include "cpu/interp/op.h"

namespace xm::cpu::interp {

// nullptr: the generic handler does it.
Handler fast_vector_handler(const Insn& insn);

}  // namespace xm::cpu::interp
