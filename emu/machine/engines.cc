// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/machine/engines.h"

#include <algorithm>
#include <bit>

#include "cpu/interp/interpreter.h"
#include "cpu/kvm/kvm_cpuid.h"
#include "cpu/kvm/kvm_engine.h"
#include "cpu/kvm/kvm_user_engine.h"
#include "cpu/system/cpuid.h"
#include "emu/base/exit_status.h"
#include "emu/machine/kvm_memory.h"
#include "emu/machine/lockstep.h"

namespace xm::machine {

namespace {

// The TSC runs at a round gigahertz: one tick a nanosecond of guest time, so that every clock of the machine agrees.
constexpr u64 kTscFrequencyHz = 1'000'000'000;

}  // namespace

struct EngineMaker::Parts {
  cpu::CpuModel model;
  std::string first;
  std::unique_ptr<cpu::kvm::KvmVm> kvm;
  std::unique_ptr<KvmMemory> kvm_memory;
  Log& log;
  unsigned cpus = 1;
  u64 tsc_frequency_hz = kTscFrequencyHz;
  bool host_tsc = false;
};

EngineMaker::EngineMaker(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
EngineMaker::~EngineMaker() = default;
EngineMaker::EngineMaker(EngineMaker&&) noexcept = default;
EngineMaker& EngineMaker::operator=(EngineMaker&&) noexcept = default;

namespace {

// APIC IDs are the CPUs' numbers, so only what they can express is told: sizes that are powers of two inside a larger
// unit. Anything else appears as sockets of one CPU.
cpu::Topology topology_of(const Config& config) {
  const unsigned threads = config.threads_per_core;
  const unsigned cores = config.cores_per_socket == 0 ? config.cpus / threads : config.cores_per_socket;
  const unsigned sockets = config.cpus / (cores * threads);
  const bool whole = sockets * cores * threads == config.cpus;
  const bool expressible = std::has_single_bit(threads) && (sockets == 1 || std::has_single_bit(cores));
  if (!whole || !expressible) return {.sockets = config.cpus};
  return {.sockets = sockets, .cores = cores, .threads = threads};
}

}  // namespace

namespace {

bool wants_kvm_later(const Config& config) {
  if (config.lockstep && config.lockstep->shadow == "kvm") return true;
  return std::any_of(config.switches.begin(), config.switches.end(),
                     [](const SwitchAt& at) { return at.engine == "kvm"; });
}

}  // namespace

// Tries the accelerators in the order given; the last one's error is the user's. All that can be used of them are kept
// for later: the first is where the machine starts.
Result<EngineMaker> EngineMaker::create(const Config& config, Log& log) {
  cpu::CpuModel model = TRY(cpu::CpuModel::parse(config.cpu_model, topology_of(config)));
  auto parts = std::make_unique<Parts>(Parts{.model = std::move(model), .log = log, .cpus = config.cpus});
  Error last{"no accelerator given: -accel"};
  const auto open_kvm = [&]() -> Result<void> {
    auto vm = TRY(cpu::kvm::KvmVm::create());
    TRY(cpu::kvm::narrow_model(*vm, parts->model));
    parts->host_tsc = !vm->facts().tsc_control && vm->facts().tsc_hz != 0;
    if (parts->host_tsc) parts->tsc_frequency_hz = vm->facts().tsc_hz;
    parts->kvm = std::move(vm);
    return {};
  };
  for (const std::string& name : config.accelerators) {
    if (name == "jit") {
      last = Error{"accelerator not available in this version: jit; use -accel interp"};
      continue;
    }
    if (name == "kvm" && parts->kvm == nullptr) {
      const Result<void> opened = open_kvm();
      if (!opened.ok()) {
        last = opened.error();
        continue;
      }
    }
    if (parts->first.empty()) parts->first = name;
  }
  if (parts->first.empty()) return last;
  if (wants_kvm_later(config) && parts->kvm == nullptr) TRY(open_kvm());
  return EngineMaker(std::move(parts));
}

Result<std::unique_ptr<cpu::Engine>> EngineMaker::make_lockstep(const LockstepConfig& config, cpu::BusPort& port,
                                                                std::mutex& lock, bus::AddressSpace& memory,
                                                                std::function<void(const std::string&)> differs) {
  if (parts_->cpus != 1) return Error{"two engines in lockstep need one CPU: -lockstep; use -smp 1"};
  auto engine = TRY(LockstepEngine::create(
      config, port,
      {.lock = lock, .memory = memory, .model = parts_->model, .log = parts_->log, .differs = std::move(differs)}));
  return std::unique_ptr<cpu::Engine>(std::move(engine));
}

const std::string& EngineMaker::first() const { return parts_->first; }
u32 EngineMaker::signature() const { return parts_->model.signature(); }
u64 EngineMaker::tsc_frequency_hz() const { return parts_->tsc_frequency_hz; }
bool EngineMaker::host_tsc() const { return parts_->host_tsc; }

Result<void> EngineMaker::attach_memory(bus::AddressSpace& memory) {
  if (parts_->kvm == nullptr) return {};
  parts_->kvm_memory = std::make_unique<KvmMemory>(*parts_->kvm, memory);
  return parts_->kvm_memory->state();
}

Result<std::unique_ptr<cpu::Engine>> EngineMaker::make(const std::string& name, unsigned index, cpu::BusPort& port) {
  const cpu::interp::Interpreter::Options options{
      .bootstrap_processor = index == 0, .alone = parts_->cpus == 1, .index = index};
  if (name == "kvm") {
    if (parts_->kvm == nullptr)
      return Error{"this machine was not prepared for KVM: engine kvm; start with -accel interp:kvm"};
    if (parts_->kvm->facts().kind == cpu::kvm::KvmKind::Software) {
      auto user = TRY(cpu::kvm::KvmUserEngine::create(*parts_->kvm, index, port, parts_->model, parts_->log, options));
      return std::unique_ptr<cpu::Engine>(std::move(user));
    }
    auto engine = TRY(cpu::kvm::KvmEngine::create(*parts_->kvm, index, port, parts_->model, parts_->log));
    return std::unique_ptr<cpu::Engine>(std::move(engine));
  }
  if (name == "jit") return Error{"engine not available in this version: jit; use interp or kvm"};
  if (name != "interp") return Error{"unknown engine '" + name + "'; use interp or kvm"};
  return std::unique_ptr<cpu::Engine>(
      std::make_unique<cpu::interp::Interpreter>(port, parts_->model, parts_->log, options));
}

std::string list_cpu_models() {
  std::string text = "Available CPUs:\n";
  for (const std::string& name : cpu::CpuModel::model_names()) text += "  " + name + "\n";
  text += "\nRecognized feature switches:\n ";
  for (const std::string& name : cpu::CpuModel::feature_names()) text += " " + name;
  return text + "\n";
}

}  // namespace xm::machine
