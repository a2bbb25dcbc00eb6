// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/state/cpu_state.h"

namespace xm::cpu {

namespace {

// Everything that RESET and INIT set alike.
void set_common(CpuState& state, u32 signature, bool bootstrap_processor) {
  state.gpr = {};
  state.gpr[gpr::kRdx] = signature;
  state.rip = 0xFFF0;
  state.rflags = 2;
  state.segment.fill(SegmentRegister{});
  state.segment[1] = {.base = 0xFFFF0000, .limit = 0xFFFF, .attributes = 0x9B, .selector = 0xF000};
  state.ldtr = {.limit = 0xFFFF, .attributes = 0x82};
  state.tr = {.limit = 0xFFFF, .attributes = 0x8B};
  state.gdtr = {};
  state.idtr = {};
  state.cr2 = state.cr3 = state.cr4 = 0;
  state.dr = {0, 0, 0, 0, 0, 0, 0xFFFF0FF0, 0x400};
  state.msr.efer = 0;
  state.cpl = 0;
  state.activity = bootstrap_processor ? Activity::Running : Activity::WaitForSipi;
  state.interrupt_shadow = InterruptShadow::None;
  state.nmi_blocked = false;
  state.pending = {};
}

}  // namespace

CpuState reset_state(u32 signature, bool bootstrap_processor) {
  CpuState state;
  set_common(state, signature, bootstrap_processor);
  state.x87.control = 0x40;  // power-up value; FNINIT makes it 37F
  return state;
}

void apply_init(CpuState& state, u32 signature, bool bootstrap_processor) {
  const u64 cache_bits = state.cr0 & (cr0::kCd | cr0::kNw);
  set_common(state, signature, bootstrap_processor);
  state.cr0 = cr0::kEt | cache_bits;
}

}  // namespace xm::cpu
