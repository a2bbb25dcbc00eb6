// SPDX-License-Identifier: GPL-2.0-or-later
// Comparison and report. Every bit that is not compared has its reason here.
#include "tests/cpu/silicon/compare.h"

#include <algorithm>
#include <cstdio>

#include "cpu/decode/decoder.h"
#include "emu/base/bits.h"
#include "tests/cpu/oracle/canonical.h"

namespace xm::cpu::silicon {
namespace {

constexpr u64 kLinearMask = 0xFFFFFFFFFFFF;
constexpr const char* kGprNames[] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                     "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};

std::string hex(u64 value) { return oracle::hex(value); }

// Flags that the manual leaves undefined for this instruction and these inputs.
u64 undefined_flags(const Insn& insn, const UserState& before) {
  const Row& row = isa_row(insn.row);
  u64 undefined = row.flags.undefined;
  const bool is_shift = row.flags.writes & flag::kCf && insn.operand_count >= 2 &&
                        (insn.operands[insn.operand_count - 1].kind == OperandKind::One ||
                         insn.operands[insn.operand_count - 1].kind == OperandKind::Immediate ||
                         row.operands[insn.operand_count - 1u] == OperandCode::CL);
  if (!is_shift) return undefined;
  const OperandKind last = insn.operands[insn.operand_count - 1].kind;
  u64 count = last == OperandKind::One ? 1 : last == OperandKind::Immediate ? insn.imm : before.gpr[gpr::kRcx];
  count &= insn.operand_size == 8 ? 63 : 31;
  const unsigned width = insn.operand_size * 8u;
  switch (insn.operation) {
    case Operation::Shl:
    case Operation::Shr:
    case Operation::Sar:
      if (count == 0) return 0;
      if (count != 1) undefined |= flag::kOf;
      if (count >= width && insn.operation != Operation::Sar) undefined |= flag::kCf;
      return undefined;
    case Operation::Rol:
    case Operation::Ror:
    case Operation::Rcl:
    case Operation::Rcr: return count > 1 ? undefined | flag::kOf : undefined;
    case Operation::Shld:
    case Operation::Shrd:
      if (count == 0) return 0;
      if (count > width) return flag::kStatus;
      return count == 1 ? undefined : undefined | flag::kOf;
    default: return undefined;
  }
}

// SHLD and SHRD of a word by more than 16 leave anything in the destination [SDM2 SHLD], as does BSWAP of a word.
bool result_is_undefined(const Insn& insn, const UserState& before) {
  if (insn.operation == Operation::Bswap) return insn.operand_size == 2;
  if (insn.operation != Operation::Shld && insn.operation != Operation::Shrd) return false;
  const bool by_cl = insn.operands[2].kind != OperandKind::Immediate;
  const u64 count = (by_cl ? before.gpr[gpr::kRcx] : insn.imm) & 31;
  return insn.operand_size == 2 && count > 16;
}

class Report {
 public:
  void check(const std::string& name, u64 silicon, u64 ours) {
    if (silicon != ours) text_ += "  " + name + ": silicon " + hex(silicon) + ", ours " + hex(ours) + "\n";
  }
  const std::string& text() const { return text_; }
  void add(const std::string& line) { text_ += "  " + line + "\n"; }

 private:
  std::string text_;
};

bool has_mm_operand(const Insn& insn) {
  return std::any_of(insn.operands.begin(), insn.operands.end(),
                     [](const Operand& operand) { return operand.kind == OperandKind::Mm; });
}

void compare_x87(Report& report, const Insn& insn, bool faulted, const X87State& silicon, const X87State& ours) {
  report.check("x87 control", silicon.control, ours.control);
  // Whether an MMX instruction that faults has already emptied TOP and filled the tags differs by instruction.
  const bool mid_transition = faulted && has_mm_operand(insn);
  const u16 status_mask = mid_transition ? 0xC7FF : 0xFFFF;
  report.check("x87 status", silicon.status & status_mask, ours.status & status_mask);
  if (!mid_transition) report.check("x87 tags", silicon.tag_valid, ours.tag_valid);
  // Loaded pointers are made canonical, from bit 47 or 56 depending on the processor.
  report.check("x87 instruction pointer", silicon.instruction_pointer & kLinearMask,
               ours.instruction_pointer & kLinearMask);
  if (mid_transition) return;
  for (unsigned i = 0; i < 8; ++i) {
    if (silicon.reg[i] == ours.reg[i]) continue;
    report.add("x87 register " + std::to_string(i) + ": silicon " + hex(silicon.reg[i].sign_exponent) + ":" +
               hex(silicon.reg[i].significand) + ", ours " + hex(ours.reg[i].sign_exponent) + ":" +
               hex(ours.reg[i].significand));
  }
}

// Operands that are accessed in parts or behind a mask: which part faults first is the processor's business.
bool has_parts(const Insn& insn) {
  switch (insn.operation) {
    case Operation::Vmaskmovps:
    case Operation::Vmaskmovpd:
    case Operation::Vpmaskmovd:
    case Operation::Vpmaskmovq:
    case Operation::Maskmovq:
    case Operation::Maskmovdqu: return true;
    default: break;
  }
  return std::any_of(insn.operands.begin(), insn.operands.end(), [](const Operand& operand) {
    return operand.kind == OperandKind::Memory &&
           (operand.size == 0 || operand.size > 32 || operand.size == 14 || operand.size == 28);
  });
}

void compare_exception(Report& report, const Insn& insn, const Outcome& silicon, const Outcome& ours) {
  report.check("vector", silicon.vector, ours.vector);
  if (silicon.vector != ours.vector) return;
  u32 error_mask = ~u32{0};
  // Linux sets P for addresses of its own, to hide what is mapped there.
  constexpr u64 kTaskSize = 0x7FFFFFFFF000;
  if (silicon.vector == 14 && silicon.fault_address >= kTaskSize) error_mask = ~u32{1};
  report.check("error code", silicon.error_code & error_mask, ours.error_code & error_mask);
  const u64 address_mask = has_parts(insn) ? 0 : ~u64{0};
  if (silicon.vector == 14)
    report.check("CR2", silicon.fault_address & address_mask, ours.fault_address & address_mask);
}

std::string bytes_text(const TestCase& test) {
  std::string text;
  for (unsigned i = 0; i < test.code_length; ++i) {
    char digits[4];
    std::snprintf(digits, sizeof digits, i ? " %02x" : "%02x", test.code[i]);
    text += digits;
  }
  return text;
}

}  // namespace

std::string compare(const TestCase& test, const Outcome& silicon, const Outcome& ours) {
  Report report;
  if (!ours.ran) return "  ours: did not end in an exception handler\n";
  const Insn insn = decode(test.code, test.mode).insn;
  // Whether masked-off bytes may fault is the processor's business [SDM2 MASKMOVDQU].
  const bool is_mask_move = insn.operation == Operation::Maskmovq || insn.operation == Operation::Maskmovdqu;
  if (is_mask_move && (silicon.vector == 13 || silicon.vector == 14) && ours.vector == 3) return "";
  // Whether BOUND reads its upper bound when the lower one is not kept is, too.
  if (insn.operation == Operation::Bound && (silicon.vector == 5) != (ours.vector == 5)) {
    const u8 other = silicon.vector == 5 ? ours.vector : silicon.vector;
    if (other >= 12 && other <= 14) return "";
  }
  const bool undefined_result = result_is_undefined(insn, test.state);
  compare_exception(report, insn, silicon, ours);
  const bool faulted = silicon.vector != 3;
  for (unsigned i = 0; i < 16; ++i) {
    const bool is_destination = insn.operands[0].kind == OperandKind::Gpr && insn.operands[0].reg == i;
    if (undefined_result && is_destination) continue;
    // POPA that faults half-way may have loaded some registers; it pops them again.
    if (faulted && insn.operation == Operation::Popa && i != gpr::kRsp) continue;
    // The upper halves mean nothing in 32-bit code [SDM1 3.4.1.1].
    const u64 mask = test.mode == CodeSize::Bits64 ? ~u64{0} : 0xFFFFFFFF;
    report.check(kGprNames[i], silicon.state.gpr[i] & mask, ours.state.gpr[i] & mask);
  }
  report.check("rip", silicon.state.rip, ours.state.rip);
  const u64 flags = ~undefined_flags(insn, test.state);
  report.check("rflags", silicon.state.rflags & flags, ours.state.rflags & flags);
  compare_x87(report, insn, faulted, silicon.state.x87, ours.state.x87);
  for (unsigned i = 0; i < 16; ++i) {
    // A gather that faults may have cleared what lies beyond its vectors or not.
    const bool partial = faulted && insn.memory.vsib && (i == insn.operands[0].reg || i == insn.operands[2].reg);
    for (unsigned lane = 0; lane < (partial ? insn.operands[0].size / 8u : 4u); ++lane) {
      report.check("ymm" + std::to_string(i) + "[" + std::to_string(lane) + "]", silicon.state.vector[i].q[lane],
                   ours.state.vector[i].q[lane]);
    }
  }
  // VCVTPS2PH notes its exceptions before its store faults.
  const u32 mxcsr_mask = faulted && insn.operation == Operation::Vcvtps2ph ? ~0x3Fu : ~0u;
  report.check("mxcsr", silicon.state.mxcsr & mxcsr_mask, ours.state.mxcsr & mxcsr_mask);
  // A ten-byte store that faults in its second page may have written the first part.
  const bool partial_store = faulted && insn.operands[0].size == 10;
  // A CALL to a non-canonical address may have stored its return address below RSP.
  const bool dead_store = silicon.vector == 13 && insn.operation == Operation::CallNear;
  if (!undefined_result && !partial_store && !dead_store && silicon.data != ours.data) {
    unsigned shown = 0;
    for (unsigned i = 0; i < kDataBytes && shown < 4; i += 8) {
      const u64 a = load_le<u64>(&silicon.data[i]), b = load_le<u64>(&ours.data[i]);
      if (a == b) continue;
      report.check("memory " + hex(kDataBase + i), a, b);
      ++shown;
    }
  }
  if (report.text().empty()) return "";
  return "  after: vector " + std::to_string(silicon.vector) + "\n" + report.text();
}

std::string describe(const TestCase& test) {
  const oracle::Verdict verdict = oracle::ours(test.code, test.mode);
  std::string text = std::to_string(static_cast<unsigned>(test.mode)) + "-bit: " + verdict.text + "  (" +
                     bytes_text(test) + ") at " + hex(test.state.rip) + "\n";
  const Insn insn = decode(test.code, test.mode).insn;
  const UserState& before = test.state;
  text += "  before: rflags " + hex(before.rflags) + " mxcsr " + hex(before.mxcsr);
  const auto show_gpr = [&](unsigned reg) { text += std::string(" ") + kGprNames[reg] + " " + hex(before.gpr[reg]); };
  for (const Operand& operand : insn.operands) {
    if (operand.kind == OperandKind::Gpr || operand.kind == OperandKind::Gpr8Low ||
        operand.kind == OperandKind::Gpr8High) {
      show_gpr(operand.reg);
    }
    if (operand.kind == OperandKind::Xmm || operand.kind == OperandKind::Ymm) {
      const auto& q = before.vector[operand.reg].q;
      text +=
          " ymm" + std::to_string(operand.reg) + " " + hex(q[3]) + ":" + hex(q[2]) + ":" + hex(q[1]) + ":" + hex(q[0]);
    }
  }
  show_gpr(gpr::kRax);
  show_gpr(gpr::kRcx);
  show_gpr(gpr::kRdx);
  if (isa_row(insn.row).opcode >= 0xD8 && insn.map == OpcodeMap::OneByte && insn.opcode <= 0xDF) {
    const X87State& x87 = before.x87;
    text += "\n  x87 control " + hex(x87.control) + " status " + hex(x87.status) + " tags " + hex(x87.tag_valid);
    const unsigned top = (x87.status >> 11) & 7;
    for (unsigned i = 0; i < 3; ++i) {
      const X87Register& reg = x87.reg[(top + i) & 7];
      text += " st" + std::to_string(i) + " " + hex(reg.sign_exponent) + ":" + hex(reg.significand);
    }
  }
  return text + "\n";
}

}  // namespace xm::cpu::silicon
