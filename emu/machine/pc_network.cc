// SPDX-License-Identifier: GPL-2.0-or-later
// NICs of the command line and their host sides.
#include "emu/machine/pc_parts.h"

namespace xm::machine {

Result<void> Pc::build_network() {
  nics_ = std::make_unique<Nics>();
  return {};
}

std::string Pc::info_network() const { return ""; }

}  // namespace xm::machine
