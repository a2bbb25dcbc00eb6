// SPDX-License-Identifier: GPL-2.0-or-later
// x87 control: control and status word, environment, whole state, WAIT. All on the state in memory, but for the two
// that compilers use around every conversion, FLDCW and FNSTSW. [SDM1 8.1, 8.3.12; SDM2]
#include "cpu/interp/interp_x87.h"
#include "cpu/semantics/x87_image.h"
#include "cpu/system/cpuid.h"

namespace xm::cpu::interp {
namespace {

using semantics::X87Format;

template <bool (*kExecute)(Vcpu&, const Insn&)>
const Op* handler(Vcpu& cpu, const Op* op) {
  sync_rip(cpu, op);  // addresses may be relative to it
  return kExecute(cpu, *op->insn) ? next(cpu, op) : fault(cpu, op);
}

// Those without a wait only look at CR0.EM and TS.
bool check_no_wait(Vcpu& cpu) { return !(cpu.state.cr0 & (cr0::kEm | cr0::kTs)) || cpu.raise(Vector::Nm); }

bool error_gone(Vcpu& cpu) {
  if (!(cpu.state.cr0 & cr0::kNe) && !(cpu.state.x87.status & kX87ErrorSummary)) {
    leave_host_fp(cpu);
    cpu.bus.set_ferr(false);
  }
  return true;
}

bool wait(Vcpu& cpu, const Insn&) {
  constexpr u64 kBoth = cr0::kMp | cr0::kTs;
  if ((cpu.state.cr0 & kBoth) == kBoth) return cpu.raise(Vector::Nm);
  return cpu.state.x87.status & kX87ErrorSummary ? deliver_x87_error(cpu) : true;
}

bool fninit(Vcpu& cpu, const Insn&) {
  if (!check_no_wait(cpu)) return false;
  leave_host_fp(cpu);
  X87State& x87 = cpu.state.x87;
  X87State fresh;
  fresh.reg = x87.reg;
  x87 = fresh;
  return error_gone(cpu);
}

bool fnclex(Vcpu& cpu, const Insn&) {
  if (!check_no_wait(cpu)) return false;
  leave_host_fp(cpu);
  cpu.state.x87.status &= 0x7F00;
  return error_gone(cpu);
}

// FNENI, FNDISI, FNSETPM: of the 8087 and 287, nothing since.
bool nothing(Vcpu& cpu, const Insn&) { return check_no_wait(cpu); }

u16 status_word(const Vcpu& cpu) {
  if (!(cpu.host_fp.loaded & HostFp::kX87)) return cpu.state.x87.status;
  u16 status;
  asm volatile("fnstsw %0" : "=a"(status));
  return status;
}

bool fnstsw(Vcpu& cpu, const Insn& insn) {
  if (!check_no_wait(cpu)) return false;
  const u16 status = status_word(cpu);
  if (insn.mod() != 3) return cpu.write(insn.segment, cpu.effective_address(insn), status);
  cpu.set_gpr(gpr::kRax, 2, status);
  return true;
}

bool fnstcw(Vcpu& cpu, const Insn& insn) {
  return check_no_wait(cpu) && cpu.write(insn.segment, cpu.effective_address(insn), cpu.state.x87.control);
}

bool fldcw(Vcpu& cpu, const Insn& insn) {
  u16 control = 0;
  if (!check_x87(cpu) || !cpu.read(insn.segment, cpu.effective_address(insn), control)) return false;
  X87State& x87 = cpu.state.x87;
  control = static_cast<u16>((control & 0x1F3F) | 0x40);
  if ((control & kX87Masks) != kX87Masks) leave_host_fp(cpu);
  x87.control = control;
  if (cpu.host_fp.loaded & HostFp::kX87) {
    asm volatile("fldcw %0" : : "m"(control));
  } else {
    semantics::update_error_summary(x87);
  }
  return true;
}

X87Format format_of(const Vcpu& cpu, const Insn& insn) {
  const bool wide = insn.operand_size != 2;
  if (cpu.mode.protected_mode) return wide ? X87Format::Protected32 : X87Format::Protected16;
  return wide ? X87Format::Real32 : X87Format::Real16;
}

// Processors that have deprecated FCS and FDS save zeros [CPUID.7.EBX bit 13].
X87State shown_state(const Vcpu& cpu) {
  X87State shown = cpu.state.x87;
  if (cpu.mode.protected_mode && cpu.model.has(SystemFeature::ZeroFcsFds)) {
    shown.instruction_selector = shown.data_selector = 0;
  }
  return shown;
}

// Two bytes at a time: all of it is known to be writable, or readable, before.
bool write_bytes(Vcpu& cpu, const Insn& insn, u64 offset, const u8* from, unsigned size) {
  for (unsigned i = 0; i < size; i += 2) {
    const u64 at = (offset + i) & mask_of_bytes(insn.address_size);
    if (!cpu.write(insn.segment, at, load_le<u16>(from + i))) return false;
  }
  return true;
}
bool read_bytes(Vcpu& cpu, const Insn& insn, u64 offset, u8* to, unsigned size) {
  for (unsigned i = 0; i < size; i += 2) {
    u16 part = 0;
    if (!cpu.read(insn.segment, (offset + i) & mask_of_bytes(insn.address_size), part)) return false;
    store_le(to + i, part);
  }
  return true;
}

bool fnstenv(Vcpu& cpu, const Insn& insn) {
  if (!check_no_wait(cpu)) return false;
  leave_host_fp(cpu);
  X87State& x87 = cpu.state.x87;
  const X87Format format = format_of(cpu, insn);
  const unsigned size = semantics::environment_size(format);
  const u64 offset = cpu.effective_address(insn);
  if (!cpu.probe_write(insn.segment, offset, size)) return false;
  if (!write_bytes(cpu, insn, offset, semantics::store_environment(shown_state(cpu), format).data(), size))
    return false;
  x87.control |= kX87Masks;
  semantics::update_error_summary(x87);
  return error_gone(cpu);
}

bool fldenv(Vcpu& cpu, const Insn& insn) {
  if (!check_x87(cpu)) return false;
  leave_host_fp(cpu);
  const X87Format format = format_of(cpu, insn);
  std::array<u8, 28> image{};
  if (!read_bytes(cpu, insn, cpu.effective_address(insn), image.data(), semantics::environment_size(format))) {
    return false;
  }
  semantics::load_environment(cpu.state.x87, image, format);
  return true;
}

bool fnsave(Vcpu& cpu, const Insn& insn) {
  if (!check_no_wait(cpu)) return false;
  leave_host_fp(cpu);
  X87State& x87 = cpu.state.x87;
  const X87Format format = format_of(cpu, insn);
  const unsigned size = semantics::environment_size(format);
  const u64 offset = cpu.effective_address(insn);
  if (!cpu.probe_write(insn.segment, offset, size + 80)) return false;
  std::array<u8, 80> registers{};
  for (unsigned i = 0; i < 8; ++i) {
    const X87Register& reg = x87.reg[(semantics::x87_top(x87.status) + i) & 7];
    store_le(&registers[i * 10], reg.significand);
    store_le(&registers[i * 10 + 8], reg.sign_exponent);
  }
  if (!write_bytes(cpu, insn, offset, semantics::store_environment(shown_state(cpu), format).data(), size) ||
      !write_bytes(cpu, insn, offset + size, registers.data(), registers.size())) {
    return false;
  }
  return fninit(cpu, insn);
}

bool frstor(Vcpu& cpu, const Insn& insn) {
  if (!check_x87(cpu)) return false;
  leave_host_fp(cpu);
  const X87Format format = format_of(cpu, insn);
  const unsigned size = semantics::environment_size(format);
  const u64 offset = cpu.effective_address(insn);
  std::array<u8, 28> image{};
  std::array<u8, 80> registers{};
  if (!read_bytes(cpu, insn, offset, image.data(), size) ||
      !read_bytes(cpu, insn, offset + size, registers.data(), registers.size())) {
    return false;
  }
  X87State& x87 = cpu.state.x87;
  semantics::load_environment(x87, image, format);
  for (unsigned i = 0; i < 8; ++i) {
    x87.reg[(semantics::x87_top(x87.status) + i) & 7] = {load_le<u64>(&registers[i * 10]),
                                                         load_le<u16>(&registers[i * 10 + 8])};
  }
  return true;
}

}  // namespace

Handler x87_control_handler(const Insn& insn) {
  switch (insn.operation) {
    case Operation::Wait: return handler<wait>;
    case Operation::Fninit: return handler<fninit>;
    case Operation::Fnclex: return handler<fnclex>;
    case Operation::Fneni:
    case Operation::Fndisi:
    case Operation::Fnsetpm: return handler<nothing>;
    case Operation::Fnstsw: return handler<fnstsw>;
    case Operation::Fnstcw: return handler<fnstcw>;
    case Operation::Fldcw: return handler<fldcw>;
    case Operation::Fnstenv: return handler<fnstenv>;
    case Operation::Fldenv: return handler<fldenv>;
    case Operation::Fnsave: return handler<fnsave>;
    case Operation::Frstor: return handler<frstor>;
    default: return nullptr;
  }
}

}  // namespace xm::cpu::interp
