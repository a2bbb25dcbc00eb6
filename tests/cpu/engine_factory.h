// SPDX-License-Identifier: GPL-2.0-or-later
// Engines by name for the CPU test programs.
#pragma once

#include <memory>
#include <string_view>

#include "cpu/engine.h"
#include "cpu/system/cpuid.h"
#include "emu/base/log.h"

namespace xm::cpu {

// An engine with the model and the log that it refers to. engine is null for an unknown name.
struct TestEngine {
  TestEngine(std::string_view name, BusPort& bus);

  CpuModel model;
  Log log;
  std::unique_ptr<Engine> engine;
};

}  // namespace xm::cpu
