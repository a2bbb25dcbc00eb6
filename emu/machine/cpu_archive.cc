// SPDX-License-Identifier: GPL-2.0-or-later
#include "emu/machine/cpu_archive.h"

namespace xm::machine {

namespace {

using cpu::CpuState;

void exchange_segment(bus::Archive& archive, const char* name, cpu::SegmentRegister& segment) {
  archive.begin(name);
  archive.field("selector", segment.selector);
  archive.field("base", segment.base);
  archive.field("limit", segment.limit);
  archive.field("attributes", segment.attributes);
  archive.end();
}

void exchange_table(bus::Archive& archive, const char* name, cpu::TableRegister& table) {
  archive.begin(name);
  archive.field("base", table.base);
  archive.field("limit", table.limit);
  archive.end();
}

void exchange_msrs(bus::Archive& archive, cpu::Msrs& msr) {
  archive.begin("msr");
  archive.field("efer", msr.efer);
  archive.field("star", msr.star);
  archive.field("lstar", msr.lstar);
  archive.field("cstar", msr.cstar);
  archive.field("sfmask", msr.sfmask);
  archive.field("kernel_gs_base", msr.kernel_gs_base);
  archive.field("tsc_aux", msr.tsc_aux);
  archive.field("sysenter_cs", msr.sysenter_cs);
  archive.field("sysenter_esp", msr.sysenter_esp);
  archive.field("sysenter_eip", msr.sysenter_eip);
  archive.field("pat", msr.pat);
  archive.field("misc_enable", msr.misc_enable);
  archive.field("tsc_adjust", msr.tsc_adjust);
  archive.field("tsc_offset", msr.tsc_offset);
  archive.field("mtrr_def_type", msr.mtrr_def_type);
  archive.field("mtrr_variable", msr.mtrr_variable);
  archive.field("mtrr_fixed", msr.mtrr_fixed);
  archive.field("mcg_status", msr.mcg_status);
  archive.field("mcg_ctl", msr.mcg_ctl);
  archive.field("mc_banks", msr.mc_banks);
  archive.field("debugctl", msr.debugctl);
  archive.field("spec_ctrl", msr.spec_ctrl);
  archive.field("xss", msr.xss);
  archive.field("smi_count", msr.smi_count);
  archive.field("feature_control", msr.feature_control);
  archive.field("bios_sign_id", msr.bios_sign_id);
  archive.end();
}

void exchange_x87(bus::Archive& archive, cpu::X87State& x87) {
  archive.begin("x87");
  for (unsigned i = 0; i < 8; i++) {
    archive.begin("register");
    archive.field("significand", x87.reg[i].significand);
    archive.field("sign_exponent", x87.reg[i].sign_exponent);
    archive.end();
  }
  archive.field("control", x87.control);
  archive.field("status", x87.status);
  archive.field("tag_valid", x87.tag_valid);
  archive.field("opcode", x87.opcode);
  archive.field("instruction_pointer", x87.instruction_pointer);
  archive.field("data_pointer", x87.data_pointer);
  archive.field("instruction_selector", x87.instruction_selector);
  archive.field("data_selector", x87.data_selector);
  archive.end();
}

void exchange_state(bus::Archive& archive, CpuState& s) {
  static constexpr const char* kSegments[] = {"es", "cs", "ss", "ds", "fs", "gs"};
  archive.field("gpr", s.gpr);
  archive.field("rip", s.rip);
  archive.field("rflags", s.rflags);
  for (unsigned i = 0; i < 6; i++) exchange_segment(archive, kSegments[i], s.segment[i]);
  exchange_segment(archive, "ldtr", s.ldtr);
  exchange_segment(archive, "tr", s.tr);
  exchange_table(archive, "gdtr", s.gdtr);
  exchange_table(archive, "idtr", s.idtr);
  archive.field("cr0", s.cr0);
  archive.field("cr2", s.cr2);
  archive.field("cr3", s.cr3);
  archive.field("cr4", s.cr4);
  archive.field("xcr0", s.xcr0);
  archive.field("dr", s.dr);
  exchange_msrs(archive, s.msr);
  exchange_x87(archive, s.x87);
  archive.field("vector", s.vector);
  archive.field("mxcsr", s.mxcsr);
  archive.field("cpl", s.cpl);
  archive.field("activity", s.activity);
  archive.field("interrupt_shadow", s.interrupt_shadow);
  archive.field("nmi_blocked", s.nmi_blocked);
  archive.field("smm", s.smm);
  archive.field("smbase", s.smbase);
  archive.field("instructions_retired", s.instructions_retired);
}

}  // namespace

void exchange_cpu(bus::Archive& archive, cpu::Engine& engine) {
  using cpu::Signals;
  CpuState state;
  engine.get_state(state);
  exchange_state(archive, state);
  // INTR is a level: the local APIC raises it again when it is loaded.
  u32 latched = engine.signals().load() & (Signals::kNmi | Signals::kSmi | Signals::kInit | Signals::kSipi);
  u8 sipi_vector = engine.signals().sipi_vector.load();
  archive.field("latched_pins", latched);
  archive.field("sipi_vector", sipi_vector);
  if (!archive.loading()) return;
  engine.set_state(state);
  engine.signals().sipi_vector.store(sipi_vector);
  engine.signals().set(latched);
}

}  // namespace xm::machine
