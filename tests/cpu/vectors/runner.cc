// SPDX-License-Identifier: GPL-2.0-or-later
// 286 captures end with a HLT behind the instruction or at its target; 8086 captures are one instruction.
#include "tests/cpu/vectors/runner.h"

#include <cstdlib>
#include <filesystem>

#include "cpu/decode/insn.h"
#include "emu/base/bits.h"

namespace xm::cpu::vectors {
namespace {

constexpr const char* kNames[] = {"ax", "bx", "cx", "dx", "cs", "ss", "ds",
                                  "es", "sp", "bp", "si", "di", "ip", "flags"};
constexpr unsigned kGprOf[] = {gpr::kRax, gpr::kRbx, gpr::kRcx, gpr::kRdx};
constexpr Segment kSegmentOf[] = {Segment::Cs, Segment::Ss, Segment::Ds, Segment::Es};
constexpr unsigned kPointerOf[] = {gpr::kRsp, gpr::kRbp, gpr::kRsi, gpr::kRdi};

CpuState real_mode_state(const MooState& initial) {
  CpuState state = reset_state(0, true);
  state.cr0 = cr0::kEt;
  const auto value = [&](unsigned reg) { return initial.reg[reg].value_or(0); };
  for (unsigned i = 0; i < 4; ++i) {
    state.gpr[kGprOf[i]] = value(kAx + i);
    state.gpr[kPointerOf[i]] = value(kSp + i);
    SegmentRegister& segment = state.segment[static_cast<unsigned>(kSegmentOf[i])];
    segment = {.base = u64{value(kCs + i)} << 4, .limit = 0xFFFF, .attributes = 0x93, .selector = value(kCs + i)};
  }
  state.rip = value(kIp);
  state.rflags = (value(kFlags) & 0x0FFFu) | 2;
  state.idtr = {.base = 0, .limit = 0x3FF};
  return state;
}

u16 final_register(const CpuState& state, unsigned reg) {
  if (reg <= kDx) return static_cast<u16>(state.gpr[kGprOf[reg - kAx]]);
  if (reg <= kEs) return state.segment[static_cast<unsigned>(kSegmentOf[reg - kCs])].selector;
  if (reg <= kDi) return static_cast<u16>(state.gpr[kPointerOf[reg - kSp]]);
  return static_cast<u16>(reg == kIp ? state.rip : state.rflags);
}

std::string difference(const char* name, u64 captured, u64 ours) {
  char text[80];
  std::snprintf(text, sizeof text, " %s: captured %llx, ours %llx;", name, static_cast<unsigned long long>(captured),
                static_cast<unsigned long long>(ours));
  return text;
}

}  // namespace

void VectorRunner::write(u32 address, u8 value) {
  if (address >= bus_.bytes()) return;
  bus_.ram()[address] = value;
  engine_.code_written({address}, 1);
}

std::string VectorRunner::run(const MooTest& test, Chip chip, u16 flags_mask) {
  for (const MooByte& byte : test.initial.ram) write(byte.address, byte.value);
  engine_.set_state(real_mode_state(test.initial));
  const Exit exit = engine_.run({.instructions = chip == Chip::I286 ? u64{64} : 1});
  CpuState state;
  engine_.get_state(state);

  std::string report;
  if (chip == Chip::I286 && exit.kind != ExitKind::Halt) report += " did not reach HLT;";
  for (unsigned reg = 0; reg < kMooRegisters; ++reg) {
    u16 captured = test.final.reg[reg].value_or(test.initial.reg[reg].value_or(0));
    u16 ours = final_register(state, reg);
    const u16 mask = reg == kFlags ? flags_mask & 0x0FFF : 0xFFFF;
    captured &= mask;
    ours &= mask;
    if (captured != ours) report += difference(kNames[reg], captured, ours);
  }
  std::map<u32, u8> expected;
  for (const MooByte& byte : test.initial.ram) expected[byte.address] = byte.value;
  for (const MooByte& byte : test.final.ram) expected[byte.address] = byte.value;
  // The flags image is the first thing pushed; the file's own address of it is wrong for an odd stack pointer.
  const auto last = [&](unsigned reg) { return test.final.reg[reg].value_or(test.initial.reg[reg].value_or(0)); };
  const u32 flags_at = last(kSs) * 16u + ((last(kSp) + 4u) & 0xFFFF);
  for (const auto& [address, value] : expected) {
    u8 mask = 0xFF;
    if (test.exception && address == flags_at) mask = static_cast<u8>(flags_mask);
    if (test.exception && address == flags_at + 1) mask = flags_mask >> 8 & 0x0F;
    const u8 ours = address < bus_.bytes() ? bus_.ram()[address] : 0xFF;
    if ((ours & mask) == (value & mask)) continue;
    char name[24];
    std::snprintf(name, sizeof name, "[%05x]", address);
    report += difference(name, value, ours);
  }
  for (const auto& [address, value] : expected) write(address, 0);
  return report;
}

std::string vectors_folder(const std::string& name) {
  const char* shared = std::getenv("XIAOMA_SHARED");
  const std::string base(shared != nullptr ? shared : XM_SOURCE_DIR "/../shared");
  const std::string folder = base + "/data/singlestep/" + name;
  return std::filesystem::is_directory(folder) ? folder : "";
}

}  // namespace xm::cpu::vectors
