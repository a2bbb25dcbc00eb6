// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/system/fast_syscall.h"

#include "cpu/system/cpuid.h"
#include "cpu/system/debug_registers.h"
#include "cpu/system/deliver.h"
#include "cpu/system/privilege.h"
#include "cpu/system/segment.h"

namespace xm::cpu::system {

namespace {

// Attributes that these instructions force without reading a descriptor.
constexpr u32 kCode64 = 0xA09B;
constexpr u32 kCode32 = 0xC09B;
constexpr u32 kStack = 0xC093;
constexpr u32 kDpl3 = 3 << 5;
constexpr u64 kSysretFlags = 0x3C7FD7;  // RF, VM and reserved bits are not loaded

void set_flat(Vcpu& cpu, Segment name, u16 selector, u32 attributes) {
  segment_of(cpu, name) = {.base = 0, .limit = 0xFFFFFFFF, .attributes = attributes, .selector = selector};
}

void enter_kernel(Vcpu& cpu, u16 code_selector, bool bits64) {
  set_flat(cpu, Segment::Cs, static_cast<u16>(code_selector & ~3u), bits64 ? kCode64 : kCode32);
  set_flat(cpu, Segment::Ss, static_cast<u16>((code_selector & ~3u) + 8), kStack);
  cpu.state.cpl = 0;
}

// Intel has SYSCALL and SYSRET in 64-bit mode only, AMD in every protected mode [SDM2 SYSCALL, APM3 SYSCALL].
bool check_syscall(Vcpu& cpu) {
  const bool amd = cpu.model.vendor() == Vendor::Amd;
  const bool mode = cpu.mode.bits64 || (amd && cpu.mode.protected_mode);
  return (mode && (cpu.state.msr.efer & efer::kSce) != 0) || cpu.raise(Vector::Ud);
}

// AMD has no SYSENTER in long mode [APM3 SYSENTER].
bool check_sysenter(Vcpu& cpu) {
  return !cpu.mode.long_mode || cpu.model.vendor() == Vendor::Intel || cpu.raise(Vector::Ud);
}

}  // namespace

bool system_call(Vcpu& cpu, const Insn& insn) {
  CpuState& state = cpu.state;
  if (!check_syscall(cpu)) return false;
  const u64 flags = cpu.rflags();
  const u64 successor = next_rip(cpu, insn);
  const u64 target = cpu.mode.bits64      ? state.msr.lstar
                     : cpu.mode.long_mode ? state.msr.cstar
                                          : static_cast<u32>(state.msr.star);
  state.gpr[gpr::kRcx] = successor;
  if (cpu.mode.long_mode) {
    state.gpr[11] = flags & ~flag::kRf;
    cpu.set_rflags(flags & ~(state.msr.sfmask | flag::kRf));
  } else {
    cpu.set_rflags(flags & ~(flag::kVm | flag::kIf | flag::kRf));
  }
  enter_kernel(cpu, static_cast<u16>(state.msr.star >> 32), cpu.mode.long_mode);
  state.rip = target;
  cpu.update_mode();
  return true;
}

bool system_return(Vcpu& cpu, const Insn& insn) {
  CpuState& state = cpu.state;
  if (!check_syscall(cpu) || !require_cpl0(cpu)) return false;
  const u16 base = static_cast<u16>(state.msr.star >> 48);
  const u64 target = state.gpr[gpr::kRcx];
  const bool wide = insn.operand_size == 8;
  if (wide && !is_canonical(cpu, target)) return cpu.raise(Vector::Gp, 0);
  set_flat(cpu, Segment::Cs, static_cast<u16>((wide ? base + 16 : base) | 3), (wide ? kCode64 : kCode32) | kDpl3);
  set_flat(cpu, Segment::Ss, static_cast<u16>((base + 8) | 3), kStack | kDpl3);
  state.rip = wide ? target : static_cast<u32>(target);
  state.cpl = 3;
  const u64 flags = cpu.mode.long_mode ? state.gpr[11] & kSysretFlags : cpu.rflags() | flag::kIf;
  cpu.set_rflags(flags | 2);
  cpu.update_mode();
  // A trap flag that SYSRET sets traps behind SYSRET itself, not behind the next instruction as with IRET.
  if ((flags & flag::kTf) != 0) deliver_debug_trap(cpu, dr6::kBs);
  return true;
}

bool system_enter(Vcpu& cpu, const Insn&) {
  CpuState& state = cpu.state;
  if (!check_sysenter(cpu)) return false;
  if ((state.cr0 & cr0::kPe) == 0 || is_null(static_cast<u16>(state.msr.sysenter_cs))) return cpu.raise(Vector::Gp, 0);
  const bool long_mode = cpu.mode.long_mode;
  cpu.set_rflags(cpu.rflags() & ~(flag::kVm | flag::kIf | flag::kRf));
  enter_kernel(cpu, static_cast<u16>(state.msr.sysenter_cs), long_mode);
  state.gpr[gpr::kRsp] = long_mode ? state.msr.sysenter_esp : static_cast<u32>(state.msr.sysenter_esp);
  state.rip = long_mode ? state.msr.sysenter_eip : static_cast<u32>(state.msr.sysenter_eip);
  cpu.update_mode();
  return true;
}

bool system_exit(Vcpu& cpu, const Insn& insn) {
  CpuState& state = cpu.state;
  if (!check_sysenter(cpu)) return false;
  const u16 base = static_cast<u16>(state.msr.sysenter_cs);
  if (!cpu.mode.protected_mode || is_null(base)) return cpu.raise(Vector::Gp, 0);
  if (!require_cpl0(cpu)) return false;
  const bool wide = insn.operand_size == 8 && cpu.mode.bits64;
  const u64 target = state.gpr[gpr::kRdx];
  const u64 stack = state.gpr[gpr::kRcx];
  if (wide && (!is_canonical(cpu, target) || !is_canonical(cpu, stack))) return cpu.raise(Vector::Gp, 0);
  set_flat(cpu, Segment::Cs, static_cast<u16>((base + (wide ? 32 : 16)) | 3), (wide ? kCode64 : kCode32) | kDpl3);
  set_flat(cpu, Segment::Ss, static_cast<u16>((base + (wide ? 40 : 24)) | 3), kStack | kDpl3);
  state.cpl = 3;
  state.rip = wide ? target : static_cast<u32>(target);
  state.gpr[gpr::kRsp] = wide ? stack : static_cast<u32>(stack);
  cpu.update_mode();
  return true;
}

bool swap_gs(Vcpu& cpu, const Insn&) {
  if (!cpu.mode.bits64) return cpu.raise(Vector::Ud);
  if (!require_cpl0(cpu)) return false;
  std::swap(segment_of(cpu, Segment::Gs).base, cpu.state.msr.kernel_gs_base);
  return true;
}

namespace {

bool check_fsgsbase(Vcpu& cpu) {
  return (cpu.mode.bits64 && (cpu.state.cr4 & cr4::kFsgsbase) != 0) || cpu.raise(Vector::Ud);
}

Segment base_segment(const Insn& insn) {
  const bool fs = insn.operation == Operation::Rdfsbase || insn.operation == Operation::Wrfsbase;
  return fs ? Segment::Fs : Segment::Gs;
}

}  // namespace

bool read_segment_base(Vcpu& cpu, const Insn& insn) {
  if (!check_fsgsbase(cpu)) return false;
  cpu.set_gpr(insn.operands[0].reg, insn.operands[0].size, segment_of(cpu, base_segment(insn)).base);
  return true;
}

bool write_segment_base(Vcpu& cpu, const Insn& insn) {
  if (!check_fsgsbase(cpu)) return false;
  const u64 value = cpu.gpr(insn.operands[0].reg, insn.operands[0].size);
  if (!is_canonical(cpu, value)) return cpu.raise(Vector::Gp, 0);
  segment_of(cpu, base_segment(insn)).base = value;
  return true;
}

}  // namespace xm::cpu::system
