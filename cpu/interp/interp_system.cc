// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/interp/interp_system.h"

#include "cpu/interp/block.h"
#include "cpu/system/control_registers.h"
#include "cpu/system/debug_registers.h"
#include "cpu/system/deliver.h"
#include "cpu/system/far_transfer.h"
#include "cpu/system/fast_syscall.h"
#include "cpu/system/flags.h"
#include "cpu/system/msr.h"
#include "cpu/system/port_io.h"
#include "cpu/system/processor.h"
#include "cpu/system/segment.h"
#include "cpu/system/segment_instructions.h"
#include "cpu/system/xsave.h"

namespace xm::cpu::interp {

namespace {

namespace sys = xm::cpu::system;

using Function = bool (*)(Vcpu&, const Insn&);
using StringFunction = bool (*)(Vcpu&, const Insn&, bool& finished);

// Nothing that the rest of the block was decoded for can change: go on.
template <Function kFunction>
const Op* stays(Vcpu& cpu, const Op* op) {
  sync_rip(cpu, op);
  return kFunction(cpu, *op->insn) ? next(cpu, op) : fault(cpu, op);
}

// Mode, rights, mapping or pending events may have changed: leave the block behind this instruction.
template <Function kFunction>
const Op* ends(Vcpu& cpu, const Op* op) {
  sync_rip(cpu, op);
  const u64 successor = sys::next_rip(cpu, *op->insn);
  if (!kFunction(cpu, *op->insn)) return fault(cpu, op);
  cpu.state.rip = successor;
  return resume(cpu, op);
}

// The function sets RIP itself. A fault after a task switch belongs to the new task, whose RIP stands by then: unlike
// fault(), this leaves RIP alone.
template <Function kFunction>
const Op* transfers(Vcpu& cpu, const Op* op) {
  sync_rip(cpu, op);
  if (kFunction(cpu, *op->insn)) return resume(cpu, op);
  cpu.running.countdown += op->remaining;
  cpu.running.fault_pending = true;
  return nullptr;
}

template <StringFunction kFunction>
const Op* repeats(Vcpu& cpu, const Op* op) {
  bool finished = true;
  if (!kFunction(cpu, *op->insn, finished)) return fault(cpu, op);
  if (!finished) return suspend(cpu, op);
  sync_rip(cpu, op);
  cpu.state.rip = sys::next_rip(cpu, *op->insn);
  return resume(cpu, op);
}

template <Function kFunction>
SystemHandler stay() {
  return {stays<kFunction>, false};
}
template <Function kFunction>
SystemHandler leave() {
  return {ends<kFunction>, true};
}

// --- adapters from decoded operands to the functions of cpu/system

bool read_far_pointer(Vcpu& cpu, const Insn& insn, u64& offset, u16& selector) {
  if (insn.operands[0].kind == OperandKind::FarPointer) {
    offset = insn.imm;
    selector = static_cast<u16>(insn.imm2);
    return true;
  }
  const u64 address = cpu.effective_address(insn);
  const unsigned size = insn.operand_size;
  u32 offset32 = 0;
  u16 offset16 = 0;
  const bool done = size == 8   ? cpu.read(insn.segment, address, offset)
                    : size == 4 ? cpu.read(insn.segment, address, offset32)
                                : cpu.read(insn.segment, address, offset16);
  if (size != 8) offset = size == 4 ? offset32 : offset16;
  return done && cpu.read(insn.segment, (address + size) & mask_of_bytes(insn.address_size), selector);
}

bool far_jump(Vcpu& cpu, const Insn& insn) {
  u64 offset = 0;
  u16 selector = 0;
  return read_far_pointer(cpu, insn, offset, selector) &&
         sys::far_jump(cpu, selector, offset, insn.operand_size, sys::next_rip(cpu, insn));
}

bool far_call(Vcpu& cpu, const Insn& insn) {
  u64 offset = 0;
  u16 selector = 0;
  return read_far_pointer(cpu, insn, offset, selector) &&
         sys::far_call(cpu, selector, offset, insn.operand_size, sys::next_rip(cpu, insn));
}

bool far_return(Vcpu& cpu, const Insn& insn) {
  const u32 release = insn.operand_count != 0 ? static_cast<u32>(insn.imm & 0xFFFF) : 0;
  return sys::far_return(cpu, insn.operand_size, release);
}

bool interrupt_return(Vcpu& cpu, const Insn& insn) {
  return sys::interrupt_return(cpu, insn.operand_size, sys::next_rip(cpu, insn));
}

bool interrupt(Vcpu& cpu, const Insn& insn) {
  const u64 successor = sys::next_rip(cpu, insn);
  switch (insn.operation) {
    case Operation::Int1:
      return sys::software_interrupt(cpu, static_cast<u8>(Vector::Db), sys::Source::Int1, successor);
    case Operation::Int3:
      return sys::software_interrupt(cpu, static_cast<u8>(Vector::Bp), sys::Source::Int3, successor);
    case Operation::Into:
      if ((cpu.rflags() & flag::kOf) == 0) {
        cpu.state.rip = successor;
        return true;
      }
      return sys::software_interrupt(cpu, static_cast<u8>(Vector::Of), sys::Source::Into, successor);
    default: return sys::software_interrupt(cpu, static_cast<u8>(insn.imm), sys::Source::SoftwareInt, successor);
  }
}

bool is_kind(const Insn& insn, unsigned index, OperandKind kind) { return insn.operands[index].kind == kind; }

// MOV, PUSH and POP of registers that are not general ones.
SystemHandler move_handler(const Insn& insn) {
  switch (insn.operation) {
    case Operation::Push: return is_kind(insn, 0, OperandKind::Segment) ? stay<sys::push_segment>() : SystemHandler{};
    case Operation::Pop: return is_kind(insn, 0, OperandKind::Segment) ? leave<sys::pop_segment>() : SystemHandler{};
    case Operation::Mov: break;
    default: return {};
  }
  if (is_kind(insn, 0, OperandKind::Segment)) return leave<sys::move_to_segment>();
  if (is_kind(insn, 1, OperandKind::Segment)) return stay<sys::move_from_segment>();
  if (is_kind(insn, 0, OperandKind::Control)) return leave<sys::move_to_control>();
  if (is_kind(insn, 1, OperandKind::Control)) return stay<sys::move_from_control>();
  if (is_kind(insn, 0, OperandKind::Debug)) return leave<sys::move_to_debug>();
  if (is_kind(insn, 1, OperandKind::Debug)) return stay<sys::move_from_debug>();
  return {};
}

SystemHandler transfer_handler(Operation operation) {
  switch (operation) {
    case Operation::JmpFar: return {transfers<far_jump>, true};
    case Operation::CallFar: return {transfers<far_call>, true};
    case Operation::RetFar: return {transfers<far_return>, true};
    case Operation::Iret: return {transfers<interrupt_return>, true};
    case Operation::Int:
    case Operation::Int1:
    case Operation::Int3:
    case Operation::Into: return {transfers<interrupt>, true};
    case Operation::Syscall: return {transfers<sys::system_call>, true};
    case Operation::Sysret: return {transfers<sys::system_return>, true};
    case Operation::Sysenter: return {transfers<sys::system_enter>, true};
    case Operation::Sysexit: return {transfers<sys::system_exit>, true};
    case Operation::Hlt: return leave<sys::halt>();
    case Operation::Ud0:
    case Operation::Ud1:
    case Operation::Ud2:
    case Operation::Rsm: return {transfers<sys::undefined>, true};
    default: return {};
  }
}

SystemHandler segment_handler(Operation operation) {
  switch (operation) {
    case Operation::Lds:
    case Operation::Les:
    case Operation::Lss:
    case Operation::Lfs:
    case Operation::Lgs: return leave<sys::load_far_pointer>();
    case Operation::Lgdt: return leave<sys::load_gdtr>();
    case Operation::Lidt: return leave<sys::load_idtr>();
    case Operation::Sgdt: return stay<sys::store_gdtr>();
    case Operation::Sidt: return stay<sys::store_idtr>();
    case Operation::Lldt: return leave<sys::load_ldtr>();
    case Operation::Ltr: return leave<sys::load_task_register>();
    case Operation::Sldt: return stay<sys::store_ldtr>();
    case Operation::Str: return stay<sys::store_task_register>();
    case Operation::Lar: return stay<sys::load_access_rights>();
    case Operation::Lsl: return stay<sys::load_segment_limit>();
    case Operation::Verr: return stay<sys::verify_read>();
    case Operation::Verw: return stay<sys::verify_write>();
    case Operation::Arpl: return stay<sys::adjust_requested_privilege>();
    case Operation::Swapgs: return stay<sys::swap_gs>();
    case Operation::Rdfsbase:
    case Operation::Rdgsbase: return stay<sys::read_segment_base>();
    case Operation::Wrfsbase:
    case Operation::Wrgsbase: return stay<sys::write_segment_base>();
    default: return {};
  }
}

SystemHandler register_handler(Operation operation) {
  switch (operation) {
    case Operation::Lmsw: return leave<sys::load_machine_status>();
    case Operation::Smsw: return stay<sys::store_machine_status>();
    case Operation::Clts: return leave<sys::clear_task_switched>();
    case Operation::Xgetbv: return stay<sys::get_extended_control>();
    case Operation::Xsetbv: return leave<sys::set_extended_control>();
    case Operation::Invlpg: return leave<sys::invalidate_page>();
    case Operation::Invpcid: return leave<sys::invalidate_pcid>();
    case Operation::Rdmsr: return stay<sys::rdmsr>();
    case Operation::Wrmsr: return leave<sys::wrmsr>();
    case Operation::Pushf: return stay<sys::push_flags>();
    case Operation::Popf: return leave<sys::pop_flags>();
    case Operation::Cli: return stay<sys::clear_interrupt_flag>();
    case Operation::Sti: return leave<sys::set_interrupt_flag>();
    case Operation::Clac: return stay<sys::clear_alignment_flag>();
    case Operation::Stac: return stay<sys::set_alignment_flag>();
    default: return {};
  }
}

SystemHandler processor_handler(Operation operation) {
  switch (operation) {
    case Operation::In: return leave<sys::port_in>();
    case Operation::Out: return leave<sys::port_out>();
    case Operation::Ins: return {repeats<sys::port_in_string>, true};
    case Operation::Outs: return {repeats<sys::port_out_string>, true};
    case Operation::Cpuid: return stay<sys::identify>();
    case Operation::Rdtsc:
    case Operation::Rdtscp: return stay<sys::read_time_stamp>();
    case Operation::Rdpid: return stay<sys::read_processor_id>();
    case Operation::Rdpmc: return stay<sys::read_performance>();
    case Operation::Rdrand:
    case Operation::Rdseed: return stay<sys::read_random>();
    case Operation::Monitor: return stay<sys::monitor>();
    case Operation::Mwait: return leave<sys::monitor_wait>();
    case Operation::Invd:
    case Operation::Wbinvd: return stay<sys::flush_caches>();
    case Operation::Clflush:
    case Operation::Clflushopt:
    case Operation::Clwb: return stay<sys::flush_cache_line>();
    case Operation::Lfence:
    case Operation::Mfence:
    case Operation::Sfence: return stay<sys::fence>();
    case Operation::Prefetch:
    case Operation::Prefetchw: return stay<sys::no_operation>();
    case Operation::Pause: return leave<sys::no_operation>();
    case Operation::Fxsave: return stay<sys::fxsave>();
    case Operation::Fxrstor: return stay<sys::fxrstor>();
    case Operation::Xsave:
    case Operation::Xsaveopt:
    case Operation::Xsavec:
    case Operation::Xsaves: return stay<sys::xsave>();
    case Operation::Xrstor:
    case Operation::Xrstors: return stay<sys::xrstor>();
    default: return {};
  }
}

}  // namespace

SystemHandler system_handler(const Insn& insn) {
  if (const SystemHandler found = move_handler(insn); found.handler != nullptr) return found;
  if (const SystemHandler found = transfer_handler(insn.operation); found.handler != nullptr) return found;
  if (const SystemHandler found = segment_handler(insn.operation); found.handler != nullptr) return found;
  if (const SystemHandler found = register_handler(insn.operation); found.handler != nullptr) return found;
  return processor_handler(insn.operation);
}

}  // namespace xm::cpu::interp
