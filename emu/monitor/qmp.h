// SPDX-License-Identifier: GPL-2.0-or-later
// QMP: the machine-readable monitor, QEMU's protocol of that name: a greeting, qmp_capabilities, then one JSON object
// in, one out, and events in between. [QEMU docs/interop/qmp-spec] Runs on the machine thread with the machine lock
// held. What a client sends wrong is answered by an error object; it never ends the connection or the machine.
#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>

#include "devices/char/char_backend.h"
#include "emu/machine/machine.h"

namespace xm::monitor {

using Json = nlohmann::ordered_json;

// One command: its answer, or an error whose message becomes "desc".
struct QmpCommand {
  std::string_view name;
  Result<Json> (*run)(machine::Machine& machine, const Json& arguments);
};
std::span<const QmpCommand> qmp_commands();
std::span<const QmpCommand> qmp_queries();

class QmpServer final : public devices::CharFrontend, private machine::MachineListener {
 public:
  QmpServer(machine::Machine& machine, devices::CharBackend& port);
  ~QmpServer();

  std::size_t can_receive() override { return 4096; }
  void receive(std::span<const u8> bytes) override;
  void event(devices::CharEvent event) override;
  void writable() override { flush(); }

 private:
  void machine_event(machine::MachineEvent event, const char* reason) override;
  void take(char c);
  void answer(const std::string& text);
  Json execute(const Json& request);
  void send(const Json& message);
  void flush();

  machine::Machine& machine_;
  devices::CharBackend& port_;
  bool connected_ = false;
  bool negotiated_ = false;
  // The object that is being received.
  std::string request_;
  std::string nesting_;  // the brackets that are open
  bool in_string_ = false, escaped_ = false;
  std::string pending_;
};

}  // namespace xm::monitor
