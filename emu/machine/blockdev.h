// SPDX-License-Identifier: GPL-2.0-or-later
// -blockdev: nodes that name each other (a format above a file) become the drive they describe.
#pragma once

#include "emu/base/result.h"
#include "emu/machine/config.h"

namespace xm::machine {

bool has_blockdev(const Config& config, const std::string& node_name);
// The drive that a device with drive=NODE gets. Errors name the node and the property.
Result<DriveConfig> drive_of_blockdev(const Config& config, const std::string& node_name);

}  // namespace xm::machine
