// SPDX-License-Identifier: GPL-2.0-or-later
// Checks that many system instructions begin with.
#pragma once

#include "cpu/vcpu/vcpu.h"

namespace xm::cpu::system {

// #GP(0) unless CPL is 0 (virtual-8086 mode runs at CPL 3).
[[nodiscard]] inline bool require_cpl0(Vcpu& cpu) { return cpu.state.cpl == 0 || cpu.raise(Vector::Gp, 0); }

// SGDT, SIDT, SLDT, STR, SMSW with CR4.UMIP [SDM3 2.5].
[[nodiscard]] inline bool check_umip(Vcpu& cpu) {
  return (cpu.state.cr4 & cr4::kUmip) == 0 || cpu.state.cpl == 0 || cpu.raise(Vector::Gp, 0);
}

// Instructions that exist in protected mode only.
[[nodiscard]] inline bool require_protected(Vcpu& cpu) { return cpu.mode.protected_mode || cpu.raise(Vector::Ud); }

}  // namespace xm::cpu::system
