// SPDX-License-Identifier: GPL-2.0-or-later
// What CPUID says to a guest that KVM runs: the machine's processor model, less what the host's KVM does not have. A
// machine that may change engines shows the same under all of them, so the model itself is narrowed.
#pragma once

#include "cpu/kvm/kvm_vm.h"
#include "cpu/system/cpuid.h"

namespace xm::cpu::kvm {

// Takes from the model every feature that the host's KVM does not offer, and the TSC rate it can not run at.
Result<void> narrow_model(const KvmVm& vm, CpuModel& model);
Result<void> set_cpuid(const KvmVm& vm, int vcpu_fd, const CpuModel& model, const CpuidContext& context);

}  // namespace xm::cpu::kvm
