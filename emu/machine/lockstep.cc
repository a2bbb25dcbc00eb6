// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/machine/lockstep.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>

#include "cpu/kvm/kvm_cpuid.h"
#include "emu/machine/lockstep_compare.h"

namespace xm::machine {

using cpu::Activity;
using cpu::CpuState;
using cpu::Signals;

namespace {

// Longest stretch between two comparisons: what narrowing has to walk through one by one.
constexpr u64 kLongestStretch = 50'000;
constexpr u64 kLongestUserStretch = 5'000'000;
constexpr u8 kIret = 0xCF;

}  // namespace

Result<std::unique_ptr<LockstepEngine>> LockstepEngine::create(const LockstepConfig& config, cpu::BusPort& port,
                                                               LockstepWorld world) {
  std::unique_ptr<LockstepEngine> engine(new LockstepEngine(config, port, std::move(world)));
  return engine;
}

LockstepEngine::LockstepEngine(const LockstepConfig& config, cpu::BusPort& port, LockstepWorld world)
    : config_(config),
      step_from_(config.step_from),
      world_(std::move(world)),
      map_(port),
      primary_port_(port),
      primary_(primary_port_, world_.model, world_.log, {.alone = true}) {
  primary_port_.code_changed = [this](GuestPhys address, unsigned size_bytes) {
    primary_.code_written(address, size_bytes);
  };
}

LockstepEngine::~LockstepEngine() = default;

// The copy of memory is made when the machine starts, after firmware and kernel have been put in place.
Result<void> LockstepEngine::make_shadow() {
  memory_ = TRY(LockstepMemory::create(world_.memory));
  shadow_port_ = std::make_unique<ShadowPort>(primary_port_, map_, *memory_);
  shadow_port_->notes = &primary_port_.accesses;
  if (config_.shadow == "kvm") {
    shadow_ = TRY(make_kvm_shadow(*shadow_port_, world_.model, world_.log, world_.memory, *memory_));
  } else {
    shadow_ = make_interpreter_shadow(*shadow_port_, world_.model, world_.log);
  }
  return {};
}

void LockstepEngine::set_state(const CpuState& state) {
  primary_.set_state(state);
  code_page_key_ = ~u64{0};
  shadow_.reset();  // both start anew from here
}

void LockstepEngine::code_written(GuestPhys address, u64 size_bytes) {
  primary_.code_written(address, size_bytes);
  if (memory_ == nullptr) return;
  const cpu::PhysPage page = primary_port_.resolve_page({address.value & ~kPageMask});
  if (page.read_host == nullptr) return;
  const u8* original = page.read_host + (address.value & kPageMask);
  if (u8* shadow = memory_->shadow_of(original)) std::memcpy(shadow, original, size_bytes);
}

std::vector<cpu::EngineCount> LockstepEngine::counts() const {
  return {{"compared", counts_.compared.load()},
          {"stretches", counts_.stretches.load()},
          {"adopted", counts_.adopted.load()},
          {"undefined-flags", counts_.flags.load()}};
}

// --- the primary

// The next instruction's first bytes, behind a REX prefix; null near the end of a page.
const u8* LockstepEngine::next_opcode() {
  cpu::Vcpu& cpu = primary_.vcpu();
  const u64 rip = cpu.mode.bits64 ? cpu.state.rip : (cpu.state.rip + cpu.state.segment[1].base) & 0xFFFFFFFF;
  if (rip >> 12 != code_page_key_ || cpu.state.cr3 != code_page_cr3_) {
    u64 physical = 0;
    code_page_ = nullptr;
    if (cpu.translate_quietly(rip, physical)) {
      code_page_ = primary_port_.resolve_page({physical & ~kPageMask}).read_host;
      primary_port_.code_pages.insert(physical >> 12);
      primary_port_.code_pages.insert((physical >> 12) + 1);
    }
    code_page_key_ = rip >> 12;
    code_page_cr3_ = cpu.state.cr3;
  }
  const u64 offset = rip & kPageMask;
  if (code_page_ == nullptr || offset > kPageMask - 3) return nullptr;
  const u8* byte = code_page_ + offset;
  return (byte[0] & 0xF0) == 0x40 && cpu.mode.bits64 ? byte + 1 : byte;
}

// Instructions whose result is no function of the state: RDTSC, RDTSCP, RDRAND, RDSEED, RDMSR, CPUID (the host's leaves
// differ in cache and power words), RDPMC.
bool LockstepEngine::next_is_unpredictable() {
  const u8* byte = next_opcode();
  if (byte == nullptr || byte[0] != 0x0F) return false;
  switch (byte[1]) {
    case 0x31:
    case 0x32:
    case 0x33:
    case 0xA2: return true;
    case 0x01: return byte[2] == 0xF9;
    case 0xC7: return byte[2] >= 0xF0;
    default: return false;
  }
}

bool LockstepEngine::interrupt_deliverable() {
  if ((signals_.load() & (Signals::kIntr | Signals::kNmi)) == 0) return false;
  const CpuState& state = primary_.vcpu().state;
  return (state.rflags & cpu::flag::kIf) != 0 && state.interrupt_shadow == cpu::InterruptShadow::None;
}

bool LockstepEngine::stepping() {
  const u64 done = primary_.instructions();
  if (!step_from_ && config_.step_address) {
    const CpuState& state = primary_.vcpu().state;
    const u64 base = primary_.vcpu().mode.bits64 ? 0 : state.segment[1].base;
    if (state.rip + base == *config_.step_address) step_from_ = done;
  }
  return step_from_ && done >= *step_from_ && done < *step_from_ + config_.step_count;
}

// A repeated string instruction is one step: KVM does not stop between its rounds.
void LockstepEngine::step_primary() {
  do {
    primary_.step_one();
  } while (primary_.vcpu().running.repeating);
  stretch_++;
  if (injector_) injector_(primary_.vcpu());
  const u64 rip = primary_.vcpu().state.rip;
  // A mapping may have changed under the cached page: only within one page, without a change of CR3, is it kept.
  if (rip >> 12 != code_page_key_) code_page_key_ = ~u64{0};
}

// A place that a breakpoint does not meet too often on the way to it.
bool LockstepEngine::seldom_visited() {
  constexpr u32 kSeldom = 4;
  return visits_[(primary_.vcpu().state.rip ^ primary_.vcpu().state.rip >> 12) % visits_.size()] <= kSeldom;
}

// A stretch ends in kernel mode if it can: software KVM stops nowhere else.
LockstepEngine::Stop LockstepEngine::run_primary() {
  visits_.fill(0);
  while (true) {
    const CpuState& state = primary_.vcpu().state;
    if (next_is_unpredictable()) return Stop::Clock;
    visits_[(state.rip ^ state.rip >> 12) % visits_.size()]++;
    step_primary();
    if (state.activity != Activity::Running) return Stop::Sleep;
    if (!primary_port_.accesses.empty()) return Stop::Access;
    if (stepping()) return Stop::Stretch;
    const bool wanted = stretch_ >= kLongestStretch || interrupt_deliverable() ||
                        (signals_.load() & (Signals::kStop | Signals::kReset)) != 0;
    if (!wanted) continue;
    const bool good = state.cpl != 3 && seldom_visited();
    if (good || stretch_ >= (state.cpl == 3 ? kLongestUserStretch : 2 * kLongestStretch)) return Stop::Stretch;
  }
}

// --- the shadow

void LockstepEngine::set_point(u64 instructions) {
  primary_.get_state(point_.state);
  point_.instructions = instructions;
}

std::string LockstepEngine::follow(Stop) {
  stretch_accesses_ = primary_port_.accesses;
  set_point(stretch_);
  const std::string difference = shadow_->run_to(point_);
  counts_.stretches.fetch_add(1, std::memory_order_relaxed);
  if (!difference.empty()) return difference;
  if (!primary_port_.accesses.empty())
    return "the primary engine alone makes an access: " + primary_port_.accesses.front().text();
  return compare(true);
}

// The primary executes what can not be predicted, and the shadow goes on from its state.
std::string LockstepEngine::adopt_next() {
  step_primary();
  if (!primary_port_.accesses.empty()) {  // an MSR of the local APIC
    primary_port_.accesses.clear();
  }
  CpuState state;
  primary_.get_state(state);
  counts_.adopted.fetch_add(1, std::memory_order_relaxed);
  return shadow_->set_state(state);
}

std::string LockstepEngine::compare(bool with_memory) {
  CpuState ours, theirs;
  primary_.get_state(ours);
  shadow_->get_state(theirs);
  counts_.compared.fetch_add(1, std::memory_order_relaxed);
  const StateDifference difference = compare_states(ours, theirs);
  if (!difference.text.empty() && !difference.only_status_flags) return difference.text;
  if (with_memory) {
    const std::string memory = compare_memory();
    if (!memory.empty()) return memory;
  }
  if (difference.text.empty()) return "";
  // Status flags that an instruction leaves undefined: the shadow takes ours, so that they can not spread.
  if (stretch_ > 1) return difference.text;
  counts_.flags.fetch_add(1, std::memory_order_relaxed);
  return shadow_->set_state(ours);
}

std::string LockstepEngine::compare_memory() {
  std::vector<u8*> pages = shadow_->take_written_pages();
  for (const RamWrite& write : primary_port_.writes) {
    u8* page = memory_->shadow_of(write.host - (write.physical & kPageMask));
    if (page != nullptr) pages.push_back(page);
  }
  std::sort(pages.begin(), pages.end());
  pages.erase(std::unique(pages.begin(), pages.end()), pages.end());
  stretch_pages_.insert(stretch_pages_.end(), pages.begin(), pages.end());
  for (u8* shadow : pages) {
    u8* original = memory_->original_of(shadow);
    if (original == nullptr || std::memcmp(original, shadow, kPageSize) == 0) continue;
    const std::string difference = compare_pages(original, shadow);
    if (!difference.empty()) return difference;
    std::memcpy(shadow, original, kPageSize);  // accessed and dirty bits only
  }
  return "";
}

void LockstepEngine::synchronised() {
  primary_.get_state(start_);
  stretch_ = 0;
  stretch_pages_.clear();
  primary_port_.writes.clear();
}

void LockstepEngine::deliver_interrupt() {
  cpu::PendingEvent event;
  if ((signals_.load() & Signals::kNmi) != 0) {
    signals_.clear(Signals::kNmi);
    event = {.kind = cpu::PendingEvent::Kind::Nmi, .vector = 2};
  } else {
    const int vector = primary_port_.acknowledge_interrupt();
    if (vector < 0) return;
    event = {.kind = cpu::PendingEvent::Kind::Interrupt, .vector = static_cast<u8>(vector)};
  }
  CpuState state;
  primary_.get_state(state);
  state.pending = event;
  state.activity = Activity::Running;
  primary_.vcpu().state.pending = event;
  primary_.vcpu().state.activity = Activity::Running;
  static_cast<void>(shadow_->set_state(state));
  synchronised();
}

// --- differences

void LockstepEngine::go_back() {
  for (auto write = primary_port_.writes.rbegin(); write != primary_port_.writes.rend(); ++write)
    std::memcpy(write->host, &write->old_value, write->size_bytes);
  for (const RamWrite& write : primary_port_.writes) {
    if (u8* page = memory_->shadow_of(write.host - (write.physical & kPageMask))) stretch_pages_.push_back(page);
  }
  for (u8* page : shadow_->take_written_pages()) stretch_pages_.push_back(page);
  for (u8* page : stretch_pages_) {
    if (const u8* original = memory_->original_of(page)) std::memcpy(page, original, kPageSize);
  }
  primary_port_.writes.clear();
  primary_.set_state(start_);
  static_cast<void>(shadow_->set_state(start_));
}

// Both walk again from where they last agreed; the first instruction after which they differ is the one to report. If
// it leaves only undefined flags different, that is no difference and the walk goes on from the primary's state.
std::string LockstepEngine::narrow(const std::string& first) {
  const u64 length = stretch_;
  std::deque<DeviceAccess> replay = stretch_accesses_;
  go_back();
  primary_port_.accesses.clear();
  primary_port_.replay = &replay;
  std::string found;
  for (u64 i = 0; i < length && found.empty(); i++) {
    synchronised();
    const u64 before = primary_.vcpu().state.rip;
    const u8* opcode = next_opcode();
    const bool iret = opcode != nullptr && opcode[0] == kIret;
    step_primary();
    set_point(1);
    // IRET loads the trap flag away from under a single step.
    std::string difference = iret ? shadow_->run_to(point_) : shadow_->step();
    if (difference.empty()) difference = compare(true);
    CpuState theirs;
    if (!difference.empty()) shadow_->get_state(theirs);
    if (!difference.empty() && theirs.rip == before && point_.state.rip != before)
      difference = shadow_->run_to(point_);  // hardware traps after each round of a repeated string instruction
    if (!difference.empty()) found = describe(difference);
    primary_port_.accesses.clear();
  }
  primary_port_.replay = nullptr;
  if (!found.empty()) return found + "seen first as: " + first + "\n";
  const std::string after = compare(true);
  if (after.empty()) return "";
  return describe("not found again one instruction at a time: " + first);
}

std::string LockstepEngine::describe(const std::string& what) {
  CpuState ours, theirs;
  primary_.get_state(ours);
  shadow_->get_state(theirs);
  return lockstep_report({.what = what,
                          .instructions = primary_.instructions(),
                          .before = start_,
                          .primary = ours,
                          .shadow = theirs,
                          .shadow_name = shadow_->name(),
                          .code = instruction_bytes(primary_.vcpu(), start_)});
}

// --- the loop

bool LockstepEngine::handle_signals(cpu::Exit& exit) {
  const u32 word = signals_.load();
  if ((word & (Signals::kStop | Signals::kReset)) != 0) {
    exit = {.kind = cpu::ExitKind::Stop};
    return false;
  }
  if ((word & Signals::kMapChanged) != 0) {
    primary_.signals().set(Signals::kMapChanged);
    code_page_key_ = ~u64{0};
    if (shadow_) shadow_->map_changed();
  }
  signals_.clear(Signals::kMapChanged | Signals::kCodeWritten | Signals::kSmi | Signals::kInit | Signals::kSipi);
  return true;
}

// Devices and the monitor have their turn. A mutex is not fair: without a pause the other side might never get it.
void LockstepEngine::give_turn(std::unique_lock<std::mutex>& lock) {
  constexpr i64 kPeriodNs = 1'000'000;
  constexpr auto kPause = std::chrono::microseconds(50);
  const i64 now = std::chrono::steady_clock::now().time_since_epoch().count();
  lock.unlock();
  if (now - last_turn_ns_ > kPeriodNs) {
    std::this_thread::sleep_for(kPause);
    last_turn_ns_ = now;
  }
  lock.lock();
}

cpu::Exit LockstepEngine::run(cpu::Budget) {
  cpu::Exit exit;
  std::unique_lock lock(world_.lock);
  primary_port_.lock = &lock;
  if (shadow_ == nullptr) {
    const Result<void> made = make_shadow();
    if (made.ok()) {
      CpuState state;
      primary_.get_state(state);
      static_cast<void>(shadow_->set_state(state));
      synchronised();
    } else {
      lock.unlock();
      world_.differs("-lockstep: " + made.error().message);
      differed_ = true;
    }
  }
  while (!differed_) {
    if (!handle_signals(exit)) return exit;
    CpuState& state = primary_.vcpu().state;
    if (interrupt_deliverable()) deliver_interrupt();
    if (state.activity == Activity::Halted) {
      exit = {.kind = cpu::ExitKind::Halt, .address = state.rip};
      if ((state.rflags & cpu::flag::kIf) == 0) exit.blocked_signals = signals_.load() & Signals::kIntr;
      return exit;
    }
    if (state.activity == Activity::Shutdown) {
      exit = {.kind = cpu::ExitKind::Shutdown, .address = state.rip};
      return exit;
    }
    state.activity = Activity::Running;
    const Stop stop = run_primary();
    std::string difference = follow(stop);
    if (!difference.empty()) difference = narrow(difference);
    if (difference.empty() && stop == Stop::Clock) difference = adopt_next();
    if (!difference.empty()) {
      lock.unlock();
      world_.differs(difference);
      differed_ = true;
      break;
    }
    synchronised();
    give_turn(lock);
  }
  exit = {.kind = cpu::ExitKind::Debug, .address = primary_.vcpu().state.rip};
  return exit;
}

}  // namespace xm::machine
