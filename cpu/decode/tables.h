// SPDX-License-Identifier: GPL-2.0-or-later
// Index from bytes to rows, built once from the instruction table and then never written. An opcode's node says which
// of prefix, VEX.L/W and ModRM its rows depend on; the product of those indexes `cells`.
#pragma once

#include <array>
#include <vector>

#include "cpu/isa/isa.h"

namespace xm::cpu {

// Legacy mandatory prefix, or VEX.pp, as an index. F2 and F3 win over 66.
enum class PrefixKind : u8 { None, OperandSize, Rep, Repne };

inline constexpr unsigned kOpcodeMapCount = 7;

struct DecodeNode {
  u32 base = 0;          // first cell; cell 0 is "no such instruction"
  u8 prefix_stride = 0;  // 0 when all prefixes lead to the same rows; in units of modrm_count * vex_count
  u8 vex_stride = 0;     // likewise for L and W
  u8 modrm_count = 1;    // 1, 16 (mod == 3, reg) or 72 (memory by reg, then registers by reg and rm)
  bool has_modrm = false;
};

struct OperandForm {
  Addressing addressing = Addressing::None;
  OperandSize size = OperandSize::None;
};

enum class SizeClass : u8 { Operand, Gpr, Byte };  // what Insn::operand_size reports

// A row boiled down to what decoding it needs.
struct DecodeForm {
  u16 row = 0;
  Operation operation = Operation::Invalid;
  u32 attributes = 0;
  u8 operand_count = 0;
  bool is_condition = false;
  bool uses_vvvv = false;
  SizeClass size_class = SizeClass::Operand;
  std::array<OperandForm, 4> operands{};
};

struct DecodeTables {
  DecodeTables();

  const DecodeNode& node(bool mode64, OpcodeMap map, u8 opcode) const {
    return nodes[((mode64 ? kOpcodeMapCount : 0) + static_cast<unsigned>(map)) * 256 + opcode];
  }

  std::array<DecodeNode, 2 * kOpcodeMapCount * 256> nodes;
  std::vector<u16> cells;         // row + 1, or 0
  std::vector<DecodeForm> forms;  // by row
  u16 exchange_row = 0;           // XCHG rAX, r8: opcode 90 with REX.B
};

const DecodeTables& decode_tables();

// The index of a ModRM byte in a node's cells.
constexpr unsigned modrm_index(unsigned modrm_count, u8 modrm) {
  const unsigned reg = (modrm >> 3) & 7;
  const bool is_register = modrm >= 0xC0;
  if (modrm_count == 1) return 0;
  if (modrm_count == 16) return (is_register ? 8 : 0) + reg;
  return is_register ? 8 + (modrm & 0x3F) : reg;
}

}  // namespace xm::cpu
