// SPDX-License-Identifier: GPL-2.0-or-later
// Devices with a bootindex, told to the firmware as the fw_cfg file "bootorder": an Open Firmware path a line, first to
// last.
#include <cstdio>
#include <cstdlib>

#include "emu/machine/pc_parts.h"
#include "emu/machine/pc_platform.h"

namespace xm::machine {

Result<void> Pc::add_boot_device(const DeviceConfig& device, const std::string& path) {
  const auto wanted = device.properties.find("bootindex");
  if (wanted == device.properties.end()) return {};
  constexpr long kHighest = 0x7FFFFFFF;
  char* end = nullptr;
  const long index = std::strtol(wanted->second.c_str(), &end, 10);
  if (wanted->second.empty() || *end != 0 || index < 0 || index > kHighest) {
    return Error{"invalid number '" + wanted->second + "': -device " + device.driver + ",bootindex"};
  }
  if (!boot_devices_.emplace(index, "/pci@i0cf8/" + path).second) {
    return Error{"two devices with bootindex=" + wanted->second + ": -device " + device.driver};
  }
  return {};
}

std::string Pc::pci_place(const devices::PciFunction& function) const {
  for (unsigned device = 0; device < devices::PciBus::kDevices; device++) {
    for (unsigned number = 0; number < devices::PciBus::kFunctions; number++) {
      if (pci_->function(device, number) != &function) continue;
      char text[8];
      std::snprintf(text, sizeof text, number == 0 ? "%x" : "%x,%x", device, number);
      return text;
    }
  }
  return "";
}

void Pc::offer_boot_order() {
  if (boot_devices_.empty()) return;
  std::string lines;
  for (const auto& [index, path] : boot_devices_) lines += (lines.empty() ? "" : "\n") + path;
  std::vector<u8> bytes(lines.begin(), lines.end());
  bytes.push_back(0);
  platform_->fw_cfg.set_file("bootorder", std::move(bytes));
}

}  // namespace xm::machine
