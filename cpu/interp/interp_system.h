// SPDX-License-Identifier: GPL-2.0-or-later
// Handlers of the system instructions (cpu/system): the glue between blocks and functions on Vcpu.
#pragma once

#include "cpu/interp/op.h"

namespace xm::cpu::interp {

struct SystemHandler {
  Handler handler = nullptr;
  bool ends = false;  // the block: what stands behind may be decoded, mapped or interrupted differently
};

// The handler of a system instruction (including MOV, PUSH and POP with segment, control and debug registers); nullptr
// if the instruction is not one.
SystemHandler system_handler(const Insn& insn);

}  // namespace xm::cpu::interp
