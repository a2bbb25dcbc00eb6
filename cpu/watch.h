// SPDX-License-Identifier: GPL-2.0-or-later
// What a recorder of instructions sees of a running vCPU (emu/trace). An engine that can be watched calls these on the
// vCPU's own thread; while nobody watches, the calls cost one test a block entered from the engine's loop.
#pragma once

#include <span>

#include "cpu/decode/insn.h"
#include "emu/base/types.h"

namespace xm::cpu {

class Vcpu;

// A stretch of consecutive instructions that the engine decoded at once. Its `tag` belongs to the watch: 0 when the
// engine has just decoded it, then whatever the watch put there; it is lost when the code is dropped.
struct WatchedCode {
  u64 linear = 0;           // of the first byte
  u64 physical = 0;         // of the first byte
  u64 second_physical = 0;  // of the next page, if the stretch goes on there; else 0
  unsigned size_bytes = 0;
  unsigned instructions = 0;
  CodeSize code_size = CodeSize::Bits16;
  u32* tag = nullptr;
};

enum class WatchedEventKind : u8 { Exception, Interrupt, SoftwareInterrupt, Nmi };

struct WatchedEvent {
  WatchedEventKind kind = WatchedEventKind::Exception;
  u8 vector = 0;
  bool has_error_code = false;
  u32 error_code = 0;
  u64 address = 0;  // CR2 of a page fault
};

class InstructionWatch {
 public:
  // `code` is about to run, from its first instruction on.
  virtual void entering(Vcpu& cpu, const WatchedCode& code) = 0;
  // The first `retired` instructions of it have retired. Fewer than code.instructions: a fault follows, or a repeated
  // string instruction was suspended and goes on later.
  virtual void left(Vcpu& cpu, const WatchedCode& code, unsigned retired) = 0;
  // The CPU begins to deliver an event; its registers are still those of the interrupted code. Software interrupts come
  // between entering() and left() of the code that holds them.
  virtual void delivering(Vcpu& cpu, const WatchedEvent& event) = 0;
  // Data that the program reads or writes, before left(); only if wants_accesses(). Not told: what the processor reads
  // for itself (page tables, descriptors, the stack switch of an interrupt).
  virtual void accessed(Vcpu& cpu, u64 linear, std::span<const u8> bytes, bool write) = 0;
  // One instruction at a time.
  virtual bool wants_steps() const = 0;
  virtual bool wants_accesses() const = 0;

 protected:
  ~InstructionWatch() = default;
};

}  // namespace xm::cpu
