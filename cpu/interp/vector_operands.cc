// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/interp/vector_operands.h"

#include <algorithm>

#include "cpu/interp/host_trap.h"
#include "cpu/isa/isa.h"

namespace xm::cpu::interp {
namespace {

using Half = std::array<u64, 2>;

// Legacy SSE needs 16-byte operands aligned but for the moves that say otherwise; VEX only where the row says so
// [SDM1 14.9].
bool must_be_aligned(const Insn& insn, unsigned size) {
  if (isa_row(insn.row).has(attribute::kAligned)) return true;
  if (insn.vex || size != 16) return false;
  switch (insn.operation) {
    case Operation::Movups:
    case Operation::Movupd:
    case Operation::Movdqu:
    case Operation::Lddqu:
    case Operation::Pcmpestri:
    case Operation::Pcmpestrm:
    case Operation::Pcmpistri:
    case Operation::Pcmpistrm: return false;
    default: return true;
  }
}

bool check_alignment(Vcpu& cpu, const Insn& insn, u64 offset, unsigned size, bool for_write) {
  if (size < 16 || !must_be_aligned(insn, size)) return true;
  u64 linear = 0;
  if (!cpu.linear_address(insn.segment, offset, size, for_write, linear)) return false;
  return (linear & (size - 1)) == 0 || cpu.raise(Vector::Gp, 0);
}

template <class T>
bool read_as(Vcpu& cpu, Segment segment, u64 offset, VectorRegister& value) {
  T loaded{};
  if (!cpu.read(segment, offset, loaded)) return false;
  value = {};
  std::memcpy(value.q.data(), &loaded, sizeof loaded);
  return true;
}
template <class T>
bool write_as(Vcpu& cpu, Segment segment, u64 offset, const VectorRegister& value) {
  return cpu.write(segment, offset, load_le<T>(value.q.data()));
}

// With an exception unmasked the host decides too: the kernel runs with the guest's own MXCSR, and a trap is caught.
bool run_unmasked(Vcpu& cpu, const semantics::VectorForm& form, VectorRegister& d, const VectorRegister& a,
                  const VectorRegister& b, unsigned imm) {
  leave_host_fp(cpu);  // what the host's FPU holds does not survive a trap
  if (run_trapping(form.kernel, d, a, b, imm, cpu.state.mxcsr)) return true;
  return cpu.raise(cpu.state.cr4 & cr4::kOsxmmexcpt ? Vector::Xm : Vector::Ud);
}

}  // namespace

bool has_mmx_operand(const Insn& insn) {
  return std::any_of(insn.operands.begin(), insn.operands.end(),
                     [](const Operand& operand) { return operand.kind == OperandKind::Mm; });
}

bool check_vector(Vcpu& cpu, const Insn& insn) {
  if (insn.vex) return avx_ready(cpu) || check_avx(cpu);
  const bool mmx = has_mmx_operand(insn);
  const bool xmm = std::any_of(insn.operands.begin(), insn.operands.end(),
                               [](const Operand& operand) { return operand.kind == OperandKind::Xmm; });
  if ((xmm || !mmx) && !sse_ready(cpu) && !check_sse(cpu)) return false;
  return !mmx || check_mmx(cpu);
}

bool read_vector_memory(Vcpu& cpu, const Insn& insn, unsigned index, VectorRegister& value) {
  const u64 offset = cpu.effective_address(insn);
  const unsigned size = insn.operands[index].size;
  if (!check_alignment(cpu, insn, offset, size, false)) return false;
  switch (size) {
    case 1: return read_as<u8>(cpu, insn.segment, offset, value);
    case 2: return read_as<u16>(cpu, insn.segment, offset, value);
    case 4: return read_as<u32>(cpu, insn.segment, offset, value);
    case 8: return read_as<u64>(cpu, insn.segment, offset, value);
    case 16: return read_as<Half>(cpu, insn.segment, offset, value);
    default: return cpu.read(insn.segment, offset, value);
  }
}

bool write_vector_memory(Vcpu& cpu, const Insn& insn, unsigned index, const VectorRegister& value) {
  const u64 offset = cpu.effective_address(insn);
  const unsigned size = insn.operands[index].size;
  if (!check_alignment(cpu, insn, offset, size, true)) return false;
  switch (size) {
    case 1: return write_as<u8>(cpu, insn.segment, offset, value);
    case 2: return write_as<u16>(cpu, insn.segment, offset, value);
    case 4: return write_as<u32>(cpu, insn.segment, offset, value);
    case 8: return write_as<u64>(cpu, insn.segment, offset, value);
    case 16: return write_as<Half>(cpu, insn.segment, offset, value);
    default: return cpu.write(insn.segment, offset, value);
  }
}

bool read_vector_operand(Vcpu& cpu, const Insn& insn, unsigned index, VectorRegister& value) {
  const Operand& operand = insn.operands[index];
  switch (operand.kind) {
    case OperandKind::Memory: return read_vector_memory(cpu, insn, index, value);
    case OperandKind::Xmm: {
      value = cpu.state.vector[operand.reg];
      value.q[2] = value.q[3] = 0;
      if (operand.size >= 16) return true;
      value.q[1] = 0;
      value.q[0] &= mask_of_bytes(operand.size);
      return true;
    }
    case OperandKind::Ymm: value = cpu.state.vector[operand.reg]; return true;
    case OperandKind::Mm: value = {{cpu.state.x87.reg[operand.reg].significand, 0, 0, 0}}; return true;
    default: {
      value = {{cpu.state.gpr[operand.reg] & mask_of_bytes(operand.size), 0, 0, 0}};
      return true;
    }
  }
}

void write_vector_register(Vcpu& cpu, const Insn& insn, unsigned reg, const VectorRegister& value) {
  VectorRegister& target = cpu.state.vector[reg];
  target.q[0] = value.q[0];
  target.q[1] = value.q[1];
  if (insn.vex) target.q[2] = target.q[3] = 0;
}

bool write_vector_operand(Vcpu& cpu, const Insn& insn, unsigned index, const VectorRegister& value) {
  const Operand& operand = insn.operands[index];
  switch (operand.kind) {
    case OperandKind::Memory: return write_vector_memory(cpu, insn, index, value);
    case OperandKind::Xmm: write_vector_register(cpu, insn, operand.reg, value); return true;
    case OperandKind::Ymm: cpu.state.vector[operand.reg] = value; return true;
    case OperandKind::Mm: cpu.state.x87.reg[operand.reg] = {value.q[0], 0xFFFF}; return true;
    default: cpu.set_gpr(operand.reg, operand.size, value.q[0]); return true;
  }
}

bool run_kernel(Vcpu& cpu, const semantics::VectorForm& form, VectorRegister& d, const VectorRegister& a,
                const VectorRegister& b, unsigned imm) {
  if (form.fp && !ensure_host_mxcsr(cpu)) {
    return run_unmasked(cpu, form, d, a, b, imm);
  }
  form.kernel(d, a, b, imm);
  return true;
}

}  // namespace xm::cpu::interp
