// SPDX-License-Identifier: GPL-2.0-or-later
// Runs silicon tests on an Engine: a megabyte of RAM with page tables, a GDT, a TSS and an IDT whose handlers halt, and
// the test in 64-bit user mode, set up as Linux does. The vector is told by which handler halted.
#pragma once

#include "cpu/engine.h"
#include "tests/cpu/flat_bus.h"
#include "tests/cpu/silicon/test_case.h"

namespace xm::cpu::silicon {

// The tables in 256 KiB of physical memory, code pages filled with INT3.
void build_system(u8* ram);
// The processor at the start of a test in that system.
CpuState initial_state(const TestCase& test);
inline constexpr u64 kSystemBytes = 1 << 20;
inline constexpr u64 kCodePhys = 0x10000, kDataPhys = 0x20000;

class Guest {
 public:
  Guest(Engine& engine, FlatBus& bus);
  void run(const TestCase& test, Outcome& outcome);

 private:
  Engine& engine_;
  FlatBus& bus_;
  u16 last_offset_ = 0;
  u8 last_length_ = 0;
};

}  // namespace xm::cpu::silicon
