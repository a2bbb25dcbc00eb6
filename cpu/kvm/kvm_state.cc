// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/kvm/kvm_state.h"

#include <linux/kvm.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "cpu/kvm/kvm_lists.h"
#include "emu/base/bits.h"

namespace xm::cpu::kvm {

namespace {

SegmentRegister from_kvm(const kvm_segment& s) {
  SegmentRegister out;
  out.base = s.base;
  out.limit = s.limit;
  out.selector = s.selector;
  out.attributes = static_cast<u32>(s.type | s.s << 4 | s.dpl << 5 | s.present << 7 | s.avl << 12 | s.l << 13 |
                                    s.db << 14 | s.g << 15 | s.unusable << 16);
  return out;
}

kvm_segment to_kvm(const SegmentRegister& s) {
  kvm_segment out{};
  out.base = s.base;
  out.limit = s.limit;
  out.selector = s.selector;
  out.type = static_cast<u8>(s.attributes & 15);
  out.s = s.attributes >> 4 & 1;
  out.dpl = s.attributes >> 5 & 3;
  out.present = s.attributes >> 7 & 1;
  out.avl = s.attributes >> 12 & 1;
  out.l = s.attributes >> 13 & 1;
  out.db = s.attributes >> 14 & 1;
  out.g = s.attributes >> 15 & 1;
  out.unusable = s.attributes >> 16 & 1;
  return out;
}

// KVM's order of general registers is by letter, ours by number.
constexpr std::pair<__u64 kvm_regs::*, unsigned> kGprs[] = {
    {&kvm_regs::rax, 0},  {&kvm_regs::rcx, 1},  {&kvm_regs::rdx, 2},  {&kvm_regs::rbx, 3},
    {&kvm_regs::rsp, 4},  {&kvm_regs::rbp, 5},  {&kvm_regs::rsi, 6},  {&kvm_regs::rdi, 7},
    {&kvm_regs::r8, 8},   {&kvm_regs::r9, 9},   {&kvm_regs::r10, 10}, {&kvm_regs::r11, 11},
    {&kvm_regs::r12, 12}, {&kvm_regs::r13, 13}, {&kvm_regs::r14, 14}, {&kvm_regs::r15, 15}};

constexpr std::pair<u32, u64 Msrs::*> kMsrs[] = {{0xC0000081, &Msrs::star},
                                                 {0xC0000082, &Msrs::lstar},
                                                 {0xC0000083, &Msrs::cstar},
                                                 {0xC0000084, &Msrs::sfmask},
                                                 {0xC0000102, &Msrs::kernel_gs_base},
                                                 {0xC0000103, &Msrs::tsc_aux},
                                                 {0x174, &Msrs::sysenter_cs},
                                                 {0x175, &Msrs::sysenter_esp},
                                                 {0x176, &Msrs::sysenter_eip},
                                                 {0x277, &Msrs::pat},
                                                 {0x1A0, &Msrs::misc_enable},
                                                 {0x2FF, &Msrs::mtrr_def_type},
                                                 {0x48, &Msrs::spec_ctrl},
                                                 {0xDA0, &Msrs::xss},
                                                 {0x1D9, &Msrs::debugctl}};

// The fixed-range MTRRs: 64 KiB, 16 KiB twice, 4 KiB eight times.
constexpr u32 kFixedMtrrs[] = {0x250, 0x258, 0x259, 0x268, 0x269, 0x26A, 0x26B, 0x26C, 0x26D, 0x26E, 0x26F};
constexpr u32 kFirstVariableMtrr = 0x200;

Error refused(const char* what) {
  return {std::string("KVM refuses the processor state: ") + what + ": " + std::strerror(errno)};
}

// Every MSR that is carried, with its place in the state.
template <class State, class Visit>
void for_each_msr(State& msr, Visit&& visit) {
  for (const auto& [index, member] : kMsrs) visit(index, msr.*member);
  for (u32 i = 0; i < std::size(kFixedMtrrs); i++) visit(kFixedMtrrs[i], msr.mtrr_fixed[i]);
  for (u32 i = 0; i < msr.mtrr_variable.size(); i++) visit(kFirstVariableMtrr + i, msr.mtrr_variable[i]);
}

// KVM stops at the first MSR that it does not know; one that this host lacks must not stop the others. `done` hears of
// each that went well.
template <class Done>
void exchange_msrs(int fd, unsigned long request, const MsrList& all, Done&& done) {
  for (u32 first = 0; first < all.header.count;) {
    MsrList part;
    part.header.count = all.header.count - first;
    std::copy_n(all.entries + first, part.header.count, part.entries);
    const int count = ::ioctl(fd, request, &part);
    if (count < 0) return;
    for (int i = 0; i < count; i++) done(first + static_cast<u32>(i), part.entries[i].data);
    first += static_cast<u32>(count) + 1;
  }
}

// Offsets in the XSAVE image [SDM1 13.4]; the upper halves of the YMM registers lie at 576.
constexpr unsigned kXmmOffset = 160, kHeaderOffset = 512, kYmmOffset = 576;

}  // namespace

Result<void> read_extended(int fd, CpuState& state) {
  XsaveImage image{};
  if (::ioctl(fd, kGetXsave, &image) != 0) return refused("KVM_GET_XSAVE");
  const u8* bytes = image.bytes;
  const u64 present = load_le<u64>(bytes + kHeaderOffset);
  X87State& x87 = state.x87;
  x87.control = load_le<u16>(bytes);
  x87.status = load_le<u16>(bytes + 2);
  x87.tag_valid = bytes[4];
  x87.opcode = load_le<u16>(bytes + 6);
  x87.instruction_pointer = load_le<u64>(bytes + 8);
  x87.data_pointer = load_le<u64>(bytes + 16);
  state.mxcsr = load_le<u32>(bytes + 24);
  const unsigned top = x87.status >> 11 & 7;
  for (unsigned i = 0; i < 8; i++) {
    X87Register& reg = x87.reg[(top + i) & 7];
    reg.significand = load_le<u64>(bytes + 32 + 16 * i);
    reg.sign_exponent = load_le<u16>(bytes + 40 + 16 * i);
  }
  for (unsigned i = 0; i < 16; i++) {
    std::memcpy(state.vector[i].q.data(), bytes + kXmmOffset + 16 * i, 16);
    if ((present & 4) != 0)
      std::memcpy(&state.vector[i].q[2], bytes + kYmmOffset + 16 * i, 16);
    else
      state.vector[i].q[2] = state.vector[i].q[3] = 0;
  }
  return {};
}

namespace {

// For KVMs that take no XSAVE image from a guest without XSAVE: x87 and SSE, which is then all there is.
Result<void> write_fpu(int fd, const CpuState& state) {
  kvm_fpu fpu{};
  const X87State& x87 = state.x87;
  fpu.fcw = x87.control;
  fpu.fsw = x87.status;
  fpu.ftwx = x87.tag_valid;
  fpu.last_opcode = x87.opcode;
  fpu.last_ip = x87.instruction_pointer;
  fpu.last_dp = x87.data_pointer;
  fpu.mxcsr = state.mxcsr;
  const unsigned top = x87.status >> 11 & 7;
  for (unsigned i = 0; i < 8; i++) {
    const X87Register& reg = x87.reg[(top + i) & 7];
    store_le<u64>(fpu.fpr[i], reg.significand);
    store_le<u16>(fpu.fpr[i] + 8, reg.sign_exponent);
  }
  for (unsigned i = 0; i < 16; i++) std::memcpy(fpu.xmm[i], state.vector[i].q.data(), 16);
  if (::ioctl(fd, KVM_SET_FPU, &fpu) != 0) return refused("KVM_SET_FPU");
  return {};
}

}  // namespace

Result<void> write_extended(int fd, const CpuState& state) {
  XsaveImage image{};
  u8* bytes = image.bytes;
  const X87State& x87 = state.x87;
  store_le<u16>(bytes, x87.control);
  store_le<u16>(bytes + 2, x87.status);
  bytes[4] = x87.tag_valid;
  store_le<u16>(bytes + 6, x87.opcode);
  store_le<u64>(bytes + 8, x87.instruction_pointer);
  store_le<u64>(bytes + 16, x87.data_pointer);
  store_le<u32>(bytes + 24, state.mxcsr);
  store_le<u32>(bytes + 28, 0xFFFF);
  const unsigned top = x87.status >> 11 & 7;
  for (unsigned i = 0; i < 8; i++) {
    const X87Register& reg = x87.reg[(top + i) & 7];
    store_le<u64>(bytes + 32 + 16 * i, reg.significand);
    store_le<u16>(bytes + 40 + 16 * i, reg.sign_exponent);
  }
  for (unsigned i = 0; i < 16; i++) {
    std::memcpy(bytes + kXmmOffset + 16 * i, state.vector[i].q.data(), 16);
    std::memcpy(bytes + kYmmOffset + 16 * i, &state.vector[i].q[2], 16);
  }
  // Components that the guest has not enabled KVM does not take.
  constexpr u64 kX87AndSse = 3, kAll = 7;
  store_le<u64>(bytes + kHeaderOffset, (state.xcr0 | kX87AndSse) & kAll);
  if (::ioctl(fd, kSetXsave, &image) == 0) return {};
  return write_fpu(fd, state);
}

Result<void> read_registers(int fd, CpuState& state) {
  kvm_regs regs{};
  if (::ioctl(fd, KVM_GET_REGS, &regs) != 0) return refused("KVM_GET_REGS");
  for (const auto& [member, number] : kGprs) state.gpr[number] = regs.*member;
  state.rip = regs.rip;
  state.rflags = regs.rflags;
  return {};
}

Result<void> write_registers(int fd, const CpuState& state) {
  kvm_regs regs{};
  for (const auto& [member, number] : kGprs) regs.*member = state.gpr[number];
  regs.rip = state.rip;
  regs.rflags = state.rflags;
  if (::ioctl(fd, KVM_SET_REGS, &regs) != 0) return refused("KVM_SET_REGS");
  return {};
}

namespace {

Result<void> read_system_registers(int fd, CpuState& state) {
  kvm_sregs sregs{};
  if (::ioctl(fd, KVM_GET_SREGS, &sregs) != 0) return refused("KVM_GET_SREGS");
  state.segment = {from_kvm(sregs.es), from_kvm(sregs.cs), from_kvm(sregs.ss),
                   from_kvm(sregs.ds), from_kvm(sregs.fs), from_kvm(sregs.gs)};
  state.ldtr = from_kvm(sregs.ldt);
  state.tr = from_kvm(sregs.tr);
  state.gdtr = {.base = sregs.gdt.base, .limit = sregs.gdt.limit};
  state.idtr = {.base = sregs.idt.base, .limit = sregs.idt.limit};
  state.cr0 = sregs.cr0;
  state.cr2 = sregs.cr2;
  state.cr3 = sregs.cr3;
  state.cr4 = sregs.cr4;
  state.msr.efer = sregs.efer;
  const bool real_mode = (sregs.cr0 & cr0::kPe) == 0;
  state.cpl = static_cast<u8>(real_mode ? 0 : (state.rflags & flag::kVm) != 0 ? 3 : sregs.ss.dpl);
  return {};
}

Result<void> write_system_registers(int fd, const CpuState& state) {
  kvm_sregs sregs{};
  if (::ioctl(fd, KVM_GET_SREGS, &sregs) != 0) return refused("KVM_GET_SREGS");
  sregs.es = to_kvm(state.segment[0]);
  sregs.cs = to_kvm(state.segment[1]);
  sregs.ss = to_kvm(state.segment[2]);
  sregs.ds = to_kvm(state.segment[3]);
  sregs.fs = to_kvm(state.segment[4]);
  sregs.gs = to_kvm(state.segment[5]);
  sregs.ldt = to_kvm(state.ldtr);
  sregs.tr = to_kvm(state.tr);
  // KVM takes the privilege level from SS, which a null SS in 64-bit mode and virtual-8086 mode do not tell.
  if ((state.cr0 & cr0::kPe) != 0) sregs.ss.dpl = state.cpl;
  sregs.gdt.base = state.gdtr.base;
  sregs.gdt.limit = state.gdtr.limit;
  sregs.idt.base = state.idtr.base;
  sregs.idt.limit = state.idtr.limit;
  sregs.cr0 = state.cr0;
  sregs.cr2 = state.cr2;
  sregs.cr3 = state.cr3;
  sregs.cr4 = state.cr4;
  sregs.efer = state.msr.efer;
  std::memset(sregs.interrupt_bitmap, 0, sizeof sregs.interrupt_bitmap);
  if (::ioctl(fd, KVM_SET_SREGS, &sregs) != 0) return refused("KVM_SET_SREGS");
  return {};
}

void read_msrs(int fd, Msrs& msr) {
  MsrList list;
  std::array<u64*, MsrList::kMost> places{};
  for_each_msr(msr, [&](u32 index, u64& value) {
    places[list.header.count] = &value;
    list.entries[list.header.count++] = {.index = index, .reserved = 0, .data = 0};
  });
  exchange_msrs(fd, kGetMsrs, list, [&](u32 i, u64 value) { *places[i] = value; });
}

void write_msrs(int fd, const Msrs& msr) {
  MsrList list;
  for_each_msr(msr, [&](u32 index, u64 value) {
    list.entries[list.header.count++] = {.index = index, .reserved = 0, .data = value};
  });
  exchange_msrs(fd, kSetMsrs, list, [](u32, u64) {});
}

PendingEvent pending_of(const kvm_vcpu_events& events) {
  using Kind = PendingEvent::Kind;
  if (events.exception.injected != 0 || ((events.flags & KVM_VCPUEVENT_VALID_PAYLOAD) != 0 && events.exception.pending))
    return {Kind::Exception, events.exception.nr, events.exception.has_error_code != 0, events.exception.error_code};
  if (events.interrupt.injected != 0)
    return {events.interrupt.soft != 0 ? Kind::SoftwareInterrupt : Kind::Interrupt, events.interrupt.nr, false, 0};
  if (events.nmi.injected != 0 || events.nmi.pending != 0) return {Kind::Nmi, 2, false, 0};
  return {};
}

void put_pending(const PendingEvent& pending, kvm_vcpu_events& events) {
  using Kind = PendingEvent::Kind;
  switch (pending.kind) {
    case Kind::None: break;
    case Kind::Interrupt:
    case Kind::SoftwareInterrupt:
      events.interrupt.injected = 1;
      events.interrupt.soft = pending.kind == Kind::SoftwareInterrupt;
      events.interrupt.nr = pending.vector;
      break;
    case Kind::Nmi:
      events.nmi.pending = 1;
      events.flags |= KVM_VCPUEVENT_VALID_NMI_PENDING;
      break;
    case Kind::Exception:
      events.exception.injected = 1;
      events.exception.nr = pending.vector;
      events.exception.has_error_code = pending.has_error_code;
      events.exception.error_code = pending.error_code;
      break;
  }
}

Result<void> read_events(int fd, CpuState& state) {
  kvm_vcpu_events events{};
  if (::ioctl(fd, KVM_GET_VCPU_EVENTS, &events) != 0) return refused("KVM_GET_VCPU_EVENTS");
  state.nmi_blocked = events.nmi.masked != 0;
  state.pending = pending_of(events);
  state.interrupt_shadow = (events.interrupt.shadow & KVM_X86_SHADOW_INT_MOV_SS) != 0 ? InterruptShadow::MovSs
                           : (events.interrupt.shadow & KVM_X86_SHADOW_INT_STI) != 0  ? InterruptShadow::Sti
                                                                                      : InterruptShadow::None;
  return {};
}

Result<void> write_events(int fd, const CpuState& state) {
  kvm_vcpu_events events{};
  events.nmi.masked = state.nmi_blocked;
  events.interrupt.shadow = static_cast<u8>(state.interrupt_shadow == InterruptShadow::MovSs ? KVM_X86_SHADOW_INT_MOV_SS
                                            : state.interrupt_shadow == InterruptShadow::Sti ? KVM_X86_SHADOW_INT_STI
                                                                                             : 0);
  events.flags = KVM_VCPUEVENT_VALID_SHADOW;
  put_pending(state.pending, events);
  if (::ioctl(fd, KVM_SET_VCPU_EVENTS, &events) != 0) return refused("KVM_SET_VCPU_EVENTS");
  return {};
}

}  // namespace

Result<void> read_state(int fd, CpuState& state) {
  TRY(read_registers(fd, state));
  TRY(read_system_registers(fd, state));
  read_msrs(fd, state.msr);
  kvm_debugregs debug{};
  if (::ioctl(fd, KVM_GET_DEBUGREGS, &debug) == 0) {
    for (unsigned i = 0; i < 4; i++) state.dr[i] = debug.db[i];
    state.dr[6] = debug.dr6;
    state.dr[7] = debug.dr7;
  }
  kvm_xcrs xcrs{};
  if (::ioctl(fd, KVM_GET_XCRS, &xcrs) == 0 && xcrs.nr_xcrs > 0) state.xcr0 = xcrs.xcrs[0].value;
  TRY(read_extended(fd, state));
  return read_events(fd, state);
}

// Order matters: XCR0 before the components it enables; general registers after the system registers, so that RFLAGS
// is taken in the final mode.
Result<void> write_state(int fd, const CpuState& state) {
  TRY(write_system_registers(fd, state));
  TRY(write_registers(fd, state));
  write_msrs(fd, state.msr);
  kvm_debugregs debug{};
  for (unsigned i = 0; i < 4; i++) debug.db[i] = state.dr[i];
  debug.dr6 = state.dr[6];
  debug.dr7 = state.dr[7];
  if (::ioctl(fd, KVM_SET_DEBUGREGS, &debug) != 0) return refused("KVM_SET_DEBUGREGS");
  kvm_xcrs xcrs{};
  xcrs.nr_xcrs = 1;
  xcrs.xcrs[0].value = state.xcr0;
  if (::ioctl(fd, KVM_SET_XCRS, &xcrs) != 0) return refused("KVM_SET_XCRS");
  TRY(write_extended(fd, state));
  return write_events(fd, state);
}

}  // namespace xm::cpu::kvm
