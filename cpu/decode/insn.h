// SPDX-License-Identifier: GPL-2.0-or-later
// Insn: one decoded instruction as a plain value. What the decoder promises to everyone who reads it:
//  - operands[] are the explicit operands in Intel order (destination first), implicit ones are not listed except
//    where the opcode map names them (AL, eAX, CL, DX, 1, ST(0)).
//  - SSE: the first source of a VEX form (SDM code H) is operand 1. In the legacy form operand 1 repeats the
//    destination, so that both forms and MMX have the same positions: operands[0] = op(operands[1], operands[2]).
//  - at most one operand is Memory; `memory` describes it. String operands (StringSource, StringDestination) use
//    rSI in `segment` and rDI in ES, XLAT and MASKMOV use `segment` without an operand.
//  - immediates are widened to 64 bits: Iz, sign-extended Ib and branch distances by sign, the others by zeros.
//    Mask with the operand size before use.
//  - Relative: the target is next instruction pointer + imm, truncated to operand_size.
// Facts of the instruction (flags, feature, attributes) stand in its table row: isa_row(insn.row), cpu/isa/isa.h.
// [SDM2 2, App. A]
#pragma once

#include <array>
#include <type_traits>

#include "cpu/isa/operation.h"
#include "emu/base/types.h"

namespace xm::cpu {

// Default operand and address size of the code segment (CS.D, CS.L). Real and virtual-8086 mode are Bits16 or, for
// big-real code segments, Bits32.
enum class CodeSize : u8 { Bits16 = 16, Bits32 = 32, Bits64 = 64 };

enum class Segment : u8 { Es, Cs, Ss, Ds, Fs, Gs, None = 0xFF };

enum class RepPrefix : u8 { None, Repne, Rep };  // F2, F3

// The low four opcode bits of Jcc, SETcc and CMOVcc [SDM1 App. B].
enum class Condition : u8 { O, No, B, Nb, Z, Nz, Be, Nbe, S, Ns, P, Np, L, Nl, Le, Nle, None = 0xFF };

enum class OperandKind : u8 {
  None,
  Gpr8Low,            // AL..R15B; reg 4..7 are SPL, BPL, SIL, DIL
  Gpr8High,           // AH, CH, DH, BH with reg 0..3
  Gpr,                // 2, 4 or 8 bytes
  Segment,            // reg is a Segment
  Control,            // CRn
  Debug,              // DRn
  Mm,                 // MMn
  Xmm,                // low 128 bits (or less) of a vector register
  Ymm,                // 256 bits
  St,                 // ST(reg)
  Memory,             // described by Insn::memory
  MemoryOffset,       // moffs: address is memory.displacement alone
  StringSource,       // segment:rSI
  StringDestination,  // ES:rDI
  Immediate,          // Insn::imm
  Immediate2,         // Insn::imm2
  Relative,           // branch distance in Insn::imm
  FarPointer,         // offset in imm, selector in imm2
  One,                // the constant 1 of the D0/D1 shifts
};

inline constexpr u8 kNoRegister = 0xFF;

struct Operand {
  OperandKind kind = OperandKind::None;
  u8 reg = 0;
  u16 size = 0;  // bytes accessed; 0 where memory has no fixed size (LEA, INVLPG, XSAVE area)
};

struct MemoryAddress {
  u8 base = kNoRegister;
  u8 index = kNoRegister;     // a vector register when vsib
  u8 scale = 1;               // 1, 2, 4 or 8
  bool rip_relative = false;  // displacement counts from the end of the instruction
  bool vsib = false;
  i64 displacement = 0;
};

// Opcode map the instruction was found in; Vex maps are those reached by C4/C5.
enum class OpcodeMap : u8 { OneByte, TwoByte0F, Three0F38, Three0F3A, Vex0F, Vex0F38, Vex0F3A };

struct Insn {
  Operation operation = Operation::Invalid;
  u16 row = 0;    // index of the table row
  u8 length = 0;  // 1..15
  CodeSize mode = CodeSize::Bits16;
  u8 operand_size = 2;                       // 2, 4, 8; 1 for byte forms (string, port and ALU byte operations)
  u8 address_size = 2;                       // 2, 4, 8
  Segment segment = Segment::Ds;             // segment the memory operand uses
  Segment segment_override = Segment::None;  // the prefix that counts, if any
  Condition condition = Condition::None;
  RepPrefix rep = RepPrefix::None;  // last of F2, F3 present, mandatory or not
  bool lock = false;
  bool operand_size_prefix = false;  // 66 present
  bool address_size_prefix = false;  // 67 present
  bool vex = false;
  u8 vex_l = 0;  // 0: 128 bits, 1: 256 bits
  u8 vex_w = 0;
  u8 rex = 0;  // the REX byte that counts, or 0
  OpcodeMap map = OpcodeMap::OneByte;
  u8 opcode = 0;  // last opcode byte
  bool has_modrm = false;
  u8 modrm = 0;
  u8 operand_count = 0;
  std::array<Operand, 4> operands{};
  MemoryAddress memory;
  u64 imm = 0;
  u64 imm2 = 0;

  constexpr unsigned mod() const { return modrm >> 6; }
  constexpr unsigned reg_field() const { return (modrm >> 3) & 7; }
  constexpr unsigned rm_field() const { return modrm & 7; }
  constexpr bool rex_w() const { return (rex & 8) != 0; }
};

static_assert(std::is_trivially_copyable_v<Insn>);

}  // namespace xm::cpu
