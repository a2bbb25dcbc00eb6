// SPDX-License-Identifier: GPL-2.0-or-later
// Whether x87, MMX, SSE and AVX instructions may execute, and in which environment. [SDM2 2.5, 2.6; SDM3 2.5, 13.1]
#pragma once

#include "cpu/interp/op.h"
#include "cpu/vcpu/host_fp.h"

namespace xm::cpu::interp {

inline bool sse_ready(const Vcpu& cpu) {
  return ((cpu.state.cr0 & (cr0::kEm | cr0::kTs)) | (~cpu.state.cr4 & cr4::kOsfxsr)) == 0;
}
inline bool avx_ready(const Vcpu& cpu) {
  return (cpu.state.cr4 & cr4::kOsxsave) && (cpu.state.xcr0 & 6) == 6 && cpu.mode.protected_mode &&
         !(cpu.state.cr0 & cr0::kTs);
}

// Out of line: record the fault that the failed test stands for, or true if there is none.
[[nodiscard]] bool check_sse(Vcpu& cpu);
[[nodiscard]] bool check_avx(Vcpu& cpu);
// Also delivers a pending x87 error.
[[nodiscard]] bool check_mmx(Vcpu& cpu);
[[nodiscard]] bool check_x87(Vcpu& cpu);
// A pending x87 error: #MF, or the FERR# pin with CR0.NE clear. False if it faulted. [SDM1 8.7]
[[nodiscard]] bool deliver_x87_error(Vcpu& cpu);

// Is the host's MXCSR the guest's, so that an instruction can just be executed?
inline bool ensure_host_mxcsr(Vcpu& cpu) {
  if (cpu.host_fp.loaded & HostFp::kMxcsr) [[likely]]
    return true;
  if ((cpu.state.mxcsr & kMxcsrMasks) != kMxcsrMasks) return false;
  load_host_mxcsr(cpu);
  return true;
}

// MMX instructions make every x87 register valid and TOP zero [SDM1 9.5.1].
inline void enter_mmx_state(Vcpu& cpu) {
  leave_host_fp(cpu);
  cpu.state.x87.status &= static_cast<u16>(~0x3800);
  cpu.state.x87.tag_valid = 0xFF;
}

}  // namespace xm::cpu::interp
