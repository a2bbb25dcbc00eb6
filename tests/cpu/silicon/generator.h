// SPDX-License-Identifier: GPL-2.0-or-later
// Random instructions from the instruction table, with registers and memory arranged so that most of them complete.
#pragma once

#include <random>
#include <string_view>
#include <vector>

#include "tests/cpu/silicon/test_case.h"

namespace xm::cpu::silicon {

// Whether user mode can execute the operation with a result that depends on nothing but the test.
bool is_testable(const Row& row, CodeSize mode);

enum class Modes : u8 { Both, Only64 };

class Generator {
 public:
  // Rows to draw from: those of one operation, or all testable ones that `available` admits.
  Generator(u64 seed, Operation only, bool (*available)(Feature), Modes modes = Modes::Both);

  bool empty() const { return groups_.empty() && groups32_.empty(); }
  TestCase next();

 private:
  struct Encoded {
    std::vector<u8> bytes;
    unsigned displacement_at = 0;  // offset of the displacement or moffs, 0 if there is none
  };

  Encoded encode(const Row& row);
  void encode_legacy_prefixes(const Row& row, bool memory, Encoded& out);
  void encode_vex(const Row& row, u8 opcode, Encoded& out);
  void encode_modrm(const Row& row, bool memory, bool vsib, Encoded& out);
  void randomize(UserState& state);
  void randomize_x87(X87State& x87);
  u64 interesting_integer();
  u64 interesting_lanes();
  X87Register interesting_float80();

  void place_memory(TestCase& test, const Insn& insn, const Encoded& encoded, unsigned code_start);
  u64 place_xsave_area(TestCase& test, const Insn& insn);
  void place_implicit(TestCase& test, const Insn& insn);
  void place_branch(TestCase& test, const Insn& insn);
  u64 code_target(const TestCase& test, const Insn& insn);
  u64 data_address(unsigned size);

  bool chance(unsigned one_in) { return random_() % one_in == 0; }
  u8 byte() { return static_cast<u8>(random_()); }

  std::mt19937_64 random_;
  bool is_64() const { return mode_ == CodeSize::Bits64; }

  // Row numbers by operation; of 32-bit mode in the second.
  std::vector<std::vector<u16>> groups_, groups32_;
  CodeSize mode_ = CodeSize::Bits64;  // of the test being made
};

}  // namespace xm::cpu::silicon
