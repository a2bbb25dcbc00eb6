// SPDX-License-Identifier: GPL-2.0-or-later
// CpuState to and from KVM's register structures. What KVM does not hold (activity, machine-check banks, SMM) stays as
// it is in `state`. An event that KVM had begun to deliver comes out as CpuState::pending.
#pragma once

#include "cpu/state/cpu_state.h"
#include "emu/base/result.h"

namespace xm::cpu::kvm {

// The error names the part of the state that KVM would not take or give.
Result<void> read_state(int vcpu_fd, CpuState& state);
Result<void> write_state(int vcpu_fd, const CpuState& state);

// General registers, RIP and RFLAGS alone.
Result<void> read_registers(int vcpu_fd, CpuState& state);
Result<void> write_registers(int vcpu_fd, const CpuState& state);
// x87, SSE and AVX alone.
Result<void> read_extended(int vcpu_fd, CpuState& state);
Result<void> write_extended(int vcpu_fd, const CpuState& state);

}  // namespace xm::cpu::kvm
