// SPDX-License-Identifier: GPL-2.0-or-later
// Far JMP, CALL, RET and IRET: through code segments, call gates (16, 32, 64 bits), task gates and TSSs, between
// privilege levels, tasks and modes. On true state.rip is that of the target. [SDM2 JMP, CALL, RET, IRET]
#pragma once

#include "cpu/vcpu/vcpu.h"

namespace xm::cpu::system {

[[nodiscard]] bool far_jump(Vcpu& cpu, u16 selector, u64 offset, unsigned operand_size, u64 return_rip);
[[nodiscard]] bool far_call(Vcpu& cpu, u16 selector, u64 offset, unsigned operand_size, u64 return_rip);
// `release_bytes` is the immediate of RETF.
[[nodiscard]] bool far_return(Vcpu& cpu, unsigned operand_size, u32 release_bytes);
[[nodiscard]] bool interrupt_return(Vcpu& cpu, unsigned operand_size, u64 return_rip);

}  // namespace xm::cpu::system
