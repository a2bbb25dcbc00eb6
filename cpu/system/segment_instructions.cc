// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/system/segment_instructions.h"

#include "cpu/system/privilege.h"
#include "cpu/system/segment.h"

namespace xm::cpu::system {

namespace {

// Loads and makes the change effective; SS opens the interrupt shadow if the instruction does so.
bool load_and_apply(Vcpu& cpu, Segment segment, u16 selector, bool shadow) {
  if (!load_segment(cpu, segment, selector)) return false;
  if (segment == Segment::Ss && shadow) cpu.state.interrupt_shadow = InterruptShadow::MovSs;
  cpu.update_mode();
  return true;
}

Segment pointer_target(Operation operation) {
  switch (operation) {
    case Operation::Lds: return Segment::Ds;
    case Operation::Les: return Segment::Es;
    case Operation::Lss: return Segment::Ss;
    case Operation::Lfs: return Segment::Fs;
    default: return Segment::Gs;
  }
}

bool read_table_operand(Vcpu& cpu, const Insn& insn, TableRegister& table) {
  const u64 offset = cpu.effective_address(insn);
  u16 limit = 0;
  if (!cpu.read(insn.segment, offset, limit)) return false;
  const u64 base_offset = (offset + 2) & mask_of_bytes(insn.address_size);
  u64 base = 0;
  if (cpu.mode.bits64) {
    if (!cpu.read(insn.segment, base_offset, base)) return false;
    if (!is_canonical(cpu, base)) return cpu.raise(Vector::Gp, 0);
  } else {
    u32 base32 = 0;
    if (!cpu.read(insn.segment, base_offset, base32)) return false;
    base = insn.operand_size == 2 ? base32 & 0xFFFFFF : base32;
  }
  table = {.base = base, .limit = limit};
  return true;
}

bool write_table_operand(Vcpu& cpu, const Insn& insn, const TableRegister& table) {
  const u64 offset = cpu.effective_address(insn);
  const unsigned size = cpu.mode.bits64 ? 10 : 6;
  if (!cpu.probe_write(insn.segment, offset, size)) return false;
  if (!cpu.write(insn.segment, offset, table.limit)) return false;
  const u64 base_offset = (offset + 2) & mask_of_bytes(insn.address_size);
  if (cpu.mode.bits64) return cpu.write(insn.segment, base_offset, table.base);
  return cpu.write(insn.segment, base_offset, static_cast<u32>(table.base));
}

// A selector to memory is a word, to a register the operand size.
bool write_selector(Vcpu& cpu, const Insn& insn, unsigned index, u16 selector) {
  const Operand& operand = insn.operands[index];
  if (operand.kind == OperandKind::Memory) return cpu.write_operand(insn, index, selector);
  cpu.set_gpr(operand.reg, insn.operand_size, selector);
  return true;
}

void set_zf(Vcpu& cpu, bool value) {
  cpu.flags.set_status((cpu.flags.status() & ~flag::kZf) | (value ? flag::kZf : 0));
}

// Finds a descriptor for LAR, LSL, VERR, VERW: false with `faulted` unset means "not visible", ZF := 0.
bool look_up(Vcpu& cpu, u16 selector, Descriptor& descriptor, bool& faulted) {
  faulted = false;
  u64 linear = 0;
  if (is_null(selector) || !find_descriptor(cpu, selector, 8, linear)) return false;
  faulted = !cpu.read_linear(linear, descriptor.low, As::System);
  return !faulted;
}

bool privilege_allows(const Vcpu& cpu, u16 selector, const Descriptor& descriptor) {
  if (descriptor.conforming()) return true;
  return descriptor.dpl() >= cpu.state.cpl && descriptor.dpl() >= rpl_of(selector);
}

// System types whose access rights LAR shows and whose limit LSL shows [SDM2 LAR table 3-53, LSL table 3-54].
bool lar_shows(const Vcpu& cpu, const Descriptor& descriptor) {
  if (!descriptor.system()) return true;
  constexpr unsigned kLegacy = 0x1A3E;  // types 1-5, 9, B, C
  constexpr unsigned kLong = 0x1A04;    // 2, 9, B, C
  return has_bit(cpu.mode.long_mode ? kLong : kLegacy, descriptor.type());
}
bool lsl_shows(const Vcpu& cpu, const Descriptor& descriptor) {
  if (!descriptor.system()) return true;
  constexpr unsigned kLegacy = 0x0A0E;  // types 1, 2, 3, 9, B
  constexpr unsigned kLong = 0x0A04;    // 2, 9, B
  return has_bit(cpu.mode.long_mode ? kLong : kLegacy, descriptor.type());
}

}  // namespace

bool move_to_segment(Vcpu& cpu, const Insn& insn) {
  const auto segment = static_cast<Segment>(insn.operands[0].reg);
  if (segment == Segment::Cs || insn.operands[0].reg > 5) return cpu.raise(Vector::Ud);
  u16 selector = 0;
  return cpu.read_operand(insn, 1, selector) && load_and_apply(cpu, segment, selector, true);
}

bool move_from_segment(Vcpu& cpu, const Insn& insn) {
  if (insn.operands[1].reg > 5) return cpu.raise(Vector::Ud);
  return write_selector(cpu, insn, 0, cpu.state.segment[insn.operands[1].reg].selector);
}

bool push_segment(Vcpu& cpu, const Insn& insn) {
  const u16 selector = cpu.state.segment[insn.operands[0].reg].selector;
  if (insn.operand_size != 4) return cpu.push(selector, insn.operand_size);
  // A 32-bit push of a selector writes only its low word and leaves the upper one [SDM2 PUSH].
  const u64 mask = cpu.mode.stack32 ? 0xFFFFFFFF : 0xFFFF;
  const u64 pointer = (cpu.state.gpr[gpr::kRsp] - 4) & mask;
  if (!cpu.write(Segment::Ss, pointer, selector)) return false;
  u64& rsp = cpu.state.gpr[gpr::kRsp];
  rsp = cpu.mode.stack32 ? pointer : (rsp & ~mask) | pointer;
  return true;
}

bool pop_segment(Vcpu& cpu, const Insn& insn) {
  const auto segment = static_cast<Segment>(insn.operands[0].reg);
  const u64 rsp = cpu.state.gpr[gpr::kRsp];
  // SS.B of the old stack segment decides how RSP moves.
  u64 value = 0;
  if (!cpu.pop(value, insn.operand_size)) return false;
  if (load_and_apply(cpu, segment, static_cast<u16>(value), true)) return true;
  cpu.state.gpr[gpr::kRsp] = rsp;
  return false;
}

bool load_far_pointer(Vcpu& cpu, const Insn& insn) {
  const unsigned size = insn.operand_size;
  const u64 offset = cpu.effective_address(insn);
  u64 pointer = 0;
  bool done = false;
  if (size == 8) {
    done = cpu.read(insn.segment, offset, pointer);
  } else if (size == 4) {
    u32 narrow = 0;
    done = cpu.read(insn.segment, offset, narrow);
    pointer = narrow;
  } else {
    u16 narrow = 0;
    done = cpu.read(insn.segment, offset, narrow);
    pointer = narrow;
  }
  u16 selector = 0;
  if (!done || !cpu.read(insn.segment, (offset + size) & mask_of_bytes(insn.address_size), selector)) return false;
  if (!load_and_apply(cpu, pointer_target(insn.operation), selector, false)) return false;
  cpu.set_gpr(insn.operands[0].reg, size, pointer);
  return true;
}

bool load_gdtr(Vcpu& cpu, const Insn& insn) {
  return require_cpl0(cpu) && read_table_operand(cpu, insn, cpu.state.gdtr);
}
bool load_idtr(Vcpu& cpu, const Insn& insn) {
  return require_cpl0(cpu) && read_table_operand(cpu, insn, cpu.state.idtr);
}
bool store_gdtr(Vcpu& cpu, const Insn& insn) {
  return check_umip(cpu) && write_table_operand(cpu, insn, cpu.state.gdtr);
}
bool store_idtr(Vcpu& cpu, const Insn& insn) {
  return check_umip(cpu) && write_table_operand(cpu, insn, cpu.state.idtr);
}

bool load_ldtr(Vcpu& cpu, const Insn& insn) {
  if (!require_protected(cpu) || !require_cpl0(cpu)) return false;
  u16 selector = 0;
  if (!cpu.read_operand(insn, 0, selector)) return false;
  if (is_null(selector)) {
    cpu.state.ldtr = kNullSegment;
    cpu.state.ldtr.selector = selector;
    return true;
  }
  Descriptor descriptor;
  if ((selector & 4) != 0) return cpu.raise(Vector::Gp, selector_error(selector));
  if (!read_system_descriptor(cpu, selector, Vector::Gp, 0, descriptor)) return false;
  if (!descriptor.system() || descriptor.type() != descriptor_type::kLdt)
    return cpu.raise(Vector::Gp, selector_error(selector));
  if (!descriptor.present()) return cpu.raise(Vector::Np, selector_error(selector));
  if (cpu.mode.long_mode && !is_canonical(cpu, descriptor.base()))
    return cpu.raise(Vector::Gp, selector_error(selector));
  cpu.state.ldtr = descriptor.segment(selector);
  return true;
}

bool load_task_register(Vcpu& cpu, const Insn& insn) {
  if (!require_protected(cpu) || !require_cpl0(cpu)) return false;
  u16 selector = 0;
  if (!cpu.read_operand(insn, 0, selector)) return false;
  if (is_null(selector)) return cpu.raise(Vector::Gp, 0);
  Descriptor descriptor;
  if ((selector & 4) != 0) return cpu.raise(Vector::Gp, selector_error(selector));
  if (!read_system_descriptor(cpu, selector, Vector::Gp, 0, descriptor)) return false;
  const unsigned type = descriptor.type();
  const bool available =
      type == descriptor_type::kTss32Available || (type == descriptor_type::kTss16Available && !cpu.mode.long_mode);
  if (!descriptor.system() || !available) return cpu.raise(Vector::Gp, selector_error(selector));
  if (!descriptor.present()) return cpu.raise(Vector::Np, selector_error(selector));
  if (cpu.mode.long_mode && !is_canonical(cpu, descriptor.base()))
    return cpu.raise(Vector::Gp, selector_error(selector));
  if (!set_tss_busy(cpu, selector, true)) return false;
  cpu.state.tr = descriptor.segment(selector);
  cpu.state.tr.attributes |= 2;
  return true;
}

bool store_ldtr(Vcpu& cpu, const Insn& insn) {
  return require_protected(cpu) && check_umip(cpu) && write_selector(cpu, insn, 0, cpu.state.ldtr.selector);
}
bool store_task_register(Vcpu& cpu, const Insn& insn) {
  return require_protected(cpu) && check_umip(cpu) && write_selector(cpu, insn, 0, cpu.state.tr.selector);
}

bool load_access_rights(Vcpu& cpu, const Insn& insn) {
  u16 selector = 0;
  bool faulted = false;
  Descriptor descriptor;
  if (!require_protected(cpu) || !cpu.read_operand(insn, 1, selector)) return false;
  const bool visible = look_up(cpu, selector, descriptor, faulted) && lar_shows(cpu, descriptor) &&
                       privilege_allows(cpu, selector, descriptor);
  if (faulted) return false;
  set_zf(cpu, visible);
  if (visible) cpu.set_gpr(insn.operands[0].reg, insn.operand_size, (descriptor.low >> 32) & 0x00FFFF00);
  return true;
}

bool load_segment_limit(Vcpu& cpu, const Insn& insn) {
  u16 selector = 0;
  bool faulted = false;
  Descriptor descriptor;
  if (!require_protected(cpu) || !cpu.read_operand(insn, 1, selector)) return false;
  const bool visible = look_up(cpu, selector, descriptor, faulted) && lsl_shows(cpu, descriptor) &&
                       privilege_allows(cpu, selector, descriptor);
  if (faulted) return false;
  set_zf(cpu, visible);
  if (visible) cpu.set_gpr(insn.operands[0].reg, insn.operand_size, descriptor.limit());
  return true;
}

bool verify_read(Vcpu& cpu, const Insn& insn) {
  u16 selector = 0;
  bool faulted = false;
  Descriptor descriptor;
  if (!require_protected(cpu) || !cpu.read_operand(insn, 0, selector)) return false;
  const bool visible = look_up(cpu, selector, descriptor, faulted) && descriptor.readable() &&
                       privilege_allows(cpu, selector, descriptor);
  if (faulted) return false;
  set_zf(cpu, visible);
  return true;
}

bool verify_write(Vcpu& cpu, const Insn& insn) {
  u16 selector = 0;
  bool faulted = false;
  Descriptor descriptor;
  if (!require_protected(cpu) || !cpu.read_operand(insn, 0, selector)) return false;
  const bool visible = look_up(cpu, selector, descriptor, faulted) && descriptor.writable_data() &&
                       privilege_allows(cpu, selector, descriptor);
  if (faulted) return false;
  set_zf(cpu, visible);
  return true;
}

bool adjust_requested_privilege(Vcpu& cpu, const Insn& insn) {
  if (!require_protected(cpu)) return false;
  u16 target = 0;
  if (!cpu.read_operand(insn, 0, target)) return false;
  const u16 source = static_cast<u16>(cpu.gpr(insn.operands[1].reg, 2));
  const bool raised = (target & 3) < (source & 3);
  if (raised && !cpu.write_operand(insn, 0, static_cast<u16>((target & ~3) | (source & 3)))) return false;
  set_zf(cpu, raised);
  return true;
}

}  // namespace xm::cpu::system
