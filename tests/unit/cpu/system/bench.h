// SPDX-License-Identifier: GPL-2.0-or-later
// A vCPU with descriptor tables in test RAM, to try system instructions from their bytes, one at a time.
//
// Layout of RAM: page tables from 10000h, GDT 20000h, IDT 21000h, TSS 22000h, LDT 23000h, stacks below 30000h (CPL 0)
// and 38000h (CPL 3), code at 40000h; handlers of vector v at 50000h + v * 10h.
#pragma once

#include <gtest/gtest.h>

#include <initializer_list>
#include <vector>

#include "cpu/decode/decoder.h"
#include "cpu/interp/interp_system.h"
#include "cpu/system/cpuid.h"
#include "cpu/system/deliver.h"
#include "cpu/system/segment.h"
#include "tests/unit/cpu/test_bus.h"

namespace xm::cpu::test {

inline constexpr u64 kPageTables = 0x10000, kGdt = 0x20000, kIdt = 0x21000, kTss = 0x22000, kLdt = 0x23000;
inline constexpr u64 kStack0 = 0x30000, kStack3 = 0x38000, kCode = 0x40000, kHandlers = 0x50000;

// Selectors that every bench has in its GDT.
inline constexpr u16 kCode32 = 0x08, kData32 = 0x10, kUserCode32 = 0x18, kUserData32 = 0x20, kTssSelector = 0x28;
inline constexpr u16 kCode64 = 0x38, kUserCode64 = 0x40, kConforming32 = 0x48, kCode16 = 0x50, kData16 = 0x58;
inline constexpr u16 kScratch = 0x80;  // for a test's own descriptors

inline u64 descriptor(u32 base, u32 limit, unsigned access, unsigned flags) {
  return (limit & 0xFFFF) | u64{base & 0xFFFFFF} << 16 | u64{access} << 40 | u64{(limit >> 16) & 15} << 48 |
         u64{flags} << 52 | u64{base >> 24} << 56;
}
inline u64 gate(u16 selector, u32 offset, unsigned access, unsigned parameters = 0) {
  return (offset & 0xFFFF) | u64{selector} << 16 | u64{parameters} << 32 | u64{access} << 40 | u64{offset >> 16} << 48;
}

inline const interp::Op* stop(Vcpu&, const interp::Op*) { return nullptr; }

class SystemBench : public ::testing::Test {
 protected:
  explicit SystemBench(std::string_view cpu_model = "max")
      : model_(CpuModel::parse(cpu_model).value()), bus_(u64{4} << 20), cpu_(bus_, model_, log_) {
    cpu_.state = reset_state(model_.signature(), true);
    put(kCode32, descriptor(0, 0xFFFFF, 0x9A, 0xC));
    put(kData32, descriptor(0, 0xFFFFF, 0x92, 0xC));
    put(kUserCode32, descriptor(0, 0xFFFFF, 0xFA, 0xC));
    put(kUserData32, descriptor(0, 0xFFFFF, 0xF2, 0xC));
    put(kTssSelector, descriptor(kTss, 0x1FFF, 0x89, 0));
    put(kTssSelector + 8, 0);
    put(kCode64, descriptor(0, 0, 0x9A, 0x2));
    put(kUserCode64, descriptor(0, 0, 0xFA, 0x2));
    put(kConforming32, descriptor(0, 0xFFFFF, 0x9E, 0xC));
    put(kCode16, descriptor(0, 0xFFFF, 0x9A, 0));
    put(kData16, descriptor(0, 0xFFFF, 0x92, 0));
    cpu_.state.gdtr = {.base = kGdt, .limit = 0xFFF};
    cpu_.state.idtr = {.base = kIdt, .limit = 0xFFF};
  }

  void put(u16 selector, u64 value) { bus_.poke<u64>(kGdt + (selector & ~7u), value); }
  u64 get(u16 selector) { return bus_.peek<u64>(kGdt + (selector & ~7u)); }

  SegmentRegister& segment(Segment name) { return system::segment_of(cpu_, name); }

  void start_real() {
    cpu_.state.cr0 = cr0::kEt;
    for (SegmentRegister& each : cpu_.state.segment) each = {.base = 0, .limit = 0xFFFF, .attributes = 0x93};
    segment(Segment::Cs) = {.base = 0x1000, .limit = 0xFFFF, .attributes = 0x9B, .selector = 0x100};
    cpu_.state.idtr = {.base = 0, .limit = 0x3FF};
    cpu_.state.gpr[gpr::kRsp] = 0x8000;
    finish(0);
  }

  // 32-bit protected mode without paging at `cpl`.
  void start_protected(unsigned cpl = 0) {
    cpu_.state.cr0 = cr0::kEt | cr0::kPe | cr0::kNe;
    set_tables32();
    const u16 code = cpl == 0 ? kCode32 : kUserCode32;
    const u16 data = cpl == 0 ? kData32 : kUserData32;
    load(Segment::Cs, code | cpl, 1);
    for (const Segment name : {Segment::Ss, Segment::Ds, Segment::Es}) load(name, data | cpl, 1);
    segment(Segment::Fs) = segment(Segment::Gs) = system::kNullSegment;
    cpu_.state.gpr[gpr::kRsp] = cpl == 0 ? kStack0 : kStack3;
    finish(cpl);
  }

  // 64-bit mode at `cpl`, the first 2 MiB mapped one to one for everybody by 4 KiB pages.
  void start_long(unsigned cpl = 0) {
    bus_.poke<u64>(kPageTables, (kPageTables + 0x1000) | 7);
    bus_.poke<u64>(kPageTables + 0x1000, (kPageTables + 0x2000) | 7);
    bus_.poke<u64>(kPageTables + 0x2000, (kPageTables + 0x3000) | 7);
    for (u64 page = 0; page < 512; ++page) bus_.poke<u64>(pte(page << 12), page << 12 | 7);
    cpu_.state.cr0 = cr0::kEt | cr0::kPe | cr0::kNe | cr0::kPg | cr0::kWp;
    cpu_.state.cr4 = cr4::kPae | cr4::kOsfxsr;
    cpu_.state.cr3 = kPageTables;
    cpu_.state.msr.efer = efer::kLme | efer::kLma | efer::kSce | efer::kNxe;
    set_tables64();
    load(Segment::Cs, (cpl == 0 ? kCode64 : kUserCode64) | cpl, 1);
    load(Segment::Ss, (cpl == 0 ? kData32 : kUserData32) | cpl, 1);
    for (const Segment name : {Segment::Ds, Segment::Es, Segment::Fs, Segment::Gs})
      segment(name) = system::kNullSegment;
    cpu_.state.gpr[gpr::kRsp] = cpl == 0 ? kStack0 : kStack3;
    finish(cpl);
  }

  static u64 pte(u64 linear) { return kPageTables + 0x3000 + (linear >> 12) * 8; }
  void unmap(u64 linear) {
    bus_.poke<u64>(pte(linear), 0);
    cpu_.flush_tlb(false);
  }

  void set_gate32(unsigned vector, u64 value) { bus_.poke<u64>(kIdt + vector * 8, value); }
  void set_gate64(unsigned vector, u16 selector, u64 offset, unsigned access, unsigned ist = 0) {
    bus_.poke<u64>(kIdt + vector * 16, gate(selector, static_cast<u32>(offset), access, ist));
    bus_.poke<u64>(kIdt + vector * 16 + 8, offset >> 32);
  }

  // Executes one system instruction at RIP. False if it faulted; the fault is in cpu_.fault and not delivered.
  bool execute(std::initializer_list<unsigned> bytes) {
    std::vector<u8> code(bytes.begin(), bytes.end());
    code.resize(15, 0x90);
    Insn insn;
    EXPECT_EQ(decode_into(code, cpu_.mode.code_size, insn), DecodeStatus::Ok);
    interp::Op ops[2] = {};
    ops[0].handler = interp::system_handler(insn).handler;
    EXPECT_NE(ops[0].handler, nullptr);
    if (ops[0].handler == nullptr) return false;
    ops[0].insn = &insn;
    ops[0].remaining = 1;
    ops[1].handler = stop;
    cpu_.running.fault_pending = false;
    cpu_.running.countdown = 0;  // so that it leaves behind the instruction
    cpu_.block_rip = cpu_.state.rip;
    ops[0].handler(cpu_, ops);
    return !cpu_.running.fault_pending;
  }
  // Executes and delivers what it raises, as the run loop does.
  void execute_and_deliver(std::initializer_list<unsigned> bytes) {
    if (!execute(bytes)) system::deliver_exception(cpu_, cpu_.fault);
  }
  void expect_fault(std::initializer_list<unsigned> bytes, Vector vector, u32 error_code) {
    const u64 rip = cpu_.state.rip;
    const u64 rsp = cpu_.state.gpr[gpr::kRsp];
    EXPECT_FALSE(execute(bytes));
    EXPECT_EQ(cpu_.fault.vector, vector);
    EXPECT_EQ(cpu_.fault.error_code, error_code);
    EXPECT_EQ(cpu_.state.rip, rip) << "a fault leaves RIP at the instruction";
    EXPECT_EQ(cpu_.state.gpr[gpr::kRsp], rsp);
  }

  u64& reg(unsigned index) { return cpu_.state.gpr[index]; }
  u32 stack32(unsigned index) { return bus_.peek<u32>(cpu_.state.gpr[gpr::kRsp] + index * 4); }
  u64 stack64(unsigned index) { return bus_.peek<u64>(cpu_.state.gpr[gpr::kRsp] + index * 8); }
  static u64 handler_of(unsigned vector) { return kHandlers + vector * 16; }

  CpuModel model_;
  TestBus bus_;
  Log log_;
  Vcpu cpu_;

 private:
  void load(Segment name, unsigned selector, unsigned accessed) {
    put(static_cast<u16>(selector), get(static_cast<u16>(selector)) | u64{accessed} << 40);
    const system::Descriptor raw{.low = get(static_cast<u16>(selector))};
    segment(name) = raw.segment(static_cast<u16>(selector));
  }
  void set_tables32() {
    for (unsigned vector = 0; vector < 64; ++vector)
      set_gate32(vector, gate(kCode32, static_cast<u32>(handler_of(vector)), 0x8E));
    cpu_.state.tr = {.base = kTss, .limit = 0x1FFF, .attributes = 0x8B, .selector = kTssSelector};
    bus_.poke<u32>(kTss + 4, kStack0);
    bus_.poke<u16>(kTss + 8, kData32);
    bus_.poke<u16>(kTss + 0x66, 0x68);
  }
  void set_tables64() {
    for (unsigned vector = 0; vector < 64; ++vector) set_gate64(vector, kCode64, handler_of(vector), 0x8E);
    cpu_.state.tr = {.base = kTss, .limit = 0x1FFF, .attributes = 0x8B, .selector = kTssSelector};
    bus_.poke<u64>(kTss + 4, kStack0);
    bus_.poke<u16>(kTss + 0x66, 0x68);
  }
  void finish(unsigned cpl) {
    cpu_.state.cpl = static_cast<u8>(cpl);
    cpu_.state.rip = (cpu_.state.cr0 & cr0::kPe) != 0 ? kCode : 0x100;
    cpu_.set_rflags(2);
    cpu_.flush_tlb(false);
    cpu_.update_mode();
  }
};

}  // namespace xm::cpu::test
