// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/interp/interpreter.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "cpu/system/cpuid.h"
#include "cpu/system/deliver.h"

namespace xm::cpu::interp {

namespace {

constexpr u64 kSingleKey = u64{1} << 12;  // of Vcpu::mode_key
constexpr u64 kStepTrap = u64{1} << 14;   // DR6.BS
constexpr u64 kChainStackBytes = 256 << 10;
constexpr u32 kPins = Signals::kIntr | Signals::kNmi | Signals::kSmi | Signals::kInit | Signals::kSipi;

}  // namespace

Interpreter::Interpreter(BusPort& bus, const CpuModel& model, Log& log, Options options)
    : cpu_(bus, model, log), cache_(cpu_), builder_(cpu_, cache_) {
  cpu_.phys_bits = model.physical_address_bits();
  cache_.set_processor(options.index, options.alone);
  set_state(reset_state(model.signature(), options.bootstrap_processor));
}

void Interpreter::get_state(CpuState& state) {
  leave_host_fp(cpu_);
  state = cpu_.state;
  state.rflags = cpu_.rflags();
}

void Interpreter::set_state(const CpuState& state) {
  leave_host_fp(cpu_);
  cpu_.state = state;
  cpu_.set_rflags(state.rflags);
  cpu_.update_mode();
  cpu_.physical_map_changed();
  cache_.drop_all();  // another engine may have written to code
  held_traps_ = 0;
  published_.store(state.instructions_retired, std::memory_order_relaxed);
  retired_before_run_ = state.instructions_retired;
  cpu_.running.countdown = run_start_ = 0;
}

void Interpreter::code_written(GuestPhys address, u64 size_bytes) {
  {
    const std::lock_guard lock(written_mutex_);
    written_.push_back({address.value, size_bytes});
  }
  cpu_.signals.set(Signals::kCodeWritten);
}

void Interpreter::forget_written_code() {
  cpu_.signals.clear(Signals::kCodeWritten);
  std::vector<WrittenRange> ranges;
  {
    const std::lock_guard lock(written_mutex_);
    ranges.swap(written_);
  }
  for (const WrittenRange& range : ranges) cache_.drop_range(range.address, range.size_bytes);
}

// True: leave run().
bool Interpreter::look_at_signals(Exit& exit) {
  const u32 word = cpu_.signals.load();
  if (word == 0) return false;
  if ((word & Signals::kMapChanged) != 0) {
    cpu_.signals.clear(Signals::kMapChanged);
    cpu_.physical_map_changed();
    cache_.drop_all();
  }
  if ((word & Signals::kCodeWritten) != 0) forget_written_code();
  if ((word & (Signals::kStop | Signals::kReset)) != 0) {
    exit = {.kind = ExitKind::Stop};
    return true;
  }
  if ((word & kPins) != 0) system::service_signals(cpu_);
  return false;
}

bool Interpreter::look_at_activity(Exit& exit) {
  switch (cpu_.state.activity) {
    case Activity::Running: return false;
    case Activity::MonitorWait:
      // Stores to the monitored line are not watched, so waking at once is the only safe answer [SDM2 MWAIT].
      cpu_.state.activity = Activity::Running;
      return false;
    case Activity::Shutdown: exit = {.kind = ExitKind::Shutdown, .address = cpu_.state.rip}; return true;
    default:
      exit = {.kind = ExitKind::Halt, .address = cpu_.state.rip, .blocked_signals = blocked_signals()};
      return true;
  }
}

// What is up and stays up without waking this halted CPU. A pin that could wake it is never among these, so one that
// rises between the last look and the sleep is not missed.
u32 Interpreter::blocked_signals() const {
  const CpuState& state = cpu_.state;
  u32 blocked = 0;
  if (state.activity == Activity::WaitForSipi) {
    blocked = Signals::kIntr | Signals::kNmi | Signals::kSmi;
  } else {
    if ((state.rflags & flag::kIf) == 0) blocked |= Signals::kIntr;
    if (state.nmi_blocked) blocked |= Signals::kNmi;
  }
  return cpu_.signals.load() & blocked;
}

void Interpreter::update_attention() { cpu_.running.attention = attention_of(cpu_.state); }

bool Interpreter::must_step() const {
  const CpuState& state = cpu_.state;
  return (state.rflags & flag::kTf) != 0 || (state.dr[7] & 0xFF) != 0 ||
         state.interrupt_shadow != InterruptShadow::None || observer_ != nullptr || held_traps_ != 0 ||
         (cpu_.watch != nullptr && cpu_.watch->wants_steps());
}

bool Interpreter::debugger_stops_here() const {
  if (cpu_.breakpoints.empty()) return false;
  const u64 base = cpu_.state.segment[static_cast<unsigned>(Segment::Cs)].base;
  return cpu_.has_breakpoint(cpu_.mode.bits64 ? cpu_.state.rip : (cpu_.state.rip + base) & 0xFFFFFFFF);
}

Exit Interpreter::run(Budget budget) {
  constexpr u64 kMost = std::numeric_limits<i64>::max() / 2;
  const i64 start = static_cast<i64>(std::min(budget.instructions, kMost));
  retired_before_run_ = cpu_.state.instructions_retired;
  cpu_.running.countdown = run_start_ = start;
  deliver_carried_event();
  Exit exit;
  for (;;) {
    if (look_at_signals(exit) || look_at_activity(exit)) break;
    if (cpu_.running.countdown <= 0) {
      exit = {.kind = ExitKind::Budget};
      break;
    }
    update_attention();
    if (observer_ != nullptr && !observer_->before(cpu_)) {
      exit = {.kind = ExitKind::Debug, .address = cpu_.state.rip};
      break;
    }
    if (must_step()) {
      step_observed();
    } else {
      // RF holds back breakpoints, and there are none; no interrupt comes before the next instruction, and a fault of
      // it stores RF set in any case. Before a debugger's breakpoint no instruction comes.
      if (!debugger_stops_here()) cpu_.state.rflags &= ~flag::kRf;
      run_blocks();
    }
    publish(start);
    if (cpu_.running.stop_wanted) {
      cpu_.running.stop_wanted = false;
      exit = {.kind = ExitKind::Debug, .address = cpu_.state.rip};
      break;
    }
  }
  leave_host_fp(cpu_);
  return exit;
}

void Interpreter::publish(i64 start) {
  cpu_.state.instructions_retired = retired_before_run_ + static_cast<u64>(start - cpu_.running.countdown);
  published_.store(cpu_.state.instructions_retired, std::memory_order_relaxed);
}

bool Interpreter::step_one() {
  Exit exit;
  retired_before_run_ = cpu_.state.instructions_retired;
  cpu_.running.countdown = run_start_ = 1;
  deliver_carried_event();
  if (look_at_signals(exit) || look_at_activity(exit)) return false;
  update_attention();
  step_observed();
  publish(1);
  leave_host_fp(cpu_);
  return true;
}

bool Interpreter::set_breakpoints(std::span<const u64> linear) {
  cpu_.breakpoints.assign(linear.begin(), linear.end());
  std::sort(cpu_.breakpoints.begin(), cpu_.breakpoints.end());
  cache_.drop_all();  // blocks end before a breakpoint
  return true;
}

Exit Interpreter::step() {
  Exit exit{.kind = ExitKind::Debug};
  retired_before_run_ = cpu_.state.instructions_retired;
  cpu_.running.countdown = run_start_ = 1;
  const bool only_interrupt = cpu_.signals.load() == Signals::kIntr && cpu_.state.activity == Activity::Running;
  if ((only_interrupt || !look_at_signals(exit)) && !look_at_activity(exit)) {
    update_attention();
    const i64 before = cpu_.running.countdown;
    // A repeated string instruction goes on to its end.
    do {
      step_observed();
    } while (cpu_.running.countdown == before && cpu_.running.repeating);
    publish(1);
    exit = {.kind = ExitKind::Debug, .address = cpu_.state.rip};
  }
  cpu_.running.stop_wanted = false;
  leave_host_fp(cpu_);
  return exit;
}

Block* Interpreter::block_here() {
  cpu_.block_rip = cpu_.state.rip;
  if (Block* block = cache_.find()) return block;
  cache_.reserve();
  return builder_.build();
}

bool Interpreter::set_watch(InstructionWatch* watch) {
  cpu_.watch = watch;
  cpu_.update_mode();
  cache_.drop_all();  // tags mean nothing to another watch, and watched blocks have no way out but their end
  return true;
}

void Interpreter::dispatch(Block* block) {
  if (cpu_.watch == nullptr) return run_ops(block);
  dispatch_watched(block);
}

// The block has been taken off the countdown. While it runs the countdown is used up, so that it enters no other one.
void Interpreter::dispatch_watched(Block* block) {
  const WatchedCode code{.linear = cpu_.mode.bits64 ? block->rip : (block->rip + block->cs_base) & 0xFFFFFFFF,
                         .physical = block->physical,
                         .second_physical = block->second_physical,
                         .size_bytes = block->size_bytes,
                         .instructions = block->count,
                         .code_size = cpu_.mode.code_size,
                         .tag = &block->watch_tag};
  const i64 left = std::exchange(cpu_.running.countdown, 0);
  cpu_.watch->entering(cpu_, code);
  run_ops(block);
  const i64 not_retired = cpu_.running.countdown;
  cpu_.running.countdown += left;
  if (cpu_.watch != nullptr) cpu_.watch->left(cpu_, code, static_cast<unsigned>(block->count - not_retired));
}

void Interpreter::run_ops(const Block* block) {
  const Op* op = block->ops();
  cpu_.running.stack_floor = host_stack_pointer() - kChainStackBytes;
#if XM_TAIL_DISPATCH
  op->handler(cpu_, op);
#else
  while (op != nullptr) op = op->handler(cpu_, op);
#endif
}

void Interpreter::deliver_pending() {
  cpu_.running.fault_pending = false;
  const Fault fault = cpu_.fault;
  system::deliver_exception(cpu_, fault);
}

// What another engine had begun to deliver when its state was taken.
void Interpreter::deliver_carried_event() {
  using Kind = PendingEvent::Kind;
  const PendingEvent event = std::exchange(cpu_.state.pending, {});
  switch (event.kind) {
    case Kind::None: return;
    case Kind::Interrupt: return system::deliver_interrupt(cpu_, event.vector, system::Source::Hardware);
    case Kind::Nmi: cpu_.signals.set(Signals::kNmi); return;
    case Kind::SoftwareInterrupt:
      // RIP is that of the INT n still: it is executed again.
      return;
    case Kind::Exception:
      return system::deliver_exception(cpu_,
                                       {.vector = static_cast<Vector>(event.vector),
                                        .has_error_code = event.has_error_code,
                                        .error_code = event.error_code,
                                        .address = event.vector == 1 ? cpu_.state.dr[6] & 0xE00F : cpu_.state.cr2});
  }
}

void Interpreter::run_blocks() {
  Block* block = block_here();
  if (block == nullptr) return deliver_pending();
  if (block->count > cpu_.running.countdown) return step_observed();
  cpu_.running.countdown -= block->count;
  cpu_.running.repeating = false;
  dispatch(block);
  if (cpu_.running.fault_pending) deliver_pending();
}

// A #DB fault if an enabled instruction breakpoint matches and RF does not hold it back [SDM3 17.3.1.1].
bool Interpreter::instruction_breakpoint() {
  const CpuState& state = cpu_.state;
  if ((state.dr[7] & 0xFF) == 0 || (state.rflags & flag::kRf) != 0) return false;
  const u64 linear = state.rip + (cpu_.mode.bits64 ? 0 : state.segment[static_cast<unsigned>(Segment::Cs)].base);
  u64 hits = 0;
  for (unsigned i = 0; i < 4; ++i) {
    const bool enabled = ((state.dr[7] >> (2 * i)) & 3) != 0;
    const bool on_execution = ((state.dr[7] >> (16 + 4 * i)) & 3) == 0;
    if (enabled && on_execution && state.dr[i] == linear) hits |= bit(i);
  }
  if (hits == 0) return false;
  system::deliver_exception(cpu_, {.vector = Vector::Db, .address = hits});
  return true;
}

void Interpreter::step_observed() {
  const u64 rip = cpu_.state.rip;
  const bool retired = step_instruction();
  if (observer_ != nullptr) observer_->after(cpu_, rip, retired);
}

bool Interpreter::step_instruction() {
  CpuState& state = cpu_.state;
  Running& running = cpu_.running;
  const InterruptShadow shadow = state.interrupt_shadow;
  const bool trap_flag = (state.rflags & flag::kTf) != 0;
  const u64 resume = state.rflags & flag::kRf;
  if (shadow != InterruptShadow::MovSs && instruction_breakpoint()) return false;

  running.single = true;
  running.stamp |= kSingleKey;
  Block* block = block_here();
  const i64 before = running.countdown;
  running.countdown = 0;
  running.repeating = false;
  running.breakpoint_hits = 0;
  StepTrap step_trap = StepTrap::IfSetBefore;
  if (block == nullptr) {
    running.fault_pending = true;
    running.countdown = 1;
  } else {
    step_trap = block->step_trap;
    state.interrupt_shadow = InterruptShadow::None;
    state.rflags &= ~flag::kRf;
    dispatch(block);
  }
  const bool retired = running.countdown == 0;
  running.countdown = before - (retired ? 1 : 0);
  running.single = false;
  running.stamp &= ~kSingleKey;
  if (running.fault_pending) {
    state.rflags |= resume;
    deliver_pending();
    return false;
  }
  if (step_trap == StepTrap::Merged) state.dr[6] |= std::exchange(held_traps_, 0);
  const bool trap_flag_after = (state.rflags & flag::kTf) != 0;
  const bool stepped =
      step_trap == StepTrap::IfSetBefore ? trap_flag : step_trap == StepTrap::IfSetAfter && trap_flag_after;
  after_step(running.breakpoint_hits | (stepped ? kStepTrap : 0));
  return retired;
}

void Interpreter::after_step(u64 traps) {
  traps |= held_traps_;
  held_traps_ = 0;
  if (traps == 0) return;
  if (cpu_.state.interrupt_shadow == InterruptShadow::MovSs) {
    held_traps_ = traps & ~kStepTrap;
    return;
  }
  system::deliver_debug_trap(cpu_, traps);
}

}  // namespace xm::cpu::interp
