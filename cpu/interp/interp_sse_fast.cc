// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/interp/fp_handlers.h"
#include "cpu/interp/vector_fast.h"

namespace xm::cpu::interp {
Handler fast_vector_handler(const Insn&) { return nullptr; }
void prepare_fp_op(const Insn&, Op&) {}
}  // namespace xm::cpu::interp
