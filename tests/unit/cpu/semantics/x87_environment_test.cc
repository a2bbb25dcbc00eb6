// SPDX-License-Identifier: GPL-2.0-or-later
// The memory formats of the x87 environment, and when x87, MMX and SSE instructions fault instead of executing.
// [SDM1 8.1.10, 8.7; SDM3 2.5, 13.1]
#include <gtest/gtest.h>

#include "cpu/decode/decoder.h"
#include "cpu/interp/build_context.h"
#include "cpu/interp/fp_handlers.h"
#include "cpu/semantics/x87_image.h"
#include "cpu/system/cpuid.h"
#include "emu/base/log.h"
#include "tests/unit/cpu/test_bus.h"

namespace xm::cpu {
namespace {

using semantics::X87Format;

X87State sample_state() {
  X87State state;
  state.control = 0x27F;
  state.status = 0x3800 | 0x4100;
  state.tag_valid = 0x80;
  state.reg[7] = {u64{1} << 63, 0x3FFF};
  state.opcode = 0x5C3;
  state.instruction_pointer = 0x12345678;
  state.instruction_selector = 0x1B;
  state.data_pointer = 0x9ABCDEF0;
  state.data_selector = 0x23;
  return state;
}

u32 word(const std::array<u8, 28>& image, unsigned index, unsigned size) {
  return static_cast<u32>(load_le_sized(&image[index * size], size));
}

TEST(X87Environment, Protected32HasSelectorsAndOnesInReservedHalves) {
  const auto image = semantics::store_environment(sample_state(), X87Format::Protected32);
  EXPECT_EQ(word(image, 0, 4), 0xFFFF027Fu);
  EXPECT_EQ(word(image, 1, 4), 0xFFFF7900u);
  EXPECT_EQ(word(image, 2, 4), 0xFFFF3FFFu);
  EXPECT_EQ(word(image, 3, 4), 0x12345678u);
  EXPECT_EQ(word(image, 4, 4), 0x05C3001Bu);
  EXPECT_EQ(word(image, 5, 4), 0x9ABCDEF0u);
  EXPECT_EQ(word(image, 6, 4), 0xFFFF0023u);
}

TEST(X87Environment, Protected16HasNoOpcode) {
  const auto image = semantics::store_environment(sample_state(), X87Format::Protected16);
  EXPECT_EQ(word(image, 3, 2), 0x5678u);
  EXPECT_EQ(word(image, 4, 2), 0x1Bu);
  EXPECT_EQ(word(image, 5, 2), 0xDEF0u);
  EXPECT_EQ(word(image, 6, 2), 0x23u);
}

TEST(X87Environment, RealFormatsCutLinearAddresses) {
  X87State state = sample_state();
  state.instruction_pointer = 0x5678;
  state.instruction_selector = 0x1200;  // linear 17678
  state.data_pointer = 0x10;
  state.data_selector = 0xA000;  // linear A0010
  const auto narrow = semantics::store_environment(state, X87Format::Real16);
  EXPECT_EQ(word(narrow, 3, 2), 0x7678u);
  EXPECT_EQ(word(narrow, 4, 2), 0x15C3u);
  EXPECT_EQ(word(narrow, 5, 2), 0x0010u);
  EXPECT_EQ(word(narrow, 6, 2), 0xA000u);
  const auto wide = semantics::store_environment(state, X87Format::Real32);
  EXPECT_EQ(word(wide, 3, 4), 0xFFFF7678u);
  EXPECT_EQ(word(wide, 4, 4), 0x000015C3u);
  EXPECT_EQ(word(wide, 6, 4), 0x0000A000u);
}

TEST(X87Environment, LoadingRoundTripsAndSetsErrorSummary) {
  for (const X87Format format : {X87Format::Protected32, X87Format::Protected16}) {
    X87State loaded;
    semantics::load_environment(loaded, semantics::store_environment(sample_state(), format), format);
    EXPECT_EQ(loaded.control, 0x27F);
    EXPECT_EQ(loaded.status, 0x7900);
    EXPECT_EQ(loaded.tag_valid, 0x80);
    EXPECT_EQ(loaded.data_selector, 0x23);
  }
  X87State unmasked = sample_state();
  unmasked.control = 0x37B;
  unmasked.status |= 4;
  X87State loaded;
  semantics::load_environment(loaded, semantics::store_environment(unmasked, X87Format::Protected32),
                              X87Format::Protected32);
  EXPECT_EQ(loaded.status & 0x8080, 0x8080);
}

// --- handlers on a processor of their own
class FpGate : public ::testing::Test {
 protected:
  FpGate() {
    cpu.state.cr0 = cr0::kPe | cr0::kEt | cr0::kNe;
    cpu.state.cr4 = cr4::kOsfxsr | cr4::kOsxmmexcpt | cr4::kOsxsave;
    cpu.state.xcr0 = 7;
    cpu.state.msr.efer = efer::kLme | efer::kLma;
    cpu.state.segment[1].attributes = 0xA09B;
    cpu.state.gpr[gpr::kRsi] = 0x8000;
    cpu.update_mode();
  }
  static const interp::Op* stop(Vcpu&, const interp::Op*) { return nullptr; }

  // True if the instruction completed; else `fault` is in cpu.
  bool run(std::initializer_list<u8> bytes) {
    const std::vector<u8> code(bytes);
    Insn insn;
    EXPECT_EQ(decode_into(code, CodeSize::Bits64, insn), DecodeStatus::Ok);
    const interp::BuildContext context{.cpu = cpu, .bits64 = true};
    interp::Op ops[2]{};
    ops[0].insn = &insn;
    ops[1].handler = stop;
    EXPECT_TRUE(interp::choose_fp_handler(context, insn, ops[0]));
    cpu.running.fault_pending = false;
    ops[0].handler(cpu, ops);
    return !cpu.running.fault_pending;
  }
  void expect_fault(std::initializer_list<u8> bytes, Vector vector) {
    EXPECT_FALSE(run(bytes));
    EXPECT_EQ(cpu.fault.vector, vector);
  }

  test::TestBus bus;
  CpuModel model;
  Log log;
  Vcpu cpu{bus, model, log};
};

TEST_F(FpGate, TaskSwitchedMeansNm) {
  cpu.state.cr0 |= cr0::kTs;
  expect_fault({0xD9, 0xE8}, Vector::Nm);              // FLD1
  expect_fault({0xDB, 0xE3}, Vector::Nm);              // FNINIT
  expect_fault({0x0F, 0x58, 0xC1}, Vector::Nm);        // ADDPS
  expect_fault({0x0F, 0xFE, 0xC1}, Vector::Nm);        // PADDD mm
  expect_fault({0xC5, 0xF8, 0x58, 0xC1}, Vector::Nm);  // VADDPS
  EXPECT_TRUE(run({0x9B}));                            // WAIT looks at MP too
  cpu.state.cr0 |= cr0::kMp;
  expect_fault({0x9B}, Vector::Nm);
}

TEST_F(FpGate, EmulationMeansNmForX87AndUdForTheRest) {
  cpu.state.cr0 |= cr0::kEm;
  expect_fault({0xD9, 0xE8}, Vector::Nm);
  expect_fault({0x0F, 0x58, 0xC1}, Vector::Ud);
  expect_fault({0x0F, 0xFE, 0xC1}, Vector::Ud);
  EXPECT_TRUE(run({0xC5, 0xF8, 0x58, 0xC1}));
}

TEST_F(FpGate, OperatingSystemMustEnableState) {
  cpu.state.cr4 = 0;
  expect_fault({0x0F, 0x58, 0xC1}, Vector::Ud);
  expect_fault({0xC5, 0xF8, 0x58, 0xC1}, Vector::Ud);
  EXPECT_TRUE(run({0x0F, 0xFE, 0xC1}));
  cpu.state.cr4 = cr4::kOsxsave;
  cpu.state.xcr0 = 3;
  expect_fault({0xC5, 0xF8, 0x58, 0xC1}, Vector::Ud);
}

TEST_F(FpGate, FastHandlersSeeTheSameGates) {
  EXPECT_TRUE(run({0xD9, 0xE8}));
  EXPECT_TRUE(run({0x0F, 0x58, 0xC1}));
  cpu.state.cr0 |= cr0::kTs;  // with everything loaded in the host
  expect_fault({0xD9, 0xE8}, Vector::Nm);
  expect_fault({0x0F, 0x58, 0xC1}, Vector::Nm);
  expect_fault({0x66, 0x0F, 0x6F, 0x06}, Vector::Nm);  // MOVDQA from memory
  leave_host_fp(cpu);
}

TEST_F(FpGate, UnmaskedX87ErrorComesWithTheNextWaitingInstruction) {
  cpu.state.x87.control = 0x37B;   // divide by zero unmasked
  EXPECT_TRUE(run({0xD9, 0xE8}));  // FLD1
  EXPECT_TRUE(run({0xD9, 0xEE}));  // FLDZ
  cpu.block_rip = 0x1234;
  EXPECT_TRUE(run({0xDC, 0xF9}));  // FDIV ST1, ST0: completes, the error waits
  EXPECT_EQ(cpu.state.x87.status & 0x8084, 0x8084);
  EXPECT_EQ(cpu.state.x87.instruction_pointer, 0x1234u);
  EXPECT_EQ(cpu.state.x87.opcode, 0x4F9);
  EXPECT_TRUE(run({0xDF, 0xE0}));  // FNSTSW does not wait
  EXPECT_EQ(cpu.state.gpr[gpr::kRax] & 0x8084, 0x8084u);
  expect_fault({0xD9, 0xE8}, Vector::Mf);
  expect_fault({0x9B}, Vector::Mf);
  expect_fault({0x0F, 0x77}, Vector::Mf);  // EMMS
  EXPECT_TRUE(run({0xDB, 0xE2}));          // FNCLEX
  EXPECT_TRUE(run({0x9B}));
}

TEST_F(FpGate, WithoutNumericErrorTheFerrPinIsDriven) {
  cpu.state.cr0 &= ~cr0::kNe;
  cpu.state.x87.control = 0x37B;
  EXPECT_TRUE(run({0xD9, 0xE8}));
  EXPECT_TRUE(run({0xD9, 0xEE}));
  EXPECT_FALSE(bus.ferr);
  EXPECT_TRUE(run({0xDC, 0xF9}));
  EXPECT_TRUE(bus.ferr);
  EXPECT_TRUE(run({0xDB, 0xE2}));
  EXPECT_FALSE(bus.ferr);
}

TEST_F(FpGate, UnmaskedSimdExceptionIsXmOrUd) {
  cpu.state.vector[0].q = {0x3F800000, 0, 0, 0};
  cpu.state.vector[1].q = {0, 0, 0, 0};
  cpu.state.mxcsr = 0x1F80 & ~0x200u;                  // divide by zero unmasked
  expect_fault({0xF3, 0x0F, 0x5E, 0xC1}, Vector::Xm);  // DIVSS
  EXPECT_EQ(cpu.state.mxcsr & 0x3F, 4u);
  EXPECT_EQ(cpu.state.vector[0].q[0], 0x3F800000u);
  cpu.state.cr4 &= ~cr4::kOsxmmexcpt;
  expect_fault({0xF3, 0x0F, 0x5E, 0xC1}, Vector::Ud);
}

TEST_F(FpGate, LegacyOperandsMustBeAligned) {
  cpu.state.gpr[gpr::kRsi] = 0x8001;
  for (int i = 0; i < 2; ++i) {                          // the second time with the page in the TLB
    expect_fault({0x0F, 0x28, 0x06}, Vector::Gp);        // MOVAPS
    expect_fault({0x66, 0x0F, 0xFE, 0x06}, Vector::Gp);  // PADDD
    expect_fault({0x0F, 0x29, 0x06}, Vector::Gp);        // MOVAPS to memory
    EXPECT_TRUE(run({0x0F, 0x10, 0x06}));                // MOVUPS
    EXPECT_TRUE(run({0xC5, 0xF9, 0xFE, 0x06}));          // VPADDD
    expect_fault({0xC5, 0xF8, 0x28, 0x06}, Vector::Gp);  // VMOVAPS
  }
}

TEST_F(FpGate, LdmxcsrRefusesReservedBits) {
  bus.poke<u32>(0x8000, 0x10000);
  expect_fault({0x0F, 0xAE, 0x16}, Vector::Gp);
  bus.poke<u32>(0x8000, 0xFFFF);
  EXPECT_TRUE(run({0x0F, 0xAE, 0x16}));
  EXPECT_EQ(cpu.state.mxcsr, 0xFFFFu);
}

}  // namespace
}  // namespace xm::cpu
