// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/system/processor.h"

#include <atomic>

#include "cpu/system/cpuid.h"
#include "cpu/system/privilege.h"

namespace xm::cpu::system {

bool identify(Vcpu& cpu, const Insn&) {
  const CpuidContext context{.apic_id = cpu.bus.apic_id(),
                             .cr4 = cpu.state.cr4,
                             .xcr0 = cpu.state.xcr0,
                             .xss = cpu.state.msr.xss,
                             .tsc_frequency_hz = cpu.bus.tsc_frequency_hz(),
                             .apic_enabled = has_bit(cpu.bus.apic_base(), 11)};
  const CpuidResult result =
      cpu.model.cpuid(static_cast<u32>(cpu.state.gpr[gpr::kRax]), static_cast<u32>(cpu.state.gpr[gpr::kRcx]), context);
  cpu.set_gpr(gpr::kRax, 4, result.eax);
  cpu.set_gpr(gpr::kRbx, 4, result.ebx);
  cpu.set_gpr(gpr::kRcx, 4, result.ecx);
  cpu.set_gpr(gpr::kRdx, 4, result.edx);
  return true;
}

bool read_time_stamp(Vcpu& cpu, const Insn& insn) {
  if ((cpu.state.cr4 & cr4::kTsd) != 0 && !require_cpl0(cpu)) return false;
  const u64 ticks = cpu.tsc();
  cpu.set_gpr(gpr::kRax, 4, ticks & 0xFFFFFFFF);
  cpu.set_gpr(gpr::kRdx, 4, ticks >> 32);
  if (insn.operation == Operation::Rdtscp) cpu.set_gpr(gpr::kRcx, 4, cpu.state.msr.tsc_aux);
  return true;
}

bool read_processor_id(Vcpu& cpu, const Insn& insn) {
  cpu.set_gpr(insn.operands[0].reg, insn.operands[0].size, cpu.state.msr.tsc_aux);
  return true;
}

bool read_performance(Vcpu& cpu, const Insn&) {
  if ((cpu.state.cr4 & cr4::kPce) == 0 && !require_cpl0(cpu)) return false;
  return cpu.raise(Vector::Gp, 0);  // CPUID reports no counters, so no index is valid
}

bool read_random(Vcpu& cpu, const Insn& insn) {
  cpu.set_gpr(insn.operands[0].reg, insn.operand_size, cpu.bus.random() & mask_of_bytes(insn.operand_size));
  cpu.flags.set_status(flag::kCf);
  return true;
}

bool halt(Vcpu& cpu, const Insn&) {
  if (!require_cpl0(cpu)) return false;
  cpu.state.activity = Activity::Halted;
  return true;
}

bool monitor(Vcpu& cpu, const Insn& insn) {
  if (cpu.state.cpl != 0) return cpu.raise(Vector::Ud);
  if (static_cast<u32>(cpu.state.gpr[gpr::kRcx]) != 0) return cpu.raise(Vector::Gp, 0);
  const u64 offset = cpu.state.gpr[gpr::kRax] & mask_of_bytes(insn.address_size);
  return cpu.probe_read(insn.segment, offset, 1);
}

// Wakes at once, as it is allowed to for any reason: no address is watched.
bool monitor_wait(Vcpu& cpu, const Insn&) {
  if (cpu.state.cpl != 0) return cpu.raise(Vector::Ud);
  if ((cpu.state.gpr[gpr::kRcx] & ~u64{1}) != 0) return cpu.raise(Vector::Gp, 0);
  return true;
}

bool flush_caches(Vcpu& cpu, const Insn&) { return require_cpl0(cpu); }

bool flush_cache_line(Vcpu& cpu, const Insn& insn) {
  return cpu.probe_read(insn.segment, cpu.effective_address(insn), 1);
}

bool no_operation(Vcpu&, const Insn&) { return true; }

bool fence(Vcpu&, const Insn&) {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  return true;
}

bool undefined(Vcpu& cpu, const Insn&) { return cpu.raise(Vector::Ud); }

}  // namespace xm::cpu::system
