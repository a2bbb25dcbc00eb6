// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/system/msr.h"

#include <algorithm>

#include "cpu/system/control_registers.h"
#include "cpu/system/cpuid.h"
#include "cpu/system/privilege.h"
#include "cpu/system/segment.h"

namespace xm::cpu::system {

namespace {

constexpr unsigned kBanks = 10;
constexpr unsigned kVariableMtrrs = 8;

using Read = bool (*)(Vcpu& cpu, u32 index, u64& value);
using Write = bool (*)(Vcpu& cpu, u32 index, u64 value);
using Present = bool (*)(const CpuModel& model);

struct Row {
  u32 first, last;
  Read read;
  Write write;
  Present present = nullptr;  // null: on every model with MSRs
};

template <class Name, Name kFeature>
bool with(const CpuModel& model) {
  return model.has(kFeature);
}
template <Feature kFeature>
constexpr Present kWith = with<Feature, kFeature>;
template <SystemFeature kFeature>
constexpr Present kWithSystem = with<SystemFeature, kFeature>;

bool refuse(Vcpu& cpu) { return cpu.raise(Vector::Gp, 0); }
bool ignore(Vcpu&, u32, u64) { return true; }
bool read_only(Vcpu& cpu, u32, u64) { return refuse(cpu); }
bool write_only(Vcpu& cpu, u32, u64&) { return refuse(cpu); }

template <u64 kValue>
bool constant(Vcpu&, u32, u64& value) {
  value = kValue;
  return true;
}

// A register that is one field of Msrs, all of whose bits in kMask may be written.
template <u64 Msrs::*kField>
bool read_field(Vcpu& cpu, u32, u64& value) {
  value = cpu.state.msr.*kField;
  return true;
}
template <u64 Msrs::*kField, u64 kMask = ~u64{0}>
bool write_field(Vcpu& cpu, u32, u64 value) {
  if ((value & ~kMask) != 0) return refuse(cpu);
  cpu.state.msr.*kField = value;
  return true;
}
template <u64 Msrs::*kField>
bool write_canonical(Vcpu& cpu, u32, u64 value) {
  if (!is_canonical(cpu, value)) return refuse(cpu);
  cpu.state.msr.*kField = value;
  return true;
}

// --- local APIC
bool read_apic_base(Vcpu& cpu, u32, u64& value) {
  value = cpu.bus.apic_base();
  return true;
}
bool write_apic_base(Vcpu& cpu, u32, u64 value) {
  u64 allowed = ((bit(physical_address_width(cpu)) - 1) & ~kPageMask) | bit(11) | bit(8);  // base, enable, BSP
  if (cpu.model.has(SystemFeature::X2apic)) allowed |= bit(10);
  if ((value & ~allowed) != 0 || !cpu.bus.set_apic_base(value)) return refuse(cpu);
  return true;
}
bool read_x2apic(Vcpu& cpu, u32 index, u64& value) { return cpu.bus.x2apic_read(index, value) || refuse(cpu); }
bool write_x2apic(Vcpu& cpu, u32 index, u64 value) { return cpu.bus.x2apic_write(index, value) || refuse(cpu); }
bool read_deadline(Vcpu& cpu, u32, u64& value) {
  value = cpu.bus.tsc_deadline();
  return true;
}
bool write_deadline(Vcpu& cpu, u32, u64 value) {
  cpu.bus.set_tsc_deadline(value, cpu.tsc());
  return true;
}

// --- time-stamp counter
bool read_tsc(Vcpu& cpu, u32, u64& value) {
  value = cpu.tsc();
  return true;
}
// A write moves TSC_ADJUST by the same amount [SDM3 17.17.3].
bool write_tsc(Vcpu& cpu, u32, u64 value) {
  const u64 delta = value - cpu.tsc();
  cpu.state.msr.tsc_offset += delta;
  cpu.state.msr.tsc_adjust += delta;
  return true;
}
bool write_tsc_adjust(Vcpu& cpu, u32, u64 value) {
  cpu.state.msr.tsc_offset += value - cpu.state.msr.tsc_adjust;
  cpu.state.msr.tsc_adjust = value;
  return true;
}

// --- modes and system calls
bool set_efer(Vcpu& cpu, u32, u64 value) { return write_efer(cpu, value); }
template <Segment kSegment>
bool read_base(Vcpu& cpu, u32, u64& value) {
  value = segment_of(cpu, kSegment).base;
  return true;
}
template <Segment kSegment>
bool write_base(Vcpu& cpu, u32, u64 value) {
  if (!is_canonical(cpu, value)) return refuse(cpu);
  segment_of(cpu, kSegment).base = value;
  cpu.update_mode();
  return true;
}

// --- memory types
bool legal_memory_type(u64 type) { return type == 0 || type == 1 || (type >= 4 && type <= 6); }
bool all_memory_types_legal(u64 value, bool pat) {
  for (unsigned i = 0; i < 8; ++i) {
    const u64 type = bits(value, i * 8 + 7, i * 8);
    if (!legal_memory_type(type) && !(pat && type == 7)) return false;
  }
  return true;
}
bool write_pat(Vcpu& cpu, u32, u64 value) {
  if (!all_memory_types_legal(value, true)) return refuse(cpu);
  cpu.state.msr.pat = value;
  return true;
}
bool read_mtrr_variable(Vcpu& cpu, u32 index, u64& value) {
  value = cpu.state.msr.mtrr_variable[index - 0x200];
  return true;
}
bool write_mtrr_variable(Vcpu& cpu, u32 index, u64 value) {
  const u64 address = (bit(physical_address_width(cpu)) - 1) & ~u64{0xFFF};
  const bool mask_register = (index & 1) != 0;
  const bool legal = mask_register ? (value & ~(address | bit(11))) == 0
                                   : (value & ~(address | 0xFF)) == 0 && legal_memory_type(value & 0xFF);
  if (!legal) return refuse(cpu);
  cpu.state.msr.mtrr_variable[index - 0x200] = value;
  return true;
}
// 250h; 258h, 259h; 268h-26Fh in this order.
u64& fixed_mtrr(Vcpu& cpu, u32 index) {
  const unsigned slot = index == 0x250 ? 0 : index <= 0x259 ? index - 0x257 : index - 0x265;
  return cpu.state.msr.mtrr_fixed[slot];
}
bool read_mtrr_fixed(Vcpu& cpu, u32 index, u64& value) {
  value = fixed_mtrr(cpu, index);
  return true;
}
bool write_mtrr_fixed(Vcpu& cpu, u32 index, u64 value) {
  if (!all_memory_types_legal(value, false)) return refuse(cpu);
  fixed_mtrr(cpu, index) = value;
  return true;
}
bool write_mtrr_default(Vcpu& cpu, u32, u64 value) {
  if ((value & ~u64{0xCFF}) != 0 || !legal_memory_type(value & 0xFF)) return refuse(cpu);
  cpu.state.msr.mtrr_def_type = value;
  return true;
}

// --- machine check: banks that never report
bool read_bank(Vcpu& cpu, u32 index, u64& value) {
  value = cpu.state.msr.mc_banks[index - 0x400];
  return true;
}
bool write_bank(Vcpu& cpu, u32 index, u64 value) {
  // Control takes all ones or zeros, status may only be cleared [SDM3 15.3.2.1, 15.3.2.2].
  const unsigned kind = index & 3;
  if (kind == 0 && value != 0 && value != ~u64{0}) return refuse(cpu);
  if (kind == 1 && value != 0) return refuse(cpu);
  cpu.state.msr.mc_banks[index - 0x400] = value;
  return true;
}

// --- features, speculation control
bool read_arch_capabilities(Vcpu& cpu, u32, u64& value) {
  value = cpu.model.arch_capabilities();
  return true;
}
bool write_spec_ctrl(Vcpu& cpu, u32, u64 value) {
  if ((value & ~u64{7}) != 0) return refuse(cpu);
  cpu.state.msr.spec_ctrl = value;
  return true;
}
bool write_pred_cmd(Vcpu& cpu, u32, u64 value) { return (value & ~u64{1}) == 0 || refuse(cpu); }
bool write_feature_control(Vcpu& cpu, u32, u64 value) {
  if ((cpu.state.msr.feature_control & 1) != 0) return refuse(cpu);  // locked
  cpu.state.msr.feature_control = value & 1;
  return true;
}
bool write_xss(Vcpu& cpu, u32, u64 value) { return value == 0 || refuse(cpu); }
bool write_tsc_aux(Vcpu& cpu, u32, u64 value) {
  if ((value >> 32) != 0) return refuse(cpu);
  cpu.state.msr.tsc_aux = value;
  return true;
}
// Writing zero asks for CPUID to load the revision; it stays what it is.
bool read_microcode(Vcpu&, u32, u64& value) {
  value = u64{0xFFFFFFF0} << 32;
  return true;
}
bool read_core_count(Vcpu& cpu, u32, u64& value) {
  const CpuidResult leaf = cpu.model.cpuid(1, 0, {});
  const u64 threads = std::max<u64>(1, bits(leaf.ebx, 23, 16));
  value = threads | threads << 16;
  return true;
}
bool read_platform_info(Vcpu& cpu, u32, u64& value) {
  value = (cpu.bus.tsc_frequency_hz() / 100'000'000 & 0xFF) << 8;  // maximum non-turbo ratio, 100 MHz steps
  return true;
}

bool amd(const CpuModel& model) { return model.vendor() == Vendor::Amd; }

constexpr auto kLm = kWith<Feature::Lm>;
constexpr auto kMtrr = kWithSystem<SystemFeature::Mtrr>;
constexpr auto kMca = kWithSystem<SystemFeature::Mca>;

// Sorted by index.
constexpr Row kRows[] = {
    {0x0, 0x1, constant<0>, ignore},                                                  // P5_MC_ADDR, P5_MC_TYPE
    {0x10, 0x10, read_tsc, write_tsc, kWith<Feature::Tsc>},                           // TIME_STAMP_COUNTER
    {0x17, 0x17, constant<0>, read_only},                                             // PLATFORM_ID
    {0x1B, 0x1B, read_apic_base, write_apic_base, kWithSystem<SystemFeature::Apic>},  // APIC_BASE
    {0x2A, 0x2A, constant<0>, ignore},                                                // EBL_CR_POWERON
    {0x34, 0x34, read_field<&Msrs::smi_count>, read_only},                            // SMI_COUNT
    {0x35, 0x35, read_core_count, read_only},                                         // CORE_THREAD_COUNT
    {0x3A, 0x3A, read_field<&Msrs::feature_control>, write_feature_control},          // FEATURE_CONTROL
    {0x3B, 0x3B, read_field<&Msrs::tsc_adjust>, write_tsc_adjust, kWithSystem<SystemFeature::TscAdjust>},
    {0x48, 0x48, read_field<&Msrs::spec_ctrl>, write_spec_ctrl, kWithSystem<SystemFeature::SpecCtrl>},
    {0x49, 0x49, write_only, write_pred_cmd, kWithSystem<SystemFeature::SpecCtrl>},
    {0x79, 0x79, constant<0>, ignore},                                            // BIOS_UPDT_TRIG
    {0x8B, 0x8B, read_microcode, ignore},                                         // BIOS_SIGN_ID
    {0xCD, 0xCD, constant<0>, read_only},                                         // FSB_FREQ
    {0xCE, 0xCE, read_platform_info, ignore},                                     // PLATFORM_INFO
    {0xE2, 0xE2, constant<bit(15)>, ignore},                                      // PKG_CST_CONFIG_CONTROL, locked
    {0xFE, 0xFE, constant<kVariableMtrrs | 1 << 8 | 1 << 10>, read_only, kMtrr},  // MTRRCAP
    {0x10A, 0x10A, read_arch_capabilities, read_only, kWithSystem<SystemFeature::ArchCapabilities>},
    {0x11E, 0x11E, constant<0>, ignore},  // BBL_CR_CTL3
    {0x174, 0x174, read_field<&Msrs::sysenter_cs>, write_field<&Msrs::sysenter_cs>, kWith<Feature::Sep>},
    {0x175, 0x175, read_field<&Msrs::sysenter_esp>, write_canonical<&Msrs::sysenter_esp>, kWith<Feature::Sep>},
    {0x176, 0x176, read_field<&Msrs::sysenter_eip>, write_canonical<&Msrs::sysenter_eip>, kWith<Feature::Sep>},
    {0x179, 0x179, constant<kBanks | 1 << 8>, read_only, kMca},  // MCG_CAP
    {0x17A, 0x17A, read_field<&Msrs::mcg_status>, write_field<&Msrs::mcg_status>, kMca},
    {0x17B, 0x17B, read_field<&Msrs::mcg_ctl>, write_field<&Msrs::mcg_ctl>, kMca},
    {0x198, 0x199, constant<0>, ignore},                                              // PERF_STATUS, PERF_CTL
    {0x19A, 0x19C, constant<0>, ignore},                                              // clock modulation, thermal
    {0x1A0, 0x1A0, read_field<&Msrs::misc_enable>, write_field<&Msrs::misc_enable>},  // MISC_ENABLE
    {0x1A2, 0x1A2, constant<100 << 16>, ignore},                                      // TEMPERATURE_TARGET
    {0x1AD, 0x1AD, constant<0>, ignore},                                              // TURBO_RATIO_LIMIT
    {0x1B0, 0x1B0, constant<6>, ignore},                                              // ENERGY_PERF_BIAS
    {0x1D9, 0x1D9, read_field<&Msrs::debugctl>, write_field<&Msrs::debugctl, 3>},     // DEBUGCTL: LBR, BTF
    {0x1DB, 0x1DE, constant<0>, ignore},                                              // last branch and interrupt
    {0x200, 0x20F, read_mtrr_variable, write_mtrr_variable, kMtrr},
    {0x250, 0x250, read_mtrr_fixed, write_mtrr_fixed, kMtrr},
    {0x258, 0x259, read_mtrr_fixed, write_mtrr_fixed, kMtrr},
    {0x268, 0x26F, read_mtrr_fixed, write_mtrr_fixed, kMtrr},
    {0x277, 0x277, read_field<&Msrs::pat>, write_pat, kWithSystem<SystemFeature::Pat>},
    {0x2FF, 0x2FF, read_field<&Msrs::mtrr_def_type>, write_mtrr_default, kMtrr},
    {0x400, 0x400 + kBanks * 4 - 1, read_bank, write_bank, kMca},
    {0x606, 0x606, constant<0xA0E03>, read_only},  // RAPL_POWER_UNIT
    {0x611, 0x611, constant<0>, read_only},        // PKG_ENERGY_STATUS
    {0x6E0, 0x6E0, read_deadline, write_deadline, kWithSystem<SystemFeature::TscDeadline>},
    {0x800, 0x8FF, read_x2apic, write_x2apic, kWithSystem<SystemFeature::X2apic>},
    {0xDA0, 0xDA0, read_field<&Msrs::xss>, write_xss, kWith<Feature::Xsaves>},
    {0xC0000080, 0xC0000080, read_field<&Msrs::efer>, set_efer, kWithSystem<SystemFeature::Nx>},
    {0xC0000081, 0xC0000081, read_field<&Msrs::star>, write_field<&Msrs::star>, kLm},
    {0xC0000082, 0xC0000082, read_field<&Msrs::lstar>, write_canonical<&Msrs::lstar>, kLm},
    {0xC0000083, 0xC0000083, read_field<&Msrs::cstar>, write_canonical<&Msrs::cstar>, kLm},
    {0xC0000084, 0xC0000084, read_field<&Msrs::sfmask>, write_field<&Msrs::sfmask, 0xFFFFFFFF>, kLm},
    {0xC0000100, 0xC0000100, read_base<Segment::Fs>, write_base<Segment::Fs>, kLm},
    {0xC0000101, 0xC0000101, read_base<Segment::Gs>, write_base<Segment::Gs>, kLm},
    {0xC0000102, 0xC0000102, read_field<&Msrs::kernel_gs_base>, write_canonical<&Msrs::kernel_gs_base>, kLm},
    {0xC0000103, 0xC0000103, read_field<&Msrs::tsc_aux>, write_tsc_aux, kWith<Feature::Rdtscp>},
    {0xC0010000, 0xC0010007, constant<0>, ignore, amd},  // performance events and counters
    {0xC0010010, 0xC0010010, constant<0>, ignore, amd},  // SYSCFG
    {0xC0010015, 0xC0010015, constant<0>, ignore, amd},  // HWCR
    {0xC001001F, 0xC001001F, constant<0>, ignore, amd},  // NB_CFG
    {0xC0010055, 0xC0010055, constant<0>, ignore, amd},  // interrupt pending message
    {0xC0011020, 0xC001102B, constant<0>, ignore, amd},  // LS_CFG to DE_CFG
};

constexpr bool rows_sorted() {
  for (std::size_t i = 1; i < std::size(kRows); ++i)
    if (kRows[i - 1].last >= kRows[i].first) return false;
  return true;
}
static_assert(rows_sorted());

const Row* find_row(const Vcpu& cpu, u32 index) {
  const Row* row = std::lower_bound(std::begin(kRows), std::end(kRows), index,
                                    [](const Row& candidate, u32 wanted) { return candidate.last < wanted; });
  if (row == std::end(kRows) || index < row->first) return nullptr;
  return row->present == nullptr || row->present(cpu.model) ? row : nullptr;
}

}  // namespace

bool read_msr(Vcpu& cpu, u32 index, u64& value) {
  const Row* row = find_row(cpu, index);
  if (row != nullptr) return row->read(cpu, index, value);
  cpu.log.line(LogItem::Unimp, "RDMSR of unknown register %08x at %016llx", index,
               static_cast<unsigned long long>(cpu.state.rip));
  return refuse(cpu);
}

bool write_msr(Vcpu& cpu, u32 index, u64 value) {
  const Row* row = find_row(cpu, index);
  if (row != nullptr) return row->write(cpu, index, value);
  cpu.log.line(LogItem::Unimp, "WRMSR of unknown register %08x = %016llx at %016llx", index,
               static_cast<unsigned long long>(value), static_cast<unsigned long long>(cpu.state.rip));
  return refuse(cpu);
}

bool rdmsr(Vcpu& cpu, const Insn&) {
  u64 value = 0;
  if (!require_cpl0(cpu) || !read_msr(cpu, static_cast<u32>(cpu.state.gpr[gpr::kRcx]), value)) return false;
  cpu.set_gpr(gpr::kRax, 4, value & 0xFFFFFFFF);
  cpu.set_gpr(gpr::kRdx, 4, value >> 32);
  return true;
}

bool wrmsr(Vcpu& cpu, const Insn&) {
  if (!require_cpl0(cpu)) return false;
  const u64 value = cpu.gpr(gpr::kRax, 4) | cpu.gpr(gpr::kRdx, 4) << 32;
  return write_msr(cpu, static_cast<u32>(cpu.state.gpr[gpr::kRcx]), value);
}

}  // namespace xm::cpu::system
