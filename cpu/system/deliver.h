// SPDX-License-Identifier: GPL-2.0-or-later
// Delivery of exceptions and interrupts through IVT or IDT, in every mode, with the double- and triple-fault rules, and
// the vCPU's input pins (INTR, NMI, SMI, INIT, SIPI). [SDM3 6, 20.3, SDM2 INT n]
//
// GAP: an interrupt taken between iterations of a string instruction pushes RF as it stands (0), not 1.
#pragma once

#include "cpu/vcpu/vcpu.h"

namespace xm::cpu::system {

enum class Source : u8 { Exception, Hardware, Nmi, SoftwareInt, Int1, Int3, Into };

// What is delivered. RIP to return to is state.rip, unless the instruction itself asked (INT n): then return_rip.
struct Event {
  u8 vector = 0;
  Source source = Source::Exception;
  bool has_error_code = false;
  u32 error_code = 0;
  u64 return_rip = 0;

  bool software() const { return source == Source::SoftwareInt || source == Source::Int3 || source == Source::Into; }
  // EXT bit of the error codes of faults met on the way [SDM3 6.13].
  u32 ext() const { return software() ? 0 : 1; }
};

// Delivers a fault that an instruction has met: state is that before the instruction (or after it, for traps) and
// state.rip is what the handler returns to. Faults met on the way combine to #DF; a third one makes the activity
// Shutdown.
void deliver_exception(Vcpu& cpu, const Fault& fault);

// Delivers an interrupt between two instructions (Hardware, Nmi); faults met on the way are delivered instead.
void deliver_interrupt(Vcpu& cpu, u8 vector, Source source);

// INT n, INT3, INTO, INT1: on true state is that of the handler's first instruction; on false cpu.fault is set and
// nothing has changed, so that the instruction itself faults.
[[nodiscard]] bool software_interrupt(Vcpu& cpu, u8 vector, Source source, u64 return_rip);

// Looks at the pins between two instructions, in order of priority, and delivers at most one. Wakes a halted vCPU.
// Respects IF, the interrupt shadow and NMI blocking; does not clear the shadow. True: state has changed.
// kStop, kReset, kCodeWritten and kMapChanged are the engine's.
bool service_signals(Vcpu& cpu);

// #DB after an instruction with the given DR6 bits (single step, data breakpoint, task switch) as a trap.
void deliver_debug_trap(Vcpu& cpu, u64 dr6_bits);

}  // namespace xm::cpu::system
