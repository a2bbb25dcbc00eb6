// SPDX-License-Identifier: GPL-2.0-or-later
// Which bytes are instructions: the decoder against the host's processor, over all maps. #UD at the first instruction
// must mean Invalid and the other way round. What the host has and this CPU does not is recognised with Zydis.
#include <gtest/gtest.h>

#include "cpu/decode/decoder.h"
#include "tests/cpu/oracle/byte_space.h"
#include "tests/cpu/oracle/canonical.h"
#include "tests/cpu/silicon/compare.h"
#include "tests/cpu/silicon/generator.h"
#include "tests/cpu/silicon/native.h"

namespace xm::cpu::silicon {
namespace {

// Valid instructions that raise #UD, in user mode at least.
bool raises_undefined(Operation operation) {
  switch (operation) {
    case Operation::Ud0:
    case Operation::Ud1:
    case Operation::Ud2:
    case Operation::Rsm:
    case Operation::Clac:
    case Operation::Stac: return true;
    default: return false;
  }
}

bool is_safe(std::span<const u8> bytes, CodeSize mode) {
  const DecodeResult result = decode(bytes, mode);
  // Unknown to us: the host may know it. What Zydis knows is not tried; neither is what would leave user code.
  if (!result) return !oracle::zydis(bytes, mode).valid;
  const Row& row = isa_row(result.insn.row);
  // SYSRET outside 64-bit mode: #UD or #GP by the maker of the processor.
  if (row.operation == Operation::Sysret && mode != CodeSize::Bits64) return false;
  return is_testable(row, mode) && Native::has(required_feature(row, result.insn.vex, result.insn.vex_l)) &&
         result.insn.operands[0].kind != OperandKind::Relative;
}

class DecodeOnSilicon : public testing::TestWithParam<CodeSize> {};

TEST_P(DecodeOnSilicon, UndefinedOpcodes) {
  Native native;
  if (!native.ok() || !Native::has(Feature::Avx2))
    GTEST_SKIP() << "the host has no AVX2, or the fixed addresses cannot be mapped";
  const CodeSize mode = GetParam();
  Generator generator(1, Operation::Nop, &Native::has);
  std::vector<TestCase> tests;
  unsigned counter = 0;
  oracle::ByteSpace(77).each(mode, [&](const oracle::Code& code) {
    if (counter++ % 331 != 0 || !is_safe(code, mode)) return;
    TestCase test = generator.next();
    const DecodeResult result = decode(code, mode);
    test.mode = mode;
    std::copy(code.begin(), code.end(), test.code.begin());
    test.code_length = result ? result.insn.length : 15;
    test.code_offset = 0x800;
    test.state.rip = kCodeBase + test.code_offset;
    tests.push_back(test);
  });
  const std::vector<Outcome> outcomes = native.run(tests);
  unsigned checked = 0, undefined = 0;
  for (std::size_t i = 0; i < tests.size(); ++i) {
    if (!outcomes[i].ran) continue;
    const DecodeResult result = decode(tests[i].code, mode);
    const bool expected = !result || raises_undefined(result.insn.operation);
    const bool is_undefined = outcomes[i].vector == 6 && outcomes[i].state.rip == tests[i].state.rip;
    ++checked;
    undefined += is_undefined;
    EXPECT_EQ(expected, is_undefined) << describe(tests[i]) << " vector " << int{outcomes[i].vector};
  }
  EXPECT_GT(checked, 10000u);
  EXPECT_GT(undefined, 1000u);
}

INSTANTIATE_TEST_SUITE_P(Modes, DecodeOnSilicon, testing::Values(CodeSize::Bits32, CodeSize::Bits64));

}  // namespace
}  // namespace xm::cpu::silicon
