// SPDX-License-Identifier: GPL-2.0-or-later
// MMX, SSE and AVX instructions by one generic handler: check the state they need, fetch operands, run the kernel of
// cpu/semantics, write back. What does not fit this shape is in interp_vector_special.cc; what is hot has handlers of
// its own in interp_sse_fast.cc. [SDM1 9-14, SDM2]
#include "cpu/interp/fp_handlers.h"
#include "cpu/interp/interp_x87.h"
#include "cpu/interp/vector_fast.h"
#include "cpu/interp/vector_operands.h"

namespace xm::cpu::interp {
namespace {

using semantics::VectorForm;

// Where the operand lists keep the sources: the last three that are not an immediate.
struct Sources {
  unsigned first = 1, end = 1;
};
Sources find_sources(const Insn& insn, const VectorForm& form) {
  Sources sources{form.reads_destination ? 0u : 1u, insn.operand_count};
  if (insn.operands[insn.operand_count - 1u].kind == OperandKind::Immediate) --sources.end;
  return sources;
}

// The immediate, with what the quadword insertions and extractions add; or the size of a conversion's general operand.
unsigned kernel_immediate(const Insn& insn, const Sources& sources) {
  if (sources.end == insn.operand_count) {
    const bool to_gpr = insn.operands[0].kind == OperandKind::Gpr;
    return insn.operands[to_gpr ? 0 : sources.end - 1].size;
  }
  const bool quadword =
      insn.operand_size == 8 && (insn.operation == Operation::Pextrd || insn.operation == Operation::Pinsrd);
  return static_cast<unsigned>(insn.imm & 0xFF) | (quadword ? semantics::kQuadwordFlag : 0);
}

// VCVTPS2PH: a SIMD exception comes before a fault of the store, and the fault leaves no flags behind.
bool execute_to_memory(Vcpu& cpu, const Insn& insn, const VectorForm& form, const VectorRegister& source) {
  leave_host_fp(cpu);
  const u32 mxcsr = cpu.state.mxcsr;
  VectorRegister d{};
  if (!run_kernel(cpu, form, d, source, source, 0)) return false;
  leave_host_fp(cpu);
  if (write_vector_operand(cpu, insn, 0, d)) return true;
  cpu.state.mxcsr = mxcsr;
  return false;
}

bool execute(Vcpu& cpu, const Insn& insn) {
  if (!check_vector(cpu, insn)) return false;
  const VectorForm form = semantics::vector_form(insn);
  const bool mmx = has_mmx_operand(insn);
  if (mmx) leave_host_fp(cpu);

  VectorRegister d{}, a{}, b{};
  const Operand& destination = insn.operands[0];
  if (destination.kind == OperandKind::Xmm || destination.kind == OperandKind::Ymm) {
    d = cpu.state.vector[destination.reg];
  }
  const Sources sources = find_sources(insn, form);
  const unsigned count = sources.end - sources.first;
  if (!read_vector_operand(cpu, insn, count == 3 ? sources.first + 1 : sources.end - 1, b)) return false;
  if (count >= 2 && !read_vector_operand(cpu, insn, sources.first, a)) return false;
  if (count == 3 && !read_vector_operand(cpu, insn, sources.first + 2, d)) return false;

  if (form.fp && destination.kind == OperandKind::Memory) return execute_to_memory(cpu, insn, form, b);
  if (!run_kernel(cpu, form, d, a, b, kernel_immediate(insn, sources))) return false;
  if (form.result == semantics::ResultKind::Flags) {
    cpu.flags.set_status(d.q[0]);
    return true;
  }
  if (!write_vector_operand(cpu, insn, 0, d)) return false;
  if (mmx) enter_mmx_state(cpu);
  return true;
}

}  // namespace

const Op* vector_generic(Vcpu& cpu, const Op* op) {
  sync_rip(cpu, op);  // the operand's address may be relative to it
  return execute(cpu, *op->insn) ? next(cpu, op) : fault(cpu, op);
}

Handler vector_handler(const Insn& insn) {
  if (Handler special = special_vector_handler(insn.operation)) return special;
  return insn.operand_count != 0 && semantics::vector_form(insn).kernel != nullptr ? vector_generic : nullptr;
}

bool choose_fp_handler(const BuildContext& context, const Insn& insn, Op& op) {
  if (select_x87(context, insn, op)) return true;
  const Handler general = vector_handler(insn);
  if (general == nullptr) return false;
  const bool fast =
      general == vector_generic && (select_fast_move(context, insn, op) || select_fast_float(context, insn, op) ||
                                    select_fast_convert(context, insn, op) || select_fast_integer(context, insn, op) ||
                                    select_fast_mmx(context, insn, op));
  if (!fast) op.handler = general;
  return true;
}

bool select_fp(const BuildContext& context, const Insn& insn, Op& op) {
  if (!choose_fp_handler(context, insn, op)) return false;
  op.insn = context.keep(insn);
  return true;
}

}  // namespace xm::cpu::interp
