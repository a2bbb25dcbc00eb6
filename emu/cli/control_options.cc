// SPDX-License-Identifier: GPL-2.0-or-later
// Options that connect those who control the machine: -qmp, -mon, -gdb, -vnc.
#include "emu/cli/option_handlers.h"
#include "emu/cli/option_string.h"

namespace xm::cli {

using machine::CharConfig;
using machine::Config;

Result<void> handle_qmp(Config& config, const std::string& value) {
  config.qmps.push_back(TRY(parse_char(config, value, "-qmp")));
  return {};
}

Result<void> handle_mon(Config& config, const std::string& value) {
  OptionString options = OptionString::parse(value, "chardev");
  std::string id, mode = "readline", pretty;
  options.take("chardev", id);
  options.take("mode", mode);
  options.take("pretty", pretty);
  TRY(options.finish("-mon"));
  const auto chardev = config.chardevs.find(id);
  if (chardev == config.chardevs.end()) return Error{"no such chardev '" + id + "': -mon"};
  if (mode == "control") {
    config.qmps.push_back(chardev->second);
  } else if (mode == "readline") {
    config.monitor = chardev->second;
  } else {
    return Error{"unknown mode '" + mode + "': -mon; use readline or control"};
  }
  return {};
}

// QEMU's words; time is always skipped when the CPU sleeps (sleep=off there), and never held to the host's.
Result<void> handle_icount(Config& config, const std::string& value) {
  OptionString options = OptionString::parse(value, "shift");
  std::string shift = "auto", text;
  options.take("shift", shift);
  options.take("sleep", text);
  if (options.take("align", text) && text != "off") return Error{"not supported: align=" + text + ": -icount"};
  TRY(options.finish("-icount"));
  config.icount_shift = shift == "auto" ? 0 : static_cast<unsigned>(TRY(parse_number(shift, 0, 10, "-icount shift")));
  return {};
}

// A machine that is watched over VNC opens no window.
Result<void> handle_vnc(Config& config, const std::string& value) {
  config.vnc = value == "none" ? "" : value;
  if (config.display == machine::DisplayKind::Default) config.display = machine::DisplayKind::None;
  return {};
}

// As in QEMU the debugger connects to us, whenever it likes.
Result<void> handle_gdb(Config& config, const std::string& value) {
  config.gdb = TRY(parse_char(config, value, "-gdb"));
  config.gdb->server = true;
  config.gdb->wait = false;
  return {};
}

Result<void> handle_gdb_default(Config& config, const std::string&) { return handle_gdb(config, "tcp::1234"); }

}  // namespace xm::cli
