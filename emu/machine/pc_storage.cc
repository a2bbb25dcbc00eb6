// SPDX-License-Identifier: GPL-2.0-or-later
// Drives of the command line: opens their images and hangs them on the IDE channels, virtio-blk cards and the floppy
// controller. IDE positions are numbered as QEMU does: 0 and 1 on the primary channel, 2 and 3 on the secondary.
#include <algorithm>
#include <array>

#include "devices/storage/piix3_ide.h"
#include "devices/virtio/blk.h"
#include "devices/virtio/transport_pci.h"
#include "emu/base/exit_status.h"
#include "emu/host/raw_file.h"
#include "emu/machine/pc_parts.h"
#include "emu/machine/pc_platform.h"

namespace xm::machine {

namespace {

constexpr unsigned kIdePositions = 4;

Result<host::RawOptions> image_options(const DriveConfig& drive, bool snapshot_all) {
  if (drive.format == "qcow2")
    return Error{"image format not available in this version: qcow2: " + drive.file + "; use raw"};
  host::RawOptions options;
  options.read_only = drive.read_only || drive.cdrom;
  options.snapshot = (drive.snapshot || snapshot_all) && !options.read_only;
  if (drive.cache == "writethrough" || drive.cache == "directsync")
    options.cache = host::RawOptions::Cache::WriteThrough;
  else if (drive.cache == "unsafe")
    options.cache = host::RawOptions::Cache::Unsafe;
  else if (drive.cache != "writeback" && drive.cache != "none") {
    return Error{"unknown cache mode '" + drive.cache +
                 "': -drive; use writeback, none, writethrough, directsync or unsafe"};
  }
  return options;
}

// Finds the lowest position that is not taken; -1 if there is none.
int free_position(const std::array<bool, kIdePositions>& taken) {
  for (unsigned i = 0; i < kIdePositions; i++) {
    if (!taken[i]) return static_cast<int>(i);
  }
  return -1;
}

}  // namespace

Result<std::unique_ptr<devices::Drive>> Pc::open_drive(const DriveConfig& config) {
  if (config.file.empty()) return std::make_unique<devices::Drive>();
  const host::RawOptions options = TRY(image_options(config, parts_.config.snapshot_all));
  auto medium = TRY(host::open_raw_file(config.file, options, drives_->pool, parts_.loop));
  return std::make_unique<devices::Drive>(std::move(medium), devices::DriveIdentity{.serial = config.serial});
}

Result<void> Pc::build_storage() {
  drives_ = std::make_unique<Drives>();
  const bus::IrqLine primary(interrupts_.isa(), 14);
  const bus::IrqLine secondary(interrupts_.isa(), 15);
  auto ide = std::make_unique<devices::Piix3Ide>(pci_environment(), devices::Piix3Ide::Wires{primary, secondary});

  std::vector<DriveConfig> wanted = parts_.config.drives;
  std::array<bool, kIdePositions> taken{};
  for (const DriveConfig& drive : wanted) {
    if (drive.interface != DriveInterface::Ide || drive.index < 0) continue;
    if (drive.index >= static_cast<int>(kIdePositions)) {
      return Error{"no such IDE position: " + std::to_string(drive.index) + ": " + drive.file + "; use 0 to 3"};
    }
    if (taken[static_cast<unsigned>(drive.index)]) {
      return Error{"two drives at IDE position " + std::to_string(drive.index) + ": " + drive.file};
    }
    taken[static_cast<unsigned>(drive.index)] = true;
  }
  for (DriveConfig& drive : wanted) {
    if (drive.interface != DriveInterface::Ide || drive.index >= 0) continue;
    drive.index = drive.cdrom && !taken[2] ? 2 : free_position(taken);
    if (drive.index < 0) return Error{"more than four IDE drives: " + drive.file + "; use if=virtio"};
    taken[static_cast<unsigned>(drive.index)] = true;
  }
  if (!parts_.config.no_defaults && !taken[2]) {
    DriveConfig empty;
    empty.cdrom = true;
    empty.index = 2;
    wanted.push_back(empty);
  }

  unsigned virtio_count = 0;
  for (const DriveConfig& config : wanted) {
    drives_->entries.push_back({.config = config, .drive = TRY(open_drive(config))});
    Drives::Entry& entry = drives_->entries.back();
    switch (config.interface) {
      case DriveInterface::Ide: {
        const auto channel = static_cast<unsigned>(config.index) / 2;
        const auto unit = static_cast<unsigned>(config.index) % 2;
        entry.name = "ide" + std::to_string(channel) + (config.cdrom ? "-cd" : "-hd") + std::to_string(unit);
        if (config.cdrom)
          ide->attach_cd(channel, unit, *entry.drive);
        else
          ide->attach_disk(channel, unit, *entry.drive);
        break;
      }
      case DriveInterface::Virtio:
        entry.name = "virtio" + std::to_string(virtio_count++);
        TRY(add_virtio_disk(entry, ""));
        break;
      case DriveInterface::Floppy: TRY(attach_floppy(entry)); break;
      case DriveInterface::None: entry.name = config.id; break;
    }
    if (!config.id.empty()) entry.name = config.id;
  }
  for (const DeviceConfig& device : parts_.config.devices) TRY(add_drive_device(device, *ide, taken));
  platform_->build_floppy();
  drives_->ide = std::move(ide);
  pci_->attach(1, 1, *drives_->ide);
  add(*drives_->ide);
  return {};
}

// At the place the index names, else at the first free one.
Result<void> Pc::attach_floppy(Drives::Entry& entry) {
  auto& places = platform_->floppy_drives;
  std::size_t place = entry.config.index >= 0 ? static_cast<std::size_t>(entry.config.index) : 0;
  if (entry.config.index < 0 && places[0] != nullptr) place = 1;
  if (place >= places.size() || places[place] != nullptr) {
    return Error{"no such floppy drive, or it is taken: " + entry.config.file + "; there are two, index=0 and index=1"};
  }
  entry.name = "floppy" + std::to_string(place);
  places[place] = entry.drive.get();
  return {};
}

Result<void> Pc::add_virtio_disk(Drives::Entry& entry, const std::string& address) {
  if (entry.drive->size_bytes() == 0) return Error{"a virtio disk needs an image: -drive if=virtio"};
  drives_->controllers.push_back(std::make_unique<devices::VirtioPci>(
      pci_environment(), std::make_unique<devices::VirtioBlk>(*entry.drive, devices::VirtioBlk::Options{})));
  return place(*drives_->controllers.back(), address, 3);
}

// -device virtio-blk-pci, ide-hd and ide-cd with drive=ID.
template <class Ide>
Result<void> Pc::add_drive_device(const DeviceConfig& device, Ide& ide, std::array<bool, 4>& taken) {
  const std::string& driver = device.driver;
  const bool virtio = driver == "virtio-blk-pci" || driver == "virtio-blk";
  if (!virtio && driver != "ide-hd" && driver != "ide-cd") return {};
  TRY(find_device(device));
  const auto property = [&](const char* key) {
    const auto it = device.properties.find(key);
    return it != device.properties.end() ? it->second : std::string();
  };
  const std::string id = property("drive");
  const auto entry =
      std::find_if(drives_->entries.begin(), drives_->entries.end(), [&](const Drives::Entry& candidate) {
        return candidate.config.interface == DriveInterface::None && candidate.config.id == id;
      });
  if (entry == drives_->entries.end())
    return Error{"no such drive '" + id + "': -device " + driver + "; add -drive if=none,id=" + id};
  if (entry->in_use) return Error{"drive is in use by another device: " + id + ": -device " + driver};
  entry->in_use = true;
  if (virtio) {
    TRY(add_virtio_disk(*entry, property("addr")));
    return add_boot_device(device, "scsi@" + pci_place(*drives_->controllers.back()) + "/disk@0,0");
  }
  const std::string bus = property("bus"), number = property("unit");
  if (!bus.empty() && bus != "ide.0" && bus != "ide.1") return Error{"no such bus '" + bus + "': -device " + driver};
  if (!number.empty() && number != "0" && number != "1")
    return Error{"no such unit '" + number + "': -device " + driver};
  int position = free_position(taken);
  if (bus == "ide.1") position = taken[2] ? 3 : 2;
  if (!number.empty()) position = (bus == "ide.1" ? 2 : 0) + (number == "1" ? 1 : 0);
  if (position < 0 || position > 3 || taken[static_cast<unsigned>(position)])
    return Error{"no free IDE position: -device " + driver};
  taken[static_cast<unsigned>(position)] = true;
  const auto channel = static_cast<unsigned>(position) / 2;
  const auto unit = static_cast<unsigned>(position) % 2;
  if (driver == "ide-cd")
    ide.attach_cd(channel, unit, *entry->drive);
  else
    ide.attach_disk(channel, unit, *entry->drive);
  return add_boot_device(device, "ide@1,1/drive@" + std::to_string(channel) + "/disk@" + std::to_string(unit));
}

std::string Pc::info_block() const {
  std::string text;
  for (const Drives::Entry& entry : drives_->entries) {
    const auto medium = entry.drive->shared_medium();
    text += entry.name + ": ";
    text += medium == nullptr ? "[not inserted]"
                              : medium->description() + " (" + std::to_string(medium->size_bytes()) + " bytes" +
                                    (medium->read_only() ? ", read-only" : "") + ")";
    text += entry.config.cdrom ? ", removable\n" : "\n";
  }
  return text;
}

std::string Pc::change_medium(const std::string& drive, const std::string& file) {
  for (Drives::Entry& entry : drives_->entries) {
    if (entry.name != drive && entry.config.id != drive) continue;
    if (!entry.config.cdrom && entry.config.interface != DriveInterface::Floppy)
      return "drive '" + drive + "' is not removable";
    if (file.empty()) return entry.drive->eject(false) ? "" : "the guest has locked the tray";
    DriveConfig config = entry.config;
    config.file = file;
    Result<host::RawOptions> options = image_options(config, parts_.config.snapshot_all);
    if (!options.ok()) return options.error().message;
    auto medium = host::open_raw_file(file, *options, drives_->pool, parts_.loop);
    if (!medium.ok()) return medium.error().message;
    entry.drive->insert(std::move(*medium));
    return "";
  }
  return "no such drive '" + drive + "'; see info block";
}

}  // namespace xm::machine
