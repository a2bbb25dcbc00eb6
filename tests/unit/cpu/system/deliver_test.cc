// SPDX-License-Identifier: GPL-2.0-or-later
// Delivery of interrupts and exceptions in every mode. [SDM3 6, SDM2 INT n]
#include "tests/unit/cpu/system/bench.h"

namespace xm::cpu::test {
namespace {

using system::deliver_exception;
using system::deliver_interrupt;
using system::Source;

class Deliver : public SystemBench {};

TEST_F(Deliver, RealModePushesFlagsCsIpAndClearsIfTf) {
  start_real();
  bus_.poke<u32>(0x21 * 4, 0x20000345);
  cpu_.set_rflags(flag::kIf | flag::kTf | flag::kCf | 2);
  ASSERT_TRUE(execute({0xCD, 0x21}));
  EXPECT_EQ(cpu_.state.rip, 0x345u);
  EXPECT_EQ(segment(Segment::Cs).base, 0x20000u);
  EXPECT_EQ(reg(gpr::kRsp), 0x8000u - 6);
  EXPECT_EQ(bus_.peek<u16>(0x8000 - 6), 0x102);
  EXPECT_EQ(bus_.peek<u16>(0x8000 - 4), 0x100);
  EXPECT_EQ(bus_.peek<u16>(0x8000 - 2), flag::kIf | flag::kTf | flag::kCf | 2);
  EXPECT_EQ(cpu_.rflags(), flag::kCf | 2);
}

TEST_F(Deliver, RealModeExceptionHasNoErrorCode) {
  start_real();
  bus_.poke<u32>(13 * 4, 0x30000010);
  deliver_exception(cpu_, {.vector = Vector::Gp, .has_error_code = true, .error_code = 0});
  EXPECT_EQ(cpu_.state.rip, 0x10u);
  EXPECT_EQ(reg(gpr::kRsp), 0x8000u - 6);
}

TEST_F(Deliver, EmptyIdtInRealModeIsATripleFault) {
  start_real();
  cpu_.state.idtr.limit = 0;
  deliver_interrupt(cpu_, 8, Source::Hardware);
  EXPECT_EQ(cpu_.state.activity, Activity::Shutdown);
}

TEST_F(Deliver, SamePrivilegeFrameWithErrorCode) {
  start_protected();
  deliver_exception(cpu_, {.vector = Vector::Gp, .has_error_code = true, .error_code = 0x58});
  EXPECT_EQ(cpu_.state.rip, handler_of(13));
  EXPECT_EQ(reg(gpr::kRsp), kStack0 - 16);
  EXPECT_EQ(stack32(0), 0x58u);
  EXPECT_EQ(stack32(1), kCode);
  EXPECT_EQ(stack32(2), kCode32);
  EXPECT_EQ(stack32(3), 2u | flag::kRf) << "faults push RF";
}

TEST_F(Deliver, InnerPrivilegeSwitchesToTheStackOfTheTss) {
  start_protected(3);
  cpu_.set_rflags(flag::kIf | flag::kTf | flag::kNt | 2);
  deliver_interrupt(cpu_, 0x20, Source::Hardware);
  EXPECT_EQ(cpu_.state.cpl, 0);
  EXPECT_EQ(segment(Segment::Cs).selector, kCode32);
  EXPECT_EQ(segment(Segment::Ss).selector, kData32);
  EXPECT_EQ(reg(gpr::kRsp), kStack0 - 20);
  EXPECT_EQ(stack32(0), kCode);
  EXPECT_EQ(stack32(1), kUserCode32 | 3u);
  EXPECT_EQ(stack32(2), flag::kIf | flag::kTf | flag::kNt | 2);
  EXPECT_EQ(stack32(3), kStack3);
  EXPECT_EQ(stack32(4), kUserData32 | 3u);
  EXPECT_EQ(cpu_.rflags(), 2u);
}

TEST_F(Deliver, TrapGateKeepsIf) {
  start_protected();
  set_gate32(0x30, gate(kCode32, 0x1234, 0x8F));
  cpu_.set_rflags(flag::kIf | 2);
  deliver_interrupt(cpu_, 0x30, Source::Hardware);
  EXPECT_EQ(cpu_.rflags(), flag::kIf | 2);
}

TEST_F(Deliver, Gate16PushesWords) {
  start_protected();
  set_gate32(0x30, gate(kCode16, 0x8765, 0x86));
  deliver_interrupt(cpu_, 0x30, Source::Hardware);
  EXPECT_EQ(cpu_.state.rip, 0x8765u);
  EXPECT_EQ(reg(gpr::kRsp), kStack0 - 6);
  EXPECT_EQ(cpu_.mode.code_size, CodeSize::Bits16);
}

TEST_F(Deliver, SoftwareInterruptNeedsGateDpl) {
  start_protected(3);
  expect_fault({0xCD, 0x30}, Vector::Gp, 0x30 * 8 + 2);
  set_gate32(0x30, gate(kCode32, 0x1234, 0xEE));
  ASSERT_TRUE(execute({0xCD, 0x30}));
  EXPECT_EQ(stack32(0), kCode + 2);
}

TEST_F(Deliver, Int1IgnoresGateDpl) {
  start_protected(3);
  ASSERT_TRUE(execute({0xF1}));
  EXPECT_EQ(cpu_.state.rip, handler_of(1));
  EXPECT_EQ(stack32(0), kCode + 1);
}

TEST_F(Deliver, ErrorCodeNamesTheIdtEntryWithExt) {
  start_protected();
  set_gate32(0x31, gate(kCode32, 0, 0x0E));  // not present
  deliver_interrupt(cpu_, 0x31, Source::Hardware);
  EXPECT_EQ(cpu_.state.rip, handler_of(11));
  EXPECT_EQ(stack32(0), 0x31u * 8 + 3);
}

TEST_F(Deliver, ContributoryFaultsMakeADoubleFault) {
  start_protected();
  set_gate32(13, 0);
  deliver_exception(cpu_, {.vector = Vector::Gp, .has_error_code = true, .error_code = 0});
  EXPECT_EQ(cpu_.state.rip, handler_of(8));
  EXPECT_EQ(stack32(0), 0u);
}

TEST_F(Deliver, BenignThenContributoryIsServedInTurn) {
  start_protected();
  set_gate32(6, 0);
  deliver_exception(cpu_, {.vector = Vector::Ud});
  EXPECT_EQ(cpu_.state.rip, handler_of(13));
  EXPECT_EQ(stack32(0), 6u * 8 + 3);
}

TEST_F(Deliver, FaultWhileDeliveringDoubleFaultShutsDown) {
  start_protected();
  set_gate32(13, 0);
  set_gate32(8, 0);
  deliver_exception(cpu_, {.vector = Vector::Gp, .has_error_code = true, .error_code = 0});
  EXPECT_EQ(cpu_.state.activity, Activity::Shutdown);
}

TEST_F(Deliver, BadStackInTssIsInvalidTss) {
  start_protected(3);
  bus_.poke<u16>(kTss + 8, kUserData32 | 3);
  set_gate32(10, gate(kConforming32, static_cast<u32>(handler_of(10)), 0x8E));
  deliver_interrupt(cpu_, 0x20, Source::Hardware);
  EXPECT_EQ(cpu_.state.rip, handler_of(10));
  EXPECT_EQ(cpu_.state.cpl, 3) << "conforming handler";
  EXPECT_EQ(stack32(0), kUserData32 + 1u);
}

TEST_F(Deliver, TaskGateSwitchesAndPushesErrorCodeOnTheNewStack) {
  start_protected();
  constexpr u32 kNewTss = 0x24000;
  put(kScratch, descriptor(kNewTss, 0x67, 0x89, 0));
  bus_.poke<u32>(kNewTss + 0x20, 0x41000);
  bus_.poke<u32>(kNewTss + 0x24, 2);
  bus_.poke<u32>(kNewTss + 0x38, 0x2F000);
  for (const u32 offset : {0x48, 0x50, 0x54}) bus_.poke<u16>(kNewTss + offset, kData32);
  bus_.poke<u16>(kNewTss + 0x4C, kCode32);
  set_gate32(8, gate(kScratch, 0, 0x85));
  set_gate32(13, 0);
  deliver_exception(cpu_, {.vector = Vector::Gp, .has_error_code = true, .error_code = 0});
  EXPECT_EQ(cpu_.state.rip, 0x41000u);
  EXPECT_EQ(reg(gpr::kRsp), 0x2F000u - 4);
  EXPECT_EQ(stack32(0), 0u);
  EXPECT_EQ(cpu_.state.tr.selector, kScratch);
  EXPECT_EQ(bus_.peek<u16>(kNewTss), kTssSelector) << "link to the old task";
  EXPECT_TRUE(cpu_.rflags() & flag::kNt);
  EXPECT_EQ(bus_.peek<u32>(kTss + 0x20), kCode) << "EIP saved in the old TSS";
}

TEST_F(Deliver, LongModeAlignsTheStackAndPushesSs) {
  start_long();
  reg(gpr::kRsp) = kStack0 - 3;
  deliver_exception(cpu_, {.vector = Vector::Gp, .has_error_code = true, .error_code = 8});
  EXPECT_EQ(cpu_.state.rip, handler_of(13));
  EXPECT_EQ(reg(gpr::kRsp), kStack0 - 16 - 48);
  EXPECT_EQ(stack64(0), 8u);
  EXPECT_EQ(stack64(1), kCode);
  EXPECT_EQ(stack64(2), kCode64);
  EXPECT_EQ(stack64(4), kStack0 - 3);
  EXPECT_EQ(stack64(5), kData32);
}

TEST_F(Deliver, LongModeInnerLevelLoadsNullSs) {
  start_long(3);
  deliver_interrupt(cpu_, 0x20, Source::Hardware);
  EXPECT_EQ(cpu_.state.cpl, 0);
  EXPECT_EQ(segment(Segment::Ss).selector, 0);
  EXPECT_TRUE(segment(Segment::Ss).unusable());
  EXPECT_EQ(reg(gpr::kRsp), kStack0 - 40);
  EXPECT_EQ(stack64(4), kUserData32 | 3u);
}

TEST_F(Deliver, IstSwitchesEvenAtTheSameLevel) {
  start_long();
  set_gate64(2, kCode64, handler_of(2), 0x8E, 3);
  bus_.poke<u64>(kTss + 0x1C + 3 * 8, 0x2A000);
  cpu_.signals.set(Signals::kNmi);
  EXPECT_TRUE(system::service_signals(cpu_));
  EXPECT_EQ(reg(gpr::kRsp), 0x2A000u - 40);
  EXPECT_TRUE(cpu_.state.nmi_blocked);
  cpu_.signals.set(Signals::kNmi);
  EXPECT_FALSE(system::service_signals(cpu_)) << "held until IRET";
}

TEST_F(Deliver, StiHoldsOffNmis) {
  start_long();
  set_gate64(2, kCode64, handler_of(2), 0x8E);
  cpu_.signals.set(Signals::kNmi);
  cpu_.state.interrupt_shadow = InterruptShadow::Sti;
  EXPECT_FALSE(system::service_signals(cpu_));
  cpu_.state.interrupt_shadow = InterruptShadow::None;
  EXPECT_TRUE(system::service_signals(cpu_));
}

TEST_F(Deliver, LongModeGateToCompatibilityCodeIsGp) {
  start_long();
  set_gate64(0x20, kCode32, 0x1000, 0x8E);
  deliver_interrupt(cpu_, 0x20, Source::Hardware);
  EXPECT_EQ(cpu_.state.rip, handler_of(13));
  EXPECT_EQ(stack64(0), kCode32 + 1u);
}

TEST_F(Deliver, PageFaultSetsCr2) {
  start_long();
  deliver_exception(cpu_, {.vector = Vector::Pf, .has_error_code = true, .error_code = 2, .address = 0xDEAD000});
  EXPECT_EQ(cpu_.state.cr2, 0xDEAD000u);
  EXPECT_EQ(stack64(0), 2u);
}

TEST_F(Deliver, PageFaultOnTheHandlersStackIsADoubleFault) {
  start_long(3);
  bus_.poke<u64>(kTss + 4, 0x100000);
  unmap(0xFF000);
  set_gate64(8, kCode64, handler_of(8), 0x8E, 1);
  bus_.poke<u64>(kTss + 0x24, 0x2A000);
  deliver_exception(cpu_, {.vector = Vector::Pf, .has_error_code = true, .error_code = 4, .address = 0x1234});
  EXPECT_EQ(cpu_.state.rip, handler_of(8));
  EXPECT_EQ(cpu_.state.cr2, 0xFFFF8u) << "of the second fault";
  EXPECT_EQ(cpu_.state.activity, Activity::Running);
}

TEST_F(Deliver, NonCanonicalStackIsStackFault) {
  start_long(3);
  bus_.poke<u64>(kTss + 4, u64{1} << 50);
  set_gate64(12, kCode64, handler_of(12), 0x8E, 1);
  bus_.poke<u64>(kTss + 0x24, 0x2A000);
  deliver_interrupt(cpu_, 0x20, Source::Hardware);
  EXPECT_EQ(cpu_.state.rip, handler_of(12));
  EXPECT_EQ(stack64(0), 1u) << "EXT";
}

TEST_F(Deliver, DebugExceptionSetsDr6AndClearsGeneralDetect) {
  start_protected();
  cpu_.state.dr[7] = 0x2400;
  expect_fault({0x0F, 0x21, 0xC0}, Vector::Db, 0);
  deliver_exception(cpu_, cpu_.fault);
  EXPECT_EQ(cpu_.state.dr[6], 0xFFFF2FF0u);
  EXPECT_EQ(cpu_.state.dr[7], 0x400u);
  EXPECT_EQ(stack32(0), kCode);
}

class Pins : public SystemBench {};

TEST_F(Pins, InterruptNeedsIfAndNoShadow) {
  start_protected();
  cpu_.signals.set(Signals::kIntr);
  bus_.interrupt_vector = 0x20;
  EXPECT_FALSE(system::service_signals(cpu_));
  ASSERT_TRUE(execute({0xFB}));  // STI
  EXPECT_FALSE(system::service_signals(cpu_)) << "shadow of STI";
  cpu_.state.interrupt_shadow = InterruptShadow::None;
  EXPECT_TRUE(system::service_signals(cpu_));
  EXPECT_EQ(cpu_.state.rip, handler_of(0x20));
}

TEST_F(Pins, InterruptWakesFromHalt) {
  start_protected();
  cpu_.state.rflags |= flag::kIf;
  ASSERT_TRUE(execute({0xF4}));
  EXPECT_EQ(cpu_.state.activity, Activity::Halted);
  EXPECT_FALSE(system::service_signals(cpu_));
  cpu_.signals.set(Signals::kIntr);
  bus_.interrupt_vector = 0x21;
  EXPECT_TRUE(system::service_signals(cpu_));
  EXPECT_EQ(cpu_.state.activity, Activity::Running);
  EXPECT_EQ(stack32(0), kCode + 1) << "HLT has been executed";
}

TEST_F(Pins, InterruptThatHasGoneAwayDoesNotWake) {
  start_protected();
  cpu_.state.rflags |= flag::kIf;
  cpu_.state.activity = Activity::Halted;
  cpu_.signals.set(Signals::kIntr);
  EXPECT_FALSE(system::service_signals(cpu_));
  EXPECT_EQ(cpu_.state.activity, Activity::Halted);
}

TEST_F(Pins, InitThenSipiStartsAnApplicationProcessor) {
  start_long();
  bus_.apic_base_msr = 0xFEE00800;  // not the bootstrap processor
  cpu_.signals.set(Signals::kInit);
  EXPECT_TRUE(system::service_signals(cpu_));
  EXPECT_EQ(cpu_.state.activity, Activity::WaitForSipi);
  EXPECT_EQ(cpu_.state.msr.efer, 0u);
  EXPECT_EQ(cpu_.mode.code_size, CodeSize::Bits16);
  cpu_.signals.sipi_vector = 0x9F;
  cpu_.signals.set(Signals::kSipi);
  EXPECT_TRUE(system::service_signals(cpu_));
  EXPECT_EQ(cpu_.state.activity, Activity::Running);
  EXPECT_EQ(segment(Segment::Cs).selector, 0x9F00);
  EXPECT_EQ(segment(Segment::Cs).base, 0x9F000u);
  EXPECT_EQ(cpu_.state.rip, 0u);
}

TEST_F(Pins, SipiIsLostUnlessWaitedFor) {
  start_protected();
  cpu_.signals.set(Signals::kSipi);
  EXPECT_FALSE(system::service_signals(cpu_));
  EXPECT_EQ(cpu_.signals.load() & Signals::kSipi, 0u);
}

}  // namespace
}  // namespace xm::cpu::test
