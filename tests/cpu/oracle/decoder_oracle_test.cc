// SPDX-License-Identifier: GPL-2.0-or-later
// Our decoder against Zydis (validity, length, mnemonic, every operand) and Capstone (validity, length). Where an
// oracle is not followed the reason stands beside it.
#include <gtest/gtest.h>

#include <cstdio>
#include <set>

#include "tests/cpu/oracle/byte_space.h"
#include "tests/cpu/oracle/canonical.h"

namespace xm::cpu::oracle {
namespace {

std::string first_word(const std::string& text) { return text.substr(0, text.find(' ')); }

std::string describe(const Code& code, CodeSize mode, const Verdict& mine, const Verdict& theirs) {
  std::string text = std::to_string(static_cast<unsigned>(mode)) + ":";
  for (u8 byte : code) {
    char digits[4];
    std::snprintf(digits, sizeof digits, " %02x", byte);
    text += digits;
  }
  return text + "\n  ours:   " + std::to_string(mine.length) + " " + mine.text +
         "\n  oracle: " + std::to_string(theirs.length) + " " + theirs.text;
}

// Removes every "m<digits>" size before a bracket.
std::string without_sizes(const std::string& text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == 'm' && i + 1 < text.size() && text[i + 1] >= '0' && text[i + 1] <= '9') {
      std::size_t end = i + 1;
      while (end < text.size() && text[end] >= '0' && text[end] <= '9') ++end;
      if (end < text.size() && text[end] == '[') {
        i = end - 1;
        continue;
      }
    }
    result += text[i];
  }
  return result;
}

// Whether a different text is a matter of taste, or of Zydis's.
bool is_excused_text(const Verdict& mine, const Verdict& theirs, const Insn& insn) {
  const std::string ours_name = first_word(mine.text), name = first_word(theirs.text);
  static const std::set<std::pair<std::string, std::string>> aliases = {
      {"wait", "fwait"},
      {"fneni", "feni8087_nop"},
      {"fndisi", "fdisi8087_nop"},
      {"fnsetpm", "fsetpm287_nop"},
      {"prefetchw", "prefetch"},     // 0F 0D /0 of 3DNow!: all of 0F 0D is a prefetch here
      {"prefetchw", "prefetchwt1"},  // Knights Landing's 0F 0D /2
      {"fstp", "fstpnce"},           // D9 D8
  };
  if (aliases.count({ours_name, name}) != 0) return true;
  if (ours_name != name) return false;
  // Mod 0 with base 5 has no base even with REX.B [SDM2 Table 2-5]; Zydis prints r13d under an address-size prefix.
  if (insn.address_size == 4 && insn.has_modrm && insn.mod() == 0 &&
      theirs.text.find("[ds:r13d") != std::string::npos) {
    return true;
  }
  switch (insn.operation) {
    // Cache lines and save areas: Zydis lists the area, our operand has no fixed size (M) or one byte (Mb).
    case Operation::Clflush:
    case Operation::Clflushopt:
    case Operation::Clwb:
    case Operation::Invlpg:
    case Operation::Xsave:
    case Operation::Xsavec:
    case Operation::Xsaveopt:
    case Operation::Xsaves:
    case Operation::Xrstor:
    case Operation::Xrstors: return without_sizes(mine.text) == without_sizes(theirs.text);
    // 66 63: the memory operand is a word [SDM2 MOVSXD]; Zydis says doubleword.
    case Operation::Movsxd: return insn.operand_size == 2;
    // Zydis forgets the segment prefix, which LEA does not use.
    case Operation::Lea: return insn.segment_override != Segment::None;
    // The operands of a reserved hint are nobody's. XCHG is symmetric. LSL and VMOVMSKPx: only the low half of the
    // 64-bit register means anything.
    case Operation::Nop:
    case Operation::Xchg:
    case Operation::Lsl:
    case Operation::Movmskps:
    case Operation::Movmskpd: return true;
    // Zydis sign-extends 32-bit absolute offsets and lists FUCOMP's fixed operand.
    case Operation::Mov:
      return insn.operands[0].kind == OperandKind::MemoryOffset || insn.operands[1].kind == OperandKind::MemoryOffset;
    case Operation::Fucomp: return true;
    // Zydis lists the address that CLZERO takes from rAX.
    case Operation::Clzero: return true;
    default: break;
  }
  return false;
}

class AgainstOracle : public testing::TestWithParam<CodeSize> {
 protected:
  // Reports the first differences in full and counts the others.
  void differ(const Code& code, const Verdict& mine, const Verdict& theirs, const char* what) {
    if (++differences_ <= 10) ADD_FAILURE() << what << " " << describe(code, GetParam(), mine, theirs);
  }
  void TearDown() override { EXPECT_EQ(differences_, 0u); }

 private:
  unsigned differences_ = 0;
};

TEST_P(AgainstOracle, Zydis) {
  const CodeSize mode = GetParam();
  ByteSpace(1).each(mode, [&](const Code& code) {
    const Verdict mine = ours(code, mode), theirs = zydis(code, mode);
    if (mine.valid != theirs.valid) {
      if (mine.valid || !is_absent_extension(theirs, mode)) differ(code, mine, theirs, "validity");
    } else if (mine.valid && mine.length != theirs.length) {
      differ(code, mine, theirs, "length");
    } else if (mine.valid && mine.text != theirs.text && !is_excused_text(mine, theirs, decode(code, mode).insn)) {
      differ(code, mine, theirs, "text");
    }
  });
}

unsigned count_prefix(const Code& code, unsigned length, u8 prefix) {
  unsigned count = 0;
  for (unsigned i = 0; i < length; ++i) count += code[i] == prefix;
  return count;
}

// Capstone 4 gets lengths wrong where prefixes that it takes for mandatory ones meet 66, and knows some rows not at
// all.
bool is_capstone_weakness(const Code& code, CodeSize mode, const Verdict& mine, const Verdict& theirs) {
  const Insn insn = decode(code, mode).insn;
  if (!theirs.valid) {
    if (mode == CodeSize::Bits16) return insn.map != OpcodeMap::OneByte;    // SSE rows missing in 16-bit mode
    if (insn.operand_size_prefix && insn.address_size_prefix) return true;  // SSE rows missing with 66 and 67
    static const std::set<Operation> incomplete = {
        Operation::Nop,    Operation::Prefetchw, Operation::Mov, Operation::Lfence,         Operation::Mfence,
        Operation::Sfence, Operation::Ud0,       Operation::Ud1, Operation::Vbroadcasti128, Operation::Clzero,
    };
    if (incomplete.count(insn.operation) != 0) return true;
    // VAES and VPCLMULQDQ: the 256-bit forms are younger than Capstone 4.
    static const std::set<Operation> wide = {Operation::Aesenc, Operation::Aesenclast, Operation::Aesdec,
                                             Operation::Aesdeclast, Operation::Pclmulqdq};
    if (insn.vex_l == 1 && wide.count(insn.operation) != 0) return true;
    return insn.rep != RepPrefix::None;  // F2, F3 before a segment prefix are lost
  }
  switch (insn.operation) {
    // Near branches in 64-bit mode: with 66 Capstone follows AMD and reads a word; REX changes the length too.
    case Operation::RetNear:
    case Operation::CallNear:
    case Operation::JmpNear:
    case Operation::Jcc:
      if (mode == CodeSize::Bits64 && (insn.operand_size_prefix || insn.rex != 0)) return true;
      break;
    // SSE4a with immediates [AMD4 EXTRQ, INSERTQ]: read as VMREAD, two bytes shorter.
    case Operation::Extrq:
    case Operation::Insertq: return true;
    // No ModRM byte on UD0 and UD1.
    case Operation::Ud0:
    case Operation::Ud1: return true;
    default: break;
  }
  return insn.operand_size_prefix && count_prefix(code, mine.length, 0x66) + count_prefix(code, mine.length, 0xF2) +
                                             count_prefix(code, mine.length, 0xF3) >
                                         1;
}

TEST_P(AgainstOracle, Capstone) {
  const CodeSize mode = GetParam();
  ByteSpace(2).each(mode, [&](const Code& code) {
    const Verdict mine = ours(code, mode);
    if (!mine.valid) return;  // Capstone checks neither LOCK nor mandatory prefixes: it cannot tell invalid bytes
    const Verdict theirs = capstone(code, mode);
    if (theirs.valid && theirs.length == mine.length) return;
    if (!is_capstone_weakness(code, mode, mine, theirs)) differ(code, mine, theirs, "length");
  });
}

INSTANTIATE_TEST_SUITE_P(Modes, AgainstOracle, testing::Values(CodeSize::Bits16, CodeSize::Bits32, CodeSize::Bits64));

}  // namespace
}  // namespace xm::cpu::oracle
