// SPDX-License-Identifier: GPL-2.0-or-later
// Interpreter: the engine that runs decoded blocks (cpu/interp/block.h). The loop here looks between blocks at what
// blocks do not: signals, halts, faults, and everything that needs one instruction at a time (single step, breakpoints,
// interrupt shadows, observers, the end of a budget).
#pragma once

#include <mutex>
#include <vector>

#include "cpu/engine.h"
#include "cpu/interp/block_builder.h"

namespace xm::cpu::interp {

// Watches every instruction (tracing, debuggers, lockstep). While one is set the engine steps.
class Observer {
 public:
  // Before the instruction at state.rip; false: leave run() with ExitKind::Debug instead.
  virtual bool before(Vcpu& cpu) = 0;
  // It has retired, or faulted and the fault was delivered (`retired` false). `rip` is where it was.
  virtual void after(Vcpu& cpu, u64 rip, bool retired) = 0;

 protected:
  ~Observer() = default;
};

class Interpreter final : public Engine {
 public:
  struct Options {
    bool bootstrap_processor = true;
    bool alone = false;  // no other processor shares this memory
    unsigned index = 0;  // of this processor among those that do
  };
  Interpreter(BusPort& bus, const CpuModel& model, Log& log, Options options);

  const char* name() const override { return "interp"; }
  Exit run(Budget budget) override;
  void get_state(CpuState& state) override;
  void set_state(const CpuState& state) override;
  Signals& signals() override { return cpu_.signals; }
  void code_written(GuestPhys address, u64 size_bytes) override;
  bool set_watch(InstructionWatch* watch) override;
  bool set_breakpoints(std::span<const u64> linear) override;
  Exit step() override;
  u64 instructions() const override { return published_.load(std::memory_order_relaxed); }

  u64 instructions_here() const override {
    return retired_before_run_ + static_cast<u64>(run_start_ - cpu_.running.countdown);
  }

  // Executes one instruction (or one iteration of a repeated one, or delivers one event). Only between run() calls.
  bool step_one();
  void set_observer(Observer* observer) { observer_ = observer; }
  Vcpu& vcpu() { return cpu_; }

 private:
  struct WrittenRange {
    u64 address, size_bytes;
  };

  bool look_at_signals(Exit& exit);
  bool look_at_activity(Exit& exit);
  u32 blocked_signals() const;
  void forget_written_code();
  bool must_step() const;
  bool debugger_stops_here() const;
  void update_attention();
  void run_blocks();
  void step_observed();
  bool step_instruction();
  bool instruction_breakpoint();
  void after_step(u64 traps);
  Block* block_here();
  void dispatch(Block* block);
  void dispatch_watched(Block* block);
  void run_ops(const Block* block);
  void deliver_pending();
  void deliver_carried_event();
  void publish(i64 start);

  Vcpu cpu_;
  BlockCache cache_;
  BlockBuilder builder_;
  Observer* observer_ = nullptr;
  u64 held_traps_ = 0;  // DR6 bits that MOV SS holds back
  std::atomic<u64> published_{0};
  u64 retired_before_run_ = 0;
  i64 run_start_ = 0;  // the countdown that the run began with

  std::mutex written_mutex_;
  std::vector<WrittenRange> written_;
};

}  // namespace xm::cpu::interp
