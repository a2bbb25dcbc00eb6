// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/system/port_io.h"

#include "cpu/system/debug_registers.h"
#include "cpu/system/deliver.h"
#include "cpu/system/tss.h"

namespace xm::cpu::system {

namespace {

// How many iterations run before pending events are looked at again.
constexpr unsigned kBurst = 256;

u16 port_operand(const Vcpu& cpu, const Insn& insn, unsigned index) {
  const u64 value = insn.operands[index].kind == OperandKind::Immediate ? insn.imm & 0xFF : cpu.gpr(gpr::kRdx, 2);
  return static_cast<u16>(value);
}

// I/O breakpoints exist with CR4.DE only [SDM3 17.2.4]; they trap behind the instruction.
void note_io_breakpoints(Vcpu& cpu, u16 port, unsigned size_bytes) {
  if (!breakpoints_armed(cpu.state) || (cpu.state.cr4 & cr4::kDe) == 0) return;
  cpu.running.breakpoint_hits |= matching_breakpoints(cpu.state, BreakpointKind::Io, port, size_bytes);
}

bool event_waits(const Vcpu& cpu) {
  const u32 pins = cpu.signals.load();
  if ((pins & ~Signals::kIntr) != 0) return true;
  return (pins & Signals::kIntr) != 0 && (cpu.state.rflags & flag::kIf) != 0;
}

template <class T>
bool step_in(Vcpu& cpu, const Insn&, u16 port, u64 index) {
  if (!cpu.probe_write(Segment::Es, index, sizeof(T))) return false;
  leave_host_fp(cpu);
  const T value = static_cast<T>(cpu.bus.port_read(Port{port}, sizeof(T)));
  return cpu.write(Segment::Es, index, value);
}

template <class T>
bool step_out(Vcpu& cpu, const Insn& insn, u16 port, u64 index) {
  T value = 0;
  if (!cpu.read(insn.segment, index, value)) return false;
  leave_host_fp(cpu);
  cpu.bus.port_write(Port{port}, value, sizeof(T));
  return true;
}

using Step = bool (*)(Vcpu&, const Insn&, u16 port, u64 index);

Step pick_step(unsigned size_bytes, Step byte, Step word, Step dword) {
  return size_bytes == 1 ? byte : size_bytes == 2 ? word : dword;
}

bool run_string(Vcpu& cpu, const Insn& insn, unsigned pointer, unsigned size, Step step, bool& finished) {
  const u64 mask = mask_of_bytes(insn.address_size);
  const bool repeats = insn.rep != RepPrefix::None;
  const u16 port = static_cast<u16>(cpu.gpr(gpr::kRdx, 2));
  const u64 stride = (cpu.state.rflags & flag::kDf) != 0 ? -u64{size} : size;
  finished = true;
  if (repeats && (cpu.state.gpr[gpr::kRcx] & mask) == 0) return true;
  for (unsigned done = 0;; ++done) {
    if (!check_io_permission(cpu, port, size)) return false;
    if (!step(cpu, insn, port, cpu.state.gpr[pointer] & mask)) return false;
    note_io_breakpoints(cpu, port, size);
    cpu.set_gpr(pointer, insn.address_size, cpu.state.gpr[pointer] + stride);
    if (!repeats) return true;
    cpu.set_gpr(gpr::kRcx, insn.address_size, cpu.state.gpr[gpr::kRcx] - 1);
    if ((cpu.state.gpr[gpr::kRcx] & mask) == 0) return true;
    if (done >= kBurst || cpu.running.single || event_waits(cpu)) {
      finished = false;
      return true;
    }
  }
}

}  // namespace

bool port_in(Vcpu& cpu, const Insn& insn) {
  const u16 port = port_operand(cpu, insn, 1);
  const unsigned size = insn.operands[0].size;
  if (!check_io_permission(cpu, port, size)) return false;
  leave_host_fp(cpu);
  note_io_breakpoints(cpu, port, size);
  cpu.set_gpr(gpr::kRax, size, cpu.bus.port_read(Port{port}, size));
  return true;
}

bool port_out(Vcpu& cpu, const Insn& insn) {
  const u16 port = port_operand(cpu, insn, 0);
  const unsigned size = insn.operands[1].size;
  if (!check_io_permission(cpu, port, size)) return false;
  leave_host_fp(cpu);
  note_io_breakpoints(cpu, port, size);
  cpu.bus.port_write(Port{port}, static_cast<u32>(cpu.gpr(gpr::kRax, size)), size);
  return true;
}

bool port_in_string(Vcpu& cpu, const Insn& insn, bool& finished) {
  const Step step = pick_step(insn.operands[0].size, step_in<u8>, step_in<u16>, step_in<u32>);
  return run_string(cpu, insn, gpr::kRdi, insn.operands[0].size, step, finished);
}

bool port_out_string(Vcpu& cpu, const Insn& insn, bool& finished) {
  const Step step = pick_step(insn.operands[1].size, step_out<u8>, step_out<u16>, step_out<u32>);
  return run_string(cpu, insn, gpr::kRsi, insn.operands[1].size, step, finished);
}

}  // namespace xm::cpu::system
