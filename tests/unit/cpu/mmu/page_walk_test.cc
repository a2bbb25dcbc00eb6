// SPDX-License-Identifier: GPL-2.0-or-later
// Page walks and the TLB: rights, error codes, accessed and dirty bits, page sizes, invalidation. [SDM3 4]
#include "cpu/mmu/page_walk.h"

#include <gtest/gtest.h>

#include "tests/unit/cpu/interp/machine_code.h"

namespace xm::cpu::test {
namespace {

constexpr u64 kPage = 0x40000000;  // linear, mapped by a 4 KiB table of its own
constexpr u64 kFrame = 0x50000;
constexpr u64 kPde = MachineCode::kTables + 0x3000, kPte = MachineCode::kTables + 0x4000;
constexpr u64 kAccessedBit = 0x20, kDirtyBit = 0x40, kNoExecuteBit = u64{1} << 63;

class PageWalk : public testing::Test {
 protected:
  PageWalk() {
    m_.enter_long_mode();
    m_.bus.poke<u64>(MachineCode::kTables + 0x1008, kPde | 7);
    m_.bus.poke<u64>(kPde, kPte | 7);
    map(7);
  }
  void map(u64 bits) {
    m_.bus.poke<u64>(kPte, kFrame | bits);
    cpu().flush_tlb(false);
  }
  Vcpu& cpu() { return m_.engine.vcpu(); }
  void set_cpl(u8 cpl) {
    cpu().state.cpl = cpl;
    cpu().update_mode();
  }
  // The page fault's error code, or -1.
  int access(mmu::Access kind) {
    u64 physical = 0;
    if (cpu().translate(kPage + 0x123, kind, As::Current, physical)) {
      EXPECT_EQ(physical, kFrame + 0x123);
      return -1;
    }
    EXPECT_EQ(cpu().fault.vector, Vector::Pf);
    EXPECT_EQ(cpu().fault.address, kPage + 0x123);
    return static_cast<int>(cpu().fault.error_code);
  }

  MachineCode m_;
};

TEST_F(PageWalk, SetsAccessedThenDirty) {
  EXPECT_EQ(access(mmu::Access::Read), -1);
  EXPECT_EQ(m_.bus.peek<u64>(kPte), kFrame | 7 | kAccessedBit);
  EXPECT_EQ(m_.bus.peek<u64>(kPde) & kAccessedBit, kAccessedBit);
  EXPECT_EQ(access(mmu::Access::Write), -1);
  EXPECT_EQ(m_.bus.peek<u64>(kPte), kFrame | 7 | kAccessedBit | kDirtyBit);
}

TEST_F(PageWalk, AFaultLeavesNoAccessedBits) {
  map(0);
  const u64 before = m_.bus.peek<u64>(kPde);
  EXPECT_EQ(access(mmu::Access::Write), 2);
  EXPECT_EQ(m_.bus.peek<u64>(kPde), before);
  map(7);
  EXPECT_EQ(access(mmu::Access::Write), -1);
  EXPECT_EQ(m_.bus.peek<u64>(kPde), before | kAccessedBit);
}

TEST_F(PageWalk, GivesErrorCodes) {
  map(0);
  EXPECT_EQ(access(mmu::Access::Read), 0);
  EXPECT_EQ(access(mmu::Access::Write), 2);
  EXPECT_EQ(access(mmu::Access::Execute), 16);
  set_cpl(3);
  EXPECT_EQ(access(mmu::Access::Read), 4);
  map(3);  // supervisor page
  EXPECT_EQ(access(mmu::Access::Write), 7);
  map(5);  // read-only
  EXPECT_EQ(access(mmu::Access::Write), 7);
  EXPECT_EQ(access(mmu::Access::Read), -1);
  map(7 | kNoExecuteBit);
  EXPECT_EQ(access(mmu::Access::Execute), 21);
  map(7 | u64{1} << 51);
  EXPECT_EQ(access(mmu::Access::Read), 13);
}

TEST_F(PageWalk, WriteProtectBindsTheSupervisorOnlyWithWp) {
  map(5);
  EXPECT_EQ(access(mmu::Access::Write), 3);
  cpu().state.cr0 &= ~cr0::kWp;
  cpu().flush_tlb(false);
  EXPECT_EQ(access(mmu::Access::Write), -1);
}

TEST_F(PageWalk, SmepAndSmapKeepTheSupervisorOutOfUserPages) {
  cpu().state.cr4 |= cr4::kSmep | cr4::kSmap;
  cpu().update_mode();
  EXPECT_EQ(access(mmu::Access::Execute), 17);
  EXPECT_EQ(access(mmu::Access::Read), 1);
  cpu().state.rflags |= flag::kAc;
  cpu().update_mode();
  EXPECT_EQ(access(mmu::Access::Read), -1);
  u64 physical = 0;
  EXPECT_FALSE(cpu().translate(kPage, mmu::Access::Read, As::System, physical));  // implicit accesses ignore AC
}

TEST_F(PageWalk, InvalidationIsSeen) {
  u32 value = 0;
  m_.bus.poke<u32>(kFrame, 1);
  m_.bus.poke<u32>(kFrame + 0x1000, 2);
  ASSERT_TRUE(cpu().read_linear(kPage, value));
  EXPECT_EQ(value, 1u);
  m_.bus.poke<u64>(kPte, (kFrame + 0x1000) | 7);
  cpu().flush_tlb_page(kPage);
  ASSERT_TRUE(cpu().read_linear(kPage, value));
  EXPECT_EQ(value, 2u);
}

TEST_F(PageWalk, GlobalPagesSurviveAChangeOfCr3) {
  cpu().state.cr4 |= cr4::kPge;
  map(7 | 0x100);
  EXPECT_EQ(access(mmu::Access::Read), -1);
  m_.bus.poke<u64>(kPte, 0);
  cpu().flush_tlb(true);
  EXPECT_EQ(access(mmu::Access::Read), -1);
  cpu().flush_tlb(false);
  EXPECT_EQ(access(mmu::Access::Read), 0);
}

TEST_F(PageWalk, RightsOfOneLevelDoNotLeakIntoAnother) {
  map(3);
  u32 value = 0;
  ASSERT_TRUE(cpu().read_linear(kPage, value));  // fills the supervisor's table
  set_cpl(3);
  EXPECT_FALSE(cpu().read_linear(kPage, value));
  EXPECT_EQ(cpu().fault.error_code, 5u);
}

TEST(PageWalk32, FourMegabytePagesReachBeyondFourGigabytesOfPhysicalSpace) {
  MachineCode m;
  m.enter_protected_mode();
  Vcpu& cpu = m.engine.vcpu();
  m.bus.poke<u32>(MachineCode::kTables + 4, 0x00C00000u | 0x87 | 3u << 13);  // PSE-36: address bits 33:32
  cpu.state.cr3 = MachineCode::kTables;
  cpu.state.cr4 |= cr4::kPse;
  cpu.state.cr0 |= cr0::kPg;
  cpu.update_mode();
  u64 physical = 0;
  ASSERT_TRUE(cpu.translate(0x00412345, mmu::Access::Read, As::Current, physical));
  EXPECT_EQ(physical, 0x300C12345u);
  EXPECT_FALSE(cpu.translate(0x00812345, mmu::Access::Read, As::Current, physical));
}

TEST(PageWalkPae, WalksThreeLevels) {
  MachineCode m;
  m.enter_protected_mode();
  Vcpu& cpu = m.engine.vcpu();
  const u64 tables = MachineCode::kTables;
  m.bus.poke<u64>(tables + 8, (tables + 0x1000) | 1);
  m.bus.poke<u64>(tables + 0x1000, (tables + 0x2000) | 7);
  m.bus.poke<u64>(tables + 0x2000 + 8 * 5, 0x77000 | 7);
  cpu.state.cr3 = tables;
  cpu.state.cr4 |= cr4::kPae;
  cpu.state.cr0 |= cr0::kPg;
  cpu.update_mode();
  u64 physical = 0;
  ASSERT_TRUE(cpu.translate(0x40005678, mmu::Access::Write, As::Current, physical));
  EXPECT_EQ(physical, 0x77678u);
  EXPECT_EQ(m.bus.peek<u64>(tables + 8), (tables + 0x1000) | 1);  // PDPTEs have no accessed bit
}

}  // namespace
}  // namespace xm::cpu::test
