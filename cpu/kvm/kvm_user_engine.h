// SPDX-License-Identifier: GPL-2.0-or-later
// KvmUserEngine: the "kvm" engine on software KVM. That kind runs guest user mode natively, but emulates guest kernel
// mode slowly and does not enter it rightly by SYSCALL (measured: the code at LSTAR runs at CPL 3). So user mode runs
// on KVM here and everything else in the interpreter, which is some hundred times faster at it.
//
// A stretch of user mode goes to KVM when the interpreter has been in it for a while; it comes back with the state of
// the instruction that wanted the kernel (cpu/kvm/kvm_user_mode.h).
//
// KVM's shadow of the guest's page tables does not see what the interpreter writes to them, so it is thrown away before
// a stretch whose tables are not those of the one before; what the interpreter has decoded is thrown away after it,
// because user mode may have written code. GAP: another vCPU that writes code natively while this one interprets it is
// noticed at the next stretch only.
#pragma once

#include <memory>
#include <optional>

#include "cpu/interp/interpreter.h"
#include "cpu/kvm/kvm_user_mode.h"

namespace xm::cpu::kvm {

class KvmUserEngine final : public Engine {
 public:
  static Result<std::unique_ptr<KvmUserEngine>> create(KvmVm& vm, u32 index, BusPort& bus, const CpuModel& model,
                                                       Log& log, interp::Interpreter::Options options);
  ~KvmUserEngine() override;

  const char* name() const override { return "kvm"; }
  Exit run(Budget budget) override;
  void get_state(CpuState& state) override { interpreter_.get_state(state); }
  void set_state(const CpuState& state) override { interpreter_.set_state(state); }
  Signals& signals() override { return interpreter_.signals(); }
  void code_written(GuestPhys address, u64 size_bytes) override { interpreter_.code_written(address, size_bytes); }
  void kick() override { vcpu_->kick(); }
  bool set_breakpoints(std::span<const u64> linear) override;
  Exit step() override { return interpreter_.step(); }
  // Of the interpreter; KVM does not count.
  u64 instructions() const override { return interpreter_.instructions(); }
  std::vector<EngineCount> counts() const override;

 private:
  KvmUserEngine(KvmVm& vm, std::unique_ptr<KvmVcpu> vcpu, BusPort& bus, const CpuModel& model, Log& log,
                interp::Interpreter::Options options);
  bool fit_for_kvm();
  // False: KVM can not forget what it knows of the guest's page tables.
  bool follow_page_tables(const CpuState& state);
  void run_user_mode();

  KvmVm& vm_;
  const std::unique_ptr<KvmVcpu> vcpu_;
  KvmUserMode user_mode_;
  interp::Interpreter interpreter_;
  bool debugged_ = false;
  std::optional<u64> tables_;  // sum of those that KVM's shadow was made from
  u64 slice_;                  // instructions to interpret before KVM gets its turn
  std::atomic<u64> stretches_{0}, system_calls_{0}, exceptions_{0}, kicks_{0}, others_{0};
};

}  // namespace xm::cpu::kvm
