// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/system/deliver.h"

#include "cpu/system/interrupt_gate.h"
#include "cpu/system/segment.h"

namespace xm::cpu::system {

namespace {

enum class FaultClass : u8 { Benign, Contributory, PageFault, DoubleFault };

// [SDM3 table 6-4]
FaultClass class_of(Vector vector) {
  switch (vector) {
    case Vector::De:
    case Vector::Ts:
    case Vector::Np:
    case Vector::Ss:
    case Vector::Gp: return FaultClass::Contributory;
    case Vector::Pf: return FaultClass::PageFault;
    case Vector::Df: return FaultClass::DoubleFault;
    default: return FaultClass::Benign;
  }
}

// Do the two make a double fault? [SDM3 table 6-5]
bool makes_double_fault(FaultClass first, FaultClass second) {
  if (first == FaultClass::Contributory) return second == FaultClass::Contributory;
  if (first == FaultClass::PageFault) return second == FaultClass::Contributory || second == FaultClass::PageFault;
  return false;
}

// What the fault itself leaves in registers before its handler is looked for.
void record(Vcpu& cpu, const Fault& fault) {
  if (fault.vector == Vector::Pf) cpu.state.cr2 = fault.address;
  if (fault.vector == Vector::Db) {
    // B0-B3 say what matched this time; the others gather until software clears them [SDM3 17.2.3].
    cpu.state.dr[6] = (cpu.state.dr[6] & ~u64{0xF}) | fault.address;
    cpu.state.dr[7] &= ~bit(13);  // GD, so that the handler can use the debug registers [SDM3 17.2.4]
  }
}

void log_event(Vcpu& cpu, const char* what, unsigned vector, u32 error_code) {
  if (!cpu.log.on(LogItem::Int)) return;
  cpu.log.line(LogItem::Int, "%s: vector %02x error %04x cpl %u cs:rip %04x:%016llx ss:rsp %04x:%016llx cr2 %016llx",
               what, vector, error_code, cpu.state.cpl, segment_of(cpu, Segment::Cs).selector,
               static_cast<unsigned long long>(cpu.state.rip), segment_of(cpu, Segment::Ss).selector,
               static_cast<unsigned long long>(cpu.state.gpr[gpr::kRsp]),
               static_cast<unsigned long long>(cpu.state.cr2));
}

void tell_watch(Vcpu& cpu, const Event& event, u64 address) {
  if (cpu.watch == nullptr) return;
  WatchedEventKind kind = WatchedEventKind::SoftwareInterrupt;
  if (event.source == Source::Exception) kind = WatchedEventKind::Exception;
  if (event.source == Source::Hardware) kind = WatchedEventKind::Interrupt;
  if (event.source == Source::Nmi) kind = WatchedEventKind::Nmi;
  cpu.watch->delivering(cpu, {.kind = kind,
                              .vector = event.vector,
                              .has_error_code = event.has_error_code,
                              .error_code = event.error_code,
                              .address = address});
}

void shut_down(Vcpu& cpu) {
  log_event(cpu, "triple fault", static_cast<unsigned>(Vector::Df), 0);
  cpu.state.activity = Activity::Shutdown;
}

// The #DB class of fault that general detect is; other #DB are traps or instruction breakpoints.
bool sets_rf(const Fault& fault) { return fault.vector != Vector::Db || has_bit(fault.address, 13); }

}  // namespace

void deliver_exception(Vcpu& cpu, const Fault& fault) {
  Fault current = fault;
  for (;;) {
    log_event(cpu, "exception", static_cast<unsigned>(current.vector), current.error_code);
    record(cpu, current);
    // Real mode has no error codes [SDM3 20.1.4].
    const bool with_code = current.has_error_code && (cpu.state.cr0 & cr0::kPe) != 0;
    const Event event{.vector = static_cast<u8>(current.vector),
                      .source = Source::Exception,
                      .has_error_code = with_code,
                      .error_code = current.error_code,
                      .return_rip = cpu.state.rip};
    if (current.vector == Vector::Db && sets_rf(current)) cpu.state.rflags |= flag::kRf;
    tell_watch(cpu, event, current.address);
    if (try_deliver(cpu, event)) return;
    const FaultClass first = class_of(current.vector);
    const FaultClass second = class_of(cpu.fault.vector);
    if (first == FaultClass::DoubleFault && second != FaultClass::Benign) return shut_down(cpu);
    if (makes_double_fault(first, second)) {
      record(cpu, cpu.fault);
      current = {.vector = Vector::Df, .has_error_code = true, .error_code = 0, .address = 0};
    } else {
      current = cpu.fault;
    }
  }
}

void deliver_interrupt(Vcpu& cpu, u8 vector, Source source) {
  log_event(cpu, "interrupt", vector, 0);
  const Event event{
      .vector = vector, .source = source, .has_error_code = false, .error_code = 0, .return_rip = cpu.state.rip};
  tell_watch(cpu, event, 0);
  if (!try_deliver(cpu, event)) deliver_exception(cpu, cpu.fault);
}

bool software_interrupt(Vcpu& cpu, u8 vector, Source source, u64 return_rip) {
  const Event event{
      .vector = vector, .source = source, .has_error_code = false, .error_code = 0, .return_rip = return_rip};
  tell_watch(cpu, event, 0);
  return try_deliver(cpu, event);
}

void deliver_debug_trap(Vcpu& cpu, u64 dr6_bits) {
  if (cpu.state.activity == Activity::Halted) cpu.state.activity = Activity::Running;
  deliver_exception(cpu, {.vector = Vector::Db, .has_error_code = false, .error_code = 0, .address = dr6_bits});
}

}  // namespace xm::cpu::system
