// SPDX-License-Identifier: GPL-2.0-or-later
// The interpreter's loop: blocks, chaining, budgets, faults, self-modifying code, events.
#include "cpu/interp/interpreter.h"

#include <gtest/gtest.h>

#include "tests/unit/cpu/interp/machine_code.h"

namespace xm::cpu::test {
namespace {

TEST(Interpreter, CountsDownALoop) {
  MachineCode m;
  m.enter_long_mode();
  // mov ecx, 10; xor eax, eax; L: add eax, ecx; dec ecx; jnz L; hlt
  m.load({0xB9, 10, 0, 0, 0, 0x31, 0xC0, 0x01, 0xC8, 0xFF, 0xC9, 0x75, 0xFA, 0xF4});
  EXPECT_EQ(m.run().kind, ExitKind::Halt);
  EXPECT_EQ(m.gpr(gpr::kRax), 55u);
  EXPECT_EQ(m.engine.instructions(), 2u + 30u + 1u);
}

TEST(Interpreter, StopsExactlyAtTheBudget) {
  for (u64 budget = 1; budget < 33; ++budget) {
    MachineCode m;
    m.enter_long_mode();
    m.load({0xB9, 10, 0, 0, 0, 0x31, 0xC0, 0x01, 0xC8, 0xFF, 0xC9, 0x75, 0xFA, 0xF4});
    EXPECT_EQ(m.run(budget).kind, ExitKind::Budget);
    EXPECT_EQ(m.engine.instructions(), budget);
    EXPECT_EQ(m.gpr(gpr::kRcx), budget < 1 ? 0 : 10 - (budget < 4 ? 0 : (budget - 1) / 3)) << budget;
  }
}

// Who sleeps for a halted CPU sleeps while the signals are just the blocked ones: a pin that could wake it must not be
// among them, whatever it was when run() began.
TEST(Interpreter, HaltReportsOnlySignalsThatCanNotWakeIt) {
  for (const bool open : {false, true}) {
    MachineCode m;
    m.enter_long_mode();
    m.load({0xF4});
    CpuState state;
    m.engine.get_state(state);
    state.rflags |= open ? flag::kIf : 0;
    state.nmi_blocked = !open;
    m.engine.set_state(state);
    m.bus.interrupt_vector = -1;  // the pin is up, but the controller has nothing to say
    m.engine.signals().set(Signals::kIntr | (open ? 0 : Signals::kNmi));
    const Exit exit = m.run();
    EXPECT_EQ(exit.kind, ExitKind::Halt);
    EXPECT_EQ(exit.blocked_signals, open ? 0 : Signals::kIntr | Signals::kNmi);
  }
}

TEST(Interpreter, CallsAndReturns) {
  MachineCode m;
  m.enter_long_mode();
  // call F; hlt; F: push 7; pop rbx; lea rax, [rbx+rbx*2+1]; ret
  m.load({0xE8, 1, 0, 0, 0, 0xF4, 0x6A, 7, 0x5B, 0x48, 0x8D, 0x44, 0x5B, 1, 0xC3});
  EXPECT_EQ(m.run().kind, ExitKind::Halt);
  EXPECT_EQ(m.gpr(gpr::kRax), 22u);
  EXPECT_EQ(m.gpr(gpr::kRsp), MachineCode::kStack);
}

TEST(Interpreter, DeliversAPreciseFault) {
  MachineCode m;
  m.enter_long_mode();
  // IDT entry 0 (#DE) at 0x2000 -> handler 0x1800: hlt
  m.bus.poke<u64>(0x2000, 0x00008E0000081800);
  m.load({0xF4}, 0x1800);
  m.engine.vcpu().state.idtr = {.base = 0x2000, .limit = 0xFFF};
  m.engine.vcpu().state.gdtr = {.base = 0x3000, .limit = 0xFF};
  m.bus.poke<u64>(0x3008, 0x00AF9B000000FFFF);
  m.bus.poke<u64>(0x3010, 0x00CF93000000FFFF);
  // inc ebx; xor ecx, ecx; div ecx; inc ebx
  m.load({0xFF, 0xC3, 0x31, 0xC9, 0xF7, 0xF1, 0xFF, 0xC3});
  EXPECT_EQ(m.run().kind, ExitKind::Halt);
  EXPECT_EQ(m.rip(), 0x1801u);
  EXPECT_EQ(m.gpr(gpr::kRbx), 1u);
  EXPECT_EQ(m.bus.peek<u64>(MachineCode::kStack - 40), MachineCode::kCode + 4);
  EXPECT_EQ(m.engine.instructions(), 3u);
}

TEST(Interpreter, SeesCodeItWritesItself) {
  MachineCode m;
  m.enter_long_mode();
  // mov byte [rip+1], 5 (the immediate of the next instruction); mov al, 1; hlt
  m.load({0xC6, 0x05, 1, 0, 0, 0, 5, 0xB0, 1, 0xF4});
  EXPECT_EQ(m.run().kind, ExitKind::Halt);
  EXPECT_EQ(m.gpr(gpr::kRax) & 0xFF, 5u);
}

TEST(Interpreter, AddressesRelativeToRipInGenericHandlers) {
  MachineCode m;
  m.enter_long_mode();
  // nop; nop; bt dword [rip+0x26], 1; setc al; movdqa xmm0, [rip+0xEB]; hlt
  m.load(
      {0x90, 0x90, 0x0F, 0xBA, 0x25, 0x26, 0, 0, 0, 1, 0x0F, 0x92, 0xC0, 0x66, 0x0F, 0x6F, 0x05, 0xEB, 0, 0, 0, 0xF4});
  m.bus.poke<u32>(0x1100, 0x12345678);
  m.bus.poke<u8>(0x1030, 2);
  EXPECT_EQ(m.run().kind, ExitKind::Halt);
  EXPECT_EQ(m.gpr(gpr::kRax) & 0xFF, 1u);
  EXPECT_EQ(m.engine.vcpu().state.vector[0].q[0], 0x12345678u);
}

// Whatever the compiler makes of a handler, a long chain of blocks must not eat the host's stack.
TEST(Interpreter, RunsLongLoopsInBoundedStack) {
  MachineCode m;
  m.enter_long_mode();
  // mov ecx, 3000000; L: fldz; fcomip; ucomisd xmm0, xmm1; cvttsd2si eax, xmm0; lock inc [rsp]; dec ecx; jnz L; hlt
  m.load({0xB9, 0xC0, 0xC6, 0x2D, 0,    0xD9, 0xEE, 0xDF, 0xF0, 0x66, 0x0F, 0x2E, 0xC1,
          0xF2, 0x0F, 0x2C, 0xC0, 0xF0, 0xFF, 0x04, 0x24, 0xFF, 0xC9, 0x75, 0xEC, 0xF4});
  EXPECT_EQ(m.run(100'000'000).kind, ExitKind::Halt);
  EXPECT_EQ(m.bus.peek<u32>(MachineCode::kStack), 3000000u);
}

TEST(Interpreter, RepeatedCopyWithOverlapRepeatsThePattern) {
  MachineCode m;
  m.enter_long_mode();
  m.load({0xF3, 0xA4, 0xF4});
  m.bus.poke<u16>(0x20000, 0xBBAA);
  m.gpr(gpr::kRsi) = 0x20000;
  m.gpr(gpr::kRdi) = 0x20002;
  m.gpr(gpr::kRcx) = 5000;
  EXPECT_EQ(m.run().kind, ExitKind::Halt);
  EXPECT_EQ(m.bus.peek<u16>(0x20000 + 5000), 0xBBAA);
  EXPECT_EQ(m.gpr(gpr::kRcx), 0u);
  EXPECT_EQ(m.gpr(gpr::kRdi), 0x20002u + 5000);
  EXPECT_EQ(m.engine.instructions(), 2u);
}

TEST(Interpreter, RealModeWrapsAndUsesSegments) {
  MachineCode m;
  m.enter_real_mode();
  // mov ax, 0x2000; mov ds, ax; mov bx, 0xFFFF; mov byte [bx+3], 0x42; hlt
  m.load({0xB8, 0x00, 0x20, 0x8E, 0xD8, 0xBB, 0xFF, 0xFF, 0xC6, 0x47, 3, 0x42, 0xF4});
  EXPECT_EQ(m.run().kind, ExitKind::Halt);
  EXPECT_EQ(m.bus.peek<u8>(0x20002), 0x42);
}

TEST(Interpreter, HoldsInterruptsForOneInstructionAfterSti) {
  MachineCode m;
  m.enter_real_mode();
  m.bus.poke<u32>(8 * 4, 0x00001800);
  m.load({0xF4}, 0x1800);
  m.bus.interrupt_vector = 8;
  m.engine.signals().set(Signals::kIntr);
  m.load({0xFB, 0x43, 0x43, 0xF4});  // sti; inc bx; inc bx
  EXPECT_EQ(m.run(3).kind, ExitKind::Halt);
  EXPECT_EQ(m.gpr(gpr::kRbx), 1u);
}

TEST(Interpreter, SingleStepsThroughARepeatedInstruction) {
  MachineCode m;
  m.enter_real_mode();
  m.bus.poke<u32>(1 * 4, 0x00001800);
  m.load({0x45, 0xCF}, 0x1800);  // inc bp; iret
  m.load({0xF3, 0xAA, 0x90, 0x90});
  m.gpr(gpr::kRcx) = 3;
  m.gpr(gpr::kRdi) = 0x100;
  m.engine.vcpu().set_rflags(flag::kTf | 2);
  // Two instructions in the handler after each iteration, which counts once, and after the NOP.
  EXPECT_EQ(m.run(10).kind, ExitKind::Budget);
  EXPECT_EQ(m.gpr(gpr::kRbp), 4u);
  EXPECT_EQ(m.rip(), MachineCode::kCode + 3);
}

}  // namespace
}  // namespace xm::cpu::test
