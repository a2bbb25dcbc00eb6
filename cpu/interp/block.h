// SPDX-License-Identifier: GPL-2.0-or-later
// Block: up to kMaxInstructions decoded instructions within one page, entered at the top, left at the bottom, by a
// fault, by an exit, or by a conditional jump on the way that is taken. Its Ops lie directly behind it; behind each Op
// that ends a straight run lies a Links with the ways out that are known. A direct jump within the page may be followed
// when the block is built: it is an instruction without an Op, and the block goes on at its target.
//
// A block may be entered when its stamp equals Running::stamp: that says its code is mapped where it was decoded, in
// this code epoch and this mode (BlockCache::find renews stamps). A dropped block has stamp 0 and Ops that leave.
#pragma once

#include "cpu/interp/op.h"

namespace xm::cpu::interp {

inline constexpr unsigned kMaxInstructions = 64;

// Whether a single-step trap follows an instruction.
enum class StepTrap : u8 {
  IfSetBefore,  // by TF as it was before the instruction
  IfSetAfter,   // SYSCALL, SYSRET: by TF as they leave it
  Never,        // INT n and the like: entering the handler clears TF
  Merged,       // INT1 is the #DB itself and takes the traps that MOV SS held back with it
};

struct Block {
  u64 stamp = 0;
  u64 rip = 0;  // of the first instruction, within CS
  u64 cs_base = 0;
  u64 physical = 0;         // of the first byte
  u64 second_physical = 0;  // of the next page, if the (only) instruction crosses into it
  u32 mode_key = 0;
  u16 size_bytes = 0;  // from the first byte, up to a jump that is followed
  u8 count = 0;        // instructions
  u8 op_count = 0;     // Ops and Links
  Block* next_in_hash = nullptr;
  StepTrap step_trap = StepTrap::IfSetBefore;  // of the last instruction
  u32 watch_tag = 0;                           // WatchedCode::tag

  Op* ops() { return reinterpret_cast<Op*>(this + 1); }
  const Op* ops() const { return reinterpret_cast<const Op*>(this + 1); }
  bool crosses_page() const { return second_physical != 0; }
};
static_assert(sizeof(Block) == 64);

// A direct way out of a block. target is never null: kNoBlock until it is known.
struct Link {
  u64 rip;
  Block* target;
};
struct Links {
  Link taken, next;
};
static_assert(sizeof(Links) == sizeof(Op));

inline Links& links_of(const Op* op) { return *reinterpret_cast<Links*>(const_cast<Op*>(op + 1)); }

inline constexpr unsigned kJumpCacheSlots = 8192;
inline unsigned jump_cache_slot(u64 rip) { return static_cast<unsigned>(rip ^ (rip >> 13)) & (kJumpCacheSlots - 1); }

// A block that may never be entered: what unknown links lead to.
Block* no_block();

// The block at cpu.block_rip, if it has been decoded (else nullptr); remembers it in the jump cache.
Block* find_block(Vcpu& cpu);

// Handlers that the compiler could not end in a sibling call leave a frame behind; this tells when there are many.
[[gnu::always_inline]] inline u64 host_stack_pointer() {
  u64 pointer;
  asm("movq %%rsp, %0" : "=r"(pointer));
  return pointer;
}

// Takes `block` back from the countdown: the engine's loop is to look first.
const Op* enter_not(Vcpu& cpu, const Block* block);

// First op of `block`, if the engine's loop need not look at anything before; else nullptr with state.rip set.
[[gnu::always_inline]] inline const Op* enter(Vcpu& cpu, const Block* block) {
  cpu.running.countdown -= block->count;
  if (__builtin_expect(cpu.running.countdown < 0, 0)) return enter_not(cpu, block);
  if (__builtin_expect((cpu.signals.load() & cpu.running.attention) != 0, 0)) return enter_not(cpu, block);
  if (__builtin_expect(host_stack_pointer() < cpu.running.stack_floor, 0)) return enter_not(cpu, block);
#if XM_TAIL_DISPATCH
  return block->ops()->handler(cpu, block->ops());
#else
  return block->ops();
#endif
}

const Op* follow_slow(Vcpu& cpu, Link& link);
const Op* jump_slow(Vcpu& cpu);

// Leaves through a direct link; the running instruction has retired.
[[gnu::always_inline]] inline const Op* follow(Vcpu& cpu, Link& link) {
  cpu.block_rip = link.rip;
  if (__builtin_expect(link.target->stamp == cpu.running.stamp, 1)) return enter(cpu, link.target);
  return follow_slow(cpu, link);
}

// The same from the middle of a block: its remaining instructions are not run.
[[gnu::always_inline]] inline const Op* follow_early(Vcpu& cpu, const Op* op) {
  cpu.running.countdown += op->exit - 1;
  return follow(cpu, links_of(op).taken);
}

// Leaves to a computed address.
[[gnu::always_inline]] inline const Op* jump_to(Vcpu& cpu, u64 rip) {
  cpu.block_rip = rip;
  const Block* block = cpu.running.jump_cache[jump_cache_slot(rip)];
  const bool hit = block->rip == rip && block->stamp == cpu.running.stamp &&
                   block->cs_base == cpu.state.segment[static_cast<unsigned>(Segment::Cs)].base;
  if (__builtin_expect(hit, 1)) return enter(cpu, block);
  return jump_slow(cpu);
}

// The targets that a computed jump has had first, in the two Links behind it. They are compared one by one, so that the
// host's processor guesses which one it is and goes on; what comes out of a look-up in a table it would have to wait
// for. A call keeps the last one for its return.
inline constexpr unsigned kJumpTargets = 4, kCallTargets = 3;
inline Link* targets_of(const Op* op) { return &links_of(op).taken; }

// The block of such a target, or nullptr. Of a known one it is clear that jumping there does not fault.
template <unsigned kTargets, unsigned kFirst = 0>
[[gnu::always_inline]] inline const Block* known_target(const Vcpu& cpu, const Op* op, u64 rip) {
  const Link& link = targets_of(op)[kFirst];
  if (link.rip == rip && __builtin_expect(link.target->stamp == cpu.running.stamp, 1)) return link.target;
  if constexpr (kFirst + 1 < kTargets)
    return known_target<kTargets, kFirst + 1>(cpu, op, rip);
  else
    return nullptr;
}

// Leaves for a block that is known to be at `rip`.
[[gnu::always_inline]] inline const Op* go_to(Vcpu& cpu, u64 rip, const Block* block) {
  cpu.block_rip = rip;
  return enter(cpu, block);
}

// The same from the jump cache, in 64-bit code, where CS has no base; remembers it if there is room among `count`.
const Block* look_up_target(Vcpu& cpu, const Op* op, unsigned count, u64 rip);
// Leaves for a target that is not known, or not any more, and remembers it.
const Op* jump_and_learn(Vcpu& cpu, const Op* op, unsigned count, u64 rip);

// Calls note where they will go on, returns look there first.
[[gnu::always_inline]] inline void note_call(Running& running, Link& following) {
  running.last_call = (running.last_call + 1) % Running::kReturns;
  running.returns[running.last_call] = &following;
}
[[gnu::always_inline]] inline Link& take_call(Running& running) {
  Link* link = running.returns[running.last_call];
  running.last_call = (running.last_call - 1) % Running::kReturns;
  return *link;
}
Link* no_call();  // what the ring holds at first

// Signals that stop a chain of blocks: those that could be served now.
[[gnu::always_inline]] inline u32 attention_of(const CpuState& state) {
  u32 attention = ~u32{0};
  if ((state.rflags & flag::kIf) == 0) attention &= ~Signals::kIntr;
  if (state.nmi_blocked) attention &= ~Signals::kNmi;
  return attention;
}

// Must the engine's loop look before the next instruction: is the budget used up (as it always is while single
// instructions or watched blocks run), does something want single steps, is the CPU not running?
[[gnu::always_inline]] inline bool loop_must_look(const Vcpu& cpu) {
  const CpuState& state = cpu.state;
  return cpu.running.countdown <= 0 || ((state.rflags & (flag::kTf | flag::kRf)) | (state.dr[7] & 0xFF)) != 0 ||
         state.interrupt_shadow != InterruptShadow::None || state.activity != Activity::Running;
}

// This instruction has retired, state.rip is that of the next one, and anything may have changed: mode, rights, what
// may interrupt.
[[gnu::always_inline]] inline const Op* resume(Vcpu& cpu, const Op* op) {
  cpu.running.countdown += op->remaining - 1;
  if (__builtin_expect(loop_must_look(cpu), 0)) return nullptr;
  cpu.running.attention = attention_of(cpu.state);
  return jump_to(cpu, cpu.state.rip);
}

}  // namespace xm::cpu::interp
