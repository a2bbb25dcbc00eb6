// SPDX-License-Identifier: GPL-2.0-or-later
// Private to the PC's sources: the groups of devices that pc_platform.cc, pc_storage.cc and pc_network.cc build.
#pragma once

#include <list>
#include <map>

#include "devices/block/drive.h"
#include "devices/net/net_backend.h"
#include "devices/pci/pci_device.h"
#include "emu/host/host_entropy.h"
#include "emu/machine/pc.h"
#include "emu/machine/registry.h"

namespace xm::machine {

// -bios, or the own BIOS beside the program (../firmware/bios.bin, ../share/xiaoma/bios.bin).
Result<std::vector<u8>> load_firmware(const Config& config);

// The drives of the command line and the controllers they hang on.
struct Pc::DriveEntry {
  DriveConfig config;
  std::string name;  // "ide0-hd0", "virtio1", "floppy0": for the monitor
  std::unique_ptr<devices::Drive> drive;
  bool in_use = false;  // a -device has it
};

struct Pc::Drives {
  using Entry = DriveEntry;
  host::WorkerPool pool;
  std::list<Entry> entries;
  std::unique_ptr<devices::PciFunction> ide;
  std::vector<std::unique_ptr<devices::PciFunction>> controllers;
};

// A NIC whose cable is not plugged in.
class NoNet final : public devices::NetBackend {
 public:
  NoNet() { set_link(false); }
  std::string description() const override { return "not connected"; }
  void send(const devices::NetFrame&) override {}
};

struct Pc::Nics {
  struct Entry {
    std::string name;
    std::string model;
    std::string mac;
    devices::NetBackend* backend;
    std::unique_ptr<devices::PciFunction> card;
  };
  std::map<std::string, std::unique_ptr<devices::NetBackend>> backends;
  NoNet unplugged;
  host::HostEntropy entropy;
  std::vector<Entry> entries;
  std::vector<std::unique_ptr<devices::PciFunction>> extras;  // other virtio cards
};

}  // namespace xm::machine
