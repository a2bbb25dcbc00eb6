// SPDX-License-Identifier: GPL-2.0-or-later
// What debuggers ask of the interpreter: breakpoints at full speed, single steps.
#include <gtest/gtest.h>

#include "tests/unit/cpu/interp/machine_code.h"

namespace xm::cpu::test {
namespace {

// mov ecx, 10; xor eax, eax; L: add eax, ecx; dec ecx; jnz L; hlt
void load_loop(MachineCode& m) {
  m.enter_long_mode();
  m.load({0xB9, 10, 0, 0, 0, 0x31, 0xC0, 0x01, 0xC8, 0xFF, 0xC9, 0x75, 0xFA, 0xF4});
}

TEST(Debugging, StopsBeforeTheInstructionEachTimeAround) {
  MachineCode m;
  load_loop(m);
  const u64 dec = MachineCode::kCode + 9;
  ASSERT_TRUE(m.engine.set_breakpoints(std::span(&dec, 1)));
  for (u64 round = 0; round < 10; round++) {
    const Exit exit = m.run();
    ASSERT_EQ(exit.kind, ExitKind::Debug);
    EXPECT_EQ(exit.address, dec);
    EXPECT_EQ(m.gpr(gpr::kRcx), 10 - round);
    EXPECT_EQ(m.engine.instructions(), 3 + 3 * round);
    EXPECT_EQ(m.engine.step().kind, ExitKind::Debug);  // over it
    EXPECT_EQ(m.gpr(gpr::kRcx), 9 - round);
  }
  EXPECT_EQ(m.run().kind, ExitKind::Halt);
  EXPECT_EQ(m.engine.instructions(), 2u + 30u + 1u);
}

// The instruction that RF would see through has not begun: the debugger finds RF as IRET has set it.
TEST(Debugging, FindsTheResumeFlagWhereItStops) {
  MachineCode m;
  m.enter_long_mode();
  m.bus.poke<u64>(0x3008, 0x00AF9B000000FFFF);
  m.bus.poke<u64>(0x3010, 0x00CF93000000FFFF);
  // push 10h; push 8000h; push 10002h; push 8; push 1800h; iretq
  m.load({0x6A, 0x10, 0x68, 0, 0x80, 0, 0, 0x68, 2, 0, 1, 0, 0x6A, 8, 0x68, 0, 0x18, 0, 0, 0x48, 0xCF});
  m.load({0x90, 0xF4}, 0x1800);
  m.engine.vcpu().state.gdtr = {.base = 0x3000, .limit = 0xFF};
  const u64 target = 0x1800;
  ASSERT_TRUE(m.engine.set_breakpoints(std::span(&target, 1)));
  EXPECT_EQ(m.run().kind, ExitKind::Debug);
  EXPECT_EQ(m.rip(), target);
  EXPECT_NE(m.flags() & flag::kRf, 0u);
  EXPECT_EQ(m.engine.step().kind, ExitKind::Debug);
  EXPECT_EQ(m.flags() & flag::kRf, 0u);
}

TEST(Debugging, BreakpointsThatWentAwayStopNothing) {
  MachineCode m;
  load_loop(m);
  const u64 loop = MachineCode::kCode + 7;
  m.engine.set_breakpoints(std::span(&loop, 1));
  EXPECT_EQ(m.run().kind, ExitKind::Debug);
  m.engine.set_breakpoints({});
  EXPECT_EQ(m.run().kind, ExitKind::Halt);
  EXPECT_EQ(m.gpr(gpr::kRax), 55u);
}

TEST(Debugging, StepsHoldInterruptsOffAndFinishRepeats) {
  MachineCode m;
  m.enter_long_mode();
  // mov ecx, 5; mov edi, 0x5000; rep stosb; hlt
  m.load({0xB9, 5, 0, 0, 0, 0xBF, 0, 0x50, 0, 0, 0xF3, 0xAA, 0xF4});
  CpuState state;
  m.engine.get_state(state);
  state.rflags |= flag::kIf;
  m.engine.set_state(state);
  m.bus.interrupt_vector = 0x20;
  m.engine.signals().set(Signals::kIntr);
  for (const u64 rip : {5u, 10u, 12u}) {
    EXPECT_EQ(m.engine.step().kind, ExitKind::Debug);
    EXPECT_EQ(m.rip(), MachineCode::kCode + rip);
  }
  EXPECT_EQ(m.gpr(gpr::kRcx), 0u);
  EXPECT_EQ(m.bus.interrupt_vector, 0x20);  // nobody took it
}

}  // namespace
}  // namespace xm::cpu::test
