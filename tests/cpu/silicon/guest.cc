// SPDX-License-Identifier: GPL-2.0-or-later
// The smallest system that can hold a user-mode instruction. Physical memory: tables from 1000, code pages at 10000,
// data pages at 20000, kernel page and stack at 30000. [SDM3 3, 4.5, 6.14, 7.7]
#include "tests/cpu/silicon/guest.h"

#include <cstring>

#include "emu/base/bits.h"

namespace xm::cpu::silicon {
namespace {

constexpr u64 kPml4 = 0x1000, kPdpt = 0x2000, kPageDirectory = 0x3000, kCodeTable = 0x4000, kDataTable = 0x5000,
              kKernelTable = 0x6000;
constexpr u64 kKernelPhys = 0x30000;
constexpr u64 kKernelBase = 0x40400000;  // linear; 4 pages: descriptors, handlers, stack
constexpr u64 kKernelPages = 4;
constexpr u64 kGdt = 0, kTss = 0x100, kIdt = 0x200, kHandlers = 0x1000,
              kStackTop = 0x4000;  // offsets of the kernel pages
constexpr u64 kHandlerBytes = 16;
constexpr u16 kKernelCs = 0x10, kTssSelector = 0x40;

constexpr u64 kPresent = 1, kWritable = 2, kUser = 4, kNoExecute = u64{1} << 63;

// Vectors that push an error code [SDM3 Table 6-1].
constexpr bool has_error_code(unsigned vector) {
  return vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21;
}

SegmentRegister flat_segment(u16 selector, u32 attributes) {
  return {.base = 0, .limit = 0xFFFFFFFF, .attributes = attributes, .selector = selector};
}

}  // namespace

Guest::Guest(Engine& engine, FlatBus& bus) : engine_(engine), bus_(bus) { build_system(bus_.ram()); }

void build_system(u8* ram) {
  std::memset(ram + kCodePhys, 0xCC, kCodeBytes);
  const auto put = [&](u64 table, u64 index, u64 entry) { store_le(ram + table + index * 8, entry); };
  put(kPml4, 0, kPdpt | kPresent | kWritable | kUser);
  put(kPdpt, kCodeBase >> 30, kPageDirectory | kPresent | kWritable | kUser);
  put(kPageDirectory, 0, kCodeTable | kPresent | kWritable | kUser);
  put(kPageDirectory, 1, kDataTable | kPresent | kWritable | kUser);
  put(kPageDirectory, 2, kKernelTable | kPresent | kWritable);
  for (u64 i = 0; i < kCodeBytes / kPageSize; ++i) put(kCodeTable, i, (kCodePhys + i * kPageSize) | kPresent | kUser);
  const u64 first_data = kDataBase >> 12 & 511;
  for (u64 i = 0; i < kDataBytes / kPageSize; ++i) {
    put(kDataTable, first_data + i, (kDataPhys + i * kPageSize) | kPresent | kUser | kWritable | kNoExecute);
  }
  for (u64 i = 0; i < kKernelPages; ++i) {
    put(kKernelTable, i, (kKernelPhys + i * kPageSize) | kPresent | kWritable);
  }

  u8* kernel = ram + kKernelPhys;
  const auto descriptor = [&](u16 selector, u64 value) { store_le(kernel + kGdt + selector, value); };
  descriptor(kKernelCs, 0x00AF9B000000FFFF);
  descriptor(0x18, 0x00CF93000000FFFF);
  descriptor(0x20, 0x00CFFB000000FFFF);
  descriptor(0x28, 0x00CFF3000000FFFF);
  descriptor(0x30, 0x00AFFB000000FFFF);
  const u64 tss = kKernelBase + kTss;
  descriptor(kTssSelector, 0x0000890000000067 | (tss & 0xFFFFFF) << 16 | (tss >> 24 & 0xFF) << 56);
  descriptor(kTssSelector + 8, tss >> 32);
  store_le(kernel + kTss + 4, kKernelBase + kStackTop);  // RSP0
  store_le<u16>(kernel + kTss + 102, 0x68);              // no I/O bitmap
  for (unsigned vector = 0; vector < 32; ++vector) {
    const u64 handler = kKernelBase + kHandlers + vector * kHandlerBytes;
    const u64 type = vector == 3 || vector == 4 ? 0xEE : 0x8E;  // INT3 and INTO from CPL 3
    store_le(kernel + kIdt + vector * 16,
             (handler & 0xFFFF) | u64{kKernelCs} << 16 | type << 40 | (handler >> 16 & 0xFFFF) << 48);
    store_le(kernel + kIdt + vector * 16 + 8, handler >> 32);
    kernel[kHandlers + vector * kHandlerBytes] = 0xF4;  // HLT
  }
}

CpuState initial_state(const TestCase& test) {
  const UserState& user = test.state;
  const bool is_64 = test.mode == CodeSize::Bits64;
  CpuState state;
  state.gpr = user.gpr;
  state.rip = user.rip;
  state.rflags = user.rflags | flag::kIf | 2;
  for (auto& segment : state.segment) segment = {.base = 0, .limit = 0, .attributes = 0x10000, .selector = 0};
  state.segment[static_cast<unsigned>(Segment::Cs)] =
      is_64 ? flat_segment(kUserCs64, 0xA0FB) : flat_segment(kUserCs32, 0xC0FB);
  for (Segment data : {Segment::Es, Segment::Ss, Segment::Ds}) {
    state.segment[static_cast<unsigned>(data)] = flat_segment(kUserData, 0xC0F3);
  }
  state.segment[static_cast<unsigned>(Segment::Gs)].base = kGsBase;
  state.ldtr.attributes = 0x10082;
  state.tr = {.base = kKernelBase + kTss, .limit = 0x67, .attributes = 0x8B, .selector = kTssSelector};
  state.gdtr = {.base = kKernelBase + kGdt, .limit = 0x4F};
  state.idtr = {.base = kKernelBase + kIdt, .limit = 0x1FF};
  state.cr0 = cr0::kPe | cr0::kMp | cr0::kEt | cr0::kNe | cr0::kWp | cr0::kAm | cr0::kPg;
  state.cr3 = kPml4;
  state.cr4 = cr4::kPae | cr4::kOsfxsr | cr4::kOsxmmexcpt | cr4::kFsgsbase | cr4::kOsxsave | cr4::kDe | cr4::kPge;
  state.msr.efer = efer::kSce | efer::kLme | efer::kLma | efer::kNxe;
  state.xcr0 = 7;
  state.x87 = user.x87;
  state.vector = user.vector;
  state.mxcsr = user.mxcsr;
  state.cpl = 3;
  return state;
}

void Guest::run(const TestCase& test, Outcome& outcome) {
  u8* ram = bus_.ram();
  std::memset(ram + kCodePhys + last_offset_, 0xCC, last_length_);
  if (last_length_ != 0) engine_.code_written({kCodePhys + last_offset_}, last_length_);
  std::memcpy(ram + kCodePhys + test.code_offset, test.code.data(), test.code_length);
  engine_.code_written({kCodePhys + test.code_offset}, test.code_length);
  last_offset_ = test.code_offset;
  last_length_ = test.code_length;
  fill_data(test, outcome.data);
  std::memcpy(ram + kDataPhys, outcome.data.data(), kDataBytes);

  engine_.set_state(initial_state(test));
  const Exit exit = engine_.run({.instructions = 4096});
  CpuState state;
  engine_.get_state(state);
  const u64 handler = (state.rip - (kKernelBase + kHandlers)) / kHandlerBytes;
  outcome.ran = exit.kind == ExitKind::Halt && handler < 32;
  if (!outcome.ran) return;

  outcome.vector = static_cast<u8>(handler);
  // The frame on the kernel's stack: error code, RIP, CS, RFLAGS, RSP, SS [SDM3 6.14.2].
  u64 frame = state.gpr[gpr::kRsp] - kKernelBase + kKernelPhys;
  outcome.ran = frame >= kKernelPhys && frame < kKernelPhys + kStackTop;
  if (!outcome.ran) return;
  outcome.error_code = 0;
  if (has_error_code(outcome.vector)) {
    outcome.error_code = load_le<u32>(ram + frame);
    frame += 8;
  }
  outcome.fault_address = state.cr2;
  outcome.state.gpr = state.gpr;
  outcome.state.rip = load_le<u64>(ram + frame);
  outcome.state.rflags = load_le<u64>(ram + frame + 16);
  outcome.state.gpr[gpr::kRsp] = load_le<u64>(ram + frame + 24);
  outcome.state.x87 = state.x87;
  outcome.state.vector = state.vector;
  outcome.state.mxcsr = state.mxcsr;
  std::memcpy(outcome.data.data(), ram + kDataPhys, kDataBytes);
}

}  // namespace xm::cpu::silicon
