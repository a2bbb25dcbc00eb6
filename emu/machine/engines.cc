// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/machine/engines.h"

#include <algorithm>
#include <bit>

#include "cpu/interp/interpreter.h"
#include "cpu/kvm/kvm_engine.h"
#include "cpu/system/cpuid.h"
#include "emu/base/exit_status.h"
#include "emu/machine/kvm_memory.h"

namespace xm::machine {

struct EngineMaker::Parts {
  cpu::CpuModel model;
  std::unique_ptr<cpu::kvm::KvmVm> kvm;
  std::unique_ptr<KvmMemory> kvm_memory;
  Log& log;
  unsigned cpus = 1;
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

// Tries the accelerators in the order given; the last one's error is the user's.
Result<EngineMaker> EngineMaker::create(const Config& config, bus::AddressSpace& memory, Log& log) {
  cpu::CpuModel model = TRY(cpu::CpuModel::parse(config.cpu_model, topology_of(config)));
  auto parts = std::make_unique<Parts>(Parts{.model = std::move(model), .log = log, .cpus = config.cpus});
  Error last{"no accelerator given: -accel"};
  for (const std::string& name : config.accelerators) {
    if (name == "interp") return EngineMaker(std::move(parts));
    if (name == "jit") {
      last = Error{"accelerator not available in this version: jit; use -accel interp"};
      continue;
    }
    auto vm = cpu::kvm::KvmVm::create();
    if (!vm.ok()) {
      last = vm.error();
      continue;
    }
    parts->kvm = std::move(*vm);
    parts->kvm_memory = std::make_unique<KvmMemory>(*parts->kvm, memory);
    return EngineMaker(std::move(parts));
  }
  return last;
}

Result<std::unique_ptr<cpu::Engine>> EngineMaker::make(unsigned index, cpu::BusPort& port) {
  if (parts_->kvm != nullptr) {
    auto engine = TRY(cpu::kvm::KvmEngine::create(*parts_->kvm, index, port, parts_->model));
    return std::unique_ptr<cpu::Engine>(std::move(engine));
  }
  const cpu::interp::Interpreter::Options options{
      .bootstrap_processor = index == 0, .alone = parts_->cpus == 1, .index = index};
  return std::unique_ptr<cpu::Engine>(
      std::make_unique<cpu::interp::Interpreter>(port, parts_->model, parts_->log, options));
}

u32 EngineMaker::signature() const { return parts_->model.signature(); }

std::string list_cpu_models() {
  std::string text = "Available CPUs:\n";
  for (const std::string& name : cpu::CpuModel::model_names()) text += "  " + name + "\n";
  text += "\nRecognized feature switches:\n ";
  for (const std::string& name : cpu::CpuModel::feature_names()) text += " " + name;
  return text + "\n";
}

}  // namespace xm::machine
