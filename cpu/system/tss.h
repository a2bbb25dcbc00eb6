// SPDX-License-Identifier: GPL-2.0-or-later
// What the processor reads from the current TSS outside task switches: stacks of inner levels, IST, the I/O permission
// and interrupt redirection bitmaps. [SDM3 7.2.1, 7.7, SDM1 19.5.2, SDM3 20.3]
#pragma once

#include "cpu/system/descriptor.h"

namespace xm::cpu::system {

// SSn:ESPn of a 16- or 32-bit TSS.
[[nodiscard]] bool read_tss_stack(Vcpu& cpu, unsigned cpl, u32 ext, u16& selector, u32& pointer);
// RSPn and ISTn (1..7) of a 64-bit TSS.
[[nodiscard]] bool read_tss_rsp(Vcpu& cpu, unsigned cpl, u32 ext, u64& pointer);
[[nodiscard]] bool read_tss_ist(Vcpu& cpu, unsigned index, u32 ext, u64& pointer);

// May this port be used now? By IOPL and the I/O map; #GP(0) if not.
[[nodiscard]] bool check_io_permission(Vcpu& cpu, u16 port, unsigned size_bytes);
// CR4.VME: true if INT `vector` stays inside the virtual-8086 task (its bit is clear).
[[nodiscard]] bool read_redirection_bit(Vcpu& cpu, u8 vector, bool& redirect);

}  // namespace xm::cpu::system
