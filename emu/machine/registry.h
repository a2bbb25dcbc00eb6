// SPDX-License-Identifier: GPL-2.0-or-later
// What can be asked for by name: machine classes, CPU models, devices with their properties.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>

#include "emu/base/result.h"
#include "emu/machine/config.h"

namespace xm::machine {

struct PropertyRow {
  std::string_view name;
  std::string_view type;
  std::string_view help;
};

struct DeviceRow {
  std::string_view name;
  std::string_view alias;
  std::string_view bus;
  std::string_view help;
  std::span<const PropertyRow> properties;
};

std::span<const DeviceRow> device_registry();
// The row of a -device, with its properties checked; errors name the device or property.
Result<const DeviceRow*> find_device(const DeviceConfig& device);

// The text for `-machine help`, `-cpu help`, `-device help` and `-device NAME,help`; empty if `option` lists nothing.
std::string list_registry(const std::string& option, const std::string& value);

}  // namespace xm::machine
