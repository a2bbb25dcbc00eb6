// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/system/flags.h"

#include "cpu/system/segment.h"

namespace xm::cpu::system {

namespace {

unsigned iopl_of(const Vcpu& cpu) { return static_cast<unsigned>(bits(cpu.state.rflags, 13, 12)); }

// Protected-mode virtual interrupts apply at CPL 3 below IOPL; in virtual-8086 mode CR4.VME does the same.
bool virtual_interrupts(const Vcpu& cpu) {
  if (cpu.mode.vm86) return (cpu.state.cr4 & cr4::kVme) != 0;
  return (cpu.state.cr4 & cr4::kPvi) != 0 && cpu.state.cpl == 3;
}

bool interrupt_flag_writable(const Vcpu& cpu) {
  if ((cpu.state.cr0 & cr0::kPe) == 0) return true;
  return iopl_of(cpu) >= (cpu.mode.vm86 ? 3u : cpu.state.cpl);
}

bool pop_flags_vme(Vcpu& cpu, u64 value) {
  const bool pending = (cpu.state.rflags & flag::kVip) != 0;
  if ((pending && (value & flag::kIf)) || (value & flag::kTf)) return cpu.raise(Vector::Gp, 0);
  value = (value & flag::kIf) != 0 ? value | flag::kVif : value & ~flag::kVif;
  write_flags(cpu, value, flag::kStatus | flag::kTf | flag::kDf | flag::kNt | flag::kVif);
  return true;
}

}  // namespace

void write_flags(Vcpu& cpu, u64 value, u64 mask) {
  cpu.set_rflags((cpu.rflags() & ~mask) | (value & mask));
  cpu.update_mode();
}

u64 iret_flags_mask(const Vcpu& cpu, unsigned operand_size) {
  u64 mask = flag::kStatus | flag::kTf | flag::kDf | flag::kNt;
  if (operand_size >= 4) mask |= flag::kRf | flag::kAc | flag::kId;
  if (interrupt_flag_writable(cpu)) mask |= flag::kIf;
  if (cpu.state.cpl == 0) {
    mask |= flag::kIopl;
    if (operand_size >= 4) mask |= flag::kVif | flag::kVip;
  }
  return mask;
}

bool push_flags(Vcpu& cpu, const Insn& insn) {
  u64 image = cpu.rflags() & ~(flag::kVm | flag::kRf);
  if (cpu.mode.vm86 && iopl_of(cpu) < 3) {
    if ((cpu.state.cr4 & cr4::kVme) == 0 || insn.operand_size != 2) return cpu.raise(Vector::Gp, 0);
    image = (image & ~flag::kIf) | flag::kIopl;
    if (image & flag::kVif) image |= flag::kIf;
  }
  return cpu.push(image, insn.operand_size);
}

bool pop_flags(Vcpu& cpu, const Insn& insn) {
  const bool vme_only = cpu.mode.vm86 && iopl_of(cpu) < 3;
  if (vme_only && ((cpu.state.cr4 & cr4::kVme) == 0 || insn.operand_size != 2)) return cpu.raise(Vector::Gp, 0);
  const u64 rsp = cpu.state.gpr[gpr::kRsp];
  u64 value = 0;
  if (!cpu.pop(value, insn.operand_size)) return false;
  if (vme_only) {
    if (pop_flags_vme(cpu, value)) return true;
    cpu.state.gpr[gpr::kRsp] = rsp;
    return false;
  }
  u64 mask = flag::kStatus | flag::kTf | flag::kDf | flag::kNt;
  if (insn.operand_size >= 4) mask |= flag::kAc | flag::kId | flag::kRf;
  if (interrupt_flag_writable(cpu)) mask |= flag::kIf;
  if (cpu.state.cpl == 0 && !cpu.mode.vm86) mask |= flag::kIopl;
  write_flags(cpu, value & ~flag::kRf, mask);  // RF is always cleared; VIF, VIP and VM stay
  return true;
}

bool clear_interrupt_flag(Vcpu& cpu, const Insn&) {
  if (interrupt_flag_writable(cpu)) {
    cpu.state.rflags &= ~flag::kIf;
    return true;
  }
  if (!virtual_interrupts(cpu)) return cpu.raise(Vector::Gp, 0);
  cpu.state.rflags &= ~flag::kVif;
  return true;
}

bool set_interrupt_flag(Vcpu& cpu, const Insn&) {
  if (interrupt_flag_writable(cpu)) {
    if ((cpu.state.rflags & flag::kIf) == 0) cpu.state.interrupt_shadow = InterruptShadow::Sti;
    cpu.state.rflags |= flag::kIf;
    return true;
  }
  if (!virtual_interrupts(cpu) || (cpu.state.rflags & flag::kVip) != 0) return cpu.raise(Vector::Gp, 0);
  cpu.state.rflags |= flag::kVif;
  return true;
}

bool clear_alignment_flag(Vcpu& cpu, const Insn&) {
  if (cpu.state.cpl != 0) return cpu.raise(Vector::Ud);
  write_flags(cpu, 0, flag::kAc);
  return true;
}

bool set_alignment_flag(Vcpu& cpu, const Insn&) {
  if (cpu.state.cpl != 0) return cpu.raise(Vector::Ud);
  write_flags(cpu, flag::kAc, flag::kAc);
  return true;
}

}  // namespace xm::cpu::system
