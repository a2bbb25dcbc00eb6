// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/machine/machine.h"

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <optional>

#include "emu/base/exit_status.h"
#include "emu/host/char_host.h"
#include "emu/host/terminal.h"
#include "emu/machine/engine_switcher.h"
#include "emu/machine/engines.h"
#include "emu/machine/snapshot.h"

namespace xm::machine {

namespace {

constexpr u32 kRequestReset = 1, kRequestPowerOff = 2, kRequestQuit = 4, kRequestStop = 8, kRequestTripleFault = 16;

}  // namespace

Machine::Machine(Config config) : config_(std::move(config)) {
  if (config_.icount_shift) {
    instruction_clock_ = std::make_unique<InstructionClock>(*config_.icount_shift);
    clock_ = std::make_unique<bus::VirtualClock>(*instruction_clock_);
  } else {
    clock_ = std::make_unique<bus::VirtualClock>(host_clock_);
  }
}

Machine::~Machine() {
  for (auto& vcpu : vcpus_) vcpu->quit();
  switcher_.reset();
  vcpus_.clear();
  maker_.reset();
  board_.reset();
  characters_.clear();
  terminal_.reset();
  if (signal_fd_ >= 0) {
    loop_->remove_fd(signal_fd_);
    ::close(signal_fd_);
  }
}

Result<std::unique_ptr<Machine>> Machine::create(Config config) {
  std::unique_ptr<Machine> machine(new Machine(std::move(config)));
  TRY(machine->build());
  return machine;
}

Result<void> Machine::build() {
  TRY(open_log());
  loop_ = TRY(host::EventLoop::create());
  if (config_.strict) log_.set_trap(LogItem::Unimp, [this] { request_quit(exit_status::kUnimplemented); });
  // With -icount the vCPU runs the timers: it must look again when one is armed that is nearer than it knows.
  clock_->on_earlier_deadline([this] {
    if (instruction_clock_ != nullptr && !vcpus_.empty() && !vcpus_.front()->settling())
      vcpus_.front()->engine().signals().set(cpu::Signals::kStop);
    loop_->wake();
  });
  TRY(open_characters());

  std::vector<devices::CharBackend*> serials;
  for (const CharConfig& serial : config_.serials)
    serials.push_back(TRY(open_character(serial, ("serial" + std::to_string(serials.size())).c_str())));
  devices::CharBackend* debugcon = nullptr;
  if (config_.debugcon) debugcon = TRY(open_character(*config_.debugcon, "debugcon"));
  if (config_.monitor) monitor_port_ = TRY(open_character(*config_.monitor, "compat_monitor0"));
  if (config_.gdb) gdb_port_ = TRY(open_character(*config_.gdb, "gdb"));
  for (const CharConfig& control : config_.qmps) qmp_ports_.push_back(TRY(open_character(control, "qmp")));

  std::map<std::string, devices::CharBackend*> consoles;
  for (const DeviceConfig& device : config_.devices) {
    const auto wanted = device.properties.find("chardev");
    if (wanted == device.properties.end()) continue;
    const auto chardev = config_.chardevs.find(wanted->second);
    if (chardev != config_.chardevs.end()) consoles[wanted->second] = TRY(open_character(chardev->second, "console"));
  }

  maker_ = std::make_unique<EngineMaker>(TRY(EngineMaker::create(config_, log_)));
  board_ = TRY(make_pc({.owner = *this,
                        .config = config_,
                        .clock = *clock_,
                        .loop = *loop_,
                        .log = log_,
                        .serials = std::move(serials),
                        .debugcon = debugcon,
                        .consoles = std::move(consoles),
                        .tsc_frequency_hz = maker_->tsc_frequency_hz()}));
  return make_vcpus();
}

Result<void> Machine::open_log() {
  static constexpr std::pair<const char*, LogItem> kItems[] = {{"guest_errors", LogItem::GuestErrors},
                                                               {"unimp", LogItem::Unimp},
                                                               {"int", LogItem::Int},
                                                               {"in_asm", LogItem::InAsm}};
  for (const std::string& wanted : config_.log_items) {
    for (const auto& [name, item] : kItems) {
      if (wanted == name) log_.enable(item);
    }
  }
  if (config_.log_file.empty()) return {};
  std::FILE* file = std::fopen(config_.log_file.c_str(), "w");
  if (file == nullptr) return Error{"cannot open log file: " + config_.log_file + ": " + std::strerror(errno)};
  log_.set_output(file, true);
  return {};
}

// The terminal is shared by at most one serial port and the monitor; it is opened once, whoever asks for it.
Result<void> Machine::open_characters() {
  const auto is = [](const char* kind) { return [kind](const CharConfig& config) { return config.kind == kind; }; };
  const bool multiplexed = std::any_of(config_.serials.begin(), config_.serials.end(), is("mon:stdio"));
  const bool plain = std::any_of(config_.serials.begin(), config_.serials.end(), is("stdio")) ||
                     (config_.monitor && config_.monitor->kind == "stdio") ||
                     std::any_of(config_.qmps.begin(), config_.qmps.end(), is("stdio")) ||
                     (config_.debugcon && config_.debugcon->kind == "stdio");
  if (!multiplexed && !plain) return {};
  watch_signals();  // before the terminal changes: a signal must find someone who restores it
  terminal_ = std::make_unique<host::TerminalMux>(*loop_, multiplexed,
                                                  host::TerminalMux::Actions{.quit = [this] { request_quit(0); }});
  if (multiplexed && !config_.monitor) monitor_port_ = &terminal_->monitor();
  return {};
}

Result<devices::CharBackend*> Machine::open_character(const CharConfig& config, const char* label) {
  std::string where = config.kind + (config.path.empty() ? "" : ":" + config.path);
  if (config.kind == "tcp") where += ":" + config.host + ":" + std::to_string(config.port);
  character_names_.emplace_back(label, where);
  if (config.kind == "stdio" || config.kind == "mon:stdio") return &terminal_->serial();
  std::unique_ptr<devices::CharBackend> backend;
  if (config.kind == "file") {
    backend = TRY(host::open_file_char(config.path));
  } else if (config.kind == "pty") {
    std::string name;
    backend = TRY(host::open_pty_char(*loop_, name));
    std::fprintf(stderr, "char device redirected to %s (label %s)\n", name.c_str(), label);
    character_names_.back().second = "pty:" + name;
  } else if (config.kind == "tcp" || config.kind == "unix") {
    const host::SocketAddress address{
        .unix_path = config.kind == "unix" ? config.path : "", .host = config.host, .port = config.port};
    backend = TRY(host::open_socket_char(*loop_, address, config.server, config.wait));
  } else {
    backend = std::make_unique<devices::NullCharBackend>();
  }
  characters_.push_back(std::move(backend));
  return characters_.back().get();
}

Result<void> Machine::make_vcpus() {
  const VcpuWorld world{
      .lock = lock_,
      .memory = board_->memory(),
      .ports = board_->ports(),
      .clock = *clock_,
      .apic = board_->apic(),
      .tsc_frequency_hz = maker_->tsc_frequency_hz(),
      .host_tsc = maker_->host_tsc(),
      .instruction_clock = instruction_clock_.get(),
      .settle = [this] { settle(); },
      .code_written =
          [this](unsigned from, GuestPhys address, u64 size_bytes) {
            for (std::size_t i = 0; i < vcpus_.size(); i++) {
              if (i != from) vcpus_[i]->engine().code_written(address, size_bytes);
            }
          },
      .exited = [this](unsigned cpu, const cpu::Exit& exit) { vcpu_exited(cpu, exit); },
  };
  TRY(maker_->attach_memory(board_->memory()));
  for (unsigned i = 0; i < config_.cpus; i++) {
    auto vcpu = std::make_unique<VcpuThread>(i, world);
    if (config_.lockstep) {
      vcpu->add_engine(TRY(maker_->make_lockstep(*config_.lockstep, *vcpu, lock_, board_->memory(),
                                                 [this](const std::string& report) { engines_differ(report); })));
    } else {
      vcpu->add_engine(TRY(maker_->make(maker_->first(), i, *vcpu)));
    }
    if (config_.budget_instructions) vcpu->set_budget(*config_.budget_instructions);
    board_->connect_cpu(i, *vcpu);
    vcpus_.push_back(std::move(vcpu));
  }
  switcher_ = std::make_unique<EngineSwitcher>(*this, config_.switches);
  return {};
}

// Orderly signals end the machine loop, so that every destructor runs and the terminal is restored.
void Machine::watch_signals() {
  if (signal_fd_ >= 0) return;
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&set, number);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  signal_fd_ = ::signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
  if (signal_fd_ < 0) return;
  loop_->add_fd(signal_fd_, host::EventLoop::kReadable, [this](u32) {
    signalfd_siginfo info{};
    if (::read(signal_fd_, &info, sizeof info) == sizeof info)
      request_quit(128 + static_cast<int>(info.ssi_signo), "host-signal");
  });
}

// Tells the board how far apart ticks must be so that a slow engine gets something done between them: the time of some
// tens of thousands of instructions. Only CPU time counts, so that an idle guest does not look slow.
void Machine::watch_engine_speed() {
  constexpr i64 kPeriodNs = 250'000'000, kEnoughNs = 20'000'000;
  constexpr u64 kInstructionsBetweenTicks = 20'000;
  loop_->add_timer(host::EventLoop::now_ns() + kPeriodNs, [this] {
    const u64 instructions = vcpus_.front()->engine().instructions();
    const i64 cpu_ns = vcpus_.front()->cpu_time_ns();
    const u64 done = instructions - measured_instructions_;
    const i64 used_ns = cpu_ns - measured_cpu_ns_;
    if (done > 0 && used_ns > kEnoughNs) {
      const double spacing_ns = static_cast<double>(used_ns) / static_cast<double>(done) * kInstructionsBetweenTicks;
      board_->set_tick_spacing(std::clamp<i64>(static_cast<i64>(spacing_ns), 20'000, 2'000'000));
      measured_instructions_ = instructions;
      measured_cpu_ns_ = cpu_ns;
    }
    watch_engine_speed();
  });
}

int Machine::run() {
  watch_signals();
  {
    const std::scoped_lock lock(lock_);
    reset_all();
    if (!config_.loadvm.empty()) {
      const Result<void> loaded = load_snapshot(*this, config_.loadvm);
      if (!loaded.ok()) {
        std::fprintf(stderr, "xiaoma: error: %s\n", loaded.error().message.c_str());
        return loaded.error().exit_status;
      }
    }
  }
  switcher_->start();
  for (auto& vcpu : vcpus_) vcpu->start_thread();
  if (instruction_clock_ == nullptr) watch_engine_speed();
  if (config_.budget_seconds) {
    loop_->add_timer(host::EventLoop::now_ns() + static_cast<i64>(*config_.budget_seconds * 1e9),
                     [this] { request_quit(exit_status::kBudget); });
  }
  if (!config_.start_paused) {
    const std::scoped_lock lock(lock_);
    resume();
  }
  // With -icount outcomes wait until the vCPU is between two blocks, and make it look.
  if (instruction_clock_ != nullptr)
    loop_->hold_posted([this] {
      if (!vcpus_.front()->settling()) vcpus_.front()->engine().signals().set(cpu::Signals::kStop);
    });
  while (!quit_) {
    i64 timeout_ns = -1;
    {
      const std::scoped_lock lock(lock_);
      const Nanos deadline = clock_->next_deadline();
      if (running_ && instruction_clock_ == nullptr && deadline != bus::VirtualClock::kNever) {
        timeout_ns = std::max<i64>(0, deadline - clock_->now());
      }
    }
    loop_->wait(timeout_ns);
    const std::scoped_lock lock(lock_);
    loop_->dispatch();
    if (running_ && instruction_clock_ == nullptr) clock_->run_due();
    if (instruction_clock_ != nullptr && !vcpus_.front()->counting()) loop_->run_posted();
    handle_requests();
  }
  const std::scoped_lock lock(lock_);
  stop();
  return exit_status_.load();
}

void Machine::tell(MachineEvent event, const char* reason) {
  for (MachineListener* listener : listeners_) listener->machine_event(event, reason);
}

void Machine::request_reset(const char* reason) {
  reset_reason_.store(reason);
  requests_.fetch_or(kRequestReset);
  loop_->wake();
}

void Machine::request_power_off() {
  requests_.fetch_or(kRequestPowerOff);
  loop_->wake();
}

void Machine::request_quit(int exit_status, const char* reason) {
  quit_reason_.store(reason);
  exit_status_.store(exit_status);
  requests_.fetch_or(kRequestQuit);
  loop_->wake();
}

void Machine::guest_exit(int exit_status) {
  status_is_the_guests_.store(true);
  request_quit(exit_status, "guest-shutdown");
}

void Machine::request_stop() {
  requests_.fetch_or(kRequestStop);
  loop_->wake();
}

void Machine::guest_panicked() { request_quit(exit_status::kGuestPanic, "guest-panic"); }

void Machine::code_written(GuestPhys address, u64 size_bytes) {
  for (auto& vcpu : vcpus_) vcpu->engine().code_written(address, size_bytes);
}

void Machine::vcpu_exited(unsigned cpu, const cpu::Exit& exit) {
  switch (exit.kind) {
    case cpu::ExitKind::Shutdown: requests_.fetch_or(kRequestTripleFault); break;
    case cpu::ExitKind::Unimplemented:
      std::fprintf(stderr, "xiaoma: error: unimplemented: CPU %u at 0x%llx: %s\n", cpu,
                   static_cast<unsigned long long>(exit.address), exit.detail);
      exit_status_.store(exit_status::kUnimplemented);
      requests_.fetch_or(kRequestQuit);
      break;
    case cpu::ExitKind::Budget:
      if (switcher_->count_reached()) break;
      exit_status_.store(exit_status::kBudget);
      requests_.fetch_or(kRequestQuit);
      break;
    case cpu::ExitKind::Debug:
      if (switcher_->breakpoint_hit()) break;
      debug_exit_.store(static_cast<int>(cpu));
      requests_.fetch_or(kRequestStop);
      break;
    default:
      debug_exit_.store(static_cast<int>(cpu));
      requests_.fetch_or(kRequestStop);
      break;
  }
  loop_->wake();
}

void Machine::handle_requests() {
  const u32 requests = requests_.exchange(0);
  if ((requests & kRequestQuit) != 0) {
    quit_ = true;
    if (exit_status_.load() == exit_status::kGuestPanic) tell(MachineEvent::GuestPanicked, "guest-panic");
    tell(MachineEvent::Shutdown, quit_reason_.load());
    return;
  }
  if ((requests & kRequestPowerOff) != 0 ||
      ((requests & (kRequestReset | kRequestTripleFault)) != 0 && config_.no_reboot)) {
    stop();
    state_ = "shutdown";
    tell(MachineEvent::Shutdown, (requests & kRequestPowerOff) != 0 ? "guest-shutdown" : "guest-reset");
    if (config_.no_shutdown) return;
    exit_status_.store((requests & kRequestTripleFault) != 0 ? exit_status::kTripleFault : exit_status::kOk);
    quit_ = true;
    return;
  }
  switcher_->perform();
  if ((requests & kRequestStop) != 0) stop();
  if ((requests & (kRequestReset | kRequestTripleFault)) != 0) {
    const bool was_running = running_;
    stop();
    reset_all();
    tell(MachineEvent::Reset, reset_reason_.exchange("guest-reset"));
    if (was_running) resume();
  }
}

// All vCPUs are parked (or have not started).
void Machine::reset_all() {
  board_->reset();
  for (std::size_t i = 0; i < vcpus_.size(); i++) {
    cpu::Engine& engine = vcpus_[i]->engine();
    engine.signals().clear(~u32{0});
    engine.signals().set(cpu::Signals::kMapChanged);
    engine.set_state(cpu::reset_state(maker_->signature(), i == 0));
  }
}

void Machine::stop() {
  if (!running_) return;
  // A vCPU may be waiting for the lock in the middle of an instruction: it must get it to reach its end.
  lock_.unlock();
  for (auto& vcpu : vcpus_) vcpu->park();
  lock_.lock();
  host_clock_.pause();
  running_ = false;
  debug_cpu_ = debug_exit_.exchange(-1);
  state_ = debug_cpu_ >= 0 ? "debug" : "paused";
  tell(MachineEvent::Stop, "");
}

void Machine::resume() {
  if (running_) return;
  host_clock_.resume();
  running_ = true;
  tell(MachineEvent::Resume, "");
  board_->resumed();
  for (auto& vcpu : vcpus_) vcpu->unpark();
}

void Machine::engines_differ(const std::string& report) {
  std::fprintf(stderr, "xiaoma: error: lockstep: %s", (report.ends_with("\n") ? report : report + "\n").c_str());
  request_quit(exit_status::kReplayDivergence);
}

Result<void> Machine::switch_engine(const std::string& name) {
  Result<void> switched;
  with_parked_cpus([&] { switched = switch_parked_engines(name); });
  return switched;
}

// Every CPU changes, so that all see the same kind of time and code. Engines are made when first asked for and kept.
Result<void> Machine::switch_parked_engines(const std::string& name) {
  for (unsigned i = 0; i < vcpus_.size(); i++) {
    if (vcpus_[i]->find_engine(name) == nullptr) vcpus_[i]->add_engine(TRY(maker_->make(name, i, *vcpus_[i])));
  }
  for (auto& vcpu : vcpus_) vcpu->use_engine(*vcpu->find_engine(name));
  measured_instructions_ = vcpus_.front()->engine().instructions();
  return {};
}

void Machine::with_parked_cpus(const std::function<void()>& work) {
  const bool was_running = running_;
  if (was_running) {
    lock_.unlock();
    for (auto& vcpu : vcpus_) vcpu->park();
    lock_.lock();
  }
  work();
  if (was_running && running_) {
    for (auto& vcpu : vcpus_) vcpu->unpark();
  }
}

void Machine::step(unsigned cpu) {
  if (running_) return;
  host_clock_.resume();
  running_ = true;
  vcpus_[cpu]->step_next();
  vcpus_[cpu]->unpark();
}

// Timers that are due have run, too: what a device shows is what it would show if it were loaded at this time.
void Machine::settle() {
  clock_->run_due();
  do {
    board_->drain_drives();
  } while (loop_->run_posted());
}

void Machine::set_guest_time(Nanos now) {
  host_clock_.set(now);
  if (instruction_clock_ != nullptr) instruction_clock_->set(now, vcpus_.front()->engine().instructions());
}

void Machine::power_button() {
  board_->power_button();
  tell(MachineEvent::PowerButton, "");
}

}  // namespace xm::machine
