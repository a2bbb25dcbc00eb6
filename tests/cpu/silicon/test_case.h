// SPDX-License-Identifier: GPL-2.0-or-later
// One silicon test: an instruction, the user-mode state before it, and what a processor made of it. All processors see
// the same linear addresses: two pages of code filled with INT3 around the instruction, two pages of data, nothing
// else.
#pragma once

#include <array>

#include "cpu/isa/isa.h"
#include "cpu/state/cpu_state.h"

namespace xm::cpu::silicon {

inline constexpr u64 kCodeBase = 0x40000000;
inline constexpr u64 kCodeBytes = 2 * kPageSize;
inline constexpr u64 kDataBase = 0x40201000;
inline constexpr u64 kDataBytes = 2 * kPageSize;
inline constexpr u64 kGsBase = kDataBase + kPageSize;
inline constexpr u16 kUserCs64 = 0x33, kUserCs32 = 0x23, kUserData = 0x2B;  // Linux's, so that pushed selectors agree

// User-visible state in the units of CpuState.
struct UserState {
  std::array<u64, 16> gpr{};
  u64 rip = 0;
  u64 rflags = 2;
  X87State x87;
  std::array<VectorRegister, 16> vector{};
  u32 mxcsr = 0x1F80;
};

struct Poke {
  u32 offset = 0;  // into the data pages
  u64 value = 0;
};

struct TestCase {
  CodeSize mode = CodeSize::Bits64;
  std::array<u8, 16> code{};
  u8 code_length = 0;
  u16 code_offset = 0;  // of the instruction in the code pages
  u16 row = 0;
  u32 data_seed = 0;  // which part of the pool the data pages start with
  std::array<Poke, 4> pokes{};
  u8 poke_count = 0;
  UserState state;
};

using DataPages = std::array<u8, kDataBytes>;

struct Outcome {
  bool ran = false;  // false: the processor under test broke down
  u8 vector = 0;     // of the exception that ended the test; 3 when the instruction completed
  u32 error_code = 0;
  u64 fault_address = 0;  // CR2, for page faults
  UserState state;
  DataPages data{};
};

// The data pages before the test.
void fill_data(const TestCase& test, DataPages& data);
// The code pages before the test.
void fill_code(const TestCase& test, std::array<u8, kCodeBytes>& code);

}  // namespace xm::cpu::silicon
