// SPDX-License-Identifier: GPL-2.0-or-later
// The harness itself: state goes through the signal frame unharmed, and tests do what their bytes say.
#include "tests/cpu/silicon/native.h"

#include <gtest/gtest.h>

#include "tests/cpu/silicon/compare.h"
#include "tests/cpu/silicon/generator.h"

namespace xm::cpu::silicon {
namespace {

class NativeTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!native.ok()) GTEST_SKIP() << "the fixed addresses cannot be mapped on this host";
    if (!Native::has(Feature::Avx)) GTEST_SKIP() << "the host has no AVX state";
  }
  Native native;
};

TestCase with_code(TestCase test, std::initializer_list<u8> code) {
  test.mode = CodeSize::Bits64;
  std::copy(code.begin(), code.end(), test.code.begin());
  test.code_length = static_cast<u8>(code.size());
  test.code_offset = 0x800;
  test.state.rip = kCodeBase + test.code_offset;
  return test;
}

TEST_F(NativeTest, NopChangesNothing) {
  Generator generator(99, Operation::Nop, &Native::has);
  std::vector<TestCase> tests;
  for (unsigned i = 0; i < 500; ++i) tests.push_back(with_code(generator.next(), {0x90}));
  const std::vector<Outcome> outcomes = native.run(tests);
  for (std::size_t i = 0; i < tests.size(); ++i) {
    ASSERT_TRUE(outcomes[i].ran);
    Outcome expected;
    expected.ran = true;
    expected.vector = 3;
    expected.state = tests[i].state;
    expected.state.rip += 2;  // NOP and INT3
    expected.state.rflags |= flag::kIf;
    fill_data(tests[i], expected.data);
    EXPECT_EQ(compare(tests[i], outcomes[i], expected), "");
  }
}

TEST_F(NativeTest, ComparisonSeesOneBit) {
  Generator generator(7, Operation::Nop, &Native::has);
  const TestCase test = with_code(generator.next(), {0x90});
  const std::vector<Outcome> outcomes = native.run({&test, 1});
  Outcome other = outcomes[0];
  EXPECT_EQ(compare(test, outcomes[0], other), "");
  other.state.vector[13].q[3] ^= 1;
  EXPECT_NE(compare(test, outcomes[0], other), "");
}

TEST_F(NativeTest, FaultsAreReported) {
  Generator generator(5, Operation::Nop, &Native::has);
  TestCase divide = with_code(generator.next(), {0x48, 0xF7, 0xF3});  // div rbx
  divide.state.gpr[gpr::kRbx] = 0;
  TestCase load = with_code(generator.next(), {0x8B, 0x03});  // mov eax, [rbx]
  load.state.gpr[gpr::kRbx] = kDataBase + kDataBytes;
  const TestCase undefined = with_code(generator.next(), {0x0F, 0x0B});
  const std::vector<TestCase> tests = {divide, load, undefined};
  const std::vector<Outcome> outcomes = native.run(tests);
  EXPECT_EQ(outcomes[0].vector, 0);
  EXPECT_EQ(outcomes[1].vector, 14);
  EXPECT_EQ(outcomes[1].error_code, 4u);
  EXPECT_EQ(outcomes[1].fault_address, kDataBase + kDataBytes);
  EXPECT_EQ(outcomes[2].vector, 6);
}

// Most generated instructions must complete: a generator that only faults would test nothing.
TEST_F(NativeTest, GeneratedInstructionsMostlyComplete) {
  Generator generator(11, Operation::Invalid, &Native::has);
  std::vector<TestCase> tests(4000);
  for (TestCase& test : tests) test = generator.next();
  unsigned completed = 0, broken = 0;
  for (const Outcome& outcome : native.run(tests)) {
    completed += outcome.ran && outcome.vector == 3;
    broken += !outcome.ran;
  }
  EXPECT_GT(completed, tests.size() * 8 / 10);
  EXPECT_EQ(broken, 0u);
}

}  // namespace
}  // namespace xm::cpu::silicon
