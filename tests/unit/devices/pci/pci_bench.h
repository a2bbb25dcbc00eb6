// SPDX-License-Identifier: GPL-2.0-or-later
// A board for tests of PCI functions: 16 MiB of RAM, ports, a PCI bus that remembers what reaches it.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "devices/pci/pci_bus.h"
#include "devices/pci/pci_device.h"

namespace xm::devices::testing {

class RecordingSink final : public bus::IrqSink {
 public:
  void set_input(unsigned input, bool level) override {
    if (input >= levels.size()) levels.resize(input + 1);
    levels[input] = level;
    if (level) rises++;
  }
  bool level(unsigned input) const { return input < levels.size() && levels[input]; }
  std::vector<bool> levels;
  unsigned rises = 0;
};

class RecordingMsi final : public bus::MsiSink {
 public:
  void send_msi(u64 address, u32 data) override { sent.emplace_back(address, data); }
  std::vector<std::pair<u64, u32>> sent;
};

struct PciBench {
  static constexpr u64 kRamSize = 16 << 20;

  PciBench() { memory.add_ram(GuestPhys{0}, kRamSize, *ram, 0, 0, "ram"); }

  u32 read_config(unsigned device, u8 offset, unsigned size_bytes, unsigned function = 0) {
    return pci.config_read(0, device, function, offset, size_bytes);
  }
  void write_config(unsigned device, u8 offset, u32 value, unsigned size_bytes, unsigned function = 0) {
    pci.config_write(0, device, function, offset, value, size_bytes);
  }
  u64 read_memory(u64 address, unsigned size_bytes) {
    bus::AddressSpace::Reader reader(memory);
    return bus::mmio_read(reader.view().find(address), address, size_bytes);
  }
  void write_memory(u64 address, u64 value, unsigned size_bytes) {
    bus::AddressSpace::Reader reader(memory);
    bus::mmio_write(reader.view().find(address), address, value, size_bytes);
  }

  std::unique_ptr<bus::RamBlock> ram = bus::RamBlock::create("ram", kRamSize).value();
  bus::AddressSpace memory;
  bus::PortSpace ports;
  RecordingSink pirq;
  RecordingMsi msi;
  PciBus pci{pirq};
  PciEnvironment environment{memory, ports, msi};
  bus::GuestMemory guest{memory};
};

}  // namespace xm::devices::testing
