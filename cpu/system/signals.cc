// SPDX-License-Identifier: GPL-2.0-or-later
// The vCPU's input pins between two instructions. [SDM3 6.9, 8.4, 9.1, 10.6.1]
//
// GAP: system management mode: an SMI is counted (MSR 34h) and dropped, so RSM is #UD as outside SMM; the firmware is
// told that SMM needs no set-up.
#include "cpu/system/cpuid.h"
#include "cpu/system/deliver.h"
#include "cpu/system/segment.h"

namespace xm::cpu::system {

namespace {

constexpr u8 kNmiVector = 2;

bool bootstrap_processor(Vcpu& cpu) { return has_bit(cpu.bus.apic_base(), 8); }

void take_init(Vcpu& cpu) {
  cpu.signals.clear(Signals::kInit);
  apply_init(cpu.state, cpu.model.signature(), bootstrap_processor(cpu));
  cpu.flags.set_status(0);
  cpu.flush_tlb(false);
  cpu.update_mode();
}

void take_sipi(Vcpu& cpu) {
  const u16 selector = static_cast<u16>(cpu.signals.sipi_vector.load() << 8);
  cpu.signals.clear(Signals::kSipi);
  SegmentRegister& code = segment_of(cpu, Segment::Cs);
  code = {.base = u64{selector} << 4, .limit = 0xFFFF, .attributes = 0x9B, .selector = selector};
  cpu.state.rip = 0;
  cpu.state.activity = Activity::Running;
  cpu.update_mode();
}

bool take_nmi(Vcpu& cpu) {
  cpu.signals.clear(Signals::kNmi);
  cpu.state.activity = Activity::Running;
  cpu.state.nmi_blocked = true;
  deliver_interrupt(cpu, kNmiVector, Source::Nmi);
  return true;
}

bool take_interrupt(Vcpu& cpu) {
  const int vector = cpu.bus.acknowledge_interrupt();
  if (vector < 0) return false;
  cpu.state.activity = Activity::Running;
  deliver_interrupt(cpu, static_cast<u8>(vector), Source::Hardware);
  return true;
}

}  // namespace

bool service_signals(Vcpu& cpu) {
  const u32 pins = cpu.signals.load();
  CpuState& state = cpu.state;
  if (pins & Signals::kInit) {
    take_init(cpu);
    return true;
  }
  if (state.activity == Activity::WaitForSipi) {
    if ((pins & Signals::kSipi) == 0) return false;
    take_sipi(cpu);
    return true;
  }
  if (pins & Signals::kSipi) cpu.signals.clear(Signals::kSipi);  // heard only while waiting [SDM3 8.4.3]
  if (pins & Signals::kSmi) {
    cpu.signals.clear(Signals::kSmi);
    ++state.msr.smi_count;
  }
  // STI holds NMIs off too, as on the processors that KVM and its tests know: none comes between STI and HLT
  // [SDM3 6.8.3 leaves it open].
  if ((pins & Signals::kNmi) != 0 && !state.nmi_blocked && state.interrupt_shadow == InterruptShadow::None)
    return take_nmi(cpu);
  if (state.activity == Activity::Shutdown) return false;
  const bool open = (state.rflags & flag::kIf) != 0 && state.interrupt_shadow == InterruptShadow::None;
  if ((pins & Signals::kIntr) != 0 && open) return take_interrupt(cpu);
  return false;
}

}  // namespace xm::cpu::system
