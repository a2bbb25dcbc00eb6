// SPDX-License-Identifier: GPL-2.0-or-later
// Which execution engines this machine has, and how a vCPU gets one. A machine that may change engines while it runs is
// prepared for all of them from the start: the processor model is what each can do, and the time-stamp counter runs at
// a rate that each can keep (docs/engines.md).
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "cpu/engine.h"
#include "emu/base/log.h"
#include "emu/base/result.h"
#include "emu/bus/address_space.h"
#include "emu/machine/config.h"

namespace xm::machine {

// Text for `-cpu help`.
std::string list_cpu_models();

class EngineMaker {
 public:
  // An error if none of the accelerators asked for can be used.
  static Result<EngineMaker> create(const Config& config, Log& log);
  ~EngineMaker();
  EngineMaker(EngineMaker&&) noexcept;
  EngineMaker& operator=(EngineMaker&&) noexcept;

  // The name of the engine that vCPUs start with.
  const std::string& first() const;
  // Once, before make(): the memory that KVM is to see.
  Result<void> attach_memory(bus::AddressSpace& memory);
  Result<std::unique_ptr<cpu::Engine>> make(const std::string& name, unsigned index, cpu::BusPort& port);
  // The engine of -lockstep, which is made of two.
  Result<std::unique_ptr<cpu::Engine>> make_lockstep(const LockstepConfig& config, cpu::BusPort& port, std::mutex& lock,
                                                     bus::AddressSpace& memory,
                                                     std::function<void(const std::string&)> differs);
  u32 signature() const;  // CPUID.1:EAX
  u64 tsc_frequency_hz() const;
  // The guest's time-stamp counter is the host's own (a KVM that can not change its rate).
  bool host_tsc() const;

 private:
  struct Parts;
  explicit EngineMaker(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace xm::machine
