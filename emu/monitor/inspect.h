// SPDX-License-Identifier: GPL-2.0-or-later
// Views of CPU state and memory for the monitor. They never change anything: page walks set no accessed bits and no
// device register is read.
#pragma once

#include <cstdio>
#include <string>
#include <vector>

#include "emu/machine/machine.h"

namespace xm::monitor {

std::string describe_registers(machine::Machine& machine);
std::string describe_cpus(machine::Machine& machine);
std::string describe_memory_map(machine::Machine& machine);
std::string describe_ports(machine::Machine& machine);
std::string describe_mappings(machine::Machine& machine);
std::string describe_pages(machine::Machine& machine);

std::string examine_virtual(machine::Machine& machine, const std::vector<std::string>& words);
std::string examine_physical(machine::Machine& machine, const std::vector<std::string>& words);
std::string translate_address(machine::Machine& machine, const std::vector<std::string>& words);
std::string four_addresses(machine::Machine& machine, const std::vector<std::string>& words);

// Guest memory into a file, as the first CPU sees it or (physical) as the bus does; what is no memory reads as ones.
// All vCPUs stand still.
Result<void> write_guest_memory(machine::Machine& machine, u64 address, u64 size_bytes, bool physical, std::FILE* file);

}  // namespace xm::monitor
