// SPDX-License-Identifier: GPL-2.0-or-later
// Instructions that move selectors and ask about descriptors: MOV, PUSH, POP with segment registers, LDS..LGS, LLDT,
// LTR, SGDT.., LAR, LSL, VERR, VERW, ARPL. They leave RIP alone. [SDM2]
#pragma once

#include "cpu/vcpu/vcpu.h"

namespace xm::cpu::system {

[[nodiscard]] bool move_to_segment(Vcpu& cpu, const Insn& insn);
[[nodiscard]] bool move_from_segment(Vcpu& cpu, const Insn& insn);
[[nodiscard]] bool push_segment(Vcpu& cpu, const Insn& insn);
[[nodiscard]] bool pop_segment(Vcpu& cpu, const Insn& insn);
[[nodiscard]] bool load_far_pointer(Vcpu& cpu, const Insn& insn);  // LDS LES LSS LFS LGS

[[nodiscard]] bool load_gdtr(Vcpu& cpu, const Insn& insn);
[[nodiscard]] bool load_idtr(Vcpu& cpu, const Insn& insn);
[[nodiscard]] bool store_gdtr(Vcpu& cpu, const Insn& insn);
[[nodiscard]] bool store_idtr(Vcpu& cpu, const Insn& insn);
[[nodiscard]] bool load_ldtr(Vcpu& cpu, const Insn& insn);
[[nodiscard]] bool load_task_register(Vcpu& cpu, const Insn& insn);
[[nodiscard]] bool store_ldtr(Vcpu& cpu, const Insn& insn);
[[nodiscard]] bool store_task_register(Vcpu& cpu, const Insn& insn);

[[nodiscard]] bool load_access_rights(Vcpu& cpu, const Insn& insn);          // LAR
[[nodiscard]] bool load_segment_limit(Vcpu& cpu, const Insn& insn);          // LSL
[[nodiscard]] bool verify_read(Vcpu& cpu, const Insn& insn);                 // VERR
[[nodiscard]] bool verify_write(Vcpu& cpu, const Insn& insn);                // VERW
[[nodiscard]] bool adjust_requested_privilege(Vcpu& cpu, const Insn& insn);  // ARPL

}  // namespace xm::cpu::system
