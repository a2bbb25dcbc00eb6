// SPDX-License-Identifier: GPL-2.0-or-later
// A vCPU's state as named fields.
#pragma once

#include "cpu/engine.h"
#include "emu/bus/archive.h"

namespace xm::machine {

// Saves or loads the engine's state and its latched pins. The vCPU stands still.
void exchange_cpu(bus::Archive& archive, cpu::Engine& engine);

}  // namespace xm::machine
