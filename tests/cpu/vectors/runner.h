// SPDX-License-Identifier: GPL-2.0-or-later
// Runs captured real-mode tests on an Engine and compares registers, memory and defined flags.
#pragma once

#include <string>

#include "cpu/engine.h"
#include "tests/cpu/flat_bus.h"
#include "tests/cpu/vectors/moo.h"

namespace xm::cpu::vectors {

enum class Chip { I8086, I286 };

class VectorRunner {
 public:
  // `bus` holds 17 MiB or more: real mode reaches 10FFEFh, the captures wrap nowhere.
  VectorRunner(Engine& engine, FlatBus& bus) : engine_(engine), bus_(bus) {}
  // Empty when the result is the captured one; otherwise what differs.
  std::string run(const MooTest& test, Chip chip, u16 flags_mask);

 private:
  void write(u32 address, u8 value);

  Engine& engine_;
  FlatBus& bus_;
};

// Folder of the captured tests ("286-dev"), or empty: $XIAOMA_SHARED or ../shared beside the source tree.
std::string vectors_folder(const std::string& name);

}  // namespace xm::cpu::vectors
