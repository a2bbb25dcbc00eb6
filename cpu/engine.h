// SPDX-License-Identifier: GPL-2.0-or-later
// Engine: one vCPU executed by one technique (interpreter, translator, KVM). The only view the machine has of a CPU.
// run() executes on the calling thread until something needs the machine; port and memory-mapped I/O happen inside it
// through BusPort. Between two run() calls the state can be taken out and another engine continued from it.
#pragma once

#include <span>
#include <vector>

#include "cpu/bus_port.h"
#include "cpu/signals.h"
#include "cpu/state/cpu_state.h"
#include "cpu/watch.h"

namespace xm::cpu {

enum class ExitKind : u8 {
  Budget,         // the instruction budget is used up
  Halt,           // HLT or wait-for-SIPI: sleep until a signal arrives (Exit::wakeable tells whether IF allows INTR)
  Stop,           // Signals::kStop or kReset
  Shutdown,       // triple fault
  Debug,          // a debugger's breakpoint, watchpoint or single step (Exit::address)
  Unimplemented,  // something not modelled was executed under strict mode (Exit::detail)
};

struct Exit {
  ExitKind kind = ExitKind::Budget;
  u64 address = 0;
  const char* detail = "";
  // Halt: the signals that were up and can not wake the CPU. Whoever sleeps for it sleeps while the word is just this:
  // any other value, also one that run() had seen and dealt with before the CPU halted, is news.
  u32 blocked_signals = 0;
};

// One line of an engine's own statistics.
struct EngineCount {
  const char* name;
  u64 count;
};

struct Budget {
  u64 instructions = ~u64{0};
};

class Engine {
 public:
  virtual ~Engine() = default;
  virtual const char* name() const = 0;  // "interp", "jit", "kvm"
  virtual Exit run(Budget budget) = 0;
  // Whole state out and in; only between run() calls.
  virtual void get_state(CpuState& state) = 0;
  virtual void set_state(const CpuState& state) = 0;
  virtual Signals& signals() = 0;
  // Another vCPU or a device wrote to a page marked kMarkHasCode. Any thread. Engines that keep decoded code note the
  // range and set Signals::kCodeWritten; what they decoded from it is gone before their next block starts.
  virtual void code_written(GuestPhys address, u64 size_bytes) = 0;
  // Any thread, after a change of signals(): makes a run() in progress look at them soon. Engines that look between
  // blocks need nothing.
  virtual void kick() {}
  // Sets or (nullptr) ends the watching of every instruction; only between run() calls or from InstructionWatch::left.
  // False: this engine can not be watched.
  virtual bool set_watch(InstructionWatch*) { return false; }
  // For debuggers, only between run() calls. Breakpoints are linear addresses: run() ends with ExitKind::Debug before
  // the instruction there. False: this engine has none.
  virtual bool set_breakpoints(std::span<const u64>) { return false; }
  // One instruction (a fault counts as one, with its delivery), breakpoints ignored and INTR held off. Exit::kind is
  // Debug when it is done, or as of run() if there is nothing to execute.
  virtual Exit step() { return {.kind = ExitKind::Debug, .address = 0, .detail = "engine can not step"}; }
  // Retired instructions since creation; may be read from other threads (approximate while running).
  virtual u64 instructions() const = 0;
  // What the engine counts of its own: exits by cause and the like. Any thread.
  virtual std::vector<EngineCount> counts() const { return {}; }
  // The same on the vCPU's own thread, also in the middle of run(): the running block counts as done.
  virtual u64 instructions_here() const { return instructions(); }
};

}  // namespace xm::cpu
