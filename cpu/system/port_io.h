// SPDX-License-Identifier: GPL-2.0-or-later
// IN, OUT, INS, OUTS with IOPL and the I/O permission bitmap. [SDM1 19.5, SDM2]
#pragma once

#include "cpu/vcpu/vcpu.h"

namespace xm::cpu::system {

[[nodiscard]] bool port_in(Vcpu& cpu, const Insn& insn);
[[nodiscard]] bool port_out(Vcpu& cpu, const Insn& insn);

// One call of a string form: the whole repetition, or part of it if an interrupt waits. `finished` tells whether RIP
// may move on. On a fault RCX, RSI and RDI stand at the iteration that faulted.
[[nodiscard]] bool port_in_string(Vcpu& cpu, const Insn& insn, bool& finished);
[[nodiscard]] bool port_out_string(Vcpu& cpu, const Insn& insn, bool& finished);

}  // namespace xm::cpu::system
