// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/kvm/kvm_user_engine.h"

#include <linux/kvm.h>

#include <algorithm>
#include <chrono>

#include "cpu/kvm/kvm_cpuid.h"

namespace xm::cpu::kvm {

namespace {

// A stretch costs some hundred microseconds: the interpreter does this much in that time. Stretches that end soon make
// the next one wait longer.
constexpr u64 kShortestSlice = 100'000, kLongestSlice = 3'200'000;
constexpr auto kWorthWhile = std::chrono::milliseconds(1);
constexpr u8 kDebugVector = 1, kBreakpointVector = 3;

}  // namespace

Result<std::unique_ptr<KvmUserEngine>> KvmUserEngine::create(KvmVm& vm, u32 index, BusPort& bus, const CpuModel& model,
                                                             Log& log, interp::Interpreter::Options options) {
  std::unique_ptr<KvmVcpu> vcpu = TRY(KvmVcpu::create(vm, index));
  TRY(set_cpuid(vm, vcpu->fd(), model, {.apic_id = index, .tsc_frequency_hz = bus.tsc_frequency_hz()}));
  return std::unique_ptr<KvmUserEngine>(new KvmUserEngine(vm, std::move(vcpu), bus, model, log, options));
}

KvmUserEngine::KvmUserEngine(KvmVm& vm, std::unique_ptr<KvmVcpu> vcpu, BusPort& bus, const CpuModel& model, Log& log,
                             interp::Interpreter::Options options)
    : vm_(vm),
      vcpu_(std::move(vcpu)),
      user_mode_(*vcpu_),
      interpreter_(bus, model, log, options),
      slice_(kShortestSlice) {}

KvmUserEngine::~KvmUserEngine() = default;

bool KvmUserEngine::set_breakpoints(std::span<const u64> linear) {
  debugged_ = !linear.empty();
  return interpreter_.set_breakpoints(linear);
}

std::vector<EngineCount> KvmUserEngine::counts() const {
  return {{"stretches", stretches_.load()}, {"syscall", system_calls_.load()}, {"exception", exceptions_.load()},
          {"kick", kicks_.load()},          {"other", others_.load()},         {"interpreted", instructions()}};
}

// 64-bit and 32-bit user mode without anything that must be seen between instructions.
bool KvmUserEngine::fit_for_kvm() {
  const CpuState& state = interpreter_.vcpu().state;
  return state.cpl == 3 && state.activity == Activity::Running && interpreter_.vcpu().mode.long_mode &&
         interpreter_.vcpu().mode.paging && (state.rflags & (flag::kTf | flag::kVm)) == 0 &&
         (state.dr[7] & 0xFF) == 0 && state.interrupt_shadow == InterruptShadow::None &&
         state.pending.kind == PendingEvent::Kind::None && (state.rflags & flag::kIopl) == 0 && !debugged_ &&
         interpreter_.vcpu().watch == nullptr;
}

void KvmUserEngine::run_user_mode() {
  CpuState state;
  interpreter_.get_state(state);
  if (!vm_.forget_page_tables().ok() || !user_mode_.load(state).ok()) {
    slice_ = kLongestSlice;
    return;
  }
  const auto start = std::chrono::steady_clock::now();
  vcpu_->arm();
  if (signals().load() != 0) return;  // before KVM: what comes later kicks
  UserModeExit exit = user_mode_.run(state);
  const bool worth = std::chrono::steady_clock::now() - start >= kWorthWhile;
  slice_ = worth ? kShortestSlice : std::min(2 * slice_, kLongestSlice);
  stretches_.fetch_add(1, std::memory_order_relaxed);
  if (exit.reason == KvmVcpu::kKicked)
    kicks_.fetch_add(1, std::memory_order_relaxed);
  else if (exit.system_call)
    system_calls_.fetch_add(1, std::memory_order_relaxed);
  else if (exit.vector)
    exceptions_.fetch_add(1, std::memory_order_relaxed);
  else
    others_.fetch_add(1, std::memory_order_relaxed);
  // A memory-mapped device: KVM waits for an answer to an instruction that the interpreter will execute instead.
  if (!exit.system_call && !exit.vector && exit.reason != KvmVcpu::kKicked) {
    vcpu_->finish_instruction();
    slice_ = kLongestSlice;
  }
  // INT3 and INT1 are one byte and come as traps: they are executed again, by the interpreter.
  if (exit.vector == kBreakpointVector || exit.vector == kDebugVector) state.rip--;
  state.rflags &= ~flag::kRf;
  state.msr.tsc_offset = 0;
  interpreter_.set_state(state);
}

Exit KvmUserEngine::run(Budget budget) {
  const u64 first = instructions();
  while (true) {
    const u64 done = instructions() - first;
    if (done >= budget.instructions) return {.kind = ExitKind::Budget};
    const u64 slice = std::min(slice_, budget.instructions - done);
    const Exit exit = interpreter_.run({.instructions = slice});
    if (exit.kind != ExitKind::Budget) return exit;
    if (fit_for_kvm()) run_user_mode();
  }
}

}  // namespace xm::cpu::kvm
