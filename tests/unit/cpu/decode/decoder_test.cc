// SPDX-License-Identifier: GPL-2.0-or-later
// Encodings worth naming one by one; the exhaustive comparison with other decoders is tests/cpu/decoder_oracle_test.cc.
#include "cpu/decode/decoder.h"

#include <gtest/gtest.h>

#include <vector>

#include "cpu/isa/isa.h"

namespace xm::cpu {
namespace {

using Bytes = std::vector<u8>;

Insn decode_ok(const Bytes& bytes, CodeSize mode = CodeSize::Bits64) {
  const DecodeResult result = decode(bytes, mode);
  EXPECT_EQ(result.status, DecodeStatus::Ok);
  EXPECT_EQ(result.insn.length, bytes.size());
  return result.insn;
}

DecodeStatus status_of(const Bytes& bytes, CodeSize mode = CodeSize::Bits64) { return decode(bytes, mode).status; }

TEST(Decoder, RegisterToRegister) {
  const Insn insn = decode_ok({0x48, 0x01, 0xD8});  // add rax, rbx
  EXPECT_EQ(insn.operation, Operation::Add);
  EXPECT_EQ(insn.operand_size, 8);
  EXPECT_EQ(insn.operands[0].kind, OperandKind::Gpr);
  EXPECT_EQ(insn.operands[0].reg, 0);
  EXPECT_EQ(insn.operands[1].reg, 3);
}

TEST(Decoder, MemoryWithSibAndDisplacement) {
  const Insn insn = decode_ok({0x64, 0x42, 0x8B, 0x44, 0xB5, 0x80});  // mov eax, fs:[rbp + r14*4 - 128]
  EXPECT_EQ(insn.segment, Segment::Fs);
  EXPECT_EQ(insn.memory.base, 5);
  EXPECT_EQ(insn.memory.index, 14);
  EXPECT_EQ(insn.memory.scale, 4);
  EXPECT_EQ(insn.memory.displacement, -128);
}

TEST(Decoder, StackBaseSelectsTheStackSegment) {
  EXPECT_EQ(decode_ok({0x8B, 0x45, 0x00}, CodeSize::Bits32).segment, Segment::Ss);
  EXPECT_EQ(decode_ok({0x8B, 0x44, 0x2D, 0x00}, CodeSize::Bits32).segment, Segment::Ss);
  EXPECT_EQ(decode_ok({0x8B, 0x03}, CodeSize::Bits32).segment, Segment::Ds);
  EXPECT_EQ(decode_ok({0x8B, 0x02}, CodeSize::Bits16).segment, Segment::Ss);  // [bp + si]
}

TEST(Decoder, RipRelativeOnlyIn64BitMode) {
  const Bytes lea = {0x8D, 0x05, 0x10, 0x00, 0x00, 0x00};
  EXPECT_TRUE(decode_ok(lea).memory.rip_relative);
  EXPECT_FALSE(decode_ok(lea, CodeSize::Bits32).memory.rip_relative);
}

TEST(Decoder, HighByteRegistersVanishWithRex) {
  EXPECT_EQ(decode_ok({0x88, 0xE0}).operands[1].kind, OperandKind::Gpr8High);
  EXPECT_EQ(decode_ok({0x40, 0x88, 0xE0}).operands[1].kind, OperandKind::Gpr8Low);
}

TEST(Decoder, RexCountsOnlyRightBeforeTheOpcode) {
  EXPECT_EQ(decode_ok({0x48, 0x66, 0x01, 0xD8}).operand_size, 2);
  EXPECT_EQ(decode_ok({0x66, 0x48, 0x01, 0xD8}).operand_size, 8);
}

TEST(Decoder, OperandSizePrefixIsIgnoredOnNearBranchesIn64BitMode) {
  EXPECT_EQ(decode_ok({0x66, 0xE9, 0, 0, 0, 0}).operand_size, 8);
  EXPECT_EQ(decode_ok({0x66, 0xE9, 0, 0}, CodeSize::Bits32).operand_size, 2);
}

TEST(Decoder, MandatoryPrefixSelectsTheRow) {
  EXPECT_EQ(decode_ok({0x0F, 0x58, 0xC1}).operation, Operation::Addps);
  EXPECT_EQ(decode_ok({0x66, 0x0F, 0x58, 0xC1}).operation, Operation::Addpd);
  EXPECT_EQ(decode_ok({0xF3, 0x0F, 0x58, 0xC1}).operation, Operation::Addss);
  EXPECT_EQ(decode_ok({0x66, 0xF2, 0x0F, 0x58, 0xC1}).operation, Operation::Addsd);
  EXPECT_EQ(status_of({0xF3, 0x0F, 0x54, 0xC1}), DecodeStatus::Invalid);
}

TEST(Decoder, LegacyAndVexFormsHaveTheSameOperandPositions) {
  const Insn legacy = decode_ok({0x0F, 0x58, 0xD1});     // addps xmm2, xmm1
  const Insn vex = decode_ok({0xC5, 0xE4, 0x58, 0xD1});  // vaddps ymm2, ymm3, ymm1
  EXPECT_EQ(legacy.operation, vex.operation);
  EXPECT_EQ(legacy.operands[1].reg, 2);
  EXPECT_EQ(vex.operands[1].reg, 3);
  EXPECT_EQ(vex.operands[2].kind, OperandKind::Ymm);
}

TEST(Decoder, C4IsLesWithMemoryOutside64BitMode) {
  EXPECT_EQ(decode_ok({0xC4, 0x03}, CodeSize::Bits32).operation, Operation::Les);
  EXPECT_EQ(decode_ok({0xC5, 0xE4, 0x58, 0xD1}, CodeSize::Bits32).operation, Operation::Addps);
}

TEST(Decoder, LockNeedsALockableMemoryDestination) {
  EXPECT_TRUE(decode_ok({0xF0, 0x01, 0x03}).lock);
  EXPECT_EQ(status_of({0xF0, 0x01, 0xC3}), DecodeStatus::Invalid);
  EXPECT_EQ(status_of({0xF0, 0x89, 0x03}), DecodeStatus::Invalid);
}

TEST(Decoder, XchgNopPause) {
  EXPECT_EQ(decode_ok({0x90}).operation, Operation::Nop);
  EXPECT_EQ(decode_ok({0xF3, 0x90}).operation, Operation::Pause);
  EXPECT_EQ(decode_ok({0x41, 0x90}).operation, Operation::Xchg);
  EXPECT_EQ(decode_ok({0x41, 0x90}).operands[1].reg, 8);
}

TEST(Decoder, MoveToControlRegisterIgnoresMod) {
  const Insn insn = decode_ok({0x0F, 0x22, 0x18});  // mov cr3, rax with mod 0
  EXPECT_EQ(insn.operands[0].kind, OperandKind::Control);
  EXPECT_EQ(insn.operands[0].reg, 3);
  EXPECT_EQ(insn.operands[1].reg, 0);
  EXPECT_EQ(status_of({0x0F, 0x22, 0xC8}), DecodeStatus::Invalid);  // CR1
}

TEST(Decoder, EndOfBytesAndLengthLimit) {
  EXPECT_EQ(status_of({0x48}), DecodeStatus::NeedMoreBytes);
  EXPECT_EQ(status_of({0x81, 0x05, 1, 2}), DecodeStatus::NeedMoreBytes);
  EXPECT_EQ(status_of(Bytes(20, 0x66)), DecodeStatus::TooLong);
  Bytes longest(14, 0x66);
  longest.push_back(0x90);
  EXPECT_EQ(decode_ok(longest).length, 15);
  longest.insert(longest.begin(), 0x66);
  EXPECT_EQ(status_of(longest), DecodeStatus::TooLong);
}

TEST(Decoder, EnterAndFarPointersCarryTwoImmediates) {
  const Insn enter = decode_ok({0xC8, 0x34, 0x12, 0x05});
  EXPECT_EQ(enter.imm, 0x1234u);
  EXPECT_EQ(enter.imm2, 5u);
  const Insn jump = decode_ok({0xEA, 0x78, 0x56, 0x34, 0x12, 0x08, 0x00}, CodeSize::Bits32);
  EXPECT_EQ(jump.imm, 0x12345678u);
  EXPECT_EQ(jump.imm2, 8u);
}

TEST(Decoder, GatherRegistersMustDiffer) {
  EXPECT_EQ(decode_ok({0xC4, 0xE2, 0x69, 0x90, 0x04, 0x08}).operation, Operation::Vpgatherdd);
  EXPECT_EQ(status_of({0xC4, 0xE2, 0x69, 0x90, 0x14, 0x08}), DecodeStatus::Invalid);
}

TEST(InstructionTable, EveryOperationHasARow) {
  std::vector<bool> seen(kOperationCount);
  for (const Row& row : isa_rows()) seen[static_cast<unsigned>(row.operation)] = true;
  for (unsigned i = 1; i < kOperationCount; ++i) {
    EXPECT_TRUE(seen[i]) << operation_name(static_cast<Operation>(i));
  }
}

// Two rows of equal rank for the same bytes would make the order of the table matter.
TEST(InstructionTable, NoTwoRowsClaimTheSameEncoding) {
  const auto rows = isa_rows();
  const auto overlap = [](const Row& a, const Row& b) {
    if (a.map != b.map || a.prefix != b.prefix) return false;
    if (a.opcode >= b.opcode + b.opcode_count || b.opcode >= a.opcode + a.opcode_count) return false;
    const bool legacy = a.encoding != Encoding::Vex && b.encoding != Encoding::Vex;
    const bool vex = a.encoding != Encoding::Legacy && b.encoding != Encoding::Legacy;
    if (!legacy && !vex) return false;
    const u32 both = a.attributes | b.attributes;
    if ((both & attribute::kNot64) && (both & attribute::kOnly64)) return false;
    if ((both & attribute::kL0) && (both & attribute::kL1)) return false;
    if ((both & attribute::kW0) && (both & attribute::kW1)) return false;
    if (!((a.modrm.memory && b.modrm.memory) || (a.modrm.registers && b.modrm.registers))) return false;
    if (a.modrm.reg >= 0 && b.modrm.reg >= 0 && a.modrm.reg != b.modrm.reg) return false;
    return a.modrm.rm < 0 || b.modrm.rm < 0 || a.modrm.rm == b.modrm.rm;
  };
  for (unsigned i = 0; i < rows.size(); ++i) {
    for (unsigned j = i + 1; j < rows.size(); ++j) {
      EXPECT_FALSE(overlap(rows[i], rows[j]))
          << operation_name(rows[i].operation) << " and " << operation_name(rows[j].operation);
    }
  }
}

}  // namespace
}  // namespace xm::cpu
