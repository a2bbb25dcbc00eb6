// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/vcpu/host_fp.h"

#include <xmmintrin.h>

#include "cpu/semantics/x87_image.h"
#include "cpu/vcpu/vcpu.h"

namespace xm::cpu {

void load_host_mxcsr(Vcpu& cpu) {
  cpu.host_fp.host_mxcsr = _mm_getcsr();
  _mm_setcsr(cpu.state.mxcsr);
  cpu.host_fp.loaded |= HostFp::kMxcsr;
}

void load_host_x87(Vcpu& cpu) {
  semantics::load_x87(cpu.state.x87);
  cpu.host_fp.loaded |= HostFp::kX87;
}

void leave_host_fp_now(Vcpu& cpu) {
  if (cpu.host_fp.loaded & HostFp::kMxcsr) {
    cpu.state.mxcsr = _mm_getcsr();
    _mm_setcsr(cpu.host_fp.host_mxcsr);
  }
  if (cpu.host_fp.loaded & HostFp::kX87) semantics::save_x87(cpu.state.x87);
  cpu.host_fp.loaded = 0;
}

}  // namespace xm::cpu
