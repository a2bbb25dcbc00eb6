// SPDX-License-Identifier: GPL-2.0-or-later
// CHECK: stops the process when our own code has broken a promise. Never reachable from guest input or a host error
// (docs/invariants.md): guests get faults, operators get a Result.
#pragma once

namespace xm {
// Prints `file:line: what` on stderr and aborts.
[[noreturn]] void check_failed(const char* file, int line, const char* what);
}  // namespace xm

#define CHECK(condition) \
  (__builtin_expect(!(condition), 0) ? ::xm::check_failed(__FILE__, __LINE__, #condition) : (void)0)
