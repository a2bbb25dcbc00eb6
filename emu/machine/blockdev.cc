// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/machine/blockdev.h"

#include <algorithm>
#include <cstdlib>

namespace xm::machine {

namespace {

const BlockdevConfig* find(const Config& config, const std::string& name) {
  const auto found = std::find_if(config.blockdevs.begin(), config.blockdevs.end(),
                                  [&](const BlockdevConfig& node) { return node.node_name == name; });
  return found == config.blockdevs.end() ? nullptr : &*found;
}

Result<bool> truth(const std::string& key, const std::string& value) {
  if (value == "on" || value == "true" || value == "yes") return true;
  if (value == "off" || value == "false" || value == "no") return false;
  return Error{"invalid value '" + value + "': -blockdev " + key + "; use on or off"};
}

struct CacheFlags {
  bool direct = false, no_flush = false;
};

// One property of a node; `prefix` is "file." for the properties of a protocol given in line.
Result<void> take(const Config& config, DriveConfig& drive, CacheFlags& cache, const std::string& key,
                  const std::string& value, unsigned depth);

Result<void> take_node(const Config& config, DriveConfig& drive, CacheFlags& cache, const BlockdevConfig& node,
                       unsigned depth) {
  if (depth > 8) return Error{"nodes refer to each other in a circle: -blockdev " + node.node_name};
  const bool protocol = node.driver == "file" || node.driver == "host_device";
  if (node.driver == "raw" || node.driver == "qcow2" || node.driver == "null-co")
    drive.format = node.driver;
  else if (!protocol)
    return Error{"block driver not supported: -blockdev driver=" + node.driver + "; use file, raw, qcow2 or null-co"};
  else if (drive.format == "auto")
    drive.format = "raw";
  for (const auto& [key, value] : node.properties) TRY(take(config, drive, cache, key, value, depth));
  return {};
}

Result<void> take(const Config& config, DriveConfig& drive, CacheFlags& cache, const std::string& key,
                  const std::string& value, unsigned depth) {
  std::string name = key;
  while (name.starts_with("file.")) name = name.substr(5);
  if (name == "filename") {
    drive.file = value;
  } else if (name == "driver") {
    if (value != "file" && value != "host_device")
      return Error{"block driver not supported: -blockdev " + key + "=" + value};
  } else if (name == "file") {
    const BlockdevConfig* below = find(config, value);
    if (below == nullptr) return Error{"no such node '" + value + "': -blockdev file=" + value};
    return take_node(config, drive, cache, *below, depth + 1);
  } else if (name == "read-only") {
    drive.read_only |= TRY(truth(key, value));
  } else if (name == "auto-read-only") {
    drive.auto_read_only = TRY(truth(key, value));
  } else if (name == "force-share") {
    drive.force_share = TRY(truth(key, value));
  } else if (name == "locking") {
    if (value == "off") drive.force_share = true;
  } else if (name == "discard") {
    if (value == "unmap" || value == "on") drive.discard = true;
  } else if (name == "detect-zeroes") {
    if (value != "off" && value != "on" && value != "unmap")
      return Error{"invalid value '" + value + "': -blockdev " + key};
    drive.detect_zeroes = value;
  } else if (name == "cache.direct") {
    cache.direct |= TRY(truth(key, value));
  } else if (name == "cache.no-flush") {
    cache.no_flush |= TRY(truth(key, value));
  } else if (name == "size") {
    drive.null_bytes = std::strtoull(value.c_str(), nullptr, 0);
  } else if (name != "aio" && name != "read-zeroes" && name != "latency-ns" && name != "node-name" &&
             name != "lazy-refcounts" && !name.starts_with("pass-discard") && !name.ends_with("cache-size")) {
    return Error{"property not supported: -blockdev " + key + "; leave it out"};
  }
  return {};
}

}  // namespace

bool has_blockdev(const Config& config, const std::string& node_name) { return find(config, node_name) != nullptr; }

Result<DriveConfig> drive_of_blockdev(const Config& config, const std::string& node_name) {
  DriveConfig drive;
  drive.id = node_name;
  drive.interface = DriveInterface::None;
  CacheFlags cache;
  const BlockdevConfig* node = find(config, node_name);
  if (node == nullptr) return Error{"no such node '" + node_name + "': -blockdev"};
  TRY(take_node(config, drive, cache, *node, 0));
  if (cache.no_flush)
    drive.cache = "unsafe";
  else if (cache.direct)
    drive.cache = "none";
  if (drive.file.empty() && drive.format != "null-co")
    return Error{"no file given: -blockdev node-name=" + node_name + "; add file.filename=IMAGE"};
  if (drive.format == "null-co" && drive.null_bytes == 0) drive.null_bytes = u64{1} << 30;
  return drive;
}

}  // namespace xm::machine
