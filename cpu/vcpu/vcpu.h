// SPDX-License-Identifier: GPL-2.0-or-later
// Vcpu: the running form of a processor that interpreter and translator share: architectural state, cached mode, lazy
// flags, TLB, memory access with all checks, and the pending fault. Owned by one vCPU thread.
//
// Conventions:
//  - Anything that can fault returns bool: true to go on; false after recording the fault with raise(). Nothing that
//  the
//    guest can see has changed when it returns false, except as the manual says.
//  - state.rflags holds all flags but the six arithmetic ones, which live in `flags` while running; rflags() and
//    set_rflags() see the whole register.
//  - state.rip is that of the instruction being executed only at block boundaries and in generic handlers after
//    sync_rip(op) (cpu/interp/op.h).
#pragma once

#include <type_traits>

#include "cpu/bus_port.h"
#include "cpu/decode/insn.h"
#include "cpu/mmu/tlb.h"
#include "cpu/signals.h"
#include "cpu/state/cpu_state.h"
#include "cpu/state/lazy_flags.h"
#include "cpu/vcpu/fault.h"
#include "cpu/vcpu/host_fp.h"
#include "emu/base/bits.h"
#include "emu/base/log.h"

namespace xm::cpu {

class CpuModel;  // cpu/system/cpuid.h: what CPUID says and which features exist

// Facts derived from CR0, CR4, EFER, RFLAGS.VM and the segments, kept by Vcpu::update_mode().
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

class Vcpu {
 public:
  Vcpu(BusPort& bus, const CpuModel& model, Log& log);

  CpuState state;
  LazyFlags flags;
  HostFp host_fp;  // leave_host_fp(cpu) before state.x87 or state.mxcsr is looked at, before BusPort calls, after a run
  Mode mode;
  Fault fault;  // valid after a false return
  Signals signals;
  BusPort& bus;
  const CpuModel& model;
  Log& log;
  mmu::Tlb tlb;

  // --- faults: each records and returns false, so `return cpu.raise(...)` works in bool functions.
  bool raise(Vector vector);
  bool raise(Vector vector, u32 error_code);
  bool raise_page_fault(u64 linear, u32 error_code);

  // --- whole RFLAGS
  u64 rflags() const { return (state.rflags & ~flag::kStatus) | flags.status(); }
  void set_rflags(
      u64 value) {  // stores every bit as given (bit 1 set); no privilege checks; recomputes `mode` if needed
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
  // Host pointer for an atomic read-modify-write of `size_bytes` (at most 16) at `linear`, or nullptr with `ok` telling
  // whether it faulted (false) or the place has no host memory or crosses a page (true: do it under the bus lock,
  // by read_linear and write_linear).
  u8* atomic_window(u64 linear, unsigned size_bytes, bool& ok);

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

  // Recomputes `mode` after any change of CR0, CR4, EFER, RFLAGS (VM, AC), CPL or a segment register, and drops cached
  // blocks' validity where the change matters.
  void update_mode();
  void flush_tlb(bool keep_global);
  void flush_tlb_page(u64 linear);
  u64 tsc();
};

inline void leave_host_fp(Vcpu& cpu) {
  if (cpu.host_fp.loaded != 0) [[unlikely]] leave_host_fp_now(cpu);
}

}  // namespace xm::cpu

#include "cpu/vcpu/vcpu_memory.h"  // inline bodies of the memory access templates
