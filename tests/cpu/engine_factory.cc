// SPDX-License-Identifier: GPL-2.0-or-later
// Engines by name for the CPU test programs.
#include "tests/cpu/engine_factory.h"

#include "cpu/interp/interpreter.h"

namespace xm::cpu {

TestEngine::TestEngine(std::string_view name, BusPort& bus) {
  if (name == "interp") {
    engine = std::make_unique<interp::Interpreter>(bus, model, log, interp::Interpreter::Options{.alone = true});
  }
}

}  // namespace xm::cpu
