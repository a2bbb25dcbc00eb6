// SPDX-License-Identifier: GPL-2.0-or-later
// Reader of captured single-instruction tests in the MOO format (SingleStepTests 8086 and 80286): little-endian chunks
// of a four-character tag, a 32-bit length and a payload, the file gzipped.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "emu/base/types.h"

namespace xm::cpu::vectors {

// In the order of the file's register mask.
enum MooRegister : unsigned { kAx, kBx, kCx, kDx, kCs, kSs, kDs, kEs, kSp, kBp, kSi, kDi, kIp, kFlags, kMooRegisters };

struct MooByte {
  u32 address = 0;
  u8 value = 0;
};

struct MooState {
  std::array<std::optional<u16>, kMooRegisters> reg;
  std::vector<MooByte> ram;
};

struct MooException {
  u8 vector = 0;
  u32 flags_address = 0;  // of the pushed flags image, rounded down to an even one
};

struct MooTest {
  u32 index = 0;
  std::string name;
  std::vector<u8> bytes;
  MooState initial, final;  // `final` lists only what changed
  std::optional<MooException> exception;
};

// Empty when the file cannot be read.
std::vector<MooTest> load_moo(const std::string& path);

// Flags that are defined after each opcode, from metadata.json: by file stem ("F7.4", "00").
std::map<std::string, u16> load_flag_masks(const std::string& metadata_path);

}  // namespace xm::cpu::vectors
