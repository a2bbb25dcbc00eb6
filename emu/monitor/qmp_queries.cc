// SPDX-License-Identifier: GPL-2.0-or-later
// QMP commands that ask about the machine and about what this program can do.
#include <unistd.h>

#include <algorithm>

#include "cpu/system/cpuid.h"
#include "emu/machine/board.h"
#include "emu/machine/registry.h"
#include "emu/monitor/qmp.h"

namespace xm::monitor {

namespace {

using machine::DriveConfig;
using machine::DriveInterface;
using machine::Machine;

Result<Json> status(Machine& machine, const Json&) {
  return Json{{"running", machine.running()}, {"singlestep", false}, {"status", machine.run_state()}};
}

Result<Json> cpus_fast(Machine& machine, const Json&) {
  Json list = Json::array();
  for (std::size_t i = 0; i < machine.vcpus().size(); i++) {
    list.push_back({{"thread-id", machine.vcpus()[i]->host_thread_id()},
                    {"props", {{"core-id", 0}, {"thread-id", 0}, {"socket-id", i}}},
                    {"qom-path", "/machine/unattached/device[" + std::to_string(i) + "]"},
                    {"cpu-index", i},
                    {"target", "x86_64"}});
  }
  return list;
}

// QEMU's names for drives that were given none.
std::string drive_name(const DriveConfig& drive, unsigned position) {
  if (!drive.id.empty()) return drive.id;
  switch (drive.interface) {
    case DriveInterface::Virtio: return "virtio" + std::to_string(position);
    case DriveInterface::Floppy: return "floppy" + std::to_string(position);
    default: {
      const unsigned unit = drive.index >= 0 ? static_cast<unsigned>(drive.index) : position;
      return "ide" + std::to_string(unit / 2) + (drive.cdrom ? "-cd" : "-hd") + std::to_string(unit % 2);
    }
  }
}

Result<Json> block(Machine& machine, const Json&) {
  Json list = Json::array();
  std::map<DriveInterface, unsigned> positions;
  for (const DriveConfig& drive : machine.config().drives) {
    Json entry{{"device", drive_name(drive, positions[drive.interface]++)},
               {"locked", false},
               {"removable", drive.cdrom || drive.interface == DriveInterface::Floppy},
               {"type", "unknown"}};
    if (!drive.file.empty()) {
      const std::string format = drive.format == "auto" ? "raw" : drive.format;
      entry["inserted"] = {{"file", drive.file},
                           {"ro", drive.read_only || drive.cdrom},
                           {"drv", format},
                           {"image", {{"filename", drive.file}, {"format", format}}}};
    }
    list.push_back(std::move(entry));
  }
  return list;
}

Result<Json> chardev(Machine& machine, const Json&) {
  Json list = Json::array();
  for (const auto& [label, where] : machine.character_names())
    list.push_back({{"label", label}, {"filename", where}, {"frontend-open", true}});
  return list;
}

Result<Json> commands(Machine&, const Json&) {
  std::vector<std::string> names{"qmp_capabilities", "query-version"};
  for (const auto table : {qmp_commands(), qmp_queries()})
    for (const QmpCommand& command : table) names.emplace_back(command.name);
  std::sort(names.begin(), names.end());
  Json list = Json::array();
  for (const std::string& name : names) list.push_back({{"name", name}});
  return list;
}

Result<Json> name(Machine& machine, const Json&) { return Json{{"name", machine.config().name}}; }

Result<Json> uuid(Machine& machine, const Json&) {
  const std::string& given = machine.config().uuid;
  return Json{{"UUID", given.empty() ? "00000000-0000-0000-0000-000000000000" : given}};
}

Result<Json> kvm(Machine& machine, const Json&) {
  const bool enabled = std::string_view(machine.vcpus().front()->engine().name()) == "kvm";
  return Json{{"enabled", enabled}, {"present", ::access("/dev/kvm", R_OK | W_OK) == 0}};
}

Result<Json> target(Machine&, const Json&) { return Json{{"arch", "x86_64"}}; }

Result<Json> machines(Machine&, const Json&) {
  const auto entry = [](const char* name, const char* alias, bool standard) {
    Json row{{"hotpluggable-cpus", false},           {"name", name},   {"numa-mem-supported", false},
             {"default-cpu-type", "max-x86_64-cpu"}, {"cpu-max", 255}, {"deprecated", false}};
    if (alias != nullptr) row["alias"] = alias;
    if (standard) row["is-default"] = true;
    return row;
  };
  return Json::array({entry("pc-i440fx-7.2", "pc", true), entry("none", nullptr, false)});
}

Result<Json> cpu_definitions(Machine&, const Json&) {
  Json list = Json::array();
  for (const std::string& model : cpu::CpuModel::model_names())
    list.push_back({{"name", model},
                    {"typename", model + "-x86_64-cpu"},
                    {"unavailable-features", Json::array()},
                    {"static", false},
                    {"migration-safe", false},
                    {"deprecated", false}});
  return list;
}

Result<Json> memory_size(Machine& machine, const Json&) {
  return Json{{"base-memory", machine.config().memory_bytes}, {"plugged-memory", 0}};
}

Result<Json> mice(Machine&, const Json&) {
  return Json::array({{{"name", "PS/2 Mouse"}, {"index", 2}, {"current", true}, {"absolute", false}}});
}

// The types that management software looks for, and the devices of the registry.
Result<Json> qom_list_types(Machine&, const Json& arguments) {
  Json list = Json::array();
  const std::string wanted = arguments.value("implements", "");
  if (wanted.empty() || wanted == "accel" || wanted == "object") {
    for (const char* accelerator : {"tcg-accel", "kvm-accel"})
      list.push_back({{"name", accelerator}, {"parent", "accel"}});
  }
  if (wanted.empty() || wanted == "device" || wanted == "object") {
    for (const machine::DeviceRow& row : machine::device_registry())
      list.push_back({{"name", row.name}, {"parent", "device"}});
  }
  return list;
}

Result<Json> device_list_properties(Machine&, const Json& arguments) {
  const std::string type = arguments.value("typename", "");
  for (const machine::DeviceRow& row : machine::device_registry()) {
    if (row.name != type && row.alias != type) continue;
    Json list = Json::array();
    for (const machine::PropertyRow& property : row.properties)
      list.push_back({{"name", property.name}, {"type", property.type}, {"description", property.help}});
    return list;
  }
  return Error{"Parameter 'typename' expects a device type, there is no '" + type + "'"};
}

Result<Json> nothing(Machine&, const Json&) { return Json::array(); }
Result<Json> no_migration(Machine&, const Json&) { return Json::object(); }

Result<Json> events(Machine&, const Json&) {
  Json list = Json::array();
  for (const char* event : {"GUEST_PANICKED", "POWERDOWN", "RESET", "RESUME", "SHUTDOWN", "STOP"})
    list.push_back({{"name", event}});
  return list;
}

constexpr QmpCommand kQueries[] = {
    {"query-status", status},
    {"query-cpus-fast", cpus_fast},
    {"query-block", block},
    {"query-chardev", chardev},
    {"query-commands", commands},
    {"query-events", events},
    {"query-name", name},
    {"query-uuid", uuid},
    {"query-kvm", kvm},
    {"query-target", target},
    {"query-machines", machines},
    {"query-cpu-definitions", cpu_definitions},
    {"query-memory-size-summary", memory_size},
    {"query-mice", mice},
    {"query-iothreads", nothing},
    {"query-memory-devices", nothing},
    {"query-jobs", nothing},
    {"query-migrate", no_migration},
    {"qom-list-types", qom_list_types},
    {"device-list-properties", device_list_properties},
};

}  // namespace

std::span<const QmpCommand> qmp_queries() { return kQueries; }

}  // namespace xm::monitor
