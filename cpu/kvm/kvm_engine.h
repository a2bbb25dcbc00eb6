// SPDX-License-Identifier: GPL-2.0-or-later
// KvmEngine: a vCPU executed by the host's KVM. Port and memory-mapped I/O come out as exits and go through BusPort;
// interrupts are injected when the guest can take them; INIT, SIPI and the local APIC are handled here, in user space.
// What KVM can not emulate (real-mode corners on old hosts, rare instructions with MMIO operands) one instruction of
// the interpreter does in its place.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>

#include "cpu/engine.h"
#include "cpu/kvm/kvm_vcpu.h"
#include "cpu/system/cpuid.h"
#include "emu/base/log.h"

namespace xm::cpu::interp {
class Interpreter;
}

namespace xm::cpu::kvm {

class KvmEngine final : public Engine {
 public:
  static Result<std::unique_ptr<KvmEngine>> create(KvmVm& vm, u32 index, BusPort& bus, const CpuModel& model, Log& log);
  ~KvmEngine() override;

  const char* name() const override { return "kvm"; }
  Exit run(Budget budget) override;
  void get_state(CpuState& state) override;
  void set_state(const CpuState& state) override;
  Signals& signals() override { return signals_; }
  void code_written(GuestPhys, u64) override {}  // the hardware keeps no decoded code that memory does not
  void kick() override { vcpu_->kick(); }
  // Up to four; a software KVM stops in guest kernel mode only.
  bool set_breakpoints(std::span<const u64> linear) override;
  Exit step() override;
  // KVM does not count; what was retired before it took over.
  u64 instructions() const override { return kept_.instructions_retired; }
  std::vector<EngineCount> counts() const override;

 private:
  static constexpr unsigned kReasons = 64;

  KvmEngine(std::unique_ptr<KvmVcpu> vcpu, u32 index, BusPort& bus, const CpuModel& model, Log& log);
  Exit run_until_exit(Budget budget);
  void finish_access();
  bool service_signals(Exit& exit);
  void inject_interrupt();
  void follow_apic();
  void tell_apic();
  bool handle(int reason, Exit& exit);
  void handle_io();
  void handle_mmio();
  void handle_msr(bool write);
  bool handle_internal_error(Exit& exit);
  bool interpret_one(Exit& exit);
  bool unhandled(int reason, const std::string& what, Exit& exit);
  void apply_startup(u8 vector);

  const std::unique_ptr<KvmVcpu> vcpu_;
  const u32 index_;
  BusPort& bus_;
  const CpuModel& model_;
  Log& log_;
  Signals signals_;
  CpuState kept_;            // what KVM does not hold
  bool unfinished_ = false;  // KVM has still to take the answer to an access
  std::string failure_;
  std::optional<u64> apic_base_;                 // as KVM last had it; none: it must be told
  std::unique_ptr<interp::Interpreter> helper_;  // made when first needed
  std::array<std::atomic<u64>, kReasons> exits_{};
  std::atomic<u64> interpreted_{0};
};

}  // namespace xm::cpu::kvm
