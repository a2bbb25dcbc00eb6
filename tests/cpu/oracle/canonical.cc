// SPDX-License-Identifier: GPL-2.0-or-later
// Our decoder's result as canonical text.
#include "tests/cpu/oracle/canonical.h"

#include <cstdio>

#include "cpu/isa/isa.h"
#include "emu/base/bits.h"

namespace xm::cpu::oracle {
namespace {

constexpr const char* kSegments[] = {"es", "cs", "ss", "ds", "fs", "gs"};
constexpr const char* kConditions[] = {"o", "no", "b", "nb", "z", "nz", "be", "nbe",
                                       "s", "ns", "p", "np", "l", "nl", "le", "nle"};

std::string lower(std::string_view name) {
  std::string text;
  for (char c : name) text += static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  return text;
}

const char* by_size(unsigned size, const char* s1, const char* s2, const char* s4, const char* s8) {
  return size == 1 ? s1 : size == 2 ? s2 : size == 4 ? s4 : s8;
}

std::string sized_mnemonic(const Insn& insn, const std::string& name) {
  const unsigned size = insn.operand_size;
  switch (insn.operation) {
    case Operation::Movs:
    case Operation::Cmps:
    case Operation::Stos:
    case Operation::Lods:
    case Operation::Scas: return name + by_size(size, "b", "w", "d", "q");
    case Operation::Ins:
    case Operation::Outs: return name + by_size(size, "b", "w", "d", "d");
    case Operation::Cbw: return by_size(size, "", "cbw", "cwde", "cdqe");
    case Operation::Cwd: return by_size(size, "", "cwd", "cdq", "cqo");
    case Operation::Pusha:
    case Operation::Popa: return name + by_size(size, "", "", "d", "");
    case Operation::Pushf:
    case Operation::Popf:
    case Operation::Iret: return name + by_size(size, "", "", "d", "q");
    case Operation::Jrcxz: return by_size(insn.address_size, "", "jcxz", "jecxz", "jrcxz");
    case Operation::CmpxchgXb: return insn.operands[0].size == 16 ? "cmpxchg16b" : "cmpxchg8b";
    case Operation::Movd: {
      const bool quad = insn.operands[0].size == 8 ? insn.operands[0].kind != OperandKind::Mm || insn.rex_w()
                                                   : insn.operands[1].size == 8;
      return quad && (insn.rex_w() || insn.vex_w) ? "movq" : "movd";
    }
    case Operation::Pextrd: return insn.operands[0].size == 8 ? "pextrq" : "pextrd";
    case Operation::Pinsrd: return insn.operands[2].size == 8 ? "pinsrq" : "pinsrd";
    case Operation::Fxsave:
    case Operation::Fxrstor:
    case Operation::Xsave:
    case Operation::Xsavec:
    case Operation::Xsaveopt:
    case Operation::Xsaves:
    case Operation::Xrstor:
    case Operation::Xrstors: return name + (insn.mode == CodeSize::Bits64 && insn.rex_w() ? "64" : "");
    case Operation::Prefetch: {
      constexpr const char* kHints[] = {"prefetchnta", "prefetcht0", "prefetcht1", "prefetcht2"};
      return kHints[insn.reg_field() & 3];
    }
    default: return name;
  }
}

std::string mnemonic(const Insn& insn) {
  std::string name = lower(operation_name(insn.operation));
  if (insn.condition != Condition::None) {
    name = name.substr(0, name.size() - 2) + kConditions[static_cast<unsigned>(insn.condition)];
  }
  name = sized_mnemonic(insn, name);
  for (const char* suffix : {"near", "far"}) {
    const std::string tail = suffix;
    if (name.size() > tail.size() && name.ends_with(tail)) return name.substr(0, name.size() - tail.size());
  }
  const Row& row = isa_row(insn.row);
  const bool is_vector = insn.operands[0].kind == OperandKind::Xmm || insn.operands[0].kind == OperandKind::Ymm;
  const bool gains_v = row.encoding == Encoding::Both || (is_vector && name[0] != 'v');
  return insn.vex && gains_v ? "v" + name : name;
}

std::string memory_operand(const Insn& insn, unsigned size) {
  const MemoryAddress& memory = insn.memory;
  std::string base, index;
  if (memory.base != kNoRegister) base = gpr_name(memory.base, insn.address_size, false);
  if (memory.rip_relative) base = insn.address_size == 8 ? "rip" : "eip";
  if (memory.index != kNoRegister) {
    if (memory.vsib) {
      const bool wide = insn.operation == Operation::Vpgatherdq || insn.operation == Operation::Vgatherdpd;
      index = (insn.vex_l && !wide ? "ymm" : "xmm") + std::to_string(memory.index);
    } else {
      index = gpr_name(memory.index, insn.address_size, false);
    }
  }
  return memory_text(size * 8, kSegments[static_cast<unsigned>(insn.segment)], base, index, memory.scale,
                     memory.displacement);
}

std::string operand_text(const Insn& insn, const Operand& operand) {
  const std::string number = std::to_string(operand.reg);
  switch (operand.kind) {
    case OperandKind::None: return "?";
    case OperandKind::Gpr8Low: return gpr_name(operand.reg, 1, false);
    case OperandKind::Gpr8High: return gpr_name(operand.reg, 1, true);
    case OperandKind::Gpr: return gpr_name(operand.reg, operand.size, false);
    case OperandKind::Segment: return kSegments[operand.reg];
    case OperandKind::Control: return "cr" + number;
    case OperandKind::Debug: return "dr" + number;
    case OperandKind::Mm: return "mm" + number;
    case OperandKind::Xmm: return "xmm" + number;
    case OperandKind::Ymm: return "ymm" + number;
    case OperandKind::St: return "st" + number;
    case OperandKind::Memory: return memory_operand(insn, operand.size);
    case OperandKind::MemoryOffset:
      return memory_text(operand.size * 8u, kSegments[static_cast<unsigned>(insn.segment)], "", "", 1,
                         insn.memory.displacement);
    case OperandKind::StringSource:
      return memory_text(operand.size * 8u, kSegments[static_cast<unsigned>(insn.segment)],
                         gpr_name(6, insn.address_size, false), "", 1, 0);
    case OperandKind::StringDestination:
      return memory_text(operand.size * 8u, "es", gpr_name(7, insn.address_size, false), "", 1, 0);
    case OperandKind::Immediate: return "imm " + hex(insn.imm & mask_of_bytes(operand.size));
    case OperandKind::Immediate2: return "imm " + hex(insn.imm2 & mask_of_bytes(operand.size));
    case OperandKind::Relative: return "rel " + hex(insn.imm);
    case OperandKind::FarPointer: return "far " + hex(insn.imm2) + ":" + hex(insn.imm);
    case OperandKind::One: return "imm 0x1";
  }
  return "?";
}

bool is_string(const Insn& insn) {
  for (const Operand& operand : insn.operands) {
    if (operand.kind == OperandKind::StringSource || operand.kind == OperandKind::StringDestination) return true;
  }
  return false;
}

// Operands that the oracles do not list: fixed ones, and operand 1 of a legacy form that only repeats the destination.
bool is_hidden(const Insn& insn, unsigned position) {
  const Row& row = isa_row(insn.row);
  if (row.operands[position] == OperandCode::XMM0) return true;
  switch (insn.operation) {
    case Operation::Fcom:
    case Operation::Fcomp:
    case Operation::Fucom:
    case Operation::Fucomp: return row.operands[position] == OperandCode::ST0;
    default: break;
  }
  const OperandKind kind = insn.operands[position].kind;
  if (is_string(insn)) return kind != OperandKind::StringSource && kind != OperandKind::StringDestination;
  if (position != 1 || insn.vex) return false;
  return operand_code_info(row.operands[1]).addressing == Addressing::XVvvv || row.operands[0] == row.operands[1];
}

}  // namespace

std::string hex(u64 value) {
  char text[24];
  std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(value));
  return text;
}

std::string gpr_name(unsigned number, unsigned size_bytes, bool high_byte) {
  constexpr const char* kWord[] = {"ax", "cx", "dx", "bx", "sp", "bp", "si", "di"};
  if (high_byte) return std::string(1, "acdb"[number & 3]) + "h";
  if (number >= 8) return "r" + std::to_string(number) + by_size(size_bytes, "b", "w", "d", "");
  const std::string word = kWord[number];
  if (size_bytes == 1) return number < 4 ? word.substr(0, 1) + "l" : word + "l";
  return by_size(size_bytes, "", "", "e", "r") + word;
}

std::string memory_text(unsigned size_bits, const std::string& segment, const std::string& base,
                        const std::string& index, unsigned scale, i64 displacement) {
  std::string text = "m" + std::to_string(size_bits) + "[" + segment + ":" + base;
  if (!index.empty()) text += "+" + index + "*" + std::to_string(scale);
  return text + "+" + hex(static_cast<u64>(displacement)) + "]";
}

Verdict ours(std::span<const u8> bytes, CodeSize mode) {
  const DecodeResult result = decode(bytes, mode);
  Verdict verdict;
  verdict.valid = result.status == DecodeStatus::Ok;
  if (!verdict.valid) return verdict;
  const Insn& insn = result.insn;
  verdict.length = insn.length;
  verdict.text = mnemonic(insn);
  verdict.row = insn.row;
  const char* separator = " ";
  for (unsigned i = 0; i < insn.operand_count; ++i) {
    if (is_hidden(insn, i)) continue;
    verdict.text += separator + operand_text(insn, insn.operands[i]);
    separator = ", ";
  }
  return verdict;
}

}  // namespace xm::cpu::oracle
