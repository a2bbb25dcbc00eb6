// SPDX-License-Identifier: GPL-2.0-or-later
// Options about the engines while the machine runs: -switch-at, -lockstep.
#include "emu/cli/option_handlers.h"
#include "emu/cli/option_string.h"
#include "emu/trace/symbols.h"

namespace xm::cli {

using machine::Config;
using machine::SwitchAt;

Result<void> handle_switch_at(Config& config, const std::string& value) {
  OptionString options = OptionString::parse(value, "");
  SwitchAt at;
  std::string text, symbols;
  if (!options.take("engine", at.engine))
    return Error{"no engine: -switch-at " + value + "; add engine=interp or engine=kvm"};
  if (at.engine == "jit") return Error{"engine not available in this version: jit: -switch-at; use interp or kvm"};
  if (at.engine != "interp" && at.engine != "kvm")
    return Error{"unknown engine '" + at.engine + "': -switch-at; use interp or kvm"};
  options.take("symbols", symbols);
  unsigned events = 0;
  if (options.take("addr", text)) {
    at.event = SwitchAt::Event::Address;
    at.number = TRY(parse_number(text, 0, ~u64{0}, "-switch-at addr"));
    events++;
  }
  if (options.take("symbol", text)) {
    at.event = SwitchAt::Event::Address;
    if (symbols.empty()) symbols = config.kernel;
    if (symbols.empty()) return Error{"whose symbol '" + text + "': -switch-at; add symbols=ELF"};
    at.number = TRY(trace::symbol_address(symbols, text));
    events++;
  }
  if (options.take("serial", at.text)) {
    at.event = SwitchAt::Event::SerialText;
    if (at.text.empty()) return Error{"empty text: -switch-at serial"};
    events++;
  }
  if (options.take("debugport", text)) {
    at.event = SwitchAt::Event::DebugPort;
    at.number = TRY(parse_number(text, 0, 0xFFFFFFFF, "-switch-at debugport"));
    events++;
  }
  if (options.take("insns", text)) {
    at.event = SwitchAt::Event::Instructions;
    at.number = TRY(parse_number(text, 1, ~u64{0}, "-switch-at insns"));
    events++;
  }
  if (events != 1)
    return Error{"one event expected: -switch-at " + value +
                 "; use addr=A, symbol=S, serial=TEXT, debugport=V or insns=N"};
  config.switches.push_back(at);
  return options.finish("-switch-at");
}

// "interp,kvm": the order does not matter, the interpreter leads.
Result<void> handle_lockstep(Config& config, const std::string& value) {
  OptionString options = OptionString::parse(value, "first");
  machine::LockstepConfig lockstep;
  std::vector<std::string> engines;
  std::string text, symbols;
  if (options.take("first", text)) engines.push_back(text);
  for (const char* name : {"interp", "kvm", "jit"}) {
    std::string ignored;
    if (options.take(name, ignored)) engines.emplace_back(name);
  }
  for (const std::string& name : engines) {
    if (name == "jit") return Error{"engine not available in this version: jit: -lockstep; use interp,kvm"};
    if (name != "interp" && name != "kvm") return Error{"unknown engine '" + name + "': -lockstep; use interp,kvm"};
  }
  if (engines.size() != 2 || (engines[0] == "kvm" && engines[1] == "kvm"))
    return Error{"two engines expected, one of them interp: -lockstep " + value + "; use interp,kvm or interp,interp"};
  lockstep.shadow = engines[0] == "kvm" ? engines[0] : engines[1];
  options.take("symbols", symbols);
  if (options.take("from", text)) {
    if (text.starts_with("addr:")) {
      lockstep.step_address = TRY(parse_number(text.substr(5), 0, ~u64{0}, "-lockstep from"));
    } else if (text.starts_with("symbol:")) {
      if (symbols.empty()) return Error{"whose symbol '" + text.substr(7) + "': -lockstep; add symbols=ELF"};
      lockstep.step_address = TRY(trace::symbol_address(symbols, text.substr(7)));
    } else {
      lockstep.step_from = TRY(parse_number(text, 0, ~u64{0}, "-lockstep from"));
    }
  }
  if (options.take("count", text)) lockstep.step_count = TRY(parse_number(text, 1, ~u64{0}, "-lockstep count"));
  config.lockstep = lockstep;
  return options.finish("-lockstep");
}

}  // namespace xm::cli
