// SPDX-License-Identifier: GPL-2.0-or-later
// Runs silicon tests in the user mode of a KVM guest, without a kernel in it: every exception leaves KVM with the state
// of the instruction (cpu/kvm/kvm_user_mode). On software KVM that is the processor itself.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "cpu/kvm/kvm_user_mode.h"
#include "tests/cpu/silicon/test_case.h"

namespace xm::cpu::silicon {

class KvmRing3 {
 public:
  KvmRing3();
  ~KvmRing3();
  KvmRing3(const KvmRing3&) = delete;
  KvmRing3& operator=(const KvmRing3&) = delete;

  bool ok() const { return user_mode_ != nullptr; }
  std::vector<Outcome> run(std::span<const TestCase> tests);

 private:
  void run_one(const TestCase& test, Outcome& outcome);

  u8* ram_ = nullptr;
  std::unique_ptr<kvm::KvmVm> vm_;
  std::unique_ptr<kvm::KvmVcpu> vcpu_;
  std::unique_ptr<kvm::KvmUserMode> user_mode_;
  bool loaded_ = false;
  CodeSize loaded_mode_ = CodeSize::Bits64;
};

}  // namespace xm::cpu::silicon
