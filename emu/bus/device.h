// SPDX-License-Identifier: GPL-2.0-or-later
// The lifecycle every device shares: built from its wires and back ends, reset, saved, loaded. All calls are made with
// the machine lock held (docs/threads.md).
#pragma once

#include <string_view>

#include "emu/bus/archive.h"

namespace xm::bus {

class Device {
 public:
  virtual ~Device() = default;
  virtual std::string_view name() const = 0;
  // Power-on state. Called once before the machine starts and at every system reset.
  virtual void reset() = 0;
  virtual void exchange(Archive& archive) = 0;
};

}  // namespace xm::bus
