// SPDX-License-Identifier: GPL-2.0-or-later
// Runs silicon tests on the host's own processor, in user mode of a child process: a signal handler puts a test's state
// into the signal frame, the kernel's return from the handler loads it, and the INT3 or fault after the instruction
// brings the state back in the next frame.
#pragma once

#include <span>
#include <vector>

#include "tests/cpu/silicon/test_case.h"

namespace xm::cpu::silicon {

class Native {
 public:
  // Maps the code and data pages at their fixed addresses; ok() is false where the host does not allow it.
  Native();
  ~Native();
  Native(const Native&) = delete;
  Native& operator=(const Native&) = delete;

  bool ok() const { return ok_; }
  // Outcome::ran is false for a test that killed its child.
  std::vector<Outcome> run(std::span<const TestCase> tests);
  // Whether this processor has the feature.
  static bool has(Feature feature);

 private:
  bool ok_ = false;
  u8* code_alias_ = nullptr;  // writable view of the code pages
};

}  // namespace xm::cpu::silicon
