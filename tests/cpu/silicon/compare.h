// SPDX-License-Identifier: GPL-2.0-or-later
// What two processors made of the same test, bit by bit, except what the manual leaves undefined.
#pragma once

#include <string>

#include "tests/cpu/silicon/test_case.h"

namespace xm::cpu::silicon {

// Empty when equal; otherwise one line per difference: "name: silicon value, ours value".
std::string compare(const TestCase& test, const Outcome& silicon, const Outcome& ours);

// The test itself: bytes, operation and the registers it reads, for a report.
std::string describe(const TestCase& test);

}  // namespace xm::cpu::silicon
