// SPDX-License-Identifier: GPL-2.0-or-later
// Drives of the command line: opens their images and hangs them on the IDE channels, virtio-blk cards and the floppy
// controller. IDE positions are numbered as QEMU does: 0 and 1 on the primary channel, 2 and 3 on the secondary.
#include <algorithm>
#include <array>

#include "devices/storage/piix3_ide.h"
#include "devices/virtio/blk.h"
#include "devices/virtio/transport_pci.h"
#include "emu/base/exit_status.h"
#include "emu/host/image_file.h"
#include "emu/host/raw_file.h"
#include "emu/machine/blockdev.h"
#include "emu/machine/pc_parts.h"
#include "emu/machine/pc_platform.h"

namespace xm::machine {

namespace {

constexpr unsigned kIdePositions = 4;

Result<host::ImageOptions> image_options(const DriveConfig& drive, bool snapshot) {
  host::ImageOptions options;
  if (drive.format != "auto") options.format = drive.format;
  options.read_only = drive.read_only || drive.cdrom || snapshot;
  options.locking = !drive.force_share;
  options.direct = drive.cache == "none" || drive.cache == "directsync";
  options.write_through = drive.cache == "writethrough" || drive.cache == "directsync";
  options.no_flush = drive.cache == "unsafe";
  options.discard = drive.discard;
  if (options.direct || options.write_through || options.no_flush || drive.cache == "writeback") return options;
  return Error{"unknown cache mode '" + drive.cache +
               "': -drive; use writeback, none, writethrough, directsync or unsafe"};
}

// Opens the image of a drive with what stands between it and the controller.
Result<std::unique_ptr<host::BlockImage>> open_drive_image(const DriveConfig& drive, bool snapshot_all) {
  if (drive.format == "null-co") return host::make_null_image(drive.null_bytes, true);
  const bool snapshot = (drive.snapshot || snapshot_all) && !drive.read_only && !drive.cdrom;
  host::ImageOptions options = TRY(image_options(drive, snapshot));
  Result<std::unique_ptr<host::BlockImage>> opened = host::open_image(drive.file, options);
  if (!opened.ok() && drive.auto_read_only && !options.read_only) {
    options.read_only = true;
    opened = host::open_image(drive.file, options);
  }
  std::unique_ptr<host::BlockImage> image = TRY(std::move(opened));
  if (snapshot) image = TRY(host::make_overlay(std::move(image)));
  if (drive.detect_zeroes != "off") image = host::make_detect_zeroes(std::move(image), drive.detect_zeroes == "unmap");
  if (drive.volatile_seed) image = host::make_volatile_cache(std::move(image), *drive.volatile_seed);
  return image;
}

devices::OnFault fault_rule(const std::string& word) {
  return word == "ignore"   ? devices::OnFault::Ignore
         : word == "stop"   ? devices::OnFault::Stop
         : word == "enospc" ? devices::OnFault::StopIfFull
                            : devices::OnFault::Report;
}

// Finds the lowest position that is not taken; -1 if there is none.
int free_position(const std::array<bool, kIdePositions>& taken) {
  for (unsigned i = 0; i < kIdePositions; i++) {
    if (!taken[i]) return static_cast<int>(i);
  }
  return -1;
}

}  // namespace

Result<void> Pc::open_medium(DriveEntry& entry, const DriveConfig& config) {
  std::shared_ptr<host::BlockImage> image = TRY(open_drive_image(config, parts_.config.snapshot_all));
  auto stop = [this, file = config.file](bool write, devices::IoStatus status) {
    std::fprintf(stderr, "xiaoma: warning: machine stopped: cannot %s disk image: %s: %s; `cont` tries again\n",
                 write ? "write" : "read", file.c_str(), host::io_status_text(status));
    parts_.owner.request_stop();
  };
  entry.policy = std::make_shared<devices::FaultPolicy>(
      host::make_async_block(image, drives_->pool, parts_.loop),
      devices::FaultPolicy::Settings{fault_rule(config.on_read_fault), fault_rule(config.on_write_fault)}, parts_.loop,
      std::move(stop));
  entry.image = std::move(image);
  return {};
}

Result<void> Pc::build_storage() {
  drives_ = std::make_unique<Drives>(parts_.config.icount_shift ? 0 : Drives::kThreads);
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
    Drives::Entry& entry = drives_->entries.emplace_back();
    entry.config = config;
    if (!config.file.empty() || config.format == "null-co") TRY(open_medium(entry, config));
    entry.drive = std::make_unique<devices::Drive>(entry.policy, devices::DriveIdentity{.serial = config.serial});
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
        TRY(add_virtio_disk(entry, {.driver = "virtio-blk-pci"}));
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

Result<void> Pc::add_virtio_disk(Drives::Entry& entry, const DeviceConfig& device) {
  if (entry.drive->size_bytes() == 0) return Error{"a virtio disk needs an image: -drive if=virtio"};
  devices::VirtioBlk::Options options;
  std::string address;
  for (const auto& [key, value] : device.properties) {
    const auto number = [&, text = value, name = key](u64 low, u64 high) -> Result<u64> {
      char* end = nullptr;
      const u64 parsed = std::strtoull(text.c_str(), &end, 0);
      if (!text.empty() && *end == 0 && parsed >= low && parsed <= high) return parsed;
      return Error{"invalid value '" + text + "': -device virtio-blk-pci," + name + "; use " + std::to_string(low) +
                   " to " + std::to_string(high)};
    };
    if (key == "addr") address = value;
    if (key == "serial") options.serial = value;
    if (key == "num-queues") options.queues = static_cast<u16>(TRY(number(1, 64)));
    if (key == "queue-size") {
      options.queue_size = static_cast<u16>(TRY(number(4, 1024)));
      if ((options.queue_size & (options.queue_size - 1)) != 0)
        return Error{"queue-size is not a power of two: -device virtio-blk-pci"};
    }
    if (key == "logical_block_size") options.logical_block_size = static_cast<u32>(TRY(number(512, 32768)));
    if (key == "physical_block_size") options.physical_block_size = static_cast<u32>(TRY(number(512, 32768)));
    if (key == "write-cache") options.write_cache = value != "off" && value != "false" && value != "no";
  }
  options.physical_block_size = std::max(options.physical_block_size, options.logical_block_size);
  for (const u32 size : {options.logical_block_size, options.physical_block_size})
    if ((size & (size - 1)) != 0) return Error{"block size is not a power of two: -device virtio-blk-pci"};
  drives_->controllers.push_back(std::make_unique<devices::VirtioPci>(
      pci_environment(), std::make_unique<devices::VirtioBlk>(*entry.drive, options)));
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
  auto entry = std::find_if(drives_->entries.begin(), drives_->entries.end(), [&](const Drives::Entry& candidate) {
    return candidate.config.interface == DriveInterface::None && candidate.config.id == id;
  });
  if (entry == drives_->entries.end() && has_blockdev(parts_.config, id)) {
    entry = drives_->entries.emplace(drives_->entries.end());
    entry->config = TRY(drive_of_blockdev(parts_.config, id));
    entry->config.cdrom = driver == "ide-cd";
    entry->name = id;
    TRY(open_medium(*entry, entry->config));
    entry->drive = std::make_unique<devices::Drive>(entry->policy);
  }
  if (entry == drives_->entries.end() && driver == "ide-cd" && id.empty()) {
    entry = drives_->entries.emplace(drives_->entries.end());
    entry->config.interface = DriveInterface::None;
    entry->drive = std::make_unique<devices::Drive>();
  }
  if (entry == drives_->entries.end())
    return Error{"no such drive '" + id + "': -device " + driver + "; add -drive if=none,id=" + id};
  if (entry->attached) return Error{"drive is in use by another device: " + id + ": -device " + driver};
  entry->attached = true;
  entry->config.cdrom = driver == "ide-cd";
  if (entry->name.empty()) entry->name = property("id").empty() ? driver : property("id");
  if (virtio) {
    TRY(add_virtio_disk(*entry, device));
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

Pc::DriveEntry* Pc::find_drive(const std::string& name) {
  for (Drives::Entry& entry : drives_->entries) {
    if (!name.empty() && (entry.name == name || entry.config.id == name)) return &entry;
  }
  return nullptr;
}

std::vector<BlockInfo> Pc::block_info() const {
  std::vector<BlockInfo> all;
  for (const Drives::Entry& entry : drives_->entries) {
    BlockInfo& info = all.emplace_back();
    info.name = entry.name;
    info.removable = entry.config.cdrom || entry.config.interface == DriveInterface::Floppy;
    info.tray_open = entry.drive->tray_open();
    info.locked = entry.drive->tray_locked();
    info.inserted = entry.image != nullptr;
    if (entry.image == nullptr) continue;
    info.file = entry.image->description();
    info.format = entry.image->format();
    info.size_bytes = entry.image->size_bytes();
    info.read_only = entry.image->read_only();
    info.has_held_requests = entry.policy->holds_requests();
    for (host::BlockImage* layer = entry.image->backing(); layer != nullptr; layer = layer->backing())
      info.backing_files.push_back(layer->description());
  }
  return all;
}

std::string Pc::info_block() const {
  std::string text;
  for (const BlockInfo& info : block_info()) {
    text += info.name + ": ";
    if (!info.inserted) {
      text += "[not inserted]";
    } else {
      text += info.file + " (" + info.format + ", " + std::to_string(info.size_bytes) + " bytes" +
              (info.read_only ? ", read-only" : "") + ")";
    }
    if (info.removable)
      text += std::string(", removable") + (info.locked ? ", locked" : "") + (info.tray_open ? ", tray open" : "");
    if (info.has_held_requests) text += ", requests wait after a fault of the host";
    text += "\n";
    for (const std::string& file : info.backing_files) text += "    backing file: " + file + "\n";
  }
  return text;
}

std::string Pc::eject(const std::string& drive, bool force) {
  DriveEntry* entry = find_drive(drive);
  if (entry == nullptr) return "no such drive '" + drive + "'; see info block";
  if (!entry->config.cdrom && entry->config.interface != DriveInterface::Floppy)
    return "drive '" + drive + "' is not removable";
  if (!entry->drive->eject(force)) return "the guest has locked the tray";
  entry->image = nullptr;
  entry->policy = nullptr;
  return "";
}

std::string Pc::change_medium(const std::string& drive, const std::string& file) {
  if (file.empty()) return eject(drive, false);
  DriveEntry* entry = find_drive(drive);
  if (entry == nullptr) return "no such drive '" + drive + "'; see info block";
  if (!entry->config.cdrom && entry->config.interface != DriveInterface::Floppy)
    return "drive '" + drive + "' is not removable";
  DriveConfig config = entry->config;
  config.file = file;
  // The new medium is opened first: if that fails the old one stays.
  const Result<void> opened = open_medium(*entry, config);
  if (!opened.ok()) return opened.error().message;
  entry->config.file = file;
  entry->drive->insert(entry->policy);
  return "";
}

std::vector<std::pair<std::string, std::shared_ptr<host::BlockImage>>> Pc::drive_images() {
  std::vector<std::pair<std::string, std::shared_ptr<host::BlockImage>>> all;
  for (const Drives::Entry& entry : drives_->entries) {
    if (entry.image != nullptr) all.emplace_back(entry.name, entry.image);
  }
  return all;
}

void Pc::drain_drives() {
  for (const Drives::Entry& entry : drives_->entries) {
    if (entry.policy != nullptr) entry.policy->drain();
  }
}

std::string Pc::resize_drive(const std::string& drive, u64 size_bytes) {
  DriveEntry* entry = find_drive(drive);
  if (entry == nullptr || entry->image == nullptr) return "no such drive '" + drive + "'; see info block";
  if (size_bytes % 512 != 0) return "size is not a multiple of 512 bytes";
  entry->policy->drain();
  const Result<void> resized = entry->image->resize(size_bytes);
  if (!resized.ok()) return resized.error().message;
  entry->drive->notify_resized();
  return "";
}

void Pc::resumed() {
  for (const Drives::Entry& entry : drives_->entries) {
    if (entry.policy != nullptr) entry.policy->resume();
  }
}

}  // namespace xm::machine
