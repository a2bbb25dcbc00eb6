// SPDX-License-Identifier: GPL-2.0-or-later
// A processor with flat RAM that runs a few bytes of machine code, for tests of the interpreter.
#pragma once

#include <initializer_list>

#include "cpu/interp/interpreter.h"
#include "cpu/system/cpuid.h"
#include "tests/unit/cpu/test_bus.h"

namespace xm::cpu::test {

class MachineCode {
 public:
  static constexpr u64 kCode = 0x1000, kStack = 0x8000, kTables = 0x10000;

  explicit MachineCode(u64 ram_bytes = u64{4} << 20)
      : bus(ram_bytes), engine(bus, model, log, {.bootstrap_processor = true, .alone = true}) {}

  // 64-bit mode, CPL 0, identity-mapped with 2 MiB pages (the first gigabyte).
  void enter_long_mode() {
    bus.poke<u64>(kTables, (kTables + 0x1000) | 7);
    bus.poke<u64>(kTables + 0x1000, (kTables + 0x2000) | 7);
    for (u64 i = 0; i < 512; ++i) bus.poke<u64>(kTables + 0x2000 + 8 * i, (i << 21) | 0x87);
    CpuState state;
    engine.get_state(state);
    state.cr0 = cr0::kPe | cr0::kPg | cr0::kEt | cr0::kNe | cr0::kWp;
    state.cr4 = cr4::kPae | cr4::kOsfxsr | cr4::kOsxmmexcpt;
    state.cr3 = kTables;
    state.msr.efer = efer::kLme | efer::kLma | efer::kSce | efer::kNxe;
    state.segment.fill({.base = 0, .limit = 0xFFFFFFFF, .attributes = 0xC093, .selector = 0x10});
    state.segment[1] = {.base = 0, .limit = 0xFFFFFFFF, .attributes = 0xA09B, .selector = 8};
    state.rip = kCode;
    state.gpr[gpr::kRsp] = kStack;
    engine.set_state(state);
  }
  void enter_protected_mode() {
    CpuState state;
    engine.get_state(state);
    state.cr0 = cr0::kPe | cr0::kEt | cr0::kNe;
    state.segment.fill({.base = 0, .limit = 0xFFFFFFFF, .attributes = 0xC093, .selector = 0x10});
    state.segment[1] = {.base = 0, .limit = 0xFFFFFFFF, .attributes = 0xC09B, .selector = 8};
    state.rip = kCode;
    state.gpr[gpr::kRsp] = kStack;
    engine.set_state(state);
  }
  void enter_real_mode() {
    CpuState state;
    engine.get_state(state);
    state.segment[1] = {.base = 0, .limit = 0xFFFF, .attributes = 0x9B, .selector = 0};
    state.rip = kCode;
    state.gpr[gpr::kRsp] = kStack;
    engine.set_state(state);
  }

  void load(std::initializer_list<u8> bytes, u64 address = kCode) {
    bus.load(address, std::span<const u8>(bytes.begin(), bytes.size()));
  }
  // Runs to HLT or for at most `instructions`.
  Exit run(u64 instructions = 100'000) { return engine.run({instructions}); }
  u64& gpr(unsigned reg) { return engine.vcpu().state.gpr[reg]; }
  u64 flags() { return engine.vcpu().rflags(); }
  u64 rip() { return engine.vcpu().state.rip; }

  CpuModel model;
  Log log;
  TestBus bus;
  interp::Interpreter engine;
};

}  // namespace xm::cpu::test
