// SPDX-License-Identifier: GPL-2.0-or-later
// Private to the PC's sources: the groups of devices that pc_platform.cc, pc_storage.cc and pc_network.cc build.
#pragma once

#include <list>
#include <map>

#include "devices/block/drive.h"
#include "devices/block/fault_policy.h"
#include "devices/net/hub.h"
#include "devices/net/net_backend.h"
#include "devices/pci/pci_device.h"
#include "emu/host/block_image.h"
#include "emu/host/host_entropy.h"
#include "emu/machine/pc.h"
#include "emu/machine/registry.h"

namespace xm::machine {

// -bios, or the own BIOS beside the program (../firmware/bios.bin, ../share/xiaoma/bios.bin).
Result<std::vector<u8>> load_firmware(const Config& config);

// The drives of the command line and the controllers they hang on.
struct Pc::DriveEntry {
  DriveConfig config;
  std::string name;       // "ide0-hd0", "virtio1", "floppy0": for the monitor
  bool attached = false;  // a -device uses it
  std::unique_ptr<devices::Drive> drive;
  std::shared_ptr<host::BlockImage> image;       // what the drive's medium is made of; null if there is none
  std::shared_ptr<devices::FaultPolicy> policy;  // the medium itself
};

struct Pc::Drives {
  using Entry = DriveEntry;
  static constexpr unsigned kThreads = 4;
  explicit Drives(unsigned threads) : pool(threads) {}
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
    std::string netdev;            // id of its back end, or empty
    devices::NetBackend* backend;  // its cable; outermost of hub port and dumps
    std::unique_ptr<devices::PciFunction> card;
  };
  // In the order of destruction from the last: cards, dumps, hubs, back ends.
  std::map<std::string, std::unique_ptr<devices::NetBackend>> backends;
  std::map<u64, std::unique_ptr<devices::NetHub>> hubs;
  std::map<std::string, devices::NetBackend*> hub_ports;  // -netdev hubport by id
  std::vector<std::unique_ptr<devices::NetBackend>> dumps;
  NoNet unplugged;
  host::HostEntropy entropy;
  std::vector<Entry> entries;
  std::vector<std::unique_ptr<devices::PciFunction>> extras;  // other virtio cards
};

}  // namespace xm::machine
