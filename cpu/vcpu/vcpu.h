// SPDX-License-Identifier: GPL-2.0-or-later
// Vcpu: the running form of a processor that interpreter and translator share: architectural state, cached mode, lazy
// flags, TLB, memory access with all checks, and the pending fault. Owned by one vCPU thread.
//
// Conventions:
//  - Anything that can fault returns bool: true to go on; false after recording the fault with raise(). Nothing that
//    the guest can see has changed when it returns false, except as the manual says.
//  - state.rflags holds all flags but the six arithmetic ones, which live in `flags` while running; rflags() and
//    set_rflags() see the whole register.
//  - state.rip is that of the instruction being executed only between blocks and in generic handlers after
//    sync_rip(op) (cpu/interp/op.h).
#pragma once

#include <algorithm>
#include <array>
#include <type_traits>
#include <vector>

#include "cpu/bus_port.h"
#include "cpu/decode/insn.h"
#include "cpu/mmu/code_watch.h"
#include "cpu/mmu/phys_cache.h"
#include "cpu/mmu/tlb.h"
#include "cpu/signals.h"
#include "cpu/state/cpu_state.h"
#include "cpu/state/lazy_flags.h"
#include "cpu/vcpu/fault.h"
#include "cpu/vcpu/host_fp.h"
#include "cpu/watch.h"
#include "emu/base/bits.h"
#include "emu/base/log.h"

namespace xm::cpu {

namespace interp {
class BlockCache;
struct Block;
struct Link;
}  // namespace interp

class CpuModel;  // cpu/system/cpuid.h: what CPUID says and which features exist

// Facts derived from CR0, CR4, EFER, RFLAGS and the segments, kept by Vcpu::update_mode().
struct Mode {
  CodeSize code_size = CodeSize::Bits16;  // of CS
  bool protected_mode = false;            // CR0.PE and not virtual-8086
  bool vm86 = false;
  bool long_mode = false;        // EFER.LMA
  bool bits64 = false;           // LMA and CS.L
  bool paging = false;           // CR0.PG
  bool stack32 = false;          // SS.B
  bool alignment_check = false;  // CR0.AM, RFLAGS.AC and CPL 3
  bool flat = false;             // CS, DS, ES, SS have base 0 and no limit that matters: block handlers skip the checks
};

// Whose rights an access uses: the current privilege level, or the system's own (descriptor tables, TSS) [SDM3 4.6].
enum class As : u8 { Current, System };

// What the engine keeps while a vCPU runs; no part of the architectural state.
struct Running {
  i64 countdown = 0;        // instructions that may still be retired before the engine's loop must look
  u64 stamp = 0;            // code epoch and mode key: blocks that carry it may be entered (cpu/interp/block.h)
  u32 code_epoch = 1;       // raised when the mapping of code may have changed
  u32 attention = ~u32{0};  // signals that make a running block chain stop
  u64 stack_floor = 0;  // host stack a chain of blocks may use: the compiler makes sibling calls of most handlers only
  bool fault_pending = false;  // a handler left through fault()
  bool single = false;         // one instruction at a time (TF, breakpoints, tracing): REP does one iteration
  bool stop_wanted = false;    // run() ends with ExitKind::Debug: a breakpoint was met, or a watch asks for it
  bool repeating = false;      // a REP instruction left between iterations; it has not retired
  u64 breakpoint_hits = 0;     // DR6 bits of data breakpoints met by the current instruction
  interp::BlockCache* blocks = nullptr;
  interp::Block** jump_cache = nullptr;  // of `blocks`
  static constexpr unsigned kReturns = 16;
  std::array<interp::Link*, kReturns> returns{};  // where the last calls go on (a ring); never null
  unsigned last_call = 0;
};

class Vcpu {
 public:
  Vcpu(BusPort& bus, const CpuModel& model, Log& log);
  Vcpu(const Vcpu&) = delete;
  Vcpu& operator=(const Vcpu&) = delete;

  // Registers in decoded operations are byte offsets from this object's start, so these come first, directly before the
  // general registers. `zero` reads as zero and is never written: the "no base" or "no index" of an address.
  u64 zero = 0;
  u64 block_rip = 0;  // RIP of the running block's first instruction
  CpuState state;
  Running running;
  LazyFlags flags;
  HostFp host_fp;  // leave_host_fp(cpu) before state.x87 or state.mxcsr is looked at, before BusPort calls, after a run
  Mode mode;
  Fault fault;  // valid after a false return
  Signals signals;
  BusPort& bus;
  const CpuModel& model;
  Log& log;
  mmu::Tlb tlb;
  mmu::PhysCache phys;
  mmu::CodeWatch* code_watch = nullptr;
  std::vector<u64> breakpoints;       // a debugger's, linear addresses in order; drop decoded blocks after a change
  InstructionWatch* watch = nullptr;  // who records what this CPU does; update_mode() after a change
  unsigned phys_bits = 40;            // MAXPHYADDR, for reserved bits of page tables

  // --- faults: each records and returns false, so `return cpu.raise(...)` works in bool functions.
  bool raise(Vector vector);
  bool raise(Vector vector, u32 error_code);
  bool raise_page_fault(u64 linear, u32 error_code);

  bool has_breakpoint(u64 linear) const {
    return !breakpoints.empty() && std::binary_search(breakpoints.begin(), breakpoints.end(), linear);
  }

  // --- whole RFLAGS
  u64 rflags() const { return (state.rflags & ~flag::kStatus) | flags.status(); }
  // Stores every bit as given (bit 1 set); no privilege checks. Call update_mode() if VM or AC may have changed.
  void set_rflags(u64 value) {
    state.rflags = (value & ~flag::kStatus) | 2;
    flags.set_status(value);
  }

  // --- general registers
  u64 gpr(unsigned reg, unsigned size_bytes) const { return state.gpr[reg] & mask_of_bytes(size_bytes); }
  void set_gpr(unsigned reg, unsigned size_bytes, u64 value) {  // 32-bit writes clear the upper half, smaller keep it
    u64& target = state.gpr[reg];
    if (size_bytes == 8)
      target = value;
    else if (size_bytes == 4)
      target = static_cast<u32>(value);
    else
      target = (target & ~mask_of_bytes(size_bytes)) | (value & mask_of_bytes(size_bytes));
  }

  // --- memory through a segment: limit, type, canonical and alignment checks, paging at the current CPL. `offset` is
  // already truncated to the address size. T is any trivially copyable type up to 64 bytes.
  template <class T>
  [[nodiscard]] bool read(Segment segment, u64 offset, T& value);
  template <class T>
  [[nodiscard]] bool write(Segment segment, u64 offset, const T& value);
  // Checks that a later write of this range can not fault (for instructions that must not be half done).
  [[nodiscard]] bool probe_write(Segment segment, u64 offset, unsigned size_bytes);
  [[nodiscard]] bool probe_read(Segment segment, u64 offset, unsigned size_bytes);
  // Segment checks alone: the linear address of segment:offset, or #GP/#SS.
  [[nodiscard]] bool linear_address(Segment segment, u64 offset, unsigned size_bytes, bool for_write, u64& linear);

  // --- linear memory (paging only)
  template <class T>
  [[nodiscard]] bool read_linear(u64 linear, T& value, As as = As::Current);
  template <class T>
  [[nodiscard]] bool write_linear(u64 linear, const T& value, As as = As::Current);
  [[nodiscard]] bool probe_write_linear(u64 linear, unsigned size_bytes, As as = As::Current);
  [[nodiscard]] bool probe_read_linear(u64 linear, unsigned size_bytes, As as = As::Current);
  // Host pointer for an atomic read-modify-write of `size_bytes` (at most 16) at `linear`, or nullptr with `ok` telling
  // whether it faulted (false) or the place has no host memory or crosses a page (true: do it by read_linear and
  // write_linear). Writing through it is assumed to follow.
  u8* atomic_window(u64 linear, unsigned size_bytes, bool& ok);
  // The physical address of one linear address, with all checks and accessed/dirty updates.
  [[nodiscard]] bool translate(u64 linear, mmu::Access access, As as, u64& physical);
  // The same without faults or updates, for debuggers and traces; false if not mapped.
  [[nodiscard]] bool translate_quietly(u64 linear, u64& physical);
  // Host pointer to `size_bytes` of one page that this access may use directly, or nullptr with `ok` as above.
  const u8* read_window(u64 linear, unsigned size_bytes, bool& ok);
  u8* write_window(u64 linear, unsigned size_bytes, bool& ok);

  // --- physical memory (page tables, SMM); all ones where there is nothing
  u64 read_phys(GuestPhys address, unsigned size_bytes);
  void write_phys(GuestPhys address, u64 value, unsigned size_bytes);

  // --- operands of a decoded instruction, for generic handlers
  u64 effective_address(const Insn& insn) const;  // offset within insn.segment, truncated to the address size
  template <class T>
  [[nodiscard]] bool read_operand(const Insn& insn, unsigned index, T& value);  // GPR, memory, immediate
  template <class T>
  [[nodiscard]] bool write_operand(const Insn& insn, unsigned index, const T& value);  // GPR, memory

  // --- stack, by the stack's own address size
  [[nodiscard]] bool push(u64 value, unsigned size_bytes);
  [[nodiscard]] bool pop(u64& value, unsigned size_bytes);
  u64 stack_mask() const { return mode.bits64 ? ~u64{0} : mode.stack32 ? 0xFFFFFFFF : 0xFFFF; }
  void set_stack_pointer(u64 value) {
    const u64 mask = stack_mask();
    u64& rsp = state.gpr[gpr::kRsp];
    rsp = mask == 0xFFFF ? (rsp & ~mask) | (value & mask) : value & mask;
  }

  // Recomputes `mode` after any change of CR0, CR4, EFER, RFLAGS (VM, AC), CPL, DR7 or a segment register. Decoded
  // blocks of another mode are not entered any more.
  void update_mode();
  // The part of it that says what memory may be accessed with: enough for who changes CPL and changes it back.
  void update_rights();
  void flush_tlb(bool keep_global);
  void flush_tlb_page(u64 linear);
  // The physical map changed: forgets everything that was derived from it.
  void physical_map_changed();
  u64 tsc();

 private:
  mmu::Context context_for(As as) const { return as == As::Current ? tlb.context() : mmu::Context::Supervisor; }
  bool user_rights(As as) const { return as == As::Current && state.cpl == 3; }
  bool read_slow(u64 linear, void* to, unsigned size_bytes, As as);
  bool write_slow(u64 linear, const void* from, unsigned size_bytes, As as);
  bool read_in_page(u64 linear, u64 physical, u8* to, unsigned size_bytes, As as);
  void write_in_page(u64 linear, u64 physical, const u8* from, unsigned size_bytes, As as);
  bool segment_fault(Segment segment);
  bool check_limit(const SegmentRegister& segment, u64 offset, unsigned size_bytes) const;
  bool segmented_linear(Segment segment, u64 offset, unsigned size_bytes, bool for_write, u64& linear);
  bool check_alignment(u64 linear, unsigned size_bytes);
  void note_data_breakpoints(u64 linear, unsigned size_bytes, bool write);
  void note_access(u64 linear, const u8* bytes, unsigned size_bytes, bool write);
  void drop_code_epoch();
  u32 mode_key() const;
};

inline void leave_host_fp(Vcpu& cpu) {
  if (cpu.host_fp.loaded != 0) [[unlikely]]
    leave_host_fp_now(cpu);
}

}  // namespace xm::cpu

#include "cpu/vcpu/vcpu_memory.h"  // inline bodies of the memory access templates
