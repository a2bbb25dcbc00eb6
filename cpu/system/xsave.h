// SPDX-License-Identifier: GPL-2.0-or-later
// FXSAVE, FXRSTOR and the XSAVE family: x87, SSE and AVX state as images in memory, standard and compacted. A component
// counts as in use (XINUSE) unless its registers hold their initial values. [SDM1 10.5, 13]
//
// The modified optimisation of XSAVEOPT and XSAVES is not made (it is optional), the init optimisation is.
#pragma once

#include "cpu/system/xsave_layout.h"
#include "cpu/vcpu/vcpu.h"

namespace xm::cpu::system {

[[nodiscard]] bool fxsave(Vcpu& cpu, const Insn& insn);
[[nodiscard]] bool fxrstor(Vcpu& cpu, const Insn& insn);
[[nodiscard]] bool xsave(Vcpu& cpu, const Insn& insn);   // XSAVE, XSAVEOPT, XSAVEC, XSAVES
[[nodiscard]] bool xrstor(Vcpu& cpu, const Insn& insn);  // XRSTOR, XRSTORS

}  // namespace xm::cpu::system
