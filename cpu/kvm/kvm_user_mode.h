// SPDX-License-Identifier: GPL-2.0-or-later
// Guest user mode alone on KVM: the vCPU leaves KVM at everything that would enter the guest's kernel. Its descriptor
// tables are replaced by empty ones, so that an exception, an interrupt or a gate ends in a shutdown whose registers
// are those of the instruction that could not go on; SYSCALL, which needs no table, is recognised by where it arrives.
// [SDM3 6.15 #DF, SDM2 SYSCALL]
//
// For software KVM, whose user mode runs natively and whose debugging facilities do not reach it, and for comparing
// instructions with silicon. A host that resets a vCPU at shutdown
// (SVM) loses the state, so this is for the software kind.
#pragma once

#include <optional>

#include "cpu/kvm/kvm_vcpu.h"
#include "cpu/state/cpu_state.h"

namespace xm::cpu::kvm {

struct UserModeExit {
  std::optional<u8> vector;  // of the exception that ended it; none: SYSCALL, or something else (I/O, kick)
  u32 error_code = 0;
  u64 fault_address = 0;  // CR2, of page faults
  bool system_call = false;
  int reason = 0;  // KVM's exit reason
};

class KvmUserMode {
 public:
  explicit KvmUserMode(KvmVcpu& vcpu) : vcpu_(vcpu) {}

  // Puts a state of CPL 3 into the vCPU; what it held is lost.
  Result<void> load(const CpuState& state);
  // Runs until user mode is left. `state` goes in (general registers, x87, vectors; the rest as loaded) and comes out.
  // Faults leave RIP at the instruction that caused them, traps behind it; of SYSCALL RCX and R11 are lost. The caller
  // has armed the vCPU.
  UserModeExit run(CpuState& state);
  // One instruction by the trap flag. False: it did not retire, and the state is as before.
  bool step(CpuState& state);

 private:
  KvmVcpu& vcpu_;
};

}  // namespace xm::cpu::kvm
