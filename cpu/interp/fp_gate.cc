// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/interp/fp_gate.h"

namespace xm::cpu::interp {

bool check_sse(Vcpu& cpu) {
  if ((cpu.state.cr0 & cr0::kEm) || !(cpu.state.cr4 & cr4::kOsfxsr)) return cpu.raise(Vector::Ud);
  return (cpu.state.cr0 & cr0::kTs) ? cpu.raise(Vector::Nm) : true;
}

bool check_avx(Vcpu& cpu) {
  if (!(cpu.state.cr4 & cr4::kOsxsave) || (cpu.state.xcr0 & 6) != 6 || !cpu.mode.protected_mode) {
    return cpu.raise(Vector::Ud);
  }
  return (cpu.state.cr0 & cr0::kTs) ? cpu.raise(Vector::Nm) : true;
}

bool deliver_x87_error(Vcpu& cpu) {
  if (cpu.state.cr0 & cr0::kNe) return cpu.raise(Vector::Mf);
  // With NE clear the processor drives FERR# and, as IGNNE# is what the interrupt handler asserts, goes on.
  leave_host_fp(cpu);
  cpu.bus.set_ferr(true);
  return true;
}

bool check_mmx(Vcpu& cpu) {
  if (cpu.state.cr0 & cr0::kEm) return cpu.raise(Vector::Ud);
  if (cpu.state.cr0 & cr0::kTs) return cpu.raise(Vector::Nm);
  return cpu.state.x87.status & kX87ErrorSummary ? deliver_x87_error(cpu) : true;
}

bool check_x87(Vcpu& cpu) {
  if (cpu.state.cr0 & (cr0::kEm | cr0::kTs)) return cpu.raise(Vector::Nm);
  return cpu.state.x87.status & kX87ErrorSummary ? deliver_x87_error(cpu) : true;
}

}  // namespace xm::cpu::interp
