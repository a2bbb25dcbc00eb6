// SPDX-License-Identifier: GPL-2.0-or-later
// SYSCALL, SYSRET, SYSENTER, SYSEXIT, SWAPGS and the FS/GS base instructions. [SDM2, SDM3 5.8.7, 5.8.8]
#pragma once

#include "cpu/vcpu/vcpu.h"

namespace xm::cpu::system {

[[nodiscard]] bool system_call(Vcpu& cpu, const Insn& insn);
[[nodiscard]] bool system_return(Vcpu& cpu, const Insn& insn);
[[nodiscard]] bool system_enter(Vcpu& cpu, const Insn& insn);
[[nodiscard]] bool system_exit(Vcpu& cpu, const Insn& insn);
[[nodiscard]] bool swap_gs(Vcpu& cpu, const Insn& insn);
[[nodiscard]] bool read_segment_base(Vcpu& cpu, const Insn& insn);   // RDFSBASE, RDGSBASE
[[nodiscard]] bool write_segment_base(Vcpu& cpu, const Insn& insn);  // WRFSBASE, WRGSBASE

}  // namespace xm::cpu::system
