// SPDX-License-Identifier: GPL-2.0-or-later
// Builds the decode index from the instruction table.
#include "cpu/decode/tables.h"

#include "emu/base/check.h"

namespace xm::cpu {
namespace {

constexpr bool is_vex_map(OpcodeMap map) { return map >= OpcodeMap::Vex0F; }
// VEX rows carry the number of the legacy map.
constexpr OpcodeMap row_map(OpcodeMap map) {
  switch (map) {
    case OpcodeMap::Vex0F: return OpcodeMap::TwoByte0F;
    case OpcodeMap::Vex0F38: return OpcodeMap::Three0F38;
    case OpcodeMap::Vex0F3A: return OpcodeMap::Three0F3A;
    default: return map;
  }
}

bool applies(const Row& row, bool mode64, OpcodeMap map, unsigned opcode) {
  if (row.map != row_map(map)) return false;
  if (row.encoding == (is_vex_map(map) ? Encoding::Legacy : Encoding::Vex)) return false;
  if (row.has(mode64 ? attribute::kNot64 : attribute::kOnly64)) return false;
  return opcode >= row.opcode && opcode < unsigned{row.opcode} + row.opcode_count;
}

// How closely the row's mandatory prefix fits: 0 not at all, more is better.
unsigned prefix_fit(PrefixMatch match, PrefixKind kind) {
  switch (match) {
    case PrefixMatch::Any: return 1;
    case PrefixMatch::No23: return kind == PrefixKind::None || kind == PrefixKind::OperandSize ? 2 : 0;
    case PrefixMatch::NP: return kind == PrefixKind::None ? 3 : 0;
    case PrefixMatch::P66: return kind == PrefixKind::OperandSize ? 3 : 0;
    case PrefixMatch::PF3: return kind == PrefixKind::Rep ? 3 : 0;
    case PrefixMatch::PF2: return kind == PrefixKind::Repne ? 3 : 0;
  }
  return 0;
}

bool fits_modrm(const ModrmMatch& match, u8 modrm) {
  if (!match.present) return true;
  const bool is_register = modrm >= 0xC0;
  if (is_register ? !match.registers : !match.memory) return false;
  if (match.reg >= 0 && match.reg != ((modrm >> 3) & 7)) return false;
  return match.rm < 0 || match.rm == (modrm & 7);
}

bool fits_vex(const Row& row, unsigned l, unsigned w) {
  return !row.has(l ? attribute::kL0 : attribute::kL1) && !row.has(w ? attribute::kW0 : attribute::kW1);
}

u8 modrm_from_index(unsigned modrm_count, unsigned index) {
  if (modrm_count == 16) return static_cast<u8>((index >= 8 ? 0xC0 : 0) | (index & 7) << 3);
  return static_cast<u8>(index >= 8 ? 0xC0 | (index - 8) : index << 3);
}

DecodeForm make_form(const Row& row, u16 index) {
  DecodeForm form{.row = index, .operation = row.operation, .attributes = row.attributes};
  form.is_condition = row.opcode_count == 16;
  bool has_v = false, has_y = false, first_is_byte = false, seen_data = false;
  for (OperandCode code : row.operands) {
    if (code == OperandCode::None) break;
    const OperandCodeInfo& info = operand_code_info(code);
    form.operands[form.operand_count++] = {info.addressing, info.size};
    form.uses_vvvv |= info.addressing == Addressing::Vvvv || info.addressing == Addressing::XVvvv;
    const bool is_data = info.addressing != Addressing::Imm && info.addressing != Addressing::ImmSigned &&
                         info.addressing != Addressing::Imm2 && info.addressing != Addressing::Rel &&
                         info.addressing != Addressing::PortReg;
    has_v |= is_data && (info.size == OperandSize::V || info.size == OperandSize::Z);
    has_y |= info.size == OperandSize::Y;
    if (is_data && !seen_data) first_is_byte = info.size == OperandSize::B;
    seen_data |= is_data;
  }
  if (has_v) {
    form.size_class = SizeClass::Operand;
  } else if (has_y) {
    form.size_class = SizeClass::Gpr;
  } else if (first_is_byte) {
    form.size_class = SizeClass::Byte;
  }
  return form;
}

}  // namespace

DecodeTables::DecodeTables() {
  const std::span<const Row> rows = isa_rows();
  cells.push_back(0);
  for (unsigned i = 0; i < rows.size(); ++i) {
    forms.push_back(make_form(rows[i], static_cast<u16>(i)));
    if (rows[i].map == OpcodeMap::OneByte && rows[i].opcode == 0x91) exchange_row = static_cast<u16>(i);
  }
  for (unsigned slot = 0; slot < nodes.size(); ++slot) {
    const bool mode64 = slot >= kOpcodeMapCount * 256;
    const auto map = static_cast<OpcodeMap>(slot / 256 % kOpcodeMapCount);
    std::vector<u16> candidates;
    bool by_prefix = false, by_vex = false, by_reg = false, by_rm = false;
    for (unsigned i = 0; i < rows.size(); ++i) {
      const Row& row = rows[i];
      if (!applies(row, mode64, map, slot % 256)) continue;
      candidates.push_back(static_cast<u16>(i));
      by_prefix |= row.prefix != PrefixMatch::Any;
      by_vex |= is_vex_map(map) && row.has(attribute::kL0 | attribute::kL1 | attribute::kW0 | attribute::kW1);
      by_reg |= row.modrm.present && (row.modrm.reg >= 0 || !row.modrm.memory || !row.modrm.registers);
      by_rm |= row.modrm.rm >= 0;
    }
    if (candidates.empty()) continue;
    DecodeNode& node = nodes[slot];
    node.base = static_cast<u32>(cells.size());
    node.has_modrm = rows[candidates.front()].modrm.present;
    node.modrm_count = by_rm ? 72 : by_reg ? 16 : 1;
    node.vex_stride = by_vex ? 1 : 0;
    node.prefix_stride = by_prefix ? (by_vex ? 4 : 1) : 0;
    const unsigned prefix_count = by_prefix ? 4 : 1, vex_count = by_vex ? 4 : 1;
    for (unsigned cell = 0; cell < prefix_count * vex_count * node.modrm_count; ++cell) {
      const u8 modrm = node.modrm_count == 1 ? 0 : modrm_from_index(node.modrm_count, cell % node.modrm_count);
      const unsigned vex = cell / node.modrm_count % vex_count;
      const auto kind = static_cast<PrefixKind>(cell / node.modrm_count / vex_count);
      unsigned best_fit = 0;
      u16 best = 0;
      for (u16 i : candidates) {
        const unsigned fit = prefix_fit(rows[i].prefix, kind);
        if (fit <= best_fit || (node.modrm_count > 1 && !fits_modrm(rows[i].modrm, modrm))) continue;
        if (by_vex && !fits_vex(rows[i], vex >> 1, vex & 1)) continue;
        best_fit = fit;
        best = static_cast<u16>(i + 1);
      }
      cells.push_back(best);
    }
  }
}

const DecodeTables& decode_tables() {
  static const DecodeTables tables;
  return tables;
}

}  // namespace xm::cpu
