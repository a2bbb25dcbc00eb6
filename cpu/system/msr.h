// SPDX-License-Identifier: GPL-2.0-or-later
// Model-specific registers: a table of rows, each with what it needs, how it reads and what it accepts. [SDM4]
//
// Registers of a real processor that only tune or report hardware (power, thermal, cache) read as fixed values and
// ignore writes; registers that are in no row are #GP(0), and logged under `-d unimp`.
#pragma once

#include "cpu/vcpu/vcpu.h"

namespace xm::cpu::system {

// #GP(0) for what the processor refuses.
[[nodiscard]] bool read_msr(Vcpu& cpu, u32 index, u64& value);
[[nodiscard]] bool write_msr(Vcpu& cpu, u32 index, u64 value);

[[nodiscard]] bool rdmsr(Vcpu& cpu, const Insn& insn);
[[nodiscard]] bool wrmsr(Vcpu& cpu, const Insn& insn);

}  // namespace xm::cpu::system
