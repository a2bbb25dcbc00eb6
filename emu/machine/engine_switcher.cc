// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/machine/engine_switcher.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "emu/base/exit_status.h"
#include "emu/machine/machine.h"

namespace xm::machine {

namespace {

constexpr u16 kCom1 = 0x3F8;
constexpr u16 kDebugPorts[] = {0x80, 0xE9, 0x402};  // POST codes, Bochs' and SeaBIOS' debug consoles

}  // namespace

EngineSwitcher::EngineSwitcher(Machine& machine, std::vector<SwitchAt> switches)
    : machine_(machine), switches_(std::move(switches)) {}

void EngineSwitcher::start() {
  if (switches_.empty()) return;
  for (auto& vcpu : machine_.vcpus()) vcpu->set_switch_watch(this);
  wait_for_next();
}

// What the engines must look out for; text and debug ports come by themselves. No CPU runs.
void EngineSwitcher::wait_for_next() {
  const std::size_t next = next_.load();
  const bool address = next < switches_.size() && switches_[next].event == SwitchAt::Event::Address;
  for (auto& vcpu : machine_.vcpus()) {
    if (!address) {
      vcpu->engine().set_breakpoints({});
      continue;
    }
    vcpu->engine().set_breakpoints({&switches_[next].number, 1});
    cpu::CpuState state;
    vcpu->engine().get_state(state);
    const bool bits64 = (state.msr.efer & cpu::efer::kLma) != 0 && state.segment[1].long_code();
    if (state.rip + (bits64 ? 0 : state.segment[1].base) == switches_[next].number) vcpu->pass_breakpoint();
  }
  const bool count = next < switches_.size() && switches_[next].event == SwitchAt::Event::Instructions;
  machine_.vcpus().front()->set_budget(count ? switches_[next].number
                                             : machine_.config().budget_instructions.value_or(~u64{0}));
  text_matched_ = 0;
}

bool EngineSwitcher::happened(SwitchAt::Event event) {
  const std::size_t next = next_.load();
  if (next >= switches_.size() || switches_[next].event != event) return false;
  due_.store(true);
  machine_.wake();
  return true;
}

void EngineSwitcher::port_written(unsigned vcpu, Port port, u32 value) {
  const std::size_t next = next_.load();
  if (next >= switches_.size() || due_.load()) return;
  const SwitchAt& at = switches_[next];
  if (at.event == SwitchAt::Event::DebugPort) {
    if (std::find(std::begin(kDebugPorts), std::end(kDebugPorts), port.value) == std::end(kDebugPorts)) return;
    if (value != at.number) return;
  } else if (at.event == SwitchAt::Event::SerialText) {
    if (port.value != kCom1) return;
    const char byte = static_cast<char>(value);
    if (at.text[text_matched_] != byte) text_matched_ = 0;
    if (at.text[text_matched_] == byte) text_matched_++;
    if (text_matched_ < at.text.size()) return;
  } else {
    return;
  }
  machine_.vcpus()[vcpu]->hold();
  happened(at.event);
}

void EngineSwitcher::perform() {
  if (!due_.exchange(false)) return;
  const SwitchAt& at = switches_[next_.fetch_add(1)];
  Result<void> switched;
  machine_.with_parked_cpus([&] {
    for (auto& vcpu : machine_.vcpus()) vcpu->engine().set_breakpoints({});
    switched = machine_.switch_parked_engines(at.engine);
    wait_for_next();
  });
  if (switched.ok()) return;
  std::fprintf(stderr, "xiaoma: error: %s\n", switched.error().message.c_str());
  machine_.request_quit(switched.error().exit_status);
}

}  // namespace xm::machine
