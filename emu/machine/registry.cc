// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/machine/registry.h"

#include <algorithm>

#include "emu/machine/engines.h"

namespace xm::machine {

namespace {

constexpr PropertyRow kNicProperties[] = {
    {"netdev", "str", "id of the -netdev it is connected to"},
    {"mac", "str", "hardware address"},
    {"bootindex", "int", "place in the boot order"},
    {"id", "str", "name of the device"},
    {"addr", "slot[.function]", "PCI address"},
};
constexpr PropertyRow kBlkProperties[] = {
    {"drive", "str", "id of the -drive or node-name of the -blockdev it holds"},
    {"id", "str", "name of the device"},
    {"bootindex", "int", "place in the boot order"},
    {"serial", "str", "serial number"},
    {"addr", "slot[.function]", "PCI address"},
    {"bus", "str", "pci.0"},
    {"num-queues", "int", "request queues (default 1)"},
    {"queue-size", "int", "ring entries (default 256)"},
    {"logical_block_size", "int", "bytes (default 512)"},
    {"physical_block_size", "int", "bytes (default 512)"},
    {"write-cache", "bool", "write-back cache as the guest sees it (default on)"},
};
constexpr PropertyRow kDriveProperties[] = {
    {"drive", "str", "id of the -drive it holds"},   {"id", "str", "name of the device"},
    {"bootindex", "int", "place in the boot order"}, {"serial", "str", "serial number"},
    {"addr", "slot[.function]", "PCI address"},      {"bus", "str", "ide.0 or ide.1"},
    {"unit", "int", "0 or 1 on an IDE bus"},
};
constexpr PropertyRow kExitProperties[] = {
    {"iobase", "port", "I/O port (default 0x501)"},
    {"iosize", "int", "number of ports (default 2)"},
};
constexpr PropertyRow kDebugconProperties[] = {
    {"iobase", "port", "I/O port (default 0xe9)"},
    {"chardev", "str", "id of the -chardev"},
};
constexpr PropertyRow kConsoleProperties[] = {
    {"chardev", "str", "id of the -chardev"},
    {"id", "str", "name of the device"},
    {"addr", "slot[.function]", "PCI address"},
};
constexpr PropertyRow kPlainProperties[] = {
    {"id", "str", "name of the device"},
    {"addr", "slot[.function]", "PCI address"},
};

constexpr DeviceRow kDevices[] = {
    {"virtio-net-pci", "virtio-net", "pci", "virtio network card", kNicProperties},
    {"e1000", "e1000-82540em", "pci", "Intel gigabit Ethernet (82540EM)", kNicProperties},
    {"virtio-blk-pci", "virtio-blk", "pci", "virtio disk", kBlkProperties},
    {"virtio-rng-pci", "virtio-rng", "pci", "virtio entropy source", kPlainProperties},
    {"virtio-serial-pci", "virtio-serial", "pci", "virtio console bus", kPlainProperties},
    {"virtconsole", "", "virtio-serial", "virtio console port", kConsoleProperties},
    {"ide-hd", "", "ide", "IDE disk", kDriveProperties},
    {"ide-cd", "", "ide", "IDE CD-ROM drive", kDriveProperties},
    {"isa-debug-exit", "", "isa", "a port write ends the emulator with status (value << 1) | 1", kExitProperties},
    {"isa-debugcon", "", "isa", "debug console port", kDebugconProperties},
    {"pvpanic", "", "isa", "tells the host of a guest kernel panic", kPlainProperties},
    {"pc-testdev", "", "isa", "helper of CPU and chipset tests", kPlainProperties},
    {"VGA", "", "pci", "display adapter (see -vga)", kPlainProperties},
};

std::string device_help(const std::string& name) {
  for (const DeviceRow& row : kDevices) {
    if (row.name != name && row.alias != name) continue;
    std::string text = std::string(row.name) + " options:\n";
    for (const PropertyRow& property : row.properties) {
      text += "  " + std::string(property.name) + "=<" + std::string(property.type) + "> - " +
              std::string(property.help) + "\n";
    }
    return text;
  }
  return "";
}

}  // namespace

std::span<const DeviceRow> device_registry() { return kDevices; }

Result<const DeviceRow*> find_device(const DeviceConfig& device) {
  for (const DeviceRow& row : kDevices) {
    if (row.name != device.driver && (row.alias.empty() || row.alias != device.driver)) continue;
    for (const auto& [key, value] : device.properties) {
      const auto known = [&key = key](const PropertyRow& property) { return property.name == key; };
      if (!std::any_of(row.properties.begin(), row.properties.end(), known)) {
        return Error{"no property '" + key + "': -device " + device.driver + "; see -device " + device.driver +
                     ",help"};
      }
    }
    return &row;
  }
  return Error{"unknown device '" + device.driver + "': -device; see -device help"};
}

std::string list_registry(const std::string& option, const std::string& value) {
  if (option == "machine" || option == "M") {
    return "Supported machines are:\npc                   PC with i440FX and PIIX3 (default)\n";
  }
  if (option == "cpu") return list_cpu_models();
  if (option == "accel") return "Accelerators: interp\n";
  if (option != "device") return "";
  if (value.ends_with(",help")) return device_help(value.substr(0, value.size() - 5));
  std::string text;
  for (const DeviceRow& row : kDevices) {
    text += "name \"" + std::string(row.name) + "\", bus " + std::string(row.bus);
    if (!row.alias.empty()) text += ", alias \"" + std::string(row.alias) + "\"";
    text += ", desc \"" + std::string(row.help) + "\"\n";
  }
  return text;
}

}  // namespace xm::machine
