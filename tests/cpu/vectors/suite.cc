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
      if ((options.chip == Chip::I8086 && differs_on_8086(stem)) || locks_what_cannot_be_locked(test.bytes) ||
          faults_on_286_only(test)) {
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
