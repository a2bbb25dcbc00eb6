// SPDX-License-Identifier: GPL-2.0-or-later
// CR0, CR3, CR4, CR8, XCR0 and EFER: what may be written, what a write changes besides the register (mode, TLB), and
// the instructions that do it. [SDM3 2.5, 4.10.4, 4.11, SDM2 MOV CR]
#pragma once

#include "cpu/vcpu/vcpu.h"

namespace xm::cpu::system {

[[nodiscard]] bool move_from_control(Vcpu& cpu, const Insn& insn);
[[nodiscard]] bool move_to_control(Vcpu& cpu, const Insn& insn);
[[nodiscard]] bool load_machine_status(Vcpu& cpu, const Insn& insn);   // LMSW
[[nodiscard]] bool store_machine_status(Vcpu& cpu, const Insn& insn);  // SMSW
[[nodiscard]] bool clear_task_switched(Vcpu& cpu, const Insn& insn);   // CLTS
[[nodiscard]] bool get_extended_control(Vcpu& cpu, const Insn& insn);  // XGETBV
[[nodiscard]] bool set_extended_control(Vcpu& cpu, const Insn& insn);  // XSETBV
[[nodiscard]] bool invalidate_page(Vcpu& cpu, const Insn& insn);       // INVLPG
[[nodiscard]] bool invalidate_pcid(Vcpu& cpu, const Insn& insn);       // INVPCID

// CR3 from a TSS.
[[nodiscard]] bool load_cr3_for_task(Vcpu& cpu, u64 value);
// WRMSR to EFER.
[[nodiscard]] bool write_efer(Vcpu& cpu, u64 value);
// Bits of CR4 that may be set on this processor.
u64 supported_cr4(const Vcpu& cpu);
// State components that XCR0 and IA32_XSS may enable.
u64 supported_xcr0(const Vcpu& cpu);
// First physical address bit that does not exist.
unsigned physical_address_width(const Vcpu& cpu);

}  // namespace xm::cpu::system
