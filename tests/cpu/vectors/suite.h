// SPDX-License-Identifier: GPL-2.0-or-later
// A folder of captured tests through an engine.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tests/cpu/vectors/runner.h"

namespace xm::cpu::vectors {

struct SuiteOptions {
  std::string folder;
  std::string only;  // file stem, or empty for all
  Chip chip = Chip::I286;
  unsigned reports_per_file = 1;
  unsigned tests_per_file = ~0u;
};

struct SuiteResult {
  unsigned tests = 0, different = 0, skipped = 0;
  std::map<std::string, unsigned> by_file;
  std::vector<std::string> reports;
};

SuiteResult run_suite(const SuiteOptions& options, Engine& engine, FlatBus& bus);

}  // namespace xm::cpu::vectors
