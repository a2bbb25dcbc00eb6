// SPDX-License-Identifier: GPL-2.0-or-later
// The instruction bytes that the oracle tests walk through: all opcodes of all maps with all ModRM bytes, behind
// typical prefixes, followed by random bytes.
#pragma once

#include <array>
#include <random>
#include <vector>

#include "cpu/decode/insn.h"

namespace xm::cpu::oracle {

using Code = std::array<u8, 15>;

class ByteSpace {
 public:
  explicit ByteSpace(u64 seed) : random_(seed) {}

  template <class Visit>
  void each(CodeSize mode, Visit visit) {
    const std::vector<std::vector<u8>> prefixes = {
        {}, {0x66}, {0xF2}, {0xF3}, {0x67}, {0x64}, {0x2E}, {0xF0}, {0x66, 0xF3}, {0x66, 0xF2}, {0x66, 0x67},
    };
    const std::vector<std::vector<u8>> prefixes64 = {
        {0x48}, {0x66, 0x48}, {0xF3, 0x48}, {0xF2, 0x48}, {0x41}, {0x4F}, {0x67, 0x4F}, {0x48, 0x66},
    };
    for (const auto& prefix : prefixes) each_opcode(prefix, visit);
    if (mode == CodeSize::Bits64) {
      for (const auto& prefix : prefixes64) each_opcode(prefix, visit);
    }
    each_vex(mode, visit);
  }

 private:
  template <class Visit>
  void each_opcode(const std::vector<u8>& prefix, Visit visit) {
    const std::vector<std::vector<u8>> escapes = {{}, {0x0F}, {0x0F, 0x38}, {0x0F, 0x3A}};
    for (const auto& escape : escapes) {
      for (unsigned tail = 0; tail < 0x10000; ++tail) {
        std::vector<u8> start = prefix;
        start.insert(start.end(), escape.begin(), escape.end());
        start.push_back(static_cast<u8>(tail >> 8));
        start.push_back(static_cast<u8>(tail));
        visit(padded(start));
      }
    }
  }

  template <class Visit>
  void each_vex(CodeSize mode, Visit visit) {
    for (unsigned bits = 0; bits < 0x300000; ++bits) {
      const unsigned map = 1 + bits / 0x100000, l_and_pp = (bits >> 16) & 7, w = (bits >> 19) & 1;
      // Inverted R, X, B and vvvv: all ones (no register) or, half of the time, random.
      const auto inverted = static_cast<u8>(mode == CodeSize::Bits64 ? random_() & 0xE0 : 0xE0);
      const auto vvvv = static_cast<u8>(random_() & 1 ? 0x78 : random_() & 0x78);
      visit(padded({0xC4, static_cast<u8>(inverted | map), static_cast<u8>(w << 7 | vvvv | l_and_pp),
                    static_cast<u8>(bits >> 8), static_cast<u8>(bits)}));
    }
  }

  Code padded(const std::vector<u8>& start) {
    Code code;
    for (unsigned i = 0; i < code.size(); ++i) code[i] = i < start.size() ? start[i] : static_cast<u8>(random_());
    return code;
  }

  std::mt19937_64 random_;
};

}  // namespace xm::cpu::oracle
