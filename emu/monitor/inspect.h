// SPDX-License-Identifier: GPL-2.0-or-later
// Views of CPU state and memory for the monitor. They never change anything: page walks set no accessed bits and no
// device register is read.
#pragma once

#include <string>
#include <vector>

#include "emu/machine/machine.h"

namespace xm::monitor {

std::string describe_registers(machine::Machine& machine);
std::string describe_cpus(machine::Machine& machine);
std::string describe_memory_map(machine::Machine& machine);
std::string describe_ports(machine::Machine& machine);
std::string describe_mappings(machine::Machine& machine);

std::string examine_virtual(machine::Machine& machine, const std::vector<std::string>& words);
std::string examine_physical(machine::Machine& machine, const std::vector<std::string>& words);
std::string translate_address(machine::Machine& machine, const std::vector<std::string>& words);

}  // namespace xm::monitor
