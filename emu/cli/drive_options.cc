// SPDX-License-Identifier: GPL-2.0-or-later
// The options that attach drives: -drive, -hda and its kin, -blockdev.
#include <array>
#include <nlohmann/json.hpp>

#include "emu/cli/option_handlers.h"
#include "emu/cli/option_string.h"

namespace xm::cli {

using machine::Config;
using machine::DriveConfig;
using machine::DriveInterface;

namespace {

Result<void> take_word(OptionString& options, const char* key, std::initializer_list<const char*> words,
                       std::string& to) {
  std::string text;
  if (!options.take(key, text)) return {};
  std::string list;
  for (const char* word : words) {
    if (text == word) {
      to = text;
      return {};
    }
    list += (list.empty() ? "" : ", ") + std::string(word);
  }
  return Error{"invalid value '" + text + "': -drive " + key + "; use " + list};
}

// How requests are carried out: everything of -drive that is about the host.
Result<void> take_drive_policies(OptionString& options, DriveConfig& drive) {
  TRY(take_word(options, "werror", {"report", "ignore", "stop", "enospc"}, drive.on_write_fault));
  TRY(take_word(options, "rerror", {"report", "ignore", "stop"}, drive.on_read_fault));
  TRY(take_word(options, "detect-zeroes", {"off", "on", "unmap"}, drive.detect_zeroes));
  std::string text;
  TRY(take_word(options, "discard", {"ignore", "off", "unmap", "on"}, text));
  drive.discard = text == "unmap" || text == "on";
  // All requests go through worker threads, whatever the host's interface.
  TRY(take_word(options, "aio", {"threads", "native", "io_uring"}, text));
  drive.force_share = TRY(options.take_bool("force-share", false));
  drive.auto_read_only = TRY(options.take_bool("auto-read-only", false));
  if (options.take("file.locking", text)) drive.force_share |= text == "off";
  if (TRY(options.take_bool("cache.direct", false))) drive.cache = "none";
  if (TRY(options.take_bool("cache.no-flush", false))) drive.cache = "unsafe";
  if (TRY(options.take_bool("copy-on-read", false)))
    return Error{"option not supported: -drive copy-on-read=on; leave it off"};
  if (options.take("volatile-cache", text))
    drive.volatile_seed = TRY(parse_number(text, 0, ~u64{0}, "-drive volatile-cache"));
  for (const auto& [key, value] : options.rest()) {
    if (key.starts_with("throttling.") || key.starts_with("bps") || key.starts_with("iops") || key == "group")
      return Error{"throttling not supported: -drive " + key + "; use the host's cgroup io.max"};
    if (key == "cyls" || key == "heads" || key == "secs" || key == "trans")
      return Error{"disk geometry cannot be set: -drive " + key + "; leave it out"};
  }
  return {};
}

}  // namespace

Result<void> handle_drive(Config& config, const std::string& value) {
  OptionString options = OptionString::parse(value, "");
  DriveConfig drive;
  std::string text;
  options.take("file", drive.file);
  options.take("id", drive.id);
  if (options.take("format", drive.format) && drive.format != "raw" && drive.format != "qcow2") {
    return Error{"unsupported image format '" + drive.format + "': -drive; use raw or qcow2"};
  }
  if (options.take("if", text)) {
    if (text == "ide")
      drive.interface = DriveInterface::Ide;
    else if (text == "virtio")
      drive.interface = DriveInterface::Virtio;
    else if (text == "floppy")
      drive.interface = DriveInterface::Floppy;
    else if (text == "none")
      drive.interface = DriveInterface::None;
    else
      return Error{"unsupported drive interface '" + text + "': -drive; use ide, virtio, floppy or none"};
  }
  if (options.take("media", text)) {
    if (text != "disk" && text != "cdrom") return Error{"unknown media '" + text + "': -drive; use disk or cdrom"};
    drive.cdrom = text == "cdrom";
  }
  if (options.take("index", text)) drive.index = static_cast<int>(TRY(parse_number(text, 0, 31, "-drive index")));
  int bus = 0;
  if (options.take("bus", text)) bus = static_cast<int>(TRY(parse_number(text, 0, 1, "-drive bus")));
  if (options.take("unit", text))
    drive.index = bus * 2 + static_cast<int>(TRY(parse_number(text, 0, 31, "-drive unit")));
  drive.snapshot = TRY(options.take_bool("snapshot", false));
  drive.read_only = TRY(options.take_bool("readonly", false));
  drive.read_only = TRY(options.take_bool("read-only", drive.read_only));
  options.take("cache", drive.cache);
  options.take("serial", drive.serial);
  TRY(take_drive_policies(options, drive));
  TRY(options.finish("-drive"));
  if (drive.file.empty() && !drive.cdrom && drive.interface != DriveInterface::Floppy) {
    return Error{"no file given: -drive " + value + "; add file=IMAGE"};
  }
  for (const DriveConfig& other : config.drives) {
    if (!drive.id.empty() && other.id == drive.id) return Error{"duplicate id '" + drive.id + "': -drive"};
  }
  config.drives.push_back(drive);
  return {};
}

namespace {

Result<void> add_drive(Config& config, const std::string& file, DriveInterface interface, int index, bool cdrom) {
  DriveConfig drive;
  drive.file = file;
  drive.interface = interface;
  drive.index = index;
  drive.cdrom = cdrom;
  config.drives.push_back(drive);
  return {};
}

}  // namespace

Result<void> handle_hda(Config& config, const std::string& value) {
  return add_drive(config, value, DriveInterface::Ide, 0, false);
}
Result<void> handle_hdb(Config& config, const std::string& value) {
  return add_drive(config, value, DriveInterface::Ide, 1, false);
}
Result<void> handle_hdc(Config& config, const std::string& value) {
  return add_drive(config, value, DriveInterface::Ide, 2, false);
}
Result<void> handle_hdd(Config& config, const std::string& value) {
  return add_drive(config, value, DriveInterface::Ide, 3, false);
}
Result<void> handle_cdrom(Config& config, const std::string& value) {
  return add_drive(config, value, DriveInterface::Ide, 2, true);
}
Result<void> handle_fda(Config& config, const std::string& value) {
  return add_drive(config, value, DriveInterface::Floppy, 0, false);
}
Result<void> handle_fdb(Config& config, const std::string& value) {
  return add_drive(config, value, DriveInterface::Floppy, 1, false);
}

namespace {

// {"a": {"b": 1}} becomes a.b = 1, as QEMU's dotted keys say it.
Result<void> flatten(const nlohmann::json& value, const std::string& prefix, std::map<std::string, std::string>& to) {
  for (const auto& [key, member] : value.items()) {
    const std::string name = prefix + key;
    if (member.is_object()) {
      TRY(flatten(member, name + ".", to));
    } else if (member.is_boolean()) {
      to[name] = member.get<bool>() ? "on" : "off";
    } else if (member.is_string()) {
      to[name] = member.get<std::string>();
    } else if (member.is_number() || member.is_null()) {
      to[name] = member.is_null() ? "" : member.dump();
    } else {
      return Error{"lists are not expected: " + name};
    }
  }
  return {};
}

}  // namespace

Result<std::map<std::string, std::string>> parse_properties(const std::string& value, const char* implied,
                                                            const char* option) {
  std::map<std::string, std::string> properties;
  if (value.starts_with("{")) {
    const nlohmann::json parsed = nlohmann::json::parse(value, nullptr, false);
    if (!parsed.is_object()) return Error{std::string("invalid JSON: ") + option + " " + value};
    TRY(flatten(parsed, "", properties));
    return properties;
  }
  const OptionString options = OptionString::parse(value, implied);
  for (const auto& [key, text] : options.rest()) properties[key] = text;
  return properties;
}

Result<void> handle_blockdev(Config& config, const std::string& value) {
  machine::BlockdevConfig node;
  node.properties = TRY(parse_properties(value, "driver", "-blockdev"));
  const auto take = [&](const char* key) {
    const auto found = node.properties.extract(key);
    return found.empty() ? std::string() : found.mapped();
  };
  node.driver = take("driver");
  node.node_name = take("node-name");
  if (node.driver.empty()) return Error{"no driver given: -blockdev " + value + "; add driver=qcow2"};
  if (node.node_name.empty()) return Error{"no node-name given: -blockdev " + value + "; add node-name=NAME"};
  for (const machine::BlockdevConfig& other : config.blockdevs) {
    if (other.node_name == node.node_name) return Error{"duplicate node-name '" + node.node_name + "': -blockdev"};
  }
  config.blockdevs.push_back(std::move(node));
  return {};
}

}  // namespace xm::cli
