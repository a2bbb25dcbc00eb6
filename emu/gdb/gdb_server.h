// SPDX-License-Identifier: GPL-2.0-or-later
// GDB's remote serial protocol [GDB manual, Appendix E]: the machine as one process whose threads are its vCPUs. A
// connection stops the machine; a disconnection lets it go on. Addresses are linear ones, as the chosen vCPU's page
// tables map them. Machine thread, machine lock held; watchpoints are looked for on the vCPU threads.
//
// GAP: watchpoints while -trace-insn records (both would be the one watch of an engine).
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "cpu/watch.h"
#include "devices/char/char_backend.h"
#include "emu/machine/machine.h"

namespace xm::gdb {

class GdbServer final : public devices::CharFrontend, private machine::MachineListener, private cpu::InstructionWatch {
 public:
  // What `monitor LINE` answers.
  using MonitorLine = std::function<std::string(const std::string& line)>;
  GdbServer(machine::Machine& machine, devices::CharBackend& port, MonitorLine monitor);
  ~GdbServer();

  std::size_t can_receive() override { return 4096; }
  void receive(std::span<const u8> bytes) override;
  void event(devices::CharEvent event) override;
  void writable() override { flush(); }

 private:
  enum class WatchKind : u8 { Write = 2, Read = 3, Access = 4 };
  struct Watchpoint {
    u64 address = 0, size_bytes = 0;
    WatchKind kind = WatchKind::Write;
    bool operator==(const Watchpoint&) const = default;
  };

  // MachineListener
  void machine_event(machine::MachineEvent event, const char* reason) override;
  // InstructionWatch
  void entering(cpu::Vcpu&, const cpu::WatchedCode&) override {}
  void left(cpu::Vcpu& cpu, const cpu::WatchedCode& code, unsigned retired) override;
  void delivering(cpu::Vcpu&, const cpu::WatchedEvent&) override {}
  void accessed(cpu::Vcpu& cpu, u64 linear, std::span<const u8> bytes, bool write) override;
  bool wants_steps() const override { return true; }
  bool wants_accesses() const override { return true; }

  void take(u8 byte);
  void packet(const std::string& text);
  std::string query(const std::string& text);
  std::string transfer(const std::string& text);
  std::string read_registers();
  std::string write_registers(std::string_view text);
  std::string read_memory(const std::string& text);
  std::string write_memory(const std::string& text, bool binary);
  std::string breakpoint(const std::string& text, bool insert);
  void apply_breakpoints();
  std::string choose_thread(const std::string& text);
  void resume(const std::string& actions);
  void go(bool step, unsigned cpu);
  std::string stop_reply() const;
  void send(const std::string& body);
  void flush();
  cpu::CpuState state_of(unsigned cpu);
  unsigned cpus() const { return static_cast<unsigned>(machine_.vcpus().size()); }

  machine::Machine& machine_;
  devices::CharBackend& port_;
  MonitorLine monitor_;
  bool connected_ = false, acknowledge_ = true, waiting_ = false;  // waiting_: GDB expects a stop reply
  bool interrupted_ = false, physical_ = false;
  unsigned current_ = 0;  // vCPU that registers and memory are read of
  unsigned stopped_ = 0;  // vCPU of the last stop
  std::vector<u64> breakpoints_;
  std::vector<Watchpoint> watchpoints_;  // changed while the CPUs are parked only
  std::atomic<u64> hit_address_{0};
  std::atomic<int> hit_kind_{0};  // WatchKind, 0: none

  enum class Parse : u8 { Idle, Body, Escape, Sum1, Sum2 } parse_ = Parse::Idle;
  std::string body_;
  u8 sum_ = 0, given_sum_ = 0;
  std::string last_sent_, pending_;
};

}  // namespace xm::gdb
