// SPDX-License-Identifier: GPL-2.0-or-later
// Machine: the composition root. Built from a Config, it owns the board, the vCPU threads and the machine thread's
// event loop, and decides what happens on reset, power-off, stop and quit.
//
// Threads (docs/threads.md): run() makes the calling thread the machine thread; it dispatches back-end completions,
// clock events and requests with the machine lock held. Each vCPU has its own thread and takes the lock for device
// accesses. request_* may be called on any thread; the rest belongs to the machine thread.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "emu/base/log.h"
#include "emu/base/result.h"
#include "emu/bus/virtual_clock.h"
#include "emu/host/event_loop.h"
#include "emu/machine/board.h"
#include "emu/machine/config.h"
#include "emu/machine/host_clock.h"
#include "emu/machine/instruction_clock.h"
#include "emu/machine/vcpu_thread.h"

namespace xm::host {
class TerminalMux;
}

namespace xm::machine {

class EngineMaker;
class EngineSwitcher;

// What happens to the machine as a whole, for monitors. `reason` is QMP's word for who asked (ShutdownCause).
enum class MachineEvent : u8 { Stop, Resume, Reset, PowerButton, Shutdown, GuestPanicked };
class MachineListener {
 public:
  virtual void machine_event(MachineEvent event, const char* reason) = 0;  // machine thread, lock held

 protected:
  ~MachineListener() = default;
};

class Machine final : private BoardOwner {
 public:
  // Builds everything; nothing runs yet. Every host resource that can fail (files, ports, memory) fails here.
  static Result<std::unique_ptr<Machine>> create(Config config);
  ~Machine();

  // Runs until the guest powers off or somebody quits; returns the exit status of the process.
  int run();

  // --- requests, from any thread (devices make them on vCPU threads with the lock held)
  void request_reset() override { request_reset("guest-reset"); }
  void request_reset(const char* reason);
  void request_power_off() override;
  void guest_exit(int exit_status) override;
  bool status_is_the_guests() const { return status_is_the_guests_.load(); }
  void request_quit(int exit_status) { request_quit(exit_status, "host-error"); }
  void request_quit(int exit_status, const char* reason);
  void request_stop() override;

  // --- control, on the machine thread
  void stop();  // parks all vCPUs, guest time stands still
  void resume();
  bool running() const { return running_; }
  // QMP's RunState: prelaunch, running, paused, shutdown, guest-panicked.
  const char* run_state() const { return running_ ? "running" : state_; }
  void power_button();
  // While stopped: lets what disks still do come to its end, outcomes included, and runs the timers that are due.
  void settle();
  void set_guest_time(Nanos now);  // while stopped
  // While stopped: lets only this vCPU run, for one instruction; then everything stands still again.
  void step(unsigned cpu);
  // The vCPU that ended the last run by ExitKind::Debug; -1 after any other stop. Valid in MachineEvent::Stop.
  int debug_cpu() const { return debug_cpu_; }
  // Goes on with another engine (interp, kvm) on every CPU, between two instructions. With the machine lock held, which
  // is let go while the CPUs come to rest.
  Result<void> switch_engine(const std::string& name);
  // The same while all CPUs are parked already.
  Result<void> switch_parked_engines(const std::string& name);
  // Makes handle_requests() run soon; from any thread.
  void wake() { loop_->wake(); }
  // Runs `work` while every vCPU stands between two instructions. Called with the machine lock held, which is let go
  // while the CPUs come to rest.
  void with_parked_cpus(const std::function<void()>& work);

  const Config& config() const { return config_; }
  Board& board() { return *board_; }
  host::EventLoop& loop() { return *loop_; }
  std::mutex& lock() { return lock_; }
  Log& log() { return log_; }
  bus::VirtualClock& clock() { return *clock_; }
  std::vector<std::unique_ptr<VcpuThread>>& vcpus() { return vcpus_; }
  void add_listener(MachineListener& listener) { listeners_.push_back(&listener); }
  void remove_listener(MachineListener& listener) { std::erase(listeners_, &listener); }
  // Where the character devices are: label and QEMU's name of the back end ("serial0", "pty:/dev/pts/3").
  const std::vector<std::pair<std::string, std::string>>& character_names() const { return character_names_; }
  // What monitors ask of the VNC server, if there is one (empty functions: none).
  struct Vnc {
    std::function<void(const std::string& password)> set_password;
    std::function<std::string()> describe;
  };
  void set_vnc(Vnc vnc) { vnc_ = std::move(vnc); }
  const Vnc& vnc() const { return vnc_; }
  devices::CharBackend* gdb_port() { return gdb_port_; }
  // The control sockets of -qmp.
  const std::vector<devices::CharBackend*>& qmp_ports() const { return qmp_ports_; }
  // The monitor's end of the terminal or of -monitor; null if there is none.
  devices::CharBackend* monitor_port() { return monitor_port_; }

 private:
  void guest_panicked() override;
  void code_written(GuestPhys address, u64 size_bytes) override;
  explicit Machine(Config config);
  Result<void> build();
  Result<void> open_log();
  Result<void> open_characters();
  Result<devices::CharBackend*> open_character(const CharConfig& config, const char* label);
  Result<void> make_vcpus();
  void engines_differ(const std::string& report);
  void vcpu_exited(unsigned cpu, const cpu::Exit& exit);
  void handle_requests();
  void reset_all();
  void tell(MachineEvent event, const char* reason);
  void watch_signals();
  void watch_engine_speed();

  Config config_;
  Log log_;
  std::mutex lock_;
  HostClock host_clock_;
  std::unique_ptr<InstructionClock> instruction_clock_;  // with -icount, instead of host_clock_
  std::unique_ptr<bus::VirtualClock> clock_;
  std::unique_ptr<host::EventLoop> loop_;
  std::unique_ptr<host::TerminalMux> terminal_;
  std::vector<std::unique_ptr<devices::CharBackend>> characters_;
  devices::CharBackend* monitor_port_ = nullptr;
  std::vector<devices::CharBackend*> qmp_ports_;
  devices::CharBackend* gdb_port_ = nullptr;
  Vnc vnc_;
  std::vector<std::pair<std::string, std::string>> character_names_;
  std::unique_ptr<Board> board_;
  std::unique_ptr<EngineMaker> maker_;
  std::unique_ptr<EngineSwitcher> switcher_;
  std::vector<std::unique_ptr<VcpuThread>> vcpus_;

  std::atomic<u32> requests_{0};
  std::atomic<int> exit_status_{0};
  std::atomic<bool> status_is_the_guests_{false};
  std::atomic<const char*> reset_reason_{"guest-reset"}, quit_reason_{"host-error"};
  std::vector<MachineListener*> listeners_;
  const char* state_ = "prelaunch";
  std::atomic<int> debug_exit_{-1};  // set on vCPU threads, taken with the next stop
  int debug_cpu_ = -1;
  bool running_ = false;
  bool quit_ = false;
  int signal_fd_ = -1;
  // At the last look at the first CPU's speed.
  u64 measured_instructions_ = 0;
  i64 measured_cpu_ns_ = 0;
};

}  // namespace xm::machine
