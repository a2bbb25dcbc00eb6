// SPDX-License-Identifier: GPL-2.0-or-later
// A test program of an open suite: raw machine code that ends in HLT, and a description in JSON of the registers it
// must leave behind. Keys that are understood: "Mode" ("64BIT" or "32BIT"), "RegData" (register -> value or list of
// 64-bit values, lowest first), "MemoryRegions" (address -> bytes), "MemoryData" (address -> hexadecimal bytes, each
// group with its highest byte first), "HostFeatures" (list of names).
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "emu/base/result.h"
#include "emu/base/types.h"

namespace xm::cpu::programs {

struct ProgramCase {
  std::string name;
  bool is_64 = true;
  std::vector<u8> code;
  std::map<std::string, std::vector<u64>> registers;
  std::map<u64, u64> regions;               // address -> size in bytes
  std::map<u64, std::vector<u8>> contents;  // address -> bytes
  std::vector<std::string> features;        // as the suite names them
};

// Reads STEM.bin and STEM.json.
Result<ProgramCase> load_program(const std::filesystem::path& description);

}  // namespace xm::cpu::programs
