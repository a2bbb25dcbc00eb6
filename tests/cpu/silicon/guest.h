// SPDX-License-Identifier: GPL-2.0-or-later
// Runs silicon tests on an Engine: a megabyte of RAM with page tables, a GDT, a TSS and an IDT whose handlers halt, and
// the test in 64-bit user mode, set up as Linux does. The vector is told by which handler halted.
#pragma once

#include "cpu/engine.h"
#include "tests/cpu/flat_bus.h"
#include "tests/cpu/silicon/test_case.h"

namespace xm::cpu::silicon {

class Guest {
 public:
  Guest(Engine& engine, FlatBus& bus);
  void run(const TestCase& test, Outcome& outcome);

 private:
  void build_tables();
  CpuState initial_state(const TestCase& test) const;

  Engine& engine_;
  FlatBus& bus_;
  u16 last_offset_ = 0;
  u8 last_length_ = 0;
};

}  // namespace xm::cpu::silicon
