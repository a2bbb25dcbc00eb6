// SPDX-License-Identifier: GPL-2.0-or-later
// Runs a test program at CPL 3 in an address space of its own until its HLT faults, as it does under an operating
// system.
#pragma once

#include <string>

#include "cpu/engine.h"
#include "tests/cpu/flat_bus.h"
#include "tests/cpu/programs/program_case.h"

namespace xm::cpu::programs {

inline constexpr u64 kRamBytes = u64{64} << 20;

class ProgramGuest {
 public:
  // Both live longer; the bus has kRamBytes.
  ProgramGuest(Engine& engine, FlatBus& bus) : engine_(engine), bus_(bus) {}

  // What differs from the description, one line each; empty when the program passed.
  std::string run(const ProgramCase& program);

 private:
  void build_system(const ProgramCase& program);
  u64 allocate_page();
  void map(u64 address, u64 bytes);
  u64 page_of(u64 address);  // physical address of the page mapped at `address`, mapped first if it is not
  void write(u64 address, const std::vector<u8>& bytes);
  CpuState initial_state(const ProgramCase& program) const;

  Engine& engine_;
  FlatBus& bus_;
  u64 next_page_ = 0;
};

}  // namespace xm::cpu::programs
