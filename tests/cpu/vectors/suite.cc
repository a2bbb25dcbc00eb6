// SPDX-License-Identifier: GPL-2.0-or-later
// Walks the files and leaves out what later processors do differently from the one captured.
#include "tests/cpu/vectors/suite.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <set>

#include "cpu/decode/decoder.h"

namespace xm::cpu::vectors {
namespace {

// Opcodes that mean something else on an 8086: aliases, single-byte POP CS, PUSH SP of the new value, FPU escapes w/o
// one.
bool differs_on_8086(const std::string& stem) {
  static const std::set<std::string> different = {"0F", "54", "C0", "C1", "C8", "C9", "D6", "F1", "8F", "C6.1", "C7.1"};
  const unsigned opcode = static_cast<unsigned>(std::strtoul(stem.substr(0, 2).c_str(), nullptr, 16));
  if (opcode >= 0x60 && opcode <= 0x6F) return true;
  if (different.count(stem) != 0 || different.count(stem.substr(0, 2)) != 0) return true;
  return false;
}

// Instructions that are the same, but not with these operands.
bool differs_on_8086(const MooTest& test, unsigned opcode) {
  if (opcode >= 0xD8 && opcode <= 0xDF) return true;  // an 8086 without an 8087 only makes the bus cycle
  // INT, INT3, INTO and PUSHF store FLAGS with the upper four bits set.
  if (opcode == 0x9C || (opcode >= 0xCC && opcode <= 0xCE)) return true;
  // No mask on the count of a shift; /6 is another one.
  const u16 cx = test.initial.reg[kCx].value_or(0);
  if ((opcode == 0xD2 || opcode == 0xD3) && (cx & 0xFF) > 31) return true;
  // AAA and AAS do not carry from AL into AH; DAA and DAS of 9A to 9F with AF set adjust the lower digit alone.
  const u16 al = test.initial.reg[kAx].value_or(0) & 0xFF;
  const bool af = (test.initial.reg[kFlags].value_or(0) & flag::kAf) != 0;
  if ((opcode == 0x37 && al > 0xF9) || (opcode == 0x3F && al < 6)) return true;
  if (opcode == 0x2F && af && al < 6) return true;  // nor does DAS note that borrow in CF
  if ((opcode == 0x27 || opcode == 0x2F) && af && al >= 0x9A && al <= 0x9F) return true;
  const DecodeResult result = decode(test.bytes, CodeSize::Bits16);
  if (!result) return true;  // aliases that went away
  const Insn& insn = result.insn;
  if (opcode >= 0xD0 && opcode <= 0xD3 && (insn.modrm >> 3 & 7) == 6) return true;
  // A division error pushes the address behind the instruction; IDIV refuses the least quotient and REP negates it.
  const bool divides = insn.operation == Operation::Div || insn.operation == Operation::Idiv;
  if (divides && (test.final.reg[kCs] || insn.rep != RepPrefix::None)) return true;
  return std::any_of(insn.operands.begin(), insn.operands.end(), [&](const Operand& operand) {
    const bool fs_or_gs = operand.kind == OperandKind::Segment && operand.reg >= static_cast<u8>(Segment::Fs);
    const bool pushes_sp = insn.operation == Operation::Push && operand.kind == OperandKind::Gpr && operand.reg == 4;
    return fs_or_gs || pushes_sp;
  });
}

// LOCK on an instruction that is not a read-modify-write of memory: #UD since the 386 [SDM2 LOCK].
bool locks_what_cannot_be_locked(const std::vector<u8>& bytes) {
  if (decode(bytes, CodeSize::Bits16)) return false;
  std::vector<u8> unlocked;
  bool in_prefixes = true;
  for (u8 byte : bytes) {
    const bool is_prefix =
        byte == 0xF0 || byte == 0xF2 || byte == 0xF3 || byte == 0x26 || byte == 0x2E || byte == 0x36 || byte == 0x3E;
    in_prefixes &= is_prefix;
    if (!in_prefixes || byte != 0xF0) unlocked.push_back(byte);
  }
  return unlocked.size() != bytes.size() && decode(unlocked, CodeSize::Bits16);
}

// Faults of the 286 that later processors do not have, or have with another vector.
bool faults_on_286_only(const MooTest& test) {
  if (!test.exception) return false;
  const DecodeResult result = decode(test.bytes, CodeSize::Bits16);
  if (!result) return false;
  const Insn& insn = result.insn;
  for (const Operand& operand : insn.operands) {
    if (operand.kind == OperandKind::Segment && operand.reg >= static_cast<u8>(Segment::Fs)) return true;  // no FS, GS
    // Segment overrun leaves the 286's string registers advanced.
    const bool is_string = operand.kind == OperandKind::StringSource || operand.kind == OperandKind::StringDestination;
    if (is_string && test.exception->vector == 13) return true;
  }
  if (test.exception->vector != 13) return false;
  if (insn.length > 10) return true;  // the 286's limit; 15 bytes since the 386
  // An overrun of the stack segment is vector 12 since the 386.
  if (insn.has_modrm && insn.mod() != 3 && insn.segment == Segment::Ss) return true;
  switch (insn.operation) {
    case Operation::Push:
    case Operation::Pop:
    case Operation::Pusha:
    case Operation::Popa:
    case Operation::Pushf:
    case Operation::Popf:
    case Operation::Leave:
    case Operation::Enter:
    case Operation::CallNear:
    case Operation::CallFar:
    case Operation::RetNear:
    case Operation::RetFar:
    case Operation::Iret: return true;
    default: return false;
  }
}

}  // namespace

SuiteResult run_suite(const SuiteOptions& options, Engine& engine, FlatBus& bus) {
  SuiteResult result;
  const auto masks = load_flag_masks(options.folder + "/metadata.json");
  std::vector<std::string> stems;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(options.folder, error)) {
    const std::string name = entry.path().filename().string();
    const std::string suffix = ".MOO.gz";
    if (name.size() > suffix.size() && name.ends_with(suffix))
      stems.push_back(name.substr(0, name.size() - suffix.size()));
  }
  std::sort(stems.begin(), stems.end());
  VectorRunner runner(engine, bus);
  for (const std::string& stem : stems) {
    if (!options.only.empty() && stem != options.only) continue;
    const auto mask = masks.find(stem);
    const u16 flags_mask = mask == masks.end() ? u16{0xFFFF} : mask->second;
    unsigned count = 0;
    for (const MooTest& test : load_moo(options.folder + "/" + stem + ".MOO.gz")) {
      if (count++ >= options.tests_per_file) break;
      const auto opcode = static_cast<unsigned>(std::strtoul(stem.substr(0, 2).c_str(), nullptr, 16));
      if ((options.chip == Chip::I8086 && (differs_on_8086(stem) || differs_on_8086(test, opcode))) ||
          locks_what_cannot_be_locked(test.bytes) || faults_on_286_only(test)) {
        ++result.skipped;
        continue;
      }
      ++result.tests;
      const std::string report = runner.run(test, options.chip, flags_mask);
      if (report.empty()) continue;
      ++result.different;
      if (++result.by_file[stem] <= options.reports_per_file) {
        result.reports.push_back(stem + " #" + std::to_string(test.index) + " " + test.name + ":" + report);
      }
    }
  }
  return result;
}

}  // namespace xm::cpu::vectors
