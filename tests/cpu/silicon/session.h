// SPDX-License-Identifier: GPL-2.0-or-later
// A run of silicon tests: generate, run on both sides, compare, keep the first differences.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "cpu/engine.h"
#include "tests/cpu/silicon/guest.h"

namespace xm::cpu::silicon {

struct SessionOptions {
  u64 seed = 1;
  u64 count = 1000;
  Operation only = Operation::Invalid;
  bool through_kvm = false;  // the silicon side is user mode of a KVM guest, not a process of the host
  unsigned reports_per_operation = 1;
};

struct SessionResult {
  bool available = true;  // false: the host cannot run the tests
  u64 compared = 0;
  u64 completed = 0;  // of them without a fault
  u64 emulated = 0;   // of them left to a process of the host, because KVM emulated them
  u64 differences = 0;
  std::map<Operation, u64> by_operation;  // differences
  std::vector<std::string> reports;
};

// With engine nullptr only the silicon side runs.
SessionResult run_session(const SessionOptions& options, Engine* engine, FlatBus& bus);

}  // namespace xm::cpu::silicon
