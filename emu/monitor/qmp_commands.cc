// SPDX-License-Identifier: GPL-2.0-or-later
// QMP commands that do something; those that only ask are in qmp_queries.cc.
#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <vector>

#include "emu/machine/board.h"
#include "emu/monitor/inspect.h"
#include "emu/monitor/monitor.h"
#include "emu/monitor/qmp.h"

namespace xm::monitor {

namespace {

using machine::Machine;

Json done() { return Json::object(); }

// The text of a required string argument.
Result<std::string> text_of(const Json& arguments, const char* key) {
  if (!arguments.contains(key)) return Error{std::string("Parameter '") + key + "' is missing"};
  if (!arguments[key].is_string())
    return Error{std::string("Invalid parameter type for '") + key + "', expected: string"};
  return arguments[key].get<std::string>();
}

Result<u64> number_of(const Json& arguments, const char* key) {
  if (!arguments.contains(key)) return Error{std::string("Parameter '") + key + "' is missing"};
  if (!arguments[key].is_number_unsigned())
    return Error{std::string("Invalid parameter type for '") + key + "', expected: integer"};
  return arguments[key].get<u64>();
}

// The monitor's words say what went wrong in their answer; an empty one is success.
Result<Json> by_monitor(Machine& machine, const std::string& line) {
  const std::string answer = execute(machine, line);
  if (!answer.empty()) return Error{answer};
  return done();
}

Result<Json> stop(Machine& machine, const Json&) {
  machine.stop();
  return done();
}

Result<Json> cont(Machine& machine, const Json&) {
  machine.resume();
  return done();
}

Result<Json> quit(Machine& machine, const Json&) {
  machine.request_quit(0, "host-qmp-quit");
  return done();
}

Result<Json> system_reset(Machine& machine, const Json&) {
  machine.request_reset("host-qmp-system-reset");
  return done();
}

Result<Json> system_powerdown(Machine& machine, const Json&) {
  machine.power_button();
  return done();
}

Result<Json> inject_nmi(Machine& machine, const Json&) {
  for (auto& vcpu : machine.vcpus()) vcpu->raise_nmi();
  return done();
}

Result<Json> human_monitor_command(Machine& machine, const Json& arguments) {
  const std::string line = TRY(text_of(arguments, "command-line"));
  std::string answer = execute(machine, line);
  std::string text;
  for (const char c : answer) {
    if (c == '\n') text += '\r';
    text += c;
  }
  if (!text.empty() && !text.ends_with('\n')) text += "\r\n";
  return Json(text);
}

Result<Json> screendump(Machine& machine, const Json& arguments) {
  const std::string file = TRY(text_of(arguments, "filename"));
  const std::string format = arguments.value("format", "");
  if (!format.empty() && format != "png" && format != "ppm") return Error{"Invalid parameter 'format'"};
  TRY(screenshot_to(machine, file, format));
  return done();
}

// {"keys": [{"type": "qcode", "data": "ret"}, ...]}: pressed together.
Result<Json> send_key(Machine& machine, const Json& arguments) {
  if (!arguments.contains("keys") || !arguments["keys"].is_array()) return Error{"Parameter 'keys' is missing"};
  std::string keys;
  for (const Json& key : arguments["keys"]) {
    if (!key.is_object() || key.value("type", "") != "qcode") return Error{"Invalid parameter 'keys', use qcode"};
    keys += (keys.empty() ? "" : "-") + TRY(text_of(key, "data"));
  }
  return by_monitor(machine, "sendkey " + keys);
}

Result<Json> key_event(Machine& machine, const Json& data) {
  const Json key = data.value("key", Json::object());
  const std::string name = key.is_object() && key.value("type", "") == "qcode" ? TRY(text_of(key, "data")) : "";
  const u16 code = devices::keycode_by_name(name.c_str());
  if (code == 0) return Error{"Invalid parameter 'key', use a known qcode"};
  machine.board().keyboard().key(code, data.value("down", false));
  return done();
}

Result<Json> button_event(Machine& machine, const Json& data) {
  static constexpr std::pair<std::string_view, devices::MouseButton> kButtons[] = {
      {"left", static_cast<devices::MouseButton>(0)},
      {"right", static_cast<devices::MouseButton>(1)},
      {"middle", static_cast<devices::MouseButton>(2)}};
  const std::string name = TRY(text_of(data, "button"));
  for (const auto& [button, value] : kButtons) {
    if (button == name) machine.board().mouse().pointer_button(value, data.value("down", false));
  }
  return done();
}

Result<Json> input_send_event(Machine& machine, const Json& arguments) {
  if (!arguments.contains("events") || !arguments["events"].is_array()) return Error{"Parameter 'events' is missing"};
  for (const Json& event : arguments["events"]) {
    if (!event.is_object()) return Error{"Invalid parameter 'events'"};
    const std::string type = event.value("type", "");
    const Json data = event.value("data", Json::object());
    if (!data.is_object()) return Error{"Invalid parameter 'data'"};
    if (type == "key") {
      TRY(key_event(machine, data));
    } else if (type == "btn") {
      TRY(button_event(machine, data));
    } else if (type == "rel") {
      const int value = data.value("value", 0);
      const bool x = data.value("axis", "") == "x";
      machine.board().mouse().pointer_motion(x ? value : 0, x ? 0 : value, 0);
    } else {
      return Error{"Invalid parameter 'type': only key, btn and rel events"};
    }
  }
  machine.board().mouse().pointer_sync();
  return done();
}

// memsave: guest-virtual, of the first CPU; pmemsave: guest-physical.
Result<Json> save_memory(Machine& machine, const Json& arguments, bool physical) {
  const u64 address = TRY(number_of(arguments, "val"));
  const u64 size = TRY(number_of(arguments, "size"));
  const std::string path = TRY(text_of(arguments, "filename"));
  if (size > (u64{1} << 40)) return Error{"Invalid parameter 'size'"};
  std::FILE* file = std::fopen(path.c_str(), "wb");
  if (file == nullptr) return Error{"Could not open '" + path + "': " + std::strerror(errno)};
  Result<void> saved;
  machine.with_parked_cpus([&] { saved = write_guest_memory(machine, address, size, physical, file); });
  const bool closed = std::fclose(file) == 0;
  if (!saved.ok()) return saved.error();
  if (!closed) return Error{"Could not write '" + path + "': " + std::strerror(errno)};
  return done();
}
Result<Json> memsave(Machine& machine, const Json& arguments) { return save_memory(machine, arguments, false); }
Result<Json> pmemsave(Machine& machine, const Json& arguments) { return save_memory(machine, arguments, true); }

// The drive by either of its names.
Result<std::string> drive_of(const Json& arguments) {
  if (arguments.contains("id")) return text_of(arguments, "id");
  return text_of(arguments, "device");
}

Result<Json> eject(Machine& machine, const Json& arguments) {
  const std::string answer =
      machine.board().eject(TRY(drive_of(arguments)), arguments.contains("force") && arguments["force"] == true);
  if (!answer.empty()) return Error{answer};
  return done();
}

Result<Json> block_resize(Machine& machine, const Json& arguments) {
  const std::string answer = machine.board().resize_drive(TRY(drive_of(arguments)), TRY(number_of(arguments, "size")));
  if (!answer.empty()) return Error{answer};
  return done();
}

Result<Json> set_link(Machine& machine, const Json& arguments) {
  const std::string name = TRY(text_of(arguments, "name"));
  if (!arguments.contains("up") || !arguments["up"].is_boolean()) return Error{"Parameter 'up' is missing"};
  const std::string answer = machine.board().set_link(name, arguments["up"].get<bool>());
  if (!answer.empty()) return Error{answer};
  return done();
}

Result<Json> change_medium(Machine& machine, const Json& arguments) {
  const std::string drive = TRY(drive_of(arguments));
  const std::string answer = machine.board().change_medium(drive, TRY(text_of(arguments, "filename")));
  if (!answer.empty()) return Error{answer};
  return done();
}

Result<Json> set_vnc_password(Machine& machine, const Json& arguments) {
  return by_monitor(machine, "set_password vnc " + TRY(text_of(arguments, "password")));
}

constexpr QmpCommand kCommands[] = {
    {"stop", stop},
    {"cont", cont},
    {"quit", quit},
    {"system_reset", system_reset},
    {"system_powerdown", system_powerdown},
    {"inject-nmi", inject_nmi},
    {"human-monitor-command", human_monitor_command},
    {"screendump", screendump},
    {"send-key", send_key},
    {"input-send-event", input_send_event},
    {"change-vnc-password", set_vnc_password},
    {"set_password", set_vnc_password},
    {"memsave", memsave},
    {"pmemsave", pmemsave},
    {"eject", eject},
    {"blockdev-change-medium", change_medium},
    {"block_resize", block_resize},
    {"set_link", set_link},
};

}  // namespace

std::span<const QmpCommand> qmp_commands() { return kCommands; }

}  // namespace xm::monitor
