// SPDX-License-Identifier: GPL-2.0-or-later
// Captured 286 instructions, where their folder is: $XIAOMA_SHARED or ../shared beside the source tree.
#include <gtest/gtest.h>

#include "tests/cpu/engine_factory.h"
#include "tests/cpu/vectors/suite.h"

namespace xm::cpu::vectors {
namespace {

void expect_all_equal(const std::string& name, Chip chip) {
  SuiteOptions options;
  options.folder = vectors_folder(name);
  options.chip = chip;
  if (options.folder.empty()) GTEST_SKIP() << name << " is not there";
  FlatBus bus(17 << 20);
  TestEngine under_test("interp", bus);
  const SuiteResult result = run_suite(options, *under_test.engine, bus);
  EXPECT_GT(result.tests, 1000u);
  for (const std::string& report : result.reports) ADD_FAILURE() << report;
}

TEST(CapturedVectors, I80286) { expect_all_equal("286-dev", Chip::I286); }

}  // namespace
}  // namespace xm::cpu::vectors
