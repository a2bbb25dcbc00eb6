// SPDX-License-Identifier: GPL-2.0-or-later
// CpuState to and from KVM's register structures.
#pragma once

#include "cpu/state/cpu_state.h"

namespace xm::cpu::kvm {

void read_state(int vcpu_fd, CpuState& state);
void write_state(int vcpu_fd, const CpuState& state);

}  // namespace xm::cpu::kvm
