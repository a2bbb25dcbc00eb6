// SPDX-License-Identifier: GPL-2.0-or-later
// KvmVcpu: one vCPU descriptor of KVM with the page it shares with the kernel: entering the guest, kicking it out, and
// stopping it at addresses or after one instruction. What an exit means is the caller's business (kvm_engine.cc, the
// lockstep of emu/machine).
#pragma once

#include <atomic>
#include <memory>
#include <span>

#include "cpu/kvm/kvm_vm.h"
#include "cpu/state/cpu_state.h"
#include "cpu/system/cpuid.h"

struct kvm_run;

namespace xm::cpu::kvm {

class KvmVcpu {
 public:
  // What enter() tells besides KVM's own exit reasons.
  static constexpr int kKicked = -1;  // a signal or immediate_exit
  static constexpr int kFailed = -2;  // KVM_RUN itself failed; errno

  static Result<std::unique_ptr<KvmVcpu>> create(const KvmVm& vm, u32 index);
  ~KvmVcpu();
  KvmVcpu(const KvmVcpu&) = delete;
  KvmVcpu& operator=(const KvmVcpu&) = delete;

  int fd() const { return fd_; }
  kvm_run& shared() { return *shared_; }
  const KvmFacts& facts() const { return facts_; }

  // From here on a kick() is not lost: look at what asks for attention, then enter().
  void arm();
  // Runs the guest until its next exit: KVM_EXIT_*, kKicked or kFailed.
  int enter();
  // Lets KVM finish the instruction whose I/O it has asked for, without running another one: kKicked, or the exit of
  // the next access of the same instruction.
  int finish_instruction();
  // Any thread.
  void kick();

  // One instruction, then KVM_EXIT_DEBUG; or run until the instruction at one of up
  // to four linear addresses (more are an error). Off by default.
  Result<void> stop_after_one();
  Result<void> stop_at(std::span<const u64> linear);
  Result<void> stop_nowhere();

 private:
  KvmVcpu(const KvmVm& vm, int fd, kvm_run* shared)
      : facts_(vm.facts()), run_size_(vm.run_size()), fd_(fd), shared_(shared) {}

  const KvmFacts facts_;
  const std::size_t run_size_;
  const int fd_;
  kvm_run* const shared_;
  std::atomic<unsigned long> thread_{0};
};

// A name for people: "io", "mmio", "hlt"...
const char* exit_name(int reason);

}  // namespace xm::cpu::kvm
