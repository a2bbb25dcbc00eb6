// SPDX-License-Identifier: GPL-2.0-or-later
// A short deterministic run of random instructions, host's processor against interpreter. The long runs are those of
// the program `silicon`.
#include <gtest/gtest.h>

#include "tests/cpu/engine_factory.h"
#include "tests/cpu/silicon/session.h"

namespace xm::cpu::silicon {

TEST(Silicon, InterpreterAgreesWithTheHost) {
  FlatBus bus(1 << 20);
  TestEngine under_test("interp", bus);
  const SessionResult result = run_session({.seed = 20240607, .count = 60000}, under_test.engine.get(), bus);
  if (!result.available) GTEST_SKIP() << "this host cannot run the tests";
  EXPECT_GT(result.completed, result.compared * 8 / 10);
  for (const std::string& report : result.reports) ADD_FAILURE() << report;
}

}  // namespace xm::cpu::silicon
