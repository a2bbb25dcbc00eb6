// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/kvm/kvm_user_engine.h"

#include <linux/kvm.h>

#include <algorithm>
#include <bit>
#include <chrono>

#include "cpu/kvm/kvm_cpuid.h"
#include "emu/base/bits.h"

namespace xm::cpu::kvm {

namespace {

// A stretch costs some hundred microseconds. Stretches that end soon make the next one wait longer; after one that was
// worth it the interpreter does what interrupted it and not much more.
constexpr u64 kShortestSlice = 5'000, kLongestSlice = 3'200'000;
constexpr auto kWorthWhile = std::chrono::milliseconds(1);
constexpr u8 kDebugVector = 1, kBreakpointVector = 3;

// What user mode's translations are made of: the tables of the lower half of the address space below CR3, without the
// accessed and dirty bits. Equal sums: KVM's shadow of them is still right. [SDM3 4.5]
class TableSum {
 public:
  explicit TableSum(BusPort& bus) : bus_(bus) {}
  // None: too many tables to be worth it, or none that can be read.
  std::optional<u64> of(u64 cr3) {
    left_ = kMostTables;
    sum_ = cr3;
    const bool whole = add(cr3 & kAddress, kRootLevel, kEntries / 2);
    return whole ? std::optional(sum_) : std::nullopt;
  }

 private:
  static constexpr unsigned kEntries = 512, kRootLevel = 4, kMostTables = 256;
  static constexpr u64 kAddress = 0x000F'FFFF'FFFF'F000, kAccessedDirty = 0x60, kPresent = 1, kUser = 4, kLarge = 0x80;

  bool add(u64 table, unsigned level, unsigned entries) {
    const u8* bytes = left_ == 0 ? nullptr : bus_.resolve_page({table}).read_host;
    if (bytes == nullptr) return false;
    left_--;
    for (unsigned i = 0; i < entries; i++) {
      const u64 entry = load_le<u64>(bytes + 8 * i) & ~kAccessedDirty;
      sum_ = (std::rotl(sum_, 5) ^ entry) * 0x9E37'79B9'7F4A'7C15;
      const bool points = (entry & (kPresent | kUser)) == (kPresent | kUser) && level > 1 && (entry & kLarge) == 0;
      if (points && !add(entry & kAddress, level - 1, kEntries)) return false;
    }
    return true;
  }

  BusPort& bus_;
  unsigned left_ = 0;
  u64 sum_ = 0;
};

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

// 64-bit user mode without anything that must be seen between instructions. 32-bit code this kind of KVM emulates, and
// it runs user mode with interrupts on whatever RFLAGS.IF says.
bool KvmUserEngine::fit_for_kvm() {
  const CpuState& state = interpreter_.vcpu().state;
  return state.cpl == 3 && state.activity == Activity::Running && interpreter_.vcpu().mode.bits64 &&
         interpreter_.vcpu().mode.paging && (state.rflags & (flag::kTf | flag::kVm | flag::kIf)) == flag::kIf &&
         (state.dr[7] & 0xFF) == 0 && state.interrupt_shadow == InterruptShadow::None &&
         state.pending.kind == PendingEvent::Kind::None && (state.rflags & flag::kIopl) == 0 && !debugged_ &&
         interpreter_.vcpu().watch == nullptr;
}

bool KvmUserEngine::follow_page_tables(const CpuState& state) {
  constexpr u64 kLa57 = 1 << 12;
  std::optional<u64> sum;
  if ((state.cr4 & kLa57) == 0) sum = TableSum(interpreter_.vcpu().bus).of(state.cr3);
  if (sum && sum == tables_) return true;
  tables_ = sum;
  return vm_.forget_page_tables().ok();
}

void KvmUserEngine::run_user_mode() {
  CpuState state;
  interpreter_.get_state(state);
  if (!follow_page_tables(state) || !user_mode_.load(state).ok()) {
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
