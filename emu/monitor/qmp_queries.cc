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

// [QEMU QMP reference, BlockDeviceInfo]
Json inserted_medium(const machine::BlockInfo& info) {
  Json image{{"filename", info.file}, {"format", info.format}, {"virtual-size", info.size_bytes}};
  Json entry{{"file", info.file},
             {"ro", info.read_only},
             {"drv", info.format},
             {"encrypted", false},
             {"backing_file_depth", info.backing_files.size()},
             {"detect_zeroes", "off"},
             {"write_threshold", 0}};
  for (const char* limit : {"bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr"}) entry[limit] = 0;
  if (!info.backing_files.empty()) {
    entry["backing_file"] = info.backing_files.front();
    image["backing-filename"] = info.backing_files.front();
  }
  entry["image"] = std::move(image);
  return entry;
}

Result<Json> block(Machine& machine, const Json&) {
  Json list = Json::array();
  for (const machine::BlockInfo& info : machine.board().block_info()) {
    Json entry{{"device", info.name}, {"locked", info.locked}, {"removable", info.removable}, {"type", "unknown"}};
    if (info.removable) entry["tray_open"] = info.tray_open;
    entry["io-status"] = info.has_held_requests ? "failed" : "ok";
    if (info.inserted) entry["inserted"] = inserted_medium(info);
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
