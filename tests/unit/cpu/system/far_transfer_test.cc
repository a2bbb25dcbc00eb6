// SPDX-License-Identifier: GPL-2.0-or-later
// Far JMP, CALL, RET, IRET, call gates and task switches. [SDM2 JMP, CALL, RET, IRET, SDM3 5.8, 7.3]
#include "tests/unit/cpu/system/bench.h"

namespace xm::cpu::test {
namespace {

class Far : public SystemBench {
 protected:
  void push32(u32 value) {
    reg(gpr::kRsp) -= 4;
    bus_.poke<u32>(reg(gpr::kRsp), value);
  }
  void push64(u64 value) {
    reg(gpr::kRsp) -= 8;
    bus_.poke<u64>(reg(gpr::kRsp), value);
  }

  void make_task(u16 selector, u32 tss, u16 code = kCode32, u16 data = kData32) {
    put(selector, descriptor(tss, 0x67, 0x89, 0));
    bus_.poke<u32>(tss + 0x20, 0x41000);
    bus_.poke<u32>(tss + 0x24, 2 | flag::kCf);
    bus_.poke<u32>(tss + 0x28, 0x11111111);
    bus_.poke<u32>(tss + 0x38, 0x2F000);
    for (const u32 offset : {0x48, 0x50, 0x54, 0x58, 0x5C}) bus_.poke<u16>(tss + offset, data);
    bus_.poke<u16>(tss + 0x4C, code);
  }
};

TEST_F(Far, RealModeJumpSetsBaseAndKeepsLimit) {
  start_real();
  segment(Segment::Cs).limit = 0xFFFFFFFF;
  ASSERT_TRUE(execute({0xEA, 0x34, 0x12, 0x00, 0xF0}));
  EXPECT_EQ(segment(Segment::Cs).base, 0xF0000u);
  EXPECT_EQ(segment(Segment::Cs).limit, 0xFFFFFFFFu);
  EXPECT_EQ(cpu_.state.rip, 0x1234u);
}

TEST_F(Far, RealModeCallAndReturn) {
  start_real();
  ASSERT_TRUE(execute({0x9A, 0x34, 0x12, 0x00, 0x20}));
  EXPECT_EQ(bus_.peek<u16>(0x7FFC), 0x105);
  EXPECT_EQ(bus_.peek<u16>(0x7FFE), 0x100);
  ASSERT_TRUE(execute({0xCA, 0x02, 0x00}));
  EXPECT_EQ(cpu_.state.rip, 0x105u);
  EXPECT_EQ(segment(Segment::Cs).selector, 0x100);
  EXPECT_EQ(reg(gpr::kRsp), 0x8002u);
}

TEST_F(Far, JumpToCodeSegmentSetsAccessed) {
  start_protected();
  put(kCode16, descriptor(0x40000, 0xFFFF, 0x9A, 0));
  ASSERT_TRUE(execute({0x66, 0xEA, 0x00, 0x10, kCode16, 0}));
  EXPECT_EQ(cpu_.state.rip, 0x1000u);
  EXPECT_EQ(cpu_.mode.code_size, CodeSize::Bits16);
  EXPECT_TRUE(has_bit(get(kCode16), 40));
}

TEST_F(Far, JumpChecksInTheOrderOfTheManual) {
  start_protected(3);
  expect_fault({0xEA, 0, 0, 0, 0, 0, 0}, Vector::Gp, 0);
  expect_fault({0xEA, 0, 0, 0, 0, 0xF8, 0x0F + 0x10}, Vector::Gp, 0x1FF8);  // beyond the GDT
  expect_fault({0xEA, 0, 0, 0, 0, kData32, 0}, Vector::Gp, kData32);        // not code
  expect_fault({0xEA, 0, 0, 0, 0, kCode32 | 3, 0}, Vector::Gp, kCode32);    // DPL 0
  put(kScratch, descriptor(0, 0xFFFFF, 0x7A, 0xC));
  expect_fault({0xEA, 0, 0, 0, 0, kScratch | 3, 0}, Vector::Np, kScratch);
  put(kScratch, descriptor(0, 0xFFF, 0xFA, 0x4));
  expect_fault({0xEA, 0, 0x10, 0, 0, kScratch | 3, 0}, Vector::Gp, 0);  // beyond the limit
  ASSERT_TRUE(execute({0xEA, 0, 0x10, 4, 0, kConforming32, 0}));
  EXPECT_EQ(segment(Segment::Cs).selector, kConforming32 | 3) << "RPL becomes CPL";
  EXPECT_EQ(cpu_.state.cpl, 3);
}

TEST_F(Far, CallGateToInnerLevelCopiesParameters) {
  start_protected(3);
  put(kScratch, gate(kCode32, 0x41000, 0xEC, 2));
  push32(0xAAAA);
  push32(0xBBBB);
  ASSERT_TRUE(execute({0x9A, 0, 0, 0, 0, kScratch | 3, 0}));
  EXPECT_EQ(cpu_.state.rip, 0x41000u);
  EXPECT_EQ(cpu_.state.cpl, 0);
  EXPECT_EQ(reg(gpr::kRsp), kStack0 - 24);
  EXPECT_EQ(stack32(0), kCode + 7);
  EXPECT_EQ(stack32(1), kUserCode32 | 3u);
  EXPECT_EQ(stack32(2), 0xBBBBu);
  EXPECT_EQ(stack32(3), 0xAAAAu);
  EXPECT_EQ(stack32(4), kStack3 - 8);
  EXPECT_EQ(stack32(5), kUserData32 | 3u);

  segment(Segment::Ds) = {.base = 0, .limit = 0xFFFFFFFF, .attributes = 0xC093, .selector = kData32};
  ASSERT_TRUE(execute({0xCA, 8, 0}));
  EXPECT_EQ(cpu_.state.rip, kCode + 7);
  EXPECT_EQ(cpu_.state.cpl, 3);
  EXPECT_EQ(reg(gpr::kRsp), kStack3) << "the caller's stack is released too";
  EXPECT_TRUE(segment(Segment::Ds).unusable()) << "DPL 0 data is taken away";
  EXPECT_EQ(segment(Segment::Es).selector, kUserData32 | 3);
}

TEST_F(Far, CallGateNeedsDplOfCallerAndRpl) {
  start_protected(3);
  put(kScratch, gate(kCode32, 0x41000, 0x8C));
  expect_fault({0x9A, 0, 0, 0, 0, kScratch, 0}, Vector::Gp, kScratch);
  put(kScratch, gate(kCode32, 0x41000, 0x6C));
  expect_fault({0x9A, 0, 0, 0, 0, kScratch, 0}, Vector::Np, kScratch);
}

TEST_F(Far, JumpThroughGateMayNotChangeLevel) {
  start_protected(3);
  put(kScratch, gate(kCode32, 0x41000, 0xEC));
  expect_fault({0xEA, 0, 0, 0, 0, kScratch, 0}, Vector::Gp, kCode32);
  put(kScratch, gate(kConforming32, 0x41000, 0xEC));
  ASSERT_TRUE(execute({0xEA, 0, 0, 0, 0, kScratch, 0}));
  EXPECT_EQ(cpu_.state.cpl, 3);
}

TEST_F(Far, CallGate64SwitchesToRsp0) {
  start_long(3);
  put(kScratch, gate(kCode64, 0x41000, 0xEC));
  put(kScratch + 8, 0x12);
  bus_.poke<u32>(0x42000, 0);
  bus_.poke<u16>(0x42004, kScratch | 3);
  reg(gpr::kRax) = 0x42000;
  ASSERT_TRUE(execute({0xFF, 0x18}));  // CALL FAR [RAX]
  EXPECT_EQ(cpu_.state.rip, 0x1200041000u);
  EXPECT_EQ(cpu_.state.cpl, 0);
  EXPECT_TRUE(segment(Segment::Ss).unusable());
  EXPECT_EQ(reg(gpr::kRsp), kStack0 - 32);
  EXPECT_EQ(stack64(0), kCode + 2);
  EXPECT_EQ(stack64(2), kStack3);
  put(kScratch + 8, u64{1} << 40);
  cpu_.state.cpl = 3;
  EXPECT_FALSE(execute({0xFF, 0x18})) << "type of the upper half must be 0";
}

TEST_F(Far, LongModeHasNoTaskGates) {
  start_long();
  make_task(kScratch, 0x24000);
  bus_.poke<u16>(0x42004, kScratch);
  reg(gpr::kRax) = 0x42000;
  expect_fault({0xFF, 0x28}, Vector::Gp, kScratch);
}

TEST_F(Far, IretToOuterLevelLoadsStackAndFlags) {
  start_protected();
  push32(kUserData32 | 3);
  push32(0x37000);
  push32(flag::kIf | flag::kIopl | flag::kAc | 2);
  push32(kUserCode32 | 3);
  push32(0x41000);
  ASSERT_TRUE(execute({0xCF}));
  EXPECT_EQ(cpu_.state.cpl, 3);
  EXPECT_EQ(cpu_.state.rip, 0x41000u);
  EXPECT_EQ(reg(gpr::kRsp), 0x37000u);
  EXPECT_EQ(cpu_.rflags(), flag::kIf | flag::kIopl | flag::kAc | 2);
  EXPECT_TRUE(segment(Segment::Ds).unusable());
}

TEST_F(Far, IretAtCpl3LeavesIfAndIopl) {
  start_protected(3);
  push32(flag::kIf | flag::kIopl | flag::kCf | 2);
  push32(kUserCode32 | 3);
  push32(0x41000);
  ASSERT_TRUE(execute({0xCF}));
  EXPECT_EQ(cpu_.rflags(), flag::kCf | 2);
}

TEST_F(Far, IretToInnerLevelIsRefused) {
  start_protected(3);
  push32(2);
  push32(kCode32);
  push32(0x41000);
  expect_fault({0xCF}, Vector::Gp, kCode32);
}

TEST_F(Far, Iret64PopsSsAlways) {
  start_long();
  push64(0);
  push64(0x2A000);
  push64(flag::kIf | 2);
  push64(kCode64);
  push64(0x41000);
  ASSERT_TRUE(execute({0x48, 0xCF}));
  EXPECT_EQ(reg(gpr::kRsp), 0x2A000u);
  EXPECT_EQ(segment(Segment::Ss).selector, 0);
  EXPECT_TRUE(cpu_.rflags() & flag::kIf);
}

TEST_F(Far, Iret64ToUserNeedsAStackSelector) {
  start_long();
  push64(0);
  push64(0x37000);
  push64(2);
  push64(kUserCode64 | 3);
  push64(0x41000);
  expect_fault({0x48, 0xCF}, Vector::Gp, 0);
  bus_.poke<u64>(kStack0 - 8, kUserData32 | 3);
  ASSERT_TRUE(execute({0x48, 0xCF}));
  EXPECT_EQ(cpu_.state.cpl, 3);
}

TEST_F(Far, Iret64ToNonCanonicalIsGp) {
  start_long();
  push64(kUserData32 | 3);
  push64(0x37000);
  push64(2);
  push64(kUserCode64 | 3);
  push64(u64{1} << 47);
  expect_fault({0x48, 0xCF}, Vector::Gp, 0);
}

TEST_F(Far, IretKeepsNullFsWithItsBase) {
  start_long();
  segment(Segment::Fs).base = 0x123456789A;
  push64(kUserData32 | 3);
  push64(0x37000);
  push64(2);
  push64(kUserCode64 | 3);
  push64(0x41000);
  ASSERT_TRUE(execute({0x48, 0xCF}));
  EXPECT_EQ(segment(Segment::Fs).base, 0x123456789Au);
}

TEST_F(Far, IretWithNtInLongModeIsGp) {
  start_long();
  cpu_.state.rflags |= flag::kNt;
  expect_fault({0x48, 0xCF}, Vector::Gp, 0);
}

TEST_F(Far, IretUnblocksNmi) {
  start_protected();
  cpu_.state.nmi_blocked = true;
  push32(2);
  push32(kCode32);
  push32(0x41000);
  ASSERT_TRUE(execute({0xCF}));
  EXPECT_FALSE(cpu_.state.nmi_blocked);
}

class Task : public Far {};

TEST_F(Task, JumpSavesOldTaskAndMovesBusy) {
  start_protected();
  put(kTssSelector, get(kTssSelector) | u64{2} << 40);
  make_task(kScratch, 0x24000);
  reg(gpr::kRbx) = 0x22222222;
  ASSERT_TRUE(execute({0xEA, 0, 0, 0, 0, kScratch, 0}));
  EXPECT_EQ(cpu_.state.rip, 0x41000u);
  EXPECT_EQ(reg(gpr::kRax), 0x11111111u);
  EXPECT_EQ(reg(gpr::kRsp), 0x2F000u);
  EXPECT_EQ(cpu_.rflags(), flag::kCf | 2);
  EXPECT_EQ(bus_.peek<u32>(kTss + 0x20), kCode + 7);
  EXPECT_EQ(bus_.peek<u32>(kTss + 0x34), 0x22222222u);
  EXPECT_EQ(bus_.peek<u16>(kTss + 0x4C), kCode32);
  EXPECT_EQ(bits(get(kTssSelector), 43, 40), 9u) << "old one available";
  EXPECT_EQ(bits(get(kScratch), 43, 40), 11u) << "new one busy";
  EXPECT_TRUE(cpu_.state.cr0 & cr0::kTs);
  EXPECT_EQ(cpu_.state.tr.selector, kScratch);
}

TEST_F(Task, CallNestsAndIretReturns) {
  start_protected();
  put(kTssSelector, get(kTssSelector) | u64{2} << 40);
  make_task(kScratch, 0x24000);
  ASSERT_TRUE(execute({0x9A, 0, 0, 0, 0, kScratch, 0}));
  EXPECT_TRUE(cpu_.rflags() & flag::kNt);
  EXPECT_EQ(bus_.peek<u16>(0x24000), kTssSelector);
  EXPECT_EQ(bits(get(kTssSelector), 43, 40), 11u) << "the caller stays busy";
  ASSERT_TRUE(execute({0xCF}));
  EXPECT_EQ(cpu_.state.tr.selector, kTssSelector);
  EXPECT_EQ(cpu_.state.rip, kCode + 7);
  EXPECT_EQ(bits(get(kScratch), 43, 40), 9u);
  EXPECT_FALSE(bus_.peek<u32>(0x24024) & flag::kNt) << "NT cleared in the saved image";
}

TEST_F(Task, BusyTaskIsRefused) {
  start_protected();
  make_task(kScratch, 0x24000);
  put(kScratch, get(kScratch) | u64{2} << 40);
  expect_fault({0xEA, 0, 0, 0, 0, kScratch, 0}, Vector::Gp, kScratch);
}

TEST_F(Task, ShortTssIsInvalid) {
  start_protected();
  make_task(kScratch, 0x24000);
  put(kScratch, descriptor(0x24000, 0x66, 0x89, 0));
  expect_fault({0xEA, 0, 0, 0, 0, kScratch, 0}, Vector::Ts, kScratch);
}

TEST_F(Task, BadSegmentFaultsInTheNewTask) {
  start_protected();
  make_task(kScratch, 0x24000);
  bus_.poke<u16>(0x24000 + 0x54, 0x1F00);  // DS beyond the GDT
  EXPECT_FALSE(execute({0xEA, 0, 0, 0, 0, kScratch, 0}));
  EXPECT_EQ(cpu_.fault.vector, Vector::Ts);
  EXPECT_EQ(cpu_.fault.error_code, 0x1F00u);
  EXPECT_EQ(cpu_.state.rip, 0x41000u) << "of the new task";
  EXPECT_EQ(cpu_.state.tr.selector, kScratch);
}

TEST_F(Task, Tss16LoadsWordRegisters) {
  start_protected();
  put(kScratch, descriptor(0x24000, 0x2B, 0x81, 0));
  put(kCode16, descriptor(0, 0xFFFF, 0x9A, 0));
  bus_.poke<u16>(0x2400E, 0x1234);
  bus_.poke<u16>(0x24010, 2);
  bus_.poke<u16>(0x24012, 0xABCD);
  bus_.poke<u16>(0x2401A, 0x7000);
  bus_.poke<u16>(0x24024, kCode16);
  for (const u32 offset : {0x22, 0x26, 0x28}) bus_.poke<u16>(0x24000 + offset, kData16);
  ASSERT_TRUE(execute({0xEA, 0, 0, 0, 0, kScratch, 0}));
  EXPECT_EQ(cpu_.state.rip, 0x1234u);
  EXPECT_EQ(reg(gpr::kRax) & 0xFFFF, 0xABCDu);
  EXPECT_TRUE(segment(Segment::Fs).unusable());
  EXPECT_EQ(cpu_.mode.code_size, CodeSize::Bits16);
}

TEST_F(Task, TrapBitOfTheNewTssRaisesDebug) {
  start_protected();
  make_task(kScratch, 0x24000);
  bus_.poke<u16>(0x24064, 1);
  ASSERT_TRUE(execute({0xEA, 0, 0, 0, 0, kScratch, 0}));
  EXPECT_EQ(cpu_.state.rip, handler_of(1));
  EXPECT_TRUE(has_bit(cpu_.state.dr[6], 15));
  EXPECT_EQ(stack32(0), 0x41000u);
}

class Vm86 : public Far {
 protected:
  void start_vm86(unsigned iopl, bool vme) {
    start_protected();
    cpu_.state.cr4 = vme ? cr4::kVme : 0;
    for (const u16 selector : {0x1234, 0x2345, 0x3456, 0x4567}) push32(selector);  // GS FS DS ES
    push32(0x3000);                                                                // SS
    push32(0x1000);                                                                // ESP
    push32(flag::kVm | iopl << 12 | 2);
    push32(0x4000);
    push32(0x100);
    ASSERT_TRUE(execute({0xCF}));
  }
};

TEST_F(Vm86, IretEntersWithRealModeSegments) {
  start_vm86(0, false);
  EXPECT_TRUE(cpu_.mode.vm86);
  EXPECT_EQ(cpu_.state.cpl, 3);
  EXPECT_EQ(segment(Segment::Cs).base, 0x40000u);
  EXPECT_EQ(segment(Segment::Es).base, 0x45670u);
  EXPECT_EQ(segment(Segment::Gs).selector, 0x1234);
  EXPECT_EQ(segment(Segment::Ss).attributes, 0xF3u);
  EXPECT_EQ(reg(gpr::kRsp), 0x1000u);
}

TEST_F(Vm86, InterruptLeavesThroughTheTssStackAndSavesSegments) {
  start_vm86(0, false);
  system::deliver_interrupt(cpu_, 0x20, system::Source::Hardware);
  EXPECT_FALSE(cpu_.mode.vm86);
  EXPECT_EQ(cpu_.state.cpl, 0);
  EXPECT_EQ(reg(gpr::kRsp), kStack0 - 36);
  EXPECT_EQ(stack32(0), 0x100u);
  EXPECT_EQ(stack32(2), flag::kVm | 2);
  EXPECT_EQ(stack32(4), 0x3000u);
  EXPECT_EQ(stack32(5), 0x4567u) << "ES";
  EXPECT_EQ(stack32(8), 0x1234u) << "GS";
  EXPECT_TRUE(segment(Segment::Ds).unusable());
}

TEST_F(Vm86, SensitiveInstructionsNeedIopl3) {
  start_vm86(0, false);
  expect_fault({0xCD, 0x21}, Vector::Gp, 0);
  expect_fault({0x9C}, Vector::Gp, 0);
  expect_fault({0x9D}, Vector::Gp, 0);
  expect_fault({0xFA}, Vector::Gp, 0);
  expect_fault({0xFB}, Vector::Gp, 0);
  expect_fault({0xCF}, Vector::Gp, 0);
  expect_fault({0xF4}, Vector::Gp, 0);
}

TEST_F(Vm86, VmeRedirectsInterruptsByTheBitmap) {
  start_vm86(0, true);
  bus_.poke<u16>(kTss + 0x66, 0x100);
  bus_.poke<u8>(kTss + 0xE0 + 4, 0x01);  // INT 20h goes to the monitor
  expect_fault({0xCD, 0x20}, Vector::Gp, 0);
  bus_.poke<u32>(0x21 * 4, 0x20000345);
  cpu_.state.rflags |= flag::kVif;
  ASSERT_TRUE(execute({0xCD, 0x21}));
  EXPECT_TRUE(cpu_.mode.vm86);
  EXPECT_EQ(cpu_.state.rip, 0x345u);
  EXPECT_EQ(segment(Segment::Cs).selector, 0x2000);
  EXPECT_EQ(bus_.peek<u16>(0x30000 + 0xFFE), flag::kIf | flag::kIopl | 2) << "VIF shown as IF";
  EXPECT_FALSE(cpu_.rflags() & flag::kVif);
  ASSERT_TRUE(execute({0xCF}));
  EXPECT_EQ(cpu_.state.rip, 0x102u);
  EXPECT_TRUE(cpu_.rflags() & flag::kVif);
  EXPECT_FALSE(cpu_.rflags() & flag::kIf);
}

TEST_F(Vm86, VmeStiWithPendingInterruptIsGp) {
  start_vm86(0, true);
  ASSERT_TRUE(execute({0xFB}));
  EXPECT_TRUE(cpu_.rflags() & flag::kVif);
  ASSERT_TRUE(execute({0xFA}));
  EXPECT_FALSE(cpu_.rflags() & flag::kVif);
  cpu_.state.rflags |= flag::kVip;
  expect_fault({0xFB}, Vector::Gp, 0);
}

}  // namespace
}  // namespace xm::cpu::test
