// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/interp/interp_system.h"

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
  return end_block(cpu, op);
}

// The function sets RIP itself. A fault after a task switch belongs to the new task, whose RIP stands by then: unlike
// fault(), this leaves RIP alone.
template <Function kFunction>
const Op* transfers(Vcpu& cpu, const Op* op) {
  sync_rip(cpu, op);
  if (kFunction(cpu, *op->insn)) return end_block(cpu, op);
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
  return end_block(cpu, op);
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
Handler move_handler(const Insn& insn) {
  switch (insn.operation) {
    case Operation::Push: return is_kind(insn, 0, OperandKind::Segment) ? stays<sys::push_segment> : nullptr;
    case Operation::Pop: return is_kind(insn, 0, OperandKind::Segment) ? ends<sys::pop_segment> : nullptr;
    case Operation::Mov: break;
    default: return nullptr;
  }
  if (is_kind(insn, 0, OperandKind::Segment)) return ends<sys::move_to_segment>;
  if (is_kind(insn, 1, OperandKind::Segment)) return stays<sys::move_from_segment>;
  if (is_kind(insn, 0, OperandKind::Control)) return ends<sys::move_to_control>;
  if (is_kind(insn, 1, OperandKind::Control)) return stays<sys::move_from_control>;
  if (is_kind(insn, 0, OperandKind::Debug)) return ends<sys::move_to_debug>;
  if (is_kind(insn, 1, OperandKind::Debug)) return stays<sys::move_from_debug>;
  return nullptr;
}

Handler transfer_handler(Operation operation) {
  switch (operation) {
    case Operation::JmpFar: return transfers<far_jump>;
    case Operation::CallFar: return transfers<far_call>;
    case Operation::RetFar: return transfers<far_return>;
    case Operation::Iret: return transfers<interrupt_return>;
    case Operation::Int:
    case Operation::Int1:
    case Operation::Int3:
    case Operation::Into: return transfers<interrupt>;
    case Operation::Syscall: return transfers<sys::system_call>;
    case Operation::Sysret: return transfers<sys::system_return>;
    case Operation::Sysenter: return transfers<sys::system_enter>;
    case Operation::Sysexit: return transfers<sys::system_exit>;
    case Operation::Hlt: return ends<sys::halt>;
    case Operation::Ud0:
    case Operation::Ud1:
    case Operation::Ud2:
    case Operation::Rsm: return transfers<sys::undefined>;
    default: return nullptr;
  }
}

Handler segment_handler(Operation operation) {
  switch (operation) {
    case Operation::Lds:
    case Operation::Les:
    case Operation::Lss:
    case Operation::Lfs:
    case Operation::Lgs: return ends<sys::load_far_pointer>;
    case Operation::Lgdt: return ends<sys::load_gdtr>;
    case Operation::Lidt: return ends<sys::load_idtr>;
    case Operation::Sgdt: return stays<sys::store_gdtr>;
    case Operation::Sidt: return stays<sys::store_idtr>;
    case Operation::Lldt: return ends<sys::load_ldtr>;
    case Operation::Ltr: return ends<sys::load_task_register>;
    case Operation::Sldt: return stays<sys::store_ldtr>;
    case Operation::Str: return stays<sys::store_task_register>;
    case Operation::Lar: return stays<sys::load_access_rights>;
    case Operation::Lsl: return stays<sys::load_segment_limit>;
    case Operation::Verr: return stays<sys::verify_read>;
    case Operation::Verw: return stays<sys::verify_write>;
    case Operation::Arpl: return stays<sys::adjust_requested_privilege>;
    case Operation::Swapgs: return stays<sys::swap_gs>;
    case Operation::Rdfsbase:
    case Operation::Rdgsbase: return stays<sys::read_segment_base>;
    case Operation::Wrfsbase:
    case Operation::Wrgsbase: return stays<sys::write_segment_base>;
    default: return nullptr;
  }
}

Handler register_handler(Operation operation) {
  switch (operation) {
    case Operation::Lmsw: return ends<sys::load_machine_status>;
    case Operation::Smsw: return stays<sys::store_machine_status>;
    case Operation::Clts: return ends<sys::clear_task_switched>;
    case Operation::Xgetbv: return stays<sys::get_extended_control>;
    case Operation::Xsetbv: return ends<sys::set_extended_control>;
    case Operation::Invlpg: return ends<sys::invalidate_page>;
    case Operation::Invpcid: return ends<sys::invalidate_pcid>;
    case Operation::Rdmsr: return stays<sys::rdmsr>;
    case Operation::Wrmsr: return ends<sys::wrmsr>;
    case Operation::Pushf: return stays<sys::push_flags>;
    case Operation::Popf: return ends<sys::pop_flags>;
    case Operation::Cli: return stays<sys::clear_interrupt_flag>;
    case Operation::Sti: return ends<sys::set_interrupt_flag>;
    case Operation::Clac: return stays<sys::clear_alignment_flag>;
    case Operation::Stac: return stays<sys::set_alignment_flag>;
    default: return nullptr;
  }
}

Handler processor_handler(Operation operation) {
  switch (operation) {
    case Operation::In: return ends<sys::port_in>;
    case Operation::Out: return ends<sys::port_out>;
    case Operation::Ins: return repeats<sys::port_in_string>;
    case Operation::Outs: return repeats<sys::port_out_string>;
    case Operation::Cpuid: return stays<sys::identify>;
    case Operation::Rdtsc:
    case Operation::Rdtscp: return stays<sys::read_time_stamp>;
    case Operation::Rdpid: return stays<sys::read_processor_id>;
    case Operation::Rdpmc: return stays<sys::read_performance>;
    case Operation::Rdrand:
    case Operation::Rdseed: return stays<sys::read_random>;
    case Operation::Monitor: return stays<sys::monitor>;
    case Operation::Mwait: return ends<sys::monitor_wait>;
    case Operation::Invd:
    case Operation::Wbinvd: return stays<sys::flush_caches>;
    case Operation::Clflush:
    case Operation::Clflushopt:
    case Operation::Clwb: return stays<sys::flush_cache_line>;
    case Operation::Lfence:
    case Operation::Mfence:
    case Operation::Sfence: return stays<sys::fence>;
    case Operation::Prefetch:
    case Operation::Prefetchw: return stays<sys::no_operation>;
    case Operation::Pause: return ends<sys::no_operation>;
    case Operation::Fxsave: return stays<sys::fxsave>;
    case Operation::Fxrstor: return stays<sys::fxrstor>;
    case Operation::Xsave:
    case Operation::Xsaveopt:
    case Operation::Xsavec:
    case Operation::Xsaves: return stays<sys::xsave>;
    case Operation::Xrstor:
    case Operation::Xrstors: return stays<sys::xrstor>;
    default: return nullptr;
  }
}

}  // namespace

Handler system_handler(const Insn& insn) {
  if (const Handler handler = move_handler(insn)) return handler;
  if (const Handler handler = transfer_handler(insn.operation)) return handler;
  if (const Handler handler = segment_handler(insn.operation)) return handler;
  if (const Handler handler = register_handler(insn.operation)) return handler;
  return processor_handler(insn.operation);
}

}  // namespace xm::cpu::interp
