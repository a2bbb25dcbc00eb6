// SPDX-License-Identifier: GPL-2.0-or-later
// Segment loads, control and debug registers, MSRs, system calls, ports, state images. [SDM2, SDM3 2, 5, 17]
#include "cpu/system/msr.h"
#include "tests/unit/cpu/system/bench.h"

namespace xm::cpu::test {
namespace {

class SegmentLoad : public SystemBench {};

TEST_F(SegmentLoad, RealModeKeepsLimitAndAttributes) {
  start_real();
  segment(Segment::Ds).limit = 0xFFFFFFFF;
  reg(gpr::kRax) = 0xF000;
  ASSERT_TRUE(execute({0x8E, 0xD8}));
  EXPECT_EQ(segment(Segment::Ds).base, 0xF0000u);
  EXPECT_EQ(segment(Segment::Ds).limit, 0xFFFFFFFFu) << "big real mode";
}

TEST_F(SegmentLoad, DataSegmentRules) {
  start_protected(3);
  reg(gpr::kRax) = 3;
  ASSERT_TRUE(execute({0x8E, 0xD8})) << "null is legal for DS";
  EXPECT_TRUE(segment(Segment::Ds).unusable());
  reg(gpr::kRax) = kData32 | 3;
  expect_fault({0x8E, 0xD8}, Vector::Gp, kData32);
  reg(gpr::kRax) = kConforming32 | 3;
  ASSERT_TRUE(execute({0x8E, 0xD8})) << "readable conforming code of any DPL";
  put(kScratch, descriptor(0, 0xFFFFF, 0xF8, 0xC));
  reg(gpr::kRax) = kScratch | 3;
  expect_fault({0x8E, 0xD8}, Vector::Gp, kScratch);  // execute-only
  put(kScratch, descriptor(0, 0xFFFFF, 0x72, 0xC));
  expect_fault({0x8E, 0xD8}, Vector::Np, kScratch);
  reg(gpr::kRax) = kTssSelector | 3;
  expect_fault({0x8E, 0xD8}, Vector::Gp, kTssSelector);
}

TEST_F(SegmentLoad, StackSegmentRules) {
  start_protected(3);
  reg(gpr::kRax) = 3;
  expect_fault({0x8E, 0xD0}, Vector::Gp, 0);
  reg(gpr::kRax) = kUserCode32 | 3;
  expect_fault({0x8E, 0xD0}, Vector::Gp, kUserCode32);
  put(kScratch, descriptor(0, 0xFFFFF, 0x72, 0xC));
  reg(gpr::kRax) = kScratch | 3;
  expect_fault({0x8E, 0xD0}, Vector::Ss, kScratch);
  put(kScratch, descriptor(0x1000, 0xFFFF, 0xF2, 0));
  ASSERT_TRUE(execute({0x8E, 0xD0}));
  EXPECT_EQ(cpu_.state.interrupt_shadow, InterruptShadow::MovSs);
  EXPECT_TRUE(has_bit(get(kScratch), 40)) << "accessed";
  EXPECT_FALSE(cpu_.mode.stack32);
}

TEST_F(SegmentLoad, NullSsIsLegalInKernelOf64BitMode) {
  start_long();
  reg(gpr::kRax) = 0;
  EXPECT_TRUE(execute({0x8E, 0xD0}));
  reg(gpr::kRax) = 3;
  expect_fault({0x8E, 0xD0}, Vector::Gp, 0);
}

TEST_F(SegmentLoad, ByLdt) {
  start_protected();
  put(kScratch, descriptor(kLdt, 0xF, 0x82, 0));
  reg(gpr::kRax) = kScratch;
  ASSERT_TRUE(execute({0x0F, 0x00, 0xD0}));
  bus_.poke<u64>(kLdt + 8, descriptor(0x5000, 0xFFF, 0x92, 0x4));
  reg(gpr::kRax) = 0xC;
  ASSERT_TRUE(execute({0x8E, 0xC0}));
  EXPECT_EQ(segment(Segment::Es).base, 0x5000u);
  reg(gpr::kRax) = 0x14;
  expect_fault({0x8E, 0xC0}, Vector::Gp, 0x14);
}

TEST_F(SegmentLoad, LssLoadsBothOrNothing) {
  start_protected();
  bus_.poke<u32>(0x42000, 0x12345678);
  bus_.poke<u16>(0x42004, kUserData32);
  reg(gpr::kRax) = 0x42000;
  expect_fault({0x0F, 0xB2, 0x18}, Vector::Gp, kUserData32);
  EXPECT_EQ(reg(gpr::kRbx), 0u);
  bus_.poke<u16>(0x42004, kData32);
  ASSERT_TRUE(execute({0x0F, 0xB2, 0x20}));
  EXPECT_EQ(reg(gpr::kRsp), 0x12345678u);
}

TEST_F(SegmentLoad, LtrMarksBusyAndRefusesBusy) {
  start_long();
  reg(gpr::kRax) = kTssSelector;
  ASSERT_TRUE(execute({0x0F, 0x00, 0xD8}));
  EXPECT_EQ(bits(get(kTssSelector), 43, 40), 11u);
  expect_fault({0x0F, 0x00, 0xD8}, Vector::Gp, kTssSelector);
}

TEST_F(SegmentLoad, QueriesSetZf) {
  start_protected(3);
  const auto zf = [&] { return (cpu_.rflags() & flag::kZf) != 0; };
  reg(gpr::kRcx) = kUserData32 | 3;
  ASSERT_TRUE(execute({0x0F, 0x02, 0xC1}));  // LAR
  EXPECT_TRUE(zf());
  EXPECT_EQ(reg(gpr::kRax) & 0xFFF0FFFF, 0xC0F300u);
  ASSERT_TRUE(execute({0x0F, 0x03, 0xC1}));  // LSL
  EXPECT_EQ(reg(gpr::kRax), 0xFFFFFFFFu);
  ASSERT_TRUE(execute({0x0F, 0x00, 0xE9}));  // VERW
  EXPECT_TRUE(zf());
  reg(gpr::kRcx) = kData32;
  ASSERT_TRUE(execute({0x0F, 0x00, 0xE1}));  // VERR
  EXPECT_FALSE(zf()) << "DPL 0";
  reg(gpr::kRcx) = 0;
  ASSERT_TRUE(execute({0x0F, 0x02, 0xC1}));
  EXPECT_FALSE(zf()) << "null";
}

class Control : public SystemBench {};

TEST_F(Control, PagingNeedsProtection) {
  start_real();
  reg(gpr::kRax) = cr0::kPg;
  expect_fault({0x0F, 0x22, 0xC0}, Vector::Gp, 0);
  reg(gpr::kRax) = cr0::kNw;
  expect_fault({0x0F, 0x22, 0xC0}, Vector::Gp, 0);
}

TEST_F(Control, PagingWithLmeEntersLongMode) {
  start_protected();
  cpu_.state.msr.efer = efer::kLme;
  reg(gpr::kRax) = cpu_.state.cr0 | cr0::kPg;
  expect_fault({0x0F, 0x22, 0xC0}, Vector::Gp, 0);  // CR4.PAE is clear
  cpu_.state.cr4 = cr4::kPae;
  cpu_.state.cr3 = kPageTables;
  ASSERT_TRUE(execute({0x0F, 0x22, 0xC0}));
  EXPECT_TRUE(cpu_.state.msr.efer & efer::kLma);
  EXPECT_TRUE(cpu_.mode.long_mode);
  EXPECT_FALSE(cpu_.mode.bits64) << "still in compatibility mode";
  reg(gpr::kRax) = cpu_.state.cr0 & ~cr0::kPg;
  cpu_.update_mode();
  EXPECT_TRUE(execute({0x0F, 0x22, 0xC0}));
  EXPECT_FALSE(cpu_.mode.long_mode);
}

TEST_F(Control, ReservedBitsAndPrivilege) {
  start_long();
  reg(gpr::kRax) = cpu_.state.cr4 | bit(63);
  expect_fault({0x0F, 0x22, 0xE0}, Vector::Gp, 0);
  reg(gpr::kRax) = cpu_.state.cr4 & ~cr4::kPae;
  expect_fault({0x0F, 0x22, 0xE0}, Vector::Gp, 0);
  reg(gpr::kRax) = cpu_.state.cr0 | bit(40);
  expect_fault({0x0F, 0x22, 0xC0}, Vector::Gp, 0);
  start_long(3);
  expect_fault({0x0F, 0x20, 0xC0}, Vector::Gp, 0);
}

TEST_F(Control, PcideNeedsClearPcid) {
  start_long();
  cpu_.state.cr3 |= 1;
  reg(gpr::kRax) = cpu_.state.cr4 | cr4::kPcide;
  expect_fault({0x0F, 0x22, 0xE0}, Vector::Gp, 0);
  cpu_.state.cr3 &= ~u64{1};
  ASSERT_TRUE(execute({0x0F, 0x22, 0xE0}));
  reg(gpr::kRax) = kPageTables | 5 | bit(63);
  ASSERT_TRUE(execute({0x0F, 0x22, 0xD8}));
  EXPECT_EQ(cpu_.state.cr3, kPageTables | 5) << "bit 63 is not stored";
}

TEST_F(Control, PaePdptesAreChecked) {
  start_protected();
  cpu_.state.cr4 = cr4::kPae;
  cpu_.state.cr0 |= cr0::kPg;
  cpu_.update_mode();
  bus_.poke<u64>(kPageTables, 1 | 1 << 5);
  cpu_.state.cr0 &= ~cr0::kPg;
  cpu_.update_mode();
  cpu_.state.cr3 = kPageTables;
  reg(gpr::kRax) = cpu_.state.cr0 | cr0::kPg;
  expect_fault({0x0F, 0x22, 0xC0}, Vector::Gp, 0);
}

TEST_F(Control, Cr8IsTheTaskPriority) {
  start_long();
  reg(gpr::kRax) = 9;
  ASSERT_TRUE(execute({0x44, 0x0F, 0x22, 0xC0}));
  EXPECT_EQ(bus_.cr8, 9);
  reg(gpr::kRax) = 16;
  expect_fault({0x44, 0x0F, 0x22, 0xC0}, Vector::Gp, 0);
}

TEST_F(Control, LmswSetsButNeverClearsPe) {
  start_protected();
  reg(gpr::kRax) = 0xE;
  ASSERT_TRUE(execute({0x0F, 0x01, 0xF0}));
  EXPECT_EQ(cpu_.state.cr0 & 0xF, 0xFu);
}

TEST_F(Control, UmipHidesTables) {
  start_long(3);
  cpu_.state.cr4 |= cr4::kUmip;
  reg(gpr::kRbx) = 0x42000;
  expect_fault({0x0F, 0x01, 0x03}, Vector::Gp, 0);
  expect_fault({0x0F, 0x01, 0xE0}, Vector::Gp, 0);
  cpu_.state.cr4 &= ~cr4::kUmip;
  ASSERT_TRUE(execute({0x0F, 0x01, 0x03}));
  EXPECT_EQ(bus_.peek<u64>(0x42002), kGdt);
}

TEST_F(Control, LgdtMasksTheBaseWith16BitOperands) {
  start_real();
  bus_.poke<u16>(0x500, 0x7F);
  bus_.poke<u32>(0x502, 0x12345678);
  ASSERT_TRUE(execute({0x0F, 0x01, 0x16, 0x00, 0x05}));
  EXPECT_EQ(cpu_.state.gdtr.base, 0x345678u);
  ASSERT_TRUE(execute({0x66, 0x0F, 0x01, 0x16, 0x00, 0x05}));
  EXPECT_EQ(cpu_.state.gdtr.base, 0x12345678u);
}

TEST_F(Control, DebugRegisterAliasesDependOnDe) {
  start_protected();
  reg(gpr::kRax) = 0xFFFF;
  ASSERT_TRUE(execute({0x0F, 0x23, 0xE0}));  // DR4
  EXPECT_EQ(cpu_.state.dr[6], 0xFFFFEFFFu);
  cpu_.state.cr4 |= cr4::kDe;
  EXPECT_FALSE(execute({0x0F, 0x23, 0xE0}));
  EXPECT_EQ(cpu_.fault.vector, Vector::Ud);
}

TEST_F(Control, XsetbvChecksTheComponents) {
  start_long();
  reg(gpr::kRax) = 7;
  reg(gpr::kRdx) = 0;
  EXPECT_FALSE(execute({0x0F, 0x01, 0xD1}));
  EXPECT_EQ(cpu_.fault.vector, Vector::Ud);
  cpu_.state.cr4 |= cr4::kOsxsave;
  ASSERT_TRUE(execute({0x0F, 0x01, 0xD1}));
  EXPECT_EQ(cpu_.state.xcr0, 7u);
  for (const u64 bad : {0, 6, 5, 0x1F}) {
    reg(gpr::kRax) = bad;
    expect_fault({0x0F, 0x01, 0xD1}, Vector::Gp, 0);
  }
}

class Msr : public SystemBench {
 protected:
  bool write(u32 index, u64 value) {
    reg(gpr::kRcx) = index;
    reg(gpr::kRax) = static_cast<u32>(value);
    reg(gpr::kRdx) = value >> 32;
    return execute({0x0F, 0x30});
  }
  u64 read(u32 index) {
    reg(gpr::kRcx) = index;
    EXPECT_TRUE(execute({0x0F, 0x32})) << std::hex << index;
    return reg(gpr::kRax) | reg(gpr::kRdx) << 32;
  }
};

TEST_F(Msr, ReadsBackAndChecks) {
  start_long();
  EXPECT_TRUE(write(0xC0000082, 0xFFFFFFFF81000000));
  EXPECT_EQ(read(0xC0000082), 0xFFFFFFFF81000000);
  EXPECT_FALSE(write(0xC0000082, u64{1} << 47)) << "not canonical";
  EXPECT_TRUE(write(0x277, 0x0007010600070106));
  EXPECT_FALSE(write(0x277, 0x2)) << "reserved memory type";
  EXPECT_FALSE(write(0xC0000080, 2)) << "reserved bit of EFER";
  EXPECT_FALSE(write(0xC0000080, efer::kSce)) << "LME may not change while paging";
  EXPECT_FALSE(write(0x12345, 0));
  EXPECT_EQ(cpu_.fault.vector, Vector::Gp);
}

TEST_F(Msr, NeedsCpl0) {
  start_long(3);
  reg(gpr::kRcx) = 0x10;
  expect_fault({0x0F, 0x32}, Vector::Gp, 0);
}

TEST_F(Msr, TscWriteMovesAdjust) {
  start_long();
  bus_.time = Nanos{1000};
  EXPECT_TRUE(write(0x10, 5000));
  EXPECT_EQ(read(0x10), 5000u);
  EXPECT_EQ(read(0x3B), 4000u);
  EXPECT_TRUE(write(0x3B, 0));
  EXPECT_EQ(read(0x10), 1000u);
}

TEST_F(Msr, MtrrsHoldLegalTypesOnly) {
  start_long();
  EXPECT_EQ(read(0xFE) & 0xFF, 8u);
  EXPECT_TRUE(write(0x200, 0x80000006));
  EXPECT_FALSE(write(0x200, 0x80000002));
  EXPECT_TRUE(write(0x26F, 0x0505050505050505));
  EXPECT_EQ(read(0x26F), 0x0505050505050505u);
  EXPECT_EQ(read(0x268), 0u);
  EXPECT_FALSE(write(0x250, 0x07));
}

class NoX2apic : public SystemBench {
 protected:
  NoX2apic() : SystemBench("max,-x2apic") {}
};

TEST_F(NoX2apic, ApicBaseRefusesWhatIsNotThere) {
  start_long();
  u64 base = 0;
  ASSERT_TRUE(system::read_msr(cpu_, 0x1B, base));
  EXPECT_FALSE(system::write_msr(cpu_, 0x1B, base | bit(10))) << "x2APIC";
  EXPECT_FALSE(system::write_msr(cpu_, 0x1B, base | bit(45))) << "beyond the physical address";
  EXPECT_TRUE(system::write_msr(cpu_, 0x1B, base & ~bit(11)));
}

TEST_F(Msr, FsBaseIsTheSegmentsBase) {
  start_long();
  EXPECT_TRUE(write(0xC0000100, 0x12345678000));
  EXPECT_EQ(segment(Segment::Fs).base, 0x12345678000u);
}

class FastCall : public SystemBench {};

TEST_F(FastCall, SyscallAndSysret) {
  start_long(3);
  cpu_.state.msr.star = u64{kUserCode32} << 48 | u64{kCode64} << 32;
  cpu_.state.msr.lstar = 0xFFFF800000001000;
  cpu_.state.msr.sfmask = flag::kIf | flag::kTf;
  cpu_.set_rflags(flag::kIf | flag::kCf | 2);
  ASSERT_TRUE(execute({0x0F, 0x05}));
  EXPECT_EQ(cpu_.state.rip, 0xFFFF800000001000);
  EXPECT_EQ(reg(gpr::kRcx), kCode + 2);
  EXPECT_EQ(reg(11), flag::kIf | flag::kCf | 2);
  EXPECT_EQ(cpu_.rflags(), flag::kCf | 2);
  EXPECT_EQ(cpu_.state.cpl, 0);
  EXPECT_EQ(segment(Segment::Ss).selector, kCode64 + 8);
  ASSERT_TRUE(execute({0x48, 0x0F, 0x07}));
  EXPECT_EQ(cpu_.state.rip, kCode + 2);
  EXPECT_EQ(cpu_.state.cpl, 3);
  EXPECT_EQ(segment(Segment::Cs).selector, (kUserCode32 + 16) | 3);
  EXPECT_EQ(cpu_.rflags(), flag::kIf | flag::kCf | 2);
}

TEST_F(FastCall, SysretToNonCanonicalIsGpAtCpl0) {
  start_long();
  reg(gpr::kRcx) = u64{1} << 47;
  expect_fault({0x48, 0x0F, 0x07}, Vector::Gp, 0);
  EXPECT_EQ(cpu_.state.cpl, 0);
}

TEST_F(FastCall, SyscallNeedsSce) {
  start_long();
  cpu_.state.msr.efer &= ~efer::kSce;
  EXPECT_FALSE(execute({0x0F, 0x05}));
  EXPECT_EQ(cpu_.fault.vector, Vector::Ud);
}

TEST_F(FastCall, SysenterAndSysexit32) {
  start_protected(3);
  expect_fault({0x0F, 0x34}, Vector::Gp, 0);
  cpu_.state.msr.sysenter_cs = kCode32;
  cpu_.state.msr.sysenter_eip = 0x41000;
  cpu_.state.msr.sysenter_esp = 0x2F000;
  cpu_.state.rflags |= flag::kIf;
  ASSERT_TRUE(execute({0x0F, 0x34}));
  EXPECT_EQ(cpu_.state.cpl, 0);
  EXPECT_EQ(cpu_.state.rip, 0x41000u);
  EXPECT_EQ(reg(gpr::kRsp), 0x2F000u);
  EXPECT_FALSE(cpu_.rflags() & flag::kIf);
  reg(gpr::kRdx) = kCode;
  reg(gpr::kRcx) = kStack3;
  ASSERT_TRUE(execute({0x0F, 0x35}));
  EXPECT_EQ(cpu_.state.cpl, 3);
  EXPECT_EQ(segment(Segment::Cs).selector, (kCode32 + 16) | 3);
  EXPECT_EQ(segment(Segment::Ss).selector, (kCode32 + 24) | 3);
}

TEST_F(FastCall, SwapgsAndFsgsbase) {
  start_long();
  segment(Segment::Gs).base = 1;
  cpu_.state.msr.kernel_gs_base = 2;
  ASSERT_TRUE(execute({0x0F, 0x01, 0xF8}));
  EXPECT_EQ(segment(Segment::Gs).base, 2u);
  EXPECT_EQ(cpu_.state.msr.kernel_gs_base, 1u);
  EXPECT_FALSE(execute({0xF3, 0x48, 0x0F, 0xAE, 0xC8})) << "CR4.FSGSBASE";
  cpu_.state.cr4 |= cr4::kFsgsbase;
  ASSERT_TRUE(execute({0xF3, 0x48, 0x0F, 0xAE, 0xC8}));
  EXPECT_EQ(reg(gpr::kRax), 2u);
}

class AmdCall : public SystemBench {
 protected:
  AmdCall() : SystemBench("max,vendor=AuthenticAMD") {}
};

TEST_F(FastCall, IntelHasNoSyscallInCompatibilityMode) {
  start_long(3);
  segment(Segment::Cs) = {.base = 0, .limit = 0xFFFFFFFF, .attributes = 0xC0FB, .selector = kUserCode32 | 3};
  cpu_.update_mode();
  EXPECT_FALSE(execute({0x0F, 0x05}));
  EXPECT_EQ(cpu_.fault.vector, Vector::Ud);
}

TEST_F(AmdCall, SyscallFromCompatibilityModeGoesToCstar) {
  start_long(3);
  segment(Segment::Cs) = {.base = 0, .limit = 0xFFFFFFFF, .attributes = 0xC0FB, .selector = kUserCode32 | 3};
  cpu_.update_mode();
  cpu_.state.msr.star = u64{kCode64} << 32;
  cpu_.state.msr.cstar = 0xFFFF800000002000;
  ASSERT_TRUE(execute({0x0F, 0x05}));
  EXPECT_EQ(cpu_.state.rip, 0xFFFF800000002000);
  EXPECT_TRUE(cpu_.mode.bits64);
}

TEST_F(AmdCall, NoSysenterInLongMode) {
  start_long(3);
  cpu_.state.msr.sysenter_cs = kCode64;
  EXPECT_FALSE(execute({0x0F, 0x34}));
  EXPECT_EQ(cpu_.fault.vector, Vector::Ud);
}

class Ports : public SystemBench {};

TEST_F(Ports, BitmapOfTheTssDecidesBelowIopl) {
  start_protected(3);
  bus_.port_in[0x60] = 0x5A;
  bus_.poke<u8>(kTss + 0x68 + 0x64 / 8, 1 << (0x64 & 7));
  ASSERT_TRUE(execute({0xE4, 0x60}));
  EXPECT_EQ(reg(gpr::kRax), 0x5Au);
  expect_fault({0xE4, 0x64}, Vector::Gp, 0);
  expect_fault({0xE5, 0x61}, Vector::Gp, 0);  // the dword reaches port 64h
  cpu_.state.tr.limit = 0x60;
  expect_fault({0xE4, 0x60}, Vector::Gp, 0);
  cpu_.state.rflags |= flag::kIopl;
  ASSERT_TRUE(execute({0xE4, 0x60}));
}

TEST_F(Ports, RepInsStoresAndCounts) {
  start_protected();
  bus_.port_in[0x1F0] = 0xBEEF;
  reg(gpr::kRdx) = 0x1F0;
  reg(gpr::kRcx) = 3;
  reg(gpr::kRdi) = 0x42000;
  ASSERT_TRUE(execute({0xF3, 0x66, 0x6D}));
  EXPECT_EQ(reg(gpr::kRcx), 0u);
  EXPECT_EQ(reg(gpr::kRdi), 0x42006u);
  EXPECT_EQ(bus_.peek<u32>(0x42002), 0xBEEFBEEFu);
  EXPECT_EQ(cpu_.state.rip, kCode + 3);
}

TEST_F(Ports, RepOutsStopsForAnInterruptBetweenIterations) {
  start_protected();
  cpu_.state.rflags |= flag::kIf;
  cpu_.signals.set(Signals::kIntr);
  reg(gpr::kRdx) = 0xE9;
  reg(gpr::kRcx) = 3;
  reg(gpr::kRsi) = 0x42000;
  ASSERT_TRUE(execute({0xF3, 0x6E}));
  EXPECT_EQ(reg(gpr::kRcx), 2u);
  EXPECT_EQ(cpu_.state.rip, kCode);
  EXPECT_TRUE(cpu_.running.repeating);
  EXPECT_EQ(bus_.port_writes.size(), 1u);
}

class StateImage : public SystemBench {
 protected:
  void start() {
    start_long();
    cpu_.state.cr4 |= cr4::kOsxsave;
    cpu_.state.xcr0 = 7;
    reg(gpr::kRax) = 7;
    reg(gpr::kRdx) = 0;
    reg(gpr::kRbx) = kArea;
    for (unsigned i = 0; i < 832; i += 8) bus_.poke<u64>(kArea + i, 0);
    cpu_.state.x87 = {};
  }
  static constexpr u64 kArea = 0x42000;
};

TEST_F(StateImage, FxsavePutsRegistersInStackOrder) {
  start();
  cpu_.state.x87.status = 6 << 11;
  cpu_.state.x87.tag_valid = 0xC0;
  cpu_.state.x87.reg[6] = {0x8000000000000001, 0x3FFF};
  cpu_.state.vector[15].q = {1, 2, 3, 4};
  ASSERT_TRUE(execute({0x48, 0x0F, 0xAE, 0x03}));
  EXPECT_EQ(bus_.peek<u16>(kArea), 0x37F);
  EXPECT_EQ(bus_.peek<u16>(kArea + 2), 6 << 11);
  EXPECT_EQ(bus_.peek<u16>(kArea + 4), 0xC0);
  EXPECT_EQ(bus_.peek<u64>(kArea + 32), 0x8000000000000001u) << "ST0";
  EXPECT_EQ(bus_.peek<u32>(kArea + 24), 0x1F80u);
  EXPECT_EQ(bus_.peek<u64>(kArea + 160 + 15 * 16 + 8), 2u);
  cpu_.state.x87 = {};
  cpu_.state.vector[15] = {};
  ASSERT_TRUE(execute({0x48, 0x0F, 0xAE, 0x0B}));
  EXPECT_EQ(cpu_.state.x87.reg[6].sign_exponent, 0x3FFF);
  EXPECT_EQ(cpu_.state.vector[15].q[1], 2u);
}

TEST_F(StateImage, FxrstorRefusesReservedMxcsrAndMisalignment) {
  start();
  bus_.poke<u32>(kArea + 24, 0x10000);
  expect_fault({0x0F, 0xAE, 0x0B}, Vector::Gp, 0);
  reg(gpr::kRbx) = kArea + 8;
  expect_fault({0x0F, 0xAE, 0x0B}, Vector::Gp, 0);
  cpu_.state.cr0 |= cr0::kTs;
  EXPECT_FALSE(execute({0x0F, 0xAE, 0x0B}));
  EXPECT_EQ(cpu_.fault.vector, Vector::Nm);
}

TEST_F(StateImage, XsaveLeavesInitialComponentsOutOfXstateBv) {
  start();
  cpu_.state.vector[3].q = {0, 0, 5, 0};
  ASSERT_TRUE(execute({0x0F, 0xAE, 0x23}));
  EXPECT_EQ(bus_.peek<u64>(kArea + 512), 4u) << "only the upper halves are in use";
  EXPECT_EQ(bus_.peek<u64>(kArea + 576 + 48), 5u);
  cpu_.state.vector[3] = {};
  cpu_.state.vector[0].q = {9, 9, 9, 9};
  cpu_.state.x87.control = 0x27F;
  ASSERT_TRUE(execute({0x0F, 0xAE, 0x2B}));
  EXPECT_EQ(cpu_.state.vector[3].q[2], 5u);
  EXPECT_EQ(cpu_.state.vector[0], VectorRegister{}) << "components not in XSTATE_BV become initial";
  EXPECT_EQ(cpu_.state.x87.control, 0x37F);
}

TEST_F(StateImage, XsavecWritesTheCompactedHeader) {
  start();
  cpu_.state.vector[1].q = {7, 0, 0, 0};
  ASSERT_TRUE(execute({0x0F, 0xC7, 0x23}));
  EXPECT_EQ(bus_.peek<u64>(kArea + 512), 2u);
  EXPECT_EQ(bus_.peek<u64>(kArea + 520), bit(63) | 7);
  cpu_.state.vector[1] = {};
  ASSERT_TRUE(execute({0x0F, 0xAE, 0x2B}));
  EXPECT_EQ(cpu_.state.vector[1].q[0], 7u);
}

TEST_F(StateImage, XrstorChecksTheHeader) {
  start();
  bus_.poke<u64>(kArea + 512, 8);
  expect_fault({0x0F, 0xAE, 0x2B}, Vector::Gp, 0);  // component that XCR0 does not enable
  bus_.poke<u64>(kArea + 512, 1);
  bus_.poke<u64>(kArea + 528, 1);
  expect_fault({0x0F, 0xAE, 0x2B}, Vector::Gp, 0);  // reserved bytes
  bus_.poke<u64>(kArea + 528, 0);
  bus_.poke<u64>(kArea + 520, bit(63));
  expect_fault({0x0F, 0xAE, 0x2B}, Vector::Gp, 0);  // XSTATE_BV not within XCOMP_BV
  reg(gpr::kRbx) = kArea + 16;
  expect_fault({0x0F, 0xAE, 0x2B}, Vector::Gp, 0);  // 64-byte alignment
}

}  // namespace
}  // namespace xm::cpu::test
