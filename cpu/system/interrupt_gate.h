// SPDX-License-Identifier: GPL-2.0-or-later
// One attempt to deliver an event in each operating mode. Nothing has changed when they return false with cpu.fault
// set, except memory below the handler's stack pointer and accessed bits.
#pragma once

#include "cpu/system/deliver.h"

namespace xm::cpu::system {

// Chooses by mode.
[[nodiscard]] bool try_deliver(Vcpu& cpu, const Event& event);

[[nodiscard]] bool deliver_real(Vcpu& cpu, const Event& event);
[[nodiscard]] bool deliver_protected(Vcpu& cpu, const Event& event);
[[nodiscard]] bool deliver_long(Vcpu& cpu, const Event& event);
// INT n in virtual-8086 mode: by IOPL and, with CR4.VME, the redirection bitmap. [SDM3 20.3]
[[nodiscard]] bool deliver_vm86_software(Vcpu& cpu, const Event& event);

// RFLAGS as pushed for this event: RF is set for faults [SDM3 17.3.1.1].
u64 pushed_flags(const Vcpu& cpu, const Event& event);

}  // namespace xm::cpu::system
