// SPDX-License-Identifier: GPL-2.0-or-later
// The registers GDB sees, in the order of the target description: one fixed 64-bit layout in every mode, so that a
// session can follow a guest from the reset vector into user mode. Hexadecimal text, little-endian.
#pragma once

#include <string>
#include <string_view>

#include "cpu/state/cpu_state.h"

namespace xm::gdb {

// target.xml [GDB manual, Standard Target Features: i386]
std::string target_description();

unsigned register_count();
// The register's bytes as hexadecimal digits. `cr8` stands in the local APIC, not in CpuState.
std::string register_text(const cpu::CpuState& state, u8 cr8, unsigned number);
// False if there is no such register or the text does not fit it. Segment bases and system registers can be read only.
bool set_register(cpu::CpuState& state, unsigned number, std::string_view text);
// Digits of a register in the packet.
unsigned register_digits(unsigned number);

std::string hex(std::string_view bytes);
// False if the text is not pairs of hexadecimal digits.
bool unhex(std::string_view text, std::string& bytes);

}  // namespace xm::gdb
