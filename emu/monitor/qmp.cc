// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/monitor/qmp.h"

#include <ctime>

namespace xm::monitor {

namespace {

constexpr std::size_t kLongestRequest = 4 << 20;

Json error_object(std::string_view kind, const std::string& description) {
  return {{"error", {{"class", kind}, {"desc", description}}}};
}

Json version_object() {
  // What management software compares is QEMU's number: the one whose words this program follows.
  return {{"qemu", {{"micro", 0}, {"minor", 2}, {"major", 7}}}, {"package", "xiaoma 0.1"}};
}

const QmpCommand* find(std::string_view name) {
  for (const auto table : {qmp_commands(), qmp_queries()}) {
    for (const QmpCommand& command : table)
      if (command.name == name) return &command;
  }
  return nullptr;
}

Json timestamp() {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return {{"seconds", now.tv_sec}, {"microseconds", now.tv_nsec / 1000}};
}

}  // namespace

QmpServer::QmpServer(machine::Machine& machine, devices::CharBackend& port) : machine_(machine), port_(port) {
  machine_.add_listener(*this);
  port_.attach(this);
}

QmpServer::~QmpServer() {
  port_.attach(nullptr);
  machine_.remove_listener(*this);
}

void QmpServer::event(devices::CharEvent event) {
  connected_ = event == devices::CharEvent::Opened;
  negotiated_ = false;
  request_.clear();
  pending_.clear();
  nesting_.clear();
  in_string_ = escaped_ = false;
  if (connected_) send({{"QMP", {{"version", version_object()}, {"capabilities", Json::array()}}}});
}

void QmpServer::receive(std::span<const u8> bytes) {
  for (const u8 byte : bytes) take(static_cast<char>(byte));
}

// Objects stand one behind the other, with or without white space between them.
void QmpServer::take(char c) {
  if (nesting_.empty()) {
    if (c == '{') {
      request_ = c;
      nesting_ = c;
    } else if (c != ' ' && c != '\t' && c != '\r' && c != '\n' && c != '\0') {
      if (request_.empty()) send(error_object("GenericError", "JSON parse error, expecting an object"));
      request_ = "?";  // one complaint a line
    } else if (c == '\n') {
      request_.clear();
    }
    return;
  }
  if (request_.size() >= kLongestRequest) {
    nesting_.clear();
    request_.clear();
    in_string_ = false;
    return send(error_object("GenericError", "JSON token size limit exceeded"));
  }
  request_ += c;
  if (in_string_) {
    if (!escaped_ && c == '"') in_string_ = false;
    escaped_ = !escaped_ && c == '\\';
    return;
  }
  if (c == '"') in_string_ = true;
  if (c == '{' || c == '[') nesting_ += c;
  if (c == '}' || c == ']') {
    if (nesting_.back() != (c == '}' ? '{' : '[')) {
      nesting_.clear();
      request_ = "?";
      return send(error_object("GenericError", "JSON parse error, brackets do not match"));
    }
    nesting_.pop_back();
  }
  if (nesting_.empty()) answer(std::exchange(request_, ""));
}

void QmpServer::answer(const std::string& text) {
  const Json request = Json::parse(text, nullptr, false);
  if (request.is_discarded()) return send(error_object("GenericError", "JSON parse error"));
  Json reply = execute(request);
  if (request.contains("id")) reply["id"] = request["id"];
  send(reply);
}

Json QmpServer::execute(const Json& request) {
  if (!request.contains("execute") || !request["execute"].is_string())
    return error_object("GenericError", "QMP input lacks member 'execute'");
  for (const auto& [key, value] : request.items()) {
    if (key != "execute" && key != "arguments" && key != "id")
      return error_object("GenericError", "QMP input member '" + key + "' is unexpected");
  }
  const std::string name = request["execute"];
  const Json arguments = request.value("arguments", Json::object());
  if (!arguments.is_object()) return error_object("GenericError", "QMP input member 'arguments' must be an object");
  if (!negotiated_) {
    if (name != "qmp_capabilities")
      return error_object("CommandNotFound", "Expecting capabilities negotiation with 'qmp_capabilities'");
    negotiated_ = true;
    return {{"return", Json::object()}};
  }
  if (name == "qmp_capabilities")
    return error_object("CommandNotFound", "Capabilities negotiation is already complete, command ignored");
  if (name == "query-version") return {{"return", version_object()}};
  const QmpCommand* command = find(name);
  if (command == nullptr) return error_object("CommandNotFound", "The command " + name + " has not been found");
  Result<Json> result = command->run(machine_, arguments);
  if (!result.ok()) return error_object("GenericError", result.error().message);
  return {{"return", *result}};
}

void QmpServer::machine_event(machine::MachineEvent event, const char* reason) {
  if (!negotiated_) return;
  using machine::MachineEvent;
  const std::string_view why = reason;
  Json message{{"timestamp", timestamp()}};
  Json data = Json::object();
  switch (event) {
    case MachineEvent::Stop: message["event"] = "STOP"; break;
    case MachineEvent::Resume: message["event"] = "RESUME"; break;
    case MachineEvent::PowerButton: message["event"] = "POWERDOWN"; break;
    case MachineEvent::Reset:
      message["event"] = "RESET";
      data = {{"guest", why.starts_with("guest")}, {"reason", reason}};
      break;
    case MachineEvent::Shutdown:
      message["event"] = "SHUTDOWN";
      data = {{"guest", why.starts_with("guest")}, {"reason", reason}};
      break;
    case MachineEvent::GuestPanicked:
      message["event"] = "GUEST_PANICKED";
      data = {{"action", "shutdown"}};
      break;
  }
  if (!data.empty()) message["data"] = data;
  send(message);
}

void QmpServer::send(const Json& message) {
  if (!connected_) return;
  pending_ += message.dump(-1, ' ', false, Json::error_handler_t::replace) + "\r\n";
  flush();
}

void QmpServer::flush() {
  const std::size_t taken = port_.write({reinterpret_cast<const u8*>(pending_.data()), pending_.size()});
  pending_.erase(0, taken);
}

}  // namespace xm::monitor
