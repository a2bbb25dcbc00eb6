// SPDX-License-Identifier: GPL-2.0-or-later
// What counts as a difference between two engines at a synchronisation point, and how it is told. Not compared: RF, the
// accessed bits of segment registers and of page tables, FPU instruction and data pointers, time-stamp counters, MSRs
// that only the machine uses.
#pragma once

#include <string>
#include <vector>

#include "cpu/state/cpu_state.h"
#include "cpu/vcpu/vcpu.h"

namespace xm::machine {

struct StateDifference {
  std::string text;  // empty: none
  bool only_status_flags = false;
};

StateDifference compare_states(const cpu::CpuState& primary, const cpu::CpuState& shadow);
// Of two versions of one page; empty if they differ in accessed and dirty bits of page-table entries only.
std::string compare_pages(const u8* primary, const u8* shadow);

struct LockstepReport {
  std::string what;
  u64 instructions;
  const cpu::CpuState& before;
  const cpu::CpuState& primary;
  const cpu::CpuState& shadow;
  const char* shadow_name;
  std::vector<u8> code;
};
std::string lockstep_report(const LockstepReport& report);
// Up to 15 bytes at the state's RIP.
std::vector<u8> instruction_bytes(cpu::Vcpu& cpu, const cpu::CpuState& state);

}  // namespace xm::machine
