// SPDX-License-Identifier: GPL-2.0-or-later
// `xiaoma trace show|stat|diff|export|info FILE ...`: reads what -trace-insn wrote.
#pragma once

#include <string>
#include <vector>

namespace xm::cli {

// Exit status: 0; 1 if `diff` found a difference or the file is damaged (what lies before is still printed); 125.
int trace_verb(const std::vector<std::string>& words);

}  // namespace xm::cli
