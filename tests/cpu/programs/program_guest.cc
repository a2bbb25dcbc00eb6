// SPDX-License-Identifier: GPL-2.0-or-later
// The system around a test program. Physical memory is handed out page by page; the first page is the PML4.
// Linear memory: code at 10000h, scratch pages at E0000000h and around E8000000h, a stack for 32-bit programs at
// C0000000h, whatever the program asks for, and the supervisor's page in the upper half. [SDM3 3, 4.5, 6.14, 7.7]
#include "tests/cpu/programs/program_guest.h"

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "emu/base/bits.h"

namespace xm::cpu::programs {
namespace {

constexpr u64 kCode = 0x10000, kScratch = 0xE0000000, kEdge = 0xE8000000, kStack32 = 0xC0000000;
constexpr u64 kKernel = 0xFFFFFFFF80000000;  // GDT at 0, TSS at 100, IDT at 200, handlers at 800, stack top at 1000
constexpr u64 kTss = 0x100, kIdt = 0x200, kHandlers = 0x800, kStackTop = 0x1000;
constexpr unsigned kVectors = 32;
constexpr u16 kKernelCs = 0x10, kUserCs32 = 0x23, kUserData = 0x2B, kUserCs64 = 0x33, kTssSelector = 0x40;
constexpr u64 kPresent = 1, kWritable = 2, kUser = 4;
constexpr u64 kRegionEnd = u64{1} << 20;
constexpr u64 kInstructionBudget = 100'000'000;
constexpr u8 kHlt = 0xF4;

constexpr const char* kGpr[] = {"RAX", "RCX", "RDX", "RBX", "RSP", "RBP", "RSI", "RDI",
                                "R8",  "R9",  "R10", "R11", "R12", "R13", "R14", "R15"};

SegmentRegister flat_segment(u16 selector, u32 attributes) {
  return {.base = 0, .limit = 0xFFFFFFFF, .attributes = attributes, .selector = selector};
}

// The 64-bit words of a register by its name in descriptions; empty for an unknown name. MMn is the physical register n
// with its 80 bits.
std::vector<u64> register_words(const CpuState& state, u64 rip, u64 rsp, const std::string& name) {
  if (name == "RIP") return {rip};
  if (name == "RSP") return {rsp};
  for (unsigned i = 0; i < 16; ++i) {
    if (name == kGpr[i]) return {state.gpr[i]};
    if (name == "XMM" + std::to_string(i)) {
      const auto& q = state.vector[i].q;
      return {q.begin(), q.end()};
    }
  }
  for (unsigned i = 0; i < 8; ++i) {
    if (name == "MM" + std::to_string(i)) return {state.x87.reg[i].significand, state.x87.reg[i].sign_exponent};
  }
  if (name == "FS") return {state.segment[static_cast<unsigned>(Segment::Fs)].base};
  if (name == "GS") return {state.segment[static_cast<unsigned>(Segment::Gs)].base};
  return {};
}

}  // namespace

u64 ProgramGuest::allocate_page() {
  CHECK(next_page_ + kPageSize <= kRamBytes);
  const u64 page = next_page_;
  std::memset(bus_.ram() + page, 0, kPageSize);
  engine_.code_written({page}, kPageSize);
  next_page_ += kPageSize;
  return page;
}

u64 ProgramGuest::page_of(u64 address) {
  u64 table = 0;
  for (unsigned shift = 39;; shift -= 9) {
    u8* entry = bus_.ram() + table + (address >> shift & 511) * 8;
    if ((load_le<u64>(entry) & kPresent) == 0) {
      const u64 supervisor = address >> 63 ? 0 : kUser;
      const u64 page = allocate_page();
      store_le(entry, page | kPresent | kWritable | supervisor);
    }
    table = align_down(load_le<u64>(entry), kPageSize);
    if (shift == 12) return table;
  }
}

void ProgramGuest::map(u64 address, u64 bytes) {
  for (u64 page = align_down(address, kPageSize); page < address + bytes; page += kPageSize) page_of(page);
}

void ProgramGuest::write(u64 address, const std::vector<u8>& bytes) {
  for (size_t i = 0; i < bytes.size(); ++i) {
    bus_.ram()[page_of(address + i) + (address + i) % kPageSize] = bytes[i];
  }
}

void ProgramGuest::build_system(const ProgramCase& program) {
  next_page_ = 0;
  allocate_page();
  map(kCode, program.code.size());
  write(kCode, program.code);
  map(kScratch, 10 * kPageSize);
  map(kEdge - kPageSize, 2 * kPageSize);
  if (!program.is_64) map(kStack32, kPageSize);
  for (const auto& [address, bytes] : program.regions) {
    // Of regions larger than the guest's memory, programs use the ends.
    map(address, std::min(bytes, kRegionEnd));
    if (bytes > kRegionEnd) map(address + bytes - kRegionEnd, kRegionEnd);
  }
  for (const auto& [address, bytes] : program.contents) write(address, bytes);

  u8* kernel = bus_.ram() + page_of(kKernel);
  const u64 tss = kKernel + kTss;
  store_le<u64>(kernel + kKernelCs, 0x00AF9B000000FFFF);
  store_le<u64>(kernel + 0x18, 0x00CF93000000FFFF);
  store_le<u64>(kernel + (kUserCs32 & ~7), 0x00CFFB000000FFFF);
  store_le<u64>(kernel + (kUserData & ~7), 0x00CFF3000000FFFF);
  store_le<u64>(kernel + (kUserCs64 & ~7), 0x00AFFB000000FFFF);
  store_le(kernel + kTssSelector, 0x0000890000000067 | (tss & 0xFFFFFF) << 16 | (tss >> 24 & 0xFF) << 56);
  store_le(kernel + kTssSelector + 8, tss >> 32);
  store_le(kernel + kTss + 4, kKernel + kStackTop);  // RSP0
  store_le<u16>(kernel + kTss + 102, 0x68);          // no I/O bitmap
  for (unsigned vector = 0; vector < kVectors; ++vector) {
    const u64 handler = kKernel + kHandlers + vector;
    store_le(kernel + kIdt + vector * 16,
             (handler & 0xFFFF) | u64{kKernelCs} << 16 | u64{0x8E} << 40 | (handler >> 16 & 0xFFFF) << 48);
    store_le(kernel + kIdt + vector * 16 + 8, handler >> 32);
    kernel[kHandlers + vector] = kHlt;
  }
}

CpuState ProgramGuest::initial_state(const ProgramCase& program) const {
  CpuState state;
  state.rip = kCode;
  state.rflags = flag::kIf | 2;
  for (auto& segment : state.segment) segment = flat_segment(kUserData, 0xC0F3);
  for (Segment null : {Segment::Fs, Segment::Gs}) {
    state.segment[static_cast<unsigned>(null)] = {.base = 0, .limit = 0, .attributes = 0x10000, .selector = 0};
  }
  state.segment[static_cast<unsigned>(Segment::Cs)] =
      program.is_64 ? flat_segment(kUserCs64, 0xA0FB) : flat_segment(kUserCs32, 0xC0FB);
  state.ldtr.attributes = 0x10082;
  state.tr = {.base = kKernel + kTss, .limit = 0x67, .attributes = 0x8B, .selector = kTssSelector};
  state.gdtr = {.base = kKernel, .limit = 0x4F};
  state.idtr = {.base = kKernel + kIdt, .limit = kVectors * 16 - 1};
  state.cr0 = cr0::kPe | cr0::kMp | cr0::kEt | cr0::kNe | cr0::kWp | cr0::kAm | cr0::kPg;
  state.cr3 = 0;
  state.cr4 = cr4::kPae | cr4::kOsfxsr | cr4::kOsxmmexcpt | cr4::kFsgsbase | cr4::kOsxsave | cr4::kDe | cr4::kPge;
  state.msr.efer = efer::kSce | efer::kLme | efer::kLma | efer::kNxe;
  state.xcr0 = 7;
  state.cpl = 3;
  return state;
}

std::string ProgramGuest::run(const ProgramCase& program) {
  build_system(program);
  engine_.set_state(initial_state(program));
  const Exit exit = engine_.run({.instructions = kInstructionBudget});
  CpuState state;
  engine_.get_state(state);
  const u64 vector = state.rip - (kKernel + kHandlers) - 1;
  if (exit.kind != ExitKind::Halt || vector >= kVectors) return "  did not end in an exception\n";

  // The handler's HLT has run; all vectors of interest but #UD, #DE, #MF and #XM push an error code [SDM3 6.13].
  u64 frame = state.gpr[gpr::kRsp] - kKernel;
  if (vector == 13 || vector == 14 || vector == 17 || (vector >= 10 && vector <= 12)) frame += 8;
  if (frame > kStackTop - 40) return "  no frame on the supervisor's stack\n";
  const u8* kernel = bus_.ram() + page_of(kKernel);
  const u64 rip = load_le<u64>(kernel + frame), rsp = load_le<u64>(kernel + frame + 24);
  char line[160];
  if (vector != 13 || bus_.ram()[page_of(rip) + rip % kPageSize] != kHlt) {
    std::snprintf(line, sizeof line, "  exception %llu at %llx, CR2 %llx\n", static_cast<unsigned long long>(vector),
                  static_cast<unsigned long long>(rip), static_cast<unsigned long long>(state.cr2));
    return line;
  }
  std::string differences;
  for (const auto& [name, wanted] : program.registers) {
    const std::vector<u64> words = register_words(state, rip, rsp, name);
    if (words.size() < wanted.size()) differences += "  unknown register " + name + "\n";
    for (size_t i = 0; i < std::min(words.size(), wanted.size()); ++i) {
      if (words[i] == wanted[i]) continue;
      std::snprintf(line, sizeof line, "  %s[%zu] is %016llx, wanted %016llx\n", name.c_str(), i,
                    static_cast<unsigned long long>(words[i]), static_cast<unsigned long long>(wanted[i]));
      differences += line;
    }
  }
  return differences;
}

}  // namespace xm::cpu::programs
