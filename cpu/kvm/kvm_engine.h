// SPDX-License-Identifier: GPL-2.0-or-later
// KvmEngine: a vCPU executed by the host's KVM. Port and memory-mapped I/O come out as exits and go through BusPort;
// interrupts are injected when the guest can take them; INIT, SIPI and the local APIC are handled here, in user space.
#pragma once

#include <memory>

#include "cpu/engine.h"
#include "cpu/kvm/kvm_vm.h"
#include "cpu/system/cpuid.h"

struct kvm_run;

namespace xm::cpu::kvm {

class KvmEngine final : public Engine {
 public:
  static Result<std::unique_ptr<KvmEngine>> create(KvmVm& vm, u32 index, BusPort& bus, const CpuModel& model);
  ~KvmEngine() override;

  const char* name() const override { return "kvm"; }
  Exit run(Budget budget) override;
  void get_state(CpuState& state) override;
  void set_state(const CpuState& state) override;
  Signals& signals() override { return signals_; }
  void code_written(GuestPhys, u64) override {}  // the hardware keeps no decoded code that memory does not
  void kick() override;
  u64 instructions() const override { return 0; }  // the host does not count them

 private:
  KvmEngine(KvmVm& vm, u32 index, BusPort& bus, const CpuModel& model, int fd, kvm_run* shared);
  Result<void> set_cpuid();
  bool service_signals(Exit& exit);
  void inject_interrupt();
  void handle_io();
  void handle_mmio();
  void apply_startup(u8 vector);

  KvmVm& vm_;
  const u32 index_;
  BusPort& bus_;
  const CpuModel& model_;
  const int fd_;
  kvm_run* const shared_;  // the page KVM and we talk through
  Signals signals_;
  CpuState kept_;  // what KVM does not hold: activity while it waits for SIPI
  std::atomic<unsigned long> thread_{0};
};

}  // namespace xm::cpu::kvm
