// SPDX-License-Identifier: GPL-2.0-or-later
// Renders the instruction table as Markdown.
#include "cpu/isa/support_page.h"

#include <cstdio>
#include <map>
#include <vector>

#include "cpu/isa/isa.h"

namespace xm::cpu {
namespace {

std::string hex_byte(unsigned value) {
  char text[4];
  std::snprintf(text, sizeof text, "%02X", value);
  return text;
}

// "66 0F 38 17 /r", "VEX.256.66.0F38.W0 16 /r", "F7 /4".
std::string encoding_text(const Row& row) {
  constexpr const char* kMaps[] = {"", "0F ", "0F 38 ", "0F 3A "};
  std::string text;
  if (row.encoding == Encoding::Vex) {
    text = "VEX";
    if (row.has(attribute::kL0)) text += ".128";
    if (row.has(attribute::kL1)) text += ".256";
    if (row.has(attribute::kW0)) text += ".W0";
    if (row.has(attribute::kW1)) text += ".W1";
    text += " ";
  }
  if (row.prefix == PrefixMatch::P66) text += "66 ";
  if (row.prefix == PrefixMatch::PF2) text += "F2 ";
  if (row.prefix == PrefixMatch::PF3) text += "F3 ";
  text += kMaps[static_cast<unsigned>(row.map)] + hex_byte(row.opcode);
  if (row.opcode_count > 1) text += "-" + hex_byte(row.opcode + row.opcode_count - 1u);
  if (row.modrm.rm >= 0) {
    text += " " + hex_byte(0xC0u | static_cast<unsigned>(row.modrm.reg) << 3 | static_cast<unsigned>(row.modrm.rm));
  } else if (row.modrm.reg >= 0) {
    text += " /" + std::to_string(row.modrm.reg);
  } else if (row.modrm.present) {
    text += " /r";
  }
  if (row.encoding == Encoding::Both) text += " (and VEX)";
  return text;
}

std::string operands_text(const Row& row) {
  std::string text;
  for (OperandCode code : row.operands) {
    if (code == OperandCode::None) break;
    text += (text.empty() ? " " : ", ") + std::string(operand_code_info(code).name);
  }
  return text;
}

std::string remarks_text(const Row& row) {
  std::string text;
  const auto add = [&](u32 attribute, const char* word) {
    if (row.has(attribute)) text += (text.empty() ? "; " : ", ") + std::string(word);
  };
  add(attribute::kNot64, "not in 64-bit mode");
  add(attribute::kOnly64, "only in 64-bit mode");
  add(attribute::kProtectedOnly, "protected mode");
  add(attribute::kPrivileged, "CPL 0");
  add(attribute::kLockable, "LOCK");
  add(attribute::kUndocumented, "undocumented");
  return text;
}

}  // namespace

std::string support_page() {
  // By feature, then by operation in table order.
  std::map<Feature, std::vector<Operation>> order;
  std::map<std::pair<Feature, Operation>, std::string> lines;
  for (const Row& row : isa_rows()) {
    const Feature feature = required_feature(row, row.encoding == Encoding::Vex, 0);
    std::string& line = lines[{feature, row.operation}];
    if (line.empty()) order[feature].push_back(row.operation);
    line += "  - `" + encoding_text(row) + "`" + operands_text(row) + remarks_text(row) + "\n";
  }
  std::string page =
      "# Supported instructions\n\n"
      "Generated from `cpu/isa/*.def` by `build/release/tests/isa_support`; a test compares this file with the table.\n"
      "Operand codes are those of the SDM, Volume 2, Appendix A. Instructions marked \"(and VEX)\" have an AVX form; "
      "its\n"
      "256-bit integer forms need AVX2. Everything else, AVX-512, 3DNow!, XOP, TSX, MPX, CET, VMX and SVM included, is "
      "#UD\n"
      "or, in the reserved hint space 0F 0D and 0F 18-1F, a NOP.\n";
  for (const auto& [feature, operations] : order) {
    page += "\n## " + std::string(feature_name(feature)) + "\n\n";
    for (Operation operation : operations) {
      page += "- " + std::string(operation_name(operation)) + "\n" + lines[{feature, operation}];
    }
  }
  return page;
}

}  // namespace xm::cpu
