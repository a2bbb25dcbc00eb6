// SPDX-License-Identifier: GPL-2.0-or-later
// System flags of RFLAGS: which bits IRET and POPF may write at which privilege, and PUSHF, POPF, CLI, STI with their
// IOPL, VME and PVI rules. [SDM1 3.4.3, SDM2 POPF, CLI, STI, SDM3 20.3, 20.4]
#pragma once

#include "cpu/vcpu/vcpu.h"

namespace xm::cpu::system {

// Replaces the bits of `mask` and recomputes the mode.
void write_flags(Vcpu& cpu, u64 value, u64 mask);
u64 iret_flags_mask(const Vcpu& cpu, unsigned operand_size);

[[nodiscard]] bool push_flags(Vcpu& cpu, const Insn& insn);
[[nodiscard]] bool pop_flags(Vcpu& cpu, const Insn& insn);
[[nodiscard]] bool clear_interrupt_flag(Vcpu& cpu, const Insn& insn);
[[nodiscard]] bool set_interrupt_flag(Vcpu& cpu, const Insn& insn);
[[nodiscard]] bool clear_alignment_flag(Vcpu& cpu, const Insn& insn);  // CLAC
[[nodiscard]] bool set_alignment_flag(Vcpu& cpu, const Insn& insn);    // STAC

}  // namespace xm::cpu::system
