// SPDX-License-Identifier: GPL-2.0-or-later
// Handlers of the system instructions (cpu/system): the glue between blocks and functions on Vcpu.
#pragma once

#include "cpu/interp/op.h"

namespace xm::cpu::interp {

// The handler of a system instruction (including MOV, PUSH and POP with segment, control and debug registers), or
// nullptr if the instruction is not one.
Handler system_handler(const Insn& insn);

}  // namespace xm::cpu::interp
