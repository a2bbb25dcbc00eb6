// SPDX-License-Identifier: GPL-2.0-or-later
// Which execution engines this build has, and how a vCPU gets the one the user asked for.
#pragma once

#include <memory>
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
  static Result<EngineMaker> create(const Config& config, bus::AddressSpace& memory, Log& log);
  ~EngineMaker();
  EngineMaker(EngineMaker&&) noexcept;
  EngineMaker& operator=(EngineMaker&&) noexcept;
  Result<std::unique_ptr<cpu::Engine>> make(unsigned index, cpu::BusPort& port);
  u32 signature() const;  // CPUID.1:EAX

 private:
  struct Parts;
  explicit EngineMaker(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace xm::machine
