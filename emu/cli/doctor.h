// SPDX-License-Identifier: GPL-2.0-or-later
// `xiaoma doctor`: what this host offers, one fact a line (or --json).
#pragma once

#include <string>
#include <vector>

namespace xm::cli {

int doctor(const std::vector<std::string>& words);

}  // namespace xm::cli
