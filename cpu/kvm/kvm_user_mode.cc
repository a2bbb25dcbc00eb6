// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/kvm/kvm_user_mode.h"

#include <linux/kvm.h>
#include <sys/ioctl.h>

#include "cpu/kvm/kvm_state.h"

namespace xm::cpu::kvm {

namespace {

// Where SYSCALL arrives: the last byte of the address space, which no guest maps.
constexpr u64 kSystemCallTarget = ~u64{0};
constexpr u64 kSystemCallLength = 2;
constexpr u8 kDebugVector = 1, kPageFaultVector = 14;

CpuState without_kernel(const CpuState& state) {
  CpuState alone = state;
  alone.idtr = {.base = 0, .limit = 0};
  alone.gdtr = {.base = 0, .limit = 0};
  alone.tr.limit = 0;
  alone.msr.lstar = alone.msr.cstar = kSystemCallTarget;
  alone.msr.sfmask = 0;
  alone.msr.sysenter_cs = 0;
  alone.pending = {};
  alone.dr[7] = 0x400;
  return alone;
}

}  // namespace

Result<void> KvmUserMode::load(const CpuState& state) { return write_state(vcpu_.fd(), without_kernel(state)); }

UserModeExit KvmUserMode::run(CpuState& state) {
  UserModeExit exit;
  kvm_vcpu_events none{};
  static_cast<void>(::ioctl(vcpu_.fd(), KVM_SET_VCPU_EVENTS, &none));
  if (!write_registers(vcpu_.fd(), state).ok() || !write_extended(vcpu_.fd(), state).ok()) return exit;
  exit.reason = vcpu_.enter();
  if (!read_registers(vcpu_.fd(), state).ok() || !read_extended(vcpu_.fd(), state).ok()) return exit;
  if (exit.reason != KVM_EXIT_SHUTDOWN) return exit;
  exit.system_call = state.rip == kSystemCallTarget;
  if (exit.system_call) {
    state.rip = state.gpr[gpr::kRcx] - kSystemCallLength;
    state.rflags = state.gpr[11];
    return exit;
  }
  kvm_vcpu_events events{};
  static_cast<void>(::ioctl(vcpu_.fd(), KVM_GET_VCPU_EVENTS, &events));
  exit.vector = events.exception.nr;
  exit.error_code = events.exception.error_code;
  if (exit.vector == kPageFaultVector) {
    kvm_sregs sregs{};
    static_cast<void>(::ioctl(vcpu_.fd(), KVM_GET_SREGS, &sregs));
    exit.fault_address = sregs.cr2;
  }
  return exit;
}

bool KvmUserMode::step(CpuState& state) {
  CpuState next = state;
  const u64 trap_flag = state.rflags & flag::kTf;
  next.rflags = (next.rflags | flag::kTf) & ~flag::kRf;
  vcpu_.arm();
  const UserModeExit exit = run(next);
  if (exit.system_call || exit.vector != kDebugVector) return false;
  next.rflags = (next.rflags & ~flag::kTf) | trap_flag;
  state = next;
  return true;
}

}  // namespace xm::cpu::kvm
