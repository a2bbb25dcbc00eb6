// SPDX-License-Identifier: GPL-2.0-or-later
// `xiaoma bench`: the same guest programs on each engine, and with --peers on other emulators. docs/engines.md.
#pragma once

#include <string>
#include <vector>

namespace xm::cli {

// Returns the exit status.
int bench_verb(const std::vector<std::string>& words);

}  // namespace xm::cli
