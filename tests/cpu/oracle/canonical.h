// SPDX-License-Identifier: GPL-2.0-or-later
// One line of text for a decoded instruction in a form that our decoder and the oracles can be compared in:
// "mnemonic operand, operand" with sizes in bits, Intel's mnemonics, numbers in hex.
#pragma once

#include <span>
#include <string>

#include "cpu/decode/decoder.h"

namespace xm::cpu::oracle {

// What a decoder said about some bytes.
struct Verdict {
  bool valid = false;
  unsigned length = 0;
  std::string text;       // canonical; empty when invalid
  std::string extension;  // the oracle's name for the extension it belongs to
  unsigned row = 0;       // ours: the table row
};

Verdict ours(std::span<const u8> bytes, CodeSize mode);
Verdict zydis(std::span<const u8> bytes, CodeSize mode);
// Zydis's verdict is about an extension that this CPU does not offer: the encoding is #UD (or NOP) by design.
bool is_absent_extension(const Verdict& theirs, CodeSize mode);
Verdict capstone(std::span<const u8> bytes, CodeSize mode);

// Canonical pieces that both sides use.
std::string gpr_name(unsigned number, unsigned size_bytes, bool high_byte);
std::string hex(u64 value);
// index_text holds the register name or is empty.
std::string memory_text(unsigned size_bits, const std::string& segment, const std::string& base,
                        const std::string& index, unsigned scale, i64 displacement);

}  // namespace xm::cpu::oracle
