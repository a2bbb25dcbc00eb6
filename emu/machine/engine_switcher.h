// SPDX-License-Identifier: GPL-2.0-or-later
// EngineSwitcher: `-switch-at EVENT,engine=E`. Events wait for each other in the order given; when the first one
// happens the CPU that met it stands still at that instruction boundary until the machine goes on with the engine
// named.
//
// Threads: port_written() on a vCPU's thread with the machine lock held; breakpoint_hit() and count_reached() on a
// vCPU's thread without it; the rest on the machine thread.
#pragma once

#include <atomic>
#include <string>
#include <vector>

#include "emu/machine/config.h"
#include "emu/machine/vcpu_thread.h"

namespace xm::machine {

class Machine;

class EngineSwitcher final : private PortWatch {
 public:
  EngineSwitcher(Machine& machine, std::vector<SwitchAt> switches);
  // Waits for the first event. All engines are there, no CPU runs.
  void start();
  // Carries out a switch whose event has happened. Machine thread, lock held.
  void perform();
  // A vCPU stopped at a breakpoint or at the end of its budget: true if an event waited for it.
  bool breakpoint_hit() { return happened(SwitchAt::Event::Address); }
  bool count_reached() { return happened(SwitchAt::Event::Instructions); }

 private:
  void port_written(unsigned vcpu, Port port, u32 value) override;
  bool happened(SwitchAt::Event event);
  void wait_for_next();

  Machine& machine_;
  const std::vector<SwitchAt> switches_;
  std::atomic<std::size_t> next_{0};
  std::atomic<bool> due_{false};
  std::size_t text_matched_ = 0;  // bytes of the text that the last writes to COM1 were
};

}  // namespace xm::machine
