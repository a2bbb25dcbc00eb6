// SPDX-License-Identifier: GPL-2.0-or-later
#include "tests/cpu/silicon/kvm_ring3.h"

#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <cstring>

#include "cpu/kvm/kvm_cpuid.h"
#include "tests/cpu/silicon/guest.h"

namespace xm::cpu::silicon {

KvmRing3::KvmRing3() {
  void* ram = ::mmap(nullptr, kSystemBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (ram == MAP_FAILED) return;
  ram_ = static_cast<u8*>(ram);
  ::madvise(ram, kSystemBytes, MADV_DONTFORK);  // copying on write would take the pages away from KVM
  build_system(ram_);
  auto vm = kvm::KvmVm::create();
  if (!vm.ok()) return;
  vm_ = std::move(*vm);
  const kvm::MemorySlot slot{.guest_physical = 0, .size_bytes = kSystemBytes, .host = ram_, .read_only = false};
  auto vcpu = kvm::KvmVcpu::create(*vm_, 0);
  const CpuModel model;  // all of it: user mode of software KVM has what the processor has, whatever KVM says
  if (!vcpu.ok() || !vm_->set_memory({&slot, 1}).ok() || !kvm::set_cpuid(*vm_, (*vcpu)->fd(), model, {}).ok()) return;
  vcpu_ = std::move(*vcpu);
  user_mode_ = std::make_unique<kvm::KvmUserMode>(*vcpu_);
}

KvmRing3::~KvmRing3() {
  user_mode_.reset();
  vcpu_.reset();
  vm_.reset();
  if (ram_ != nullptr) ::munmap(ram_, kSystemBytes);
}

void KvmRing3::run_one(const TestCase& test, Outcome& outcome) {
  std::memset(ram_ + kCodePhys, 0xCC, kCodeBytes);
  std::memcpy(ram_ + kCodePhys + test.code_offset, test.code.data(), test.code_length);
  fill_data(test, outcome.data);
  std::memcpy(ram_ + kDataPhys, outcome.data.data(), kDataBytes);
  CpuState state = initial_state(test);
  if (!loaded_ || loaded_mode_ != test.mode) {
    if (!user_mode_->load(state).ok()) return;
    loaded_ = true;
    loaded_mode_ = test.mode;
  }
  vcpu_->arm();
  const kvm::UserModeExit exit = user_mode_->run(state);
  outcome.ran = exit.vector.has_value();
  if (!outcome.ran) {
    loaded_ = false;
    return;
  }
  kvm_sregs sregs{};
  static_cast<void>(::ioctl(vcpu_->fd(), KVM_GET_SREGS, &sregs));
  const bool as_loaded = sregs.fs.base == 0 && sregs.gs.base == kGsBase && sregs.fs.selector == 0 &&
                         sregs.gs.selector == 0 && sregs.ds.selector == kUserData && sregs.es.selector == kUserData;
  if (!as_loaded) loaded_ = false;
  outcome.vector = *exit.vector;
  outcome.error_code = exit.error_code;
  outcome.fault_address = exit.fault_address;
  outcome.state.gpr = state.gpr;
  outcome.state.rip = state.rip;
  outcome.state.rflags = state.rflags;
  outcome.state.x87 = state.x87;
  outcome.state.vector = state.vector;
  outcome.state.mxcsr = state.mxcsr;
  std::memcpy(outcome.data.data(), ram_ + kDataPhys, kDataBytes);
}

std::vector<Outcome> KvmRing3::run(std::span<const TestCase> tests) {
  std::vector<Outcome> outcomes(tests.size());
  for (std::size_t i = 0; i < tests.size(); ++i) run_one(tests[i], outcomes[i]);
  return outcomes;
}

}  // namespace xm::cpu::silicon
