// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/system/control_registers.h"

#include "cpu/system/cpuid.h"
#include "cpu/system/privilege.h"
#include "cpu/system/segment.h"

namespace xm::cpu::system {

namespace {

constexpr u64 kCr0Defined = cr0::kPe | cr0::kMp | cr0::kEm | cr0::kTs | cr0::kEt | cr0::kNe | cr0::kWp | cr0::kAm |
                            cr0::kNw | cr0::kCd | cr0::kPg;
constexpr u64 kPcidMask = 0xFFF;
constexpr u64 kNoFlush = bit(63);

// The four page-directory-pointer-table entries that PAE paging reads with CR3: reserved bits must be zero
// [SDM3 4.4.1].
bool check_pdptes(Vcpu& cpu, u64 cr3_value) {
  const u64 reserved = ~(bit(physical_address_width(cpu)) - 1) | 0x1E6;
  for (u64 i = 0; i < 4; ++i) {
    const u64 entry = cpu.read_phys(GuestPhys{(cr3_value & 0xFFFFFFE0) + i * 8}, 8);
    if ((entry & 1) != 0 && (entry & reserved) != 0) return cpu.raise(Vector::Gp, 0);
  }
  return true;
}

bool pae_paging(u64 cr0_value, u64 cr4_value, bool long_mode) {
  return (cr0_value & cr0::kPg) != 0 && (cr4_value & cr4::kPae) != 0 && !long_mode;
}

// Turning paging on enters IA-32e mode if EFER.LME is set, turning it off leaves it [SDM3 9.8.5].
bool switch_paging(Vcpu& cpu, u64 value) {
  CpuState& state = cpu.state;
  const bool on = (value & cr0::kPg) != 0;
  if (on && (state.msr.efer & efer::kLme) != 0) {
    if ((state.cr4 & cr4::kPae) == 0 || segment_of(cpu, Segment::Cs).long_code()) return cpu.raise(Vector::Gp, 0);
    if ((state.tr.type() & 8) == 0) return cpu.raise(Vector::Gp, 0);  // a 16-bit TSS
    state.msr.efer |= efer::kLma;
    return true;
  }
  if (on) return (state.cr4 & cr4::kPae) == 0 || check_pdptes(cpu, state.cr3);
  if (cpu.mode.bits64 || (state.cr4 & cr4::kPcide) != 0) return cpu.raise(Vector::Gp, 0);
  state.msr.efer &= ~efer::kLma;
  return true;
}

bool write_cr0(Vcpu& cpu, u64 value) {
  CpuState& state = cpu.state;
  if (cpu.mode.long_mode && (value >> 32) != 0) return cpu.raise(Vector::Gp, 0);
  value = (value & kCr0Defined) | cr0::kEt;
  if ((value & cr0::kPg) != 0 && (value & cr0::kPe) == 0) return cpu.raise(Vector::Gp, 0);
  if ((value & cr0::kNw) != 0 && (value & cr0::kCd) == 0) return cpu.raise(Vector::Gp, 0);
  const u64 changed = state.cr0 ^ value;
  if ((changed & cr0::kPg) != 0) {
    if (!switch_paging(cpu, value)) return false;
  } else if ((changed & (cr0::kCd | cr0::kNw)) != 0 && pae_paging(value, state.cr4, cpu.mode.long_mode)) {
    if (!check_pdptes(cpu, state.cr3)) return false;
  }
  state.cr0 = value;
  if (changed & (cr0::kPg | cr0::kPe | cr0::kWp)) cpu.flush_tlb(false);
  cpu.update_mode();
  return true;
}

bool write_cr3(Vcpu& cpu, u64 value) {
  CpuState& state = cpu.state;
  const bool pcid = (state.cr4 & cr4::kPcide) != 0;
  if (pcid) value &= ~kNoFlush;
  if (cpu.mode.long_mode && (value >> physical_address_width(cpu)) != 0) return cpu.raise(Vector::Gp, 0);
  if (pae_paging(state.cr0, state.cr4, cpu.mode.long_mode) && !check_pdptes(cpu, value)) return false;
  if (!cpu.mode.long_mode) value = static_cast<u32>(value);
  state.cr3 = value;
  cpu.flush_tlb(true);
  return true;
}

bool write_cr4(Vcpu& cpu, u64 value) {
  CpuState& state = cpu.state;
  if ((value & ~supported_cr4(cpu)) != 0) return cpu.raise(Vector::Gp, 0);
  const u64 changed = state.cr4 ^ value;
  if (cpu.mode.long_mode && ((value & cr4::kPae) == 0 || (changed & cr4::kLa57) != 0)) return cpu.raise(Vector::Gp, 0);
  if ((changed & value & cr4::kPcide) != 0 && (!cpu.mode.long_mode || (state.cr3 & kPcidMask) != 0))
    return cpu.raise(Vector::Gp, 0);
  if (pae_paging(state.cr0, value, cpu.mode.long_mode) &&
      (changed & (cr4::kPae | cr4::kPge | cr4::kPse | cr4::kSmep)) != 0) {
    if (!check_pdptes(cpu, state.cr3)) return false;
  }
  state.cr4 = value;
  constexpr u64 kPaging =
      cr4::kPse | cr4::kPae | cr4::kPge | cr4::kPcide | cr4::kSmep | cr4::kSmap | cr4::kPke | cr4::kLa57;
  if (changed & kPaging) cpu.flush_tlb(false);
  cpu.update_mode();
  return true;
}

u64 control_value(Vcpu& cpu, unsigned index) {
  switch (index) {
    case 0: return cpu.state.cr0;
    case 2: return cpu.state.cr2;
    case 3: return cpu.state.cr3;
    case 4: return cpu.state.cr4;
    default: return cpu.bus.tpr();
  }
}

bool legal_control(const Vcpu& cpu, unsigned index) {
  return index == 0 || (index >= 2 && index <= 4) || (index == 8 && cpu.mode.long_mode);
}

}  // namespace

unsigned physical_address_width(const Vcpu& cpu) { return cpu.model.physical_address_bits(); }

u64 supported_cr4(const Vcpu& cpu) {
  const CpuModel& model = cpu.model;
  u64 mask = cr4::kTsd | cr4::kPce;
  const auto allow = [&](u64 value, bool condition) {
    if (condition) mask |= value;
  };
  allow(cr4::kVme | cr4::kPvi, model.has(SystemFeature::Vme));
  allow(cr4::kDe, model.has(SystemFeature::De));
  allow(cr4::kPse, model.has(SystemFeature::Pse));
  allow(cr4::kPae, model.has(SystemFeature::Pae));
  allow(cr4::kMce, model.has(SystemFeature::Mce));
  allow(cr4::kPge, model.has(SystemFeature::Pge));
  allow(cr4::kOsfxsr, model.has(Feature::Fxsr));
  allow(cr4::kOsxmmexcpt, model.has(Feature::Sse));
  allow(cr4::kUmip, model.has(SystemFeature::Umip));
  allow(cr4::kLa57, model.has(SystemFeature::La57));
  allow(cr4::kFsgsbase, model.has(Feature::Fsgsbase));
  allow(cr4::kPcide, model.has(SystemFeature::Pcid));
  allow(cr4::kOsxsave, model.has(Feature::Xsave));
  allow(cr4::kSmep, model.has(SystemFeature::Smep));
  allow(cr4::kSmap, model.has(Feature::Smap));
  return mask;
}

u64 supported_xcr0(const Vcpu& cpu) { return cpu.model.has(Feature::Avx) ? 7 : 3; }

bool move_from_control(Vcpu& cpu, const Insn& insn) {
  const unsigned index = insn.operands[1].reg;
  if (!legal_control(cpu, index)) return cpu.raise(Vector::Ud);
  if (!require_cpl0(cpu)) return false;
  const unsigned size = cpu.mode.bits64 ? 8 : 4;
  cpu.set_gpr(insn.operands[0].reg, size, control_value(cpu, index));
  return true;
}

bool move_to_control(Vcpu& cpu, const Insn& insn) {
  const unsigned index = insn.operands[0].reg;
  if (!legal_control(cpu, index)) return cpu.raise(Vector::Ud);
  if (!require_cpl0(cpu)) return false;
  const u64 value = cpu.gpr(insn.operands[1].reg, cpu.mode.bits64 ? 8 : 4);
  switch (index) {
    case 0: return write_cr0(cpu, value);
    case 2: cpu.state.cr2 = value; return true;
    case 3: return write_cr3(cpu, value);
    case 4: return write_cr4(cpu, value);
    default:
      if (value > 15) return cpu.raise(Vector::Gp, 0);
      cpu.bus.set_tpr(static_cast<u8>(value));
      return true;
  }
}

bool load_machine_status(Vcpu& cpu, const Insn& insn) {
  if (!require_cpl0(cpu)) return false;
  u16 value = 0;
  if (!cpu.read_operand(insn, 0, value)) return false;
  // PE can be set but not cleared; only PE, MP, EM, TS are loaded.
  const u64 low = (value & 0xE) | ((value | cpu.state.cr0) & cr0::kPe);
  return write_cr0(cpu, (cpu.state.cr0 & ~u64{0xF}) | low);
}

bool store_machine_status(Vcpu& cpu, const Insn& insn) {
  if (!check_umip(cpu)) return false;
  if (insn.operands[0].kind != OperandKind::Memory) {
    cpu.set_gpr(insn.operands[0].reg, insn.operand_size, cpu.state.cr0);
    return true;
  }
  return cpu.write_operand(insn, 0, static_cast<u16>(cpu.state.cr0));
}

bool clear_task_switched(Vcpu& cpu, const Insn&) {
  if (!require_cpl0(cpu)) return false;
  cpu.state.cr0 &= ~cr0::kTs;
  cpu.update_mode();
  return true;
}

bool get_extended_control(Vcpu& cpu, const Insn&) {
  if ((cpu.state.cr4 & cr4::kOsxsave) == 0) return cpu.raise(Vector::Ud);
  const u32 index = static_cast<u32>(cpu.state.gpr[gpr::kRcx]);
  if (index > 1) return cpu.raise(Vector::Gp, 0);
  // XCR1 reads as XCR0 AND XINUSE; this engine counts every enabled component as in use.
  cpu.set_gpr(gpr::kRax, 4, static_cast<u32>(cpu.state.xcr0));
  cpu.set_gpr(gpr::kRdx, 4, cpu.state.xcr0 >> 32);
  return true;
}

bool set_extended_control(Vcpu& cpu, const Insn&) {
  if ((cpu.state.cr4 & cr4::kOsxsave) == 0) return cpu.raise(Vector::Ud);
  if (!require_cpl0(cpu)) return false;
  const u64 value = cpu.gpr(gpr::kRax, 4) | cpu.gpr(gpr::kRdx, 4) << 32;
  const bool legal = static_cast<u32>(cpu.state.gpr[gpr::kRcx]) == 0 && (value & 1) != 0 &&
                     (value & ~supported_xcr0(cpu)) == 0 && ((value & 4) == 0 || (value & 2) != 0);
  if (!legal) return cpu.raise(Vector::Gp, 0);
  cpu.state.xcr0 = value;
  cpu.update_mode();
  return true;
}

bool invalidate_page(Vcpu& cpu, const Insn& insn) {
  if (!require_cpl0(cpu)) return false;
  u64 linear = cpu.effective_address(insn);
  const bool has_base = !cpu.mode.bits64 || insn.segment == Segment::Fs || insn.segment == Segment::Gs;
  if (has_base && insn.segment != Segment::None) linear += segment_of(cpu, insn.segment).base;
  // A non-canonical address is no fault: nothing is invalidated.
  cpu.flush_tlb_page(wrap_linear(cpu, linear));
  return true;
}

bool invalidate_pcid(Vcpu& cpu, const Insn& insn) {
  if (!require_cpl0(cpu)) return false;
  const u64 type = cpu.gpr(insn.operands[0].reg, cpu.mode.bits64 ? 8 : 4);
  const u64 offset = cpu.effective_address(insn);
  std::array<u64, 2> descriptor{};
  if (!cpu.read(insn.segment, offset, descriptor)) return false;
  const u64 pcid = descriptor[0] & kPcidMask;
  const bool pcid_off = (cpu.state.cr4 & cr4::kPcide) == 0;
  if (type > 3 || (type < 2 && (descriptor[0] >> 12) != 0)) return cpu.raise(Vector::Gp, 0);
  if (type < 2 && pcid_off && pcid != 0) return cpu.raise(Vector::Gp, 0);
  if (type == 0 && !is_canonical(cpu, descriptor[1])) return cpu.raise(Vector::Gp, 0);
  // The TLB may keep less than it is allowed to: it holds one PCID's entries only.
  if (type == 2)
    cpu.flush_tlb(false);
  else if (type != 1 || pcid == (cpu.state.cr3 & kPcidMask) || pcid_off)
    cpu.flush_tlb(true);
  return true;
}

bool load_cr3_for_task(Vcpu& cpu, u64 value) { return write_cr3(cpu, value); }

bool write_efer(Vcpu& cpu, u64 value) {
  u64 allowed = efer::kLma;
  if (cpu.model.has(Feature::Syscall)) allowed |= efer::kSce;
  if (cpu.model.has(Feature::Lm)) allowed |= efer::kLme;
  if (cpu.model.has(SystemFeature::Nx)) allowed |= efer::kNxe;
  if ((value & ~allowed) != 0) return cpu.raise(Vector::Gp, 0);
  const u64 changed = cpu.state.msr.efer ^ value;
  if ((changed & efer::kLme) != 0 && (cpu.state.cr0 & cr0::kPg) != 0) return cpu.raise(Vector::Gp, 0);
  cpu.state.msr.efer = (value & ~efer::kLma) | (cpu.state.msr.efer & efer::kLma);
  if ((changed & efer::kNxe) != 0) cpu.flush_tlb(false);
  cpu.update_mode();
  return true;
}

}  // namespace xm::cpu::system
