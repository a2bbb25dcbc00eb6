// SPDX-License-Identifier: GPL-2.0-or-later
#include "cpu/kvm/kvm_state.h"

#include <linux/kvm.h>
#include <sys/ioctl.h>

#include <array>
#include <cstring>
#include <memory>
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

constexpr std::pair<u32, u64 Msrs::*> kMsrs[] = {
    {0xC0000081, &Msrs::star},   {0xC0000082, &Msrs::lstar},          {0xC0000083, &Msrs::cstar},
    {0xC0000084, &Msrs::sfmask}, {0xC0000102, &Msrs::kernel_gs_base}, {0xC0000103, &Msrs::tsc_aux},
    {0x174, &Msrs::sysenter_cs}, {0x175, &Msrs::sysenter_esp},        {0x176, &Msrs::sysenter_eip},
    {0x277, &Msrs::pat},         {0x1A0, &Msrs::misc_enable},         {0x2FF, &Msrs::mtrr_def_type}};

// One at a time: a host that lacks one must not stop the others.
void write_msr(int fd, u32 index, u64 value) {
  MsrRequest request{.entry = {.index = index, .reserved = 0, .data = value}};
  static_cast<void>(::ioctl(fd, kSetMsrs, &request));
}

bool read_msr(int fd, u32 index, u64& value) {
  MsrRequest request{.entry = {.index = index, .reserved = 0, .data = 0}};
  if (::ioctl(fd, kGetMsrs, &request) != 1) return false;
  value = request.entry.data;
  return true;
}

// Offsets in the XSAVE image [SDM1 13.4]; the upper halves of the YMM registers lie at 576.
constexpr unsigned kXmmOffset = 160, kHeaderOffset = 512, kYmmOffset = 576;

void read_extended(int fd, CpuState& state) {
  kvm_xsave image{};
  if (::ioctl(fd, KVM_GET_XSAVE, &image) != 0) return;
  const auto* bytes = reinterpret_cast<const u8*>(image.region);
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
}

void write_extended(int fd, const CpuState& state) {
  kvm_xsave image{};
  auto* bytes = reinterpret_cast<u8*>(image.region);
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
  store_le<u64>(bytes + kHeaderOffset, 7);
  static_cast<void>(::ioctl(fd, KVM_SET_XSAVE, &image));
}

}  // namespace

void read_state(int fd, CpuState& state) {
  kvm_regs regs{};
  kvm_sregs sregs{};
  if (::ioctl(fd, KVM_GET_REGS, &regs) != 0 || ::ioctl(fd, KVM_GET_SREGS, &sregs) != 0) return;
  for (const auto& [member, number] : kGprs) state.gpr[number] = regs.*member;
  state.rip = regs.rip;
  state.rflags = regs.rflags;
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
  state.cpl = static_cast<u8>((sregs.cr0 & cr0::kPe) == 0 ? 0 : (regs.rflags & flag::kVm) != 0 ? 3 : sregs.ss.dpl);
  for (const auto& [index, member] : kMsrs) read_msr(fd, index, state.msr.*member);
  kvm_debugregs debug{};
  if (::ioctl(fd, KVM_GET_DEBUGREGS, &debug) == 0) {
    for (unsigned i = 0; i < 4; i++) state.dr[i] = debug.db[i];
    state.dr[6] = debug.dr6;
    state.dr[7] = debug.dr7;
  }
  kvm_xcrs xcrs{};
  if (::ioctl(fd, KVM_GET_XCRS, &xcrs) == 0 && xcrs.nr_xcrs > 0) state.xcr0 = xcrs.xcrs[0].value;
  read_extended(fd, state);
  kvm_vcpu_events events{};
  if (::ioctl(fd, KVM_GET_VCPU_EVENTS, &events) == 0) {
    state.nmi_blocked = events.nmi.masked != 0;
    state.interrupt_shadow = (events.interrupt.shadow & KVM_X86_SHADOW_INT_MOV_SS) != 0 ? InterruptShadow::MovSs
                             : (events.interrupt.shadow & KVM_X86_SHADOW_INT_STI) != 0  ? InterruptShadow::Sti
                                                                                        : InterruptShadow::None;
  }
}

void write_state(int fd, const CpuState& state) {
  kvm_sregs sregs{};
  static_cast<void>(::ioctl(fd, KVM_GET_SREGS, &sregs));
  sregs.es = to_kvm(state.segment[0]);
  sregs.cs = to_kvm(state.segment[1]);
  sregs.ss = to_kvm(state.segment[2]);
  sregs.ds = to_kvm(state.segment[3]);
  sregs.fs = to_kvm(state.segment[4]);
  sregs.gs = to_kvm(state.segment[5]);
  sregs.ldt = to_kvm(state.ldtr);
  sregs.tr = to_kvm(state.tr);
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
  static_cast<void>(::ioctl(fd, KVM_SET_SREGS, &sregs));
  kvm_regs regs{};
  for (const auto& [member, number] : kGprs) regs.*member = state.gpr[number];
  regs.rip = state.rip;
  regs.rflags = state.rflags;
  static_cast<void>(::ioctl(fd, KVM_SET_REGS, &regs));
  for (const auto& [index, member] : kMsrs) write_msr(fd, index, state.msr.*member);
  kvm_debugregs debug{};
  for (unsigned i = 0; i < 4; i++) debug.db[i] = state.dr[i];
  debug.dr6 = state.dr[6];
  debug.dr7 = state.dr[7];
  static_cast<void>(::ioctl(fd, KVM_SET_DEBUGREGS, &debug));
  kvm_xcrs xcrs{};
  xcrs.nr_xcrs = 1;
  xcrs.xcrs[0].value = state.xcr0;
  static_cast<void>(::ioctl(fd, KVM_SET_XCRS, &xcrs));
  write_extended(fd, state);
  kvm_vcpu_events events{};
  events.nmi.masked = state.nmi_blocked;
  events.interrupt.shadow = static_cast<u8>(state.interrupt_shadow == InterruptShadow::MovSs ? KVM_X86_SHADOW_INT_MOV_SS
                                            : state.interrupt_shadow == InterruptShadow::Sti ? KVM_X86_SHADOW_INT_STI
                                                                                             : 0);
  events.flags = KVM_VCPUEVENT_VALID_SHADOW;
  static_cast<void>(::ioctl(fd, KVM_SET_VCPU_EVENTS, &events));
}

}  // namespace xm::cpu::kvm
